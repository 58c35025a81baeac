//! The administrator's configuration: modprobe.d, kmod.d and the kernel command line. [`files`] reads the directories,
//! `lines` splits the files into lines, `line` parses a line, [`mask`] is kmod.d, [`show`] formats the output of
//! `modprobe -c`.
//!
//! Entries are in the order of the files. Names and patterns are normalised (`-` is `_`); values are the bytes of the file.

pub mod files;
mod index;
mod line;
pub(crate) mod lines;
pub mod mask;
mod search;
pub mod show;

use crate::name::{Escaped, ModuleName, fnmatch};
use std::collections::{HashSet, TryReserveError};
use std::io;
use std::path::{Path, PathBuf};

pub use files::{ConfigSource, DEFAULT_DIRECTORIES};
pub(crate) use lines::LogicalLine;
pub use mask::{Mask, MaskProblem, Masks};
pub(crate) use search::Search;

/// `alias PATTERN NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// An fnmatch pattern.
    pub pattern: Vec<u8>,
    /// The module or alias that it names.
    pub target: Vec<u8>,
}

/// `options NAME TEXT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleOptions {
    /// A module, or an alias under which a module is requested.
    pub name: Vec<u8>,
    /// Parameters in the form that the kernel expects.
    pub text: Vec<u8>,
}

/// `install PATTERN COMMAND` and `remove PATTERN COMMAND`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// An fnmatch pattern on the module's name.
    pub pattern: Vec<u8>,
    /// For `/bin/sh -c`.
    pub command: Vec<u8>,
}

/// `softdep PATTERN pre: A… post: B…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Softdep {
    /// An fnmatch pattern on the module's name.
    pub pattern: Vec<u8>,
    /// Names to be loaded before the module.
    pub pre: Vec<Vec<u8>>,
    /// Names to be loaded after the module.
    pub post: Vec<Vec<u8>>,
}

/// `weakdep PATTERN A…`: for generators of initramfs images; modprobe does not load them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakdep {
    /// An fnmatch pattern on the module's name.
    pub pattern: Vec<u8>,
    /// Names.
    pub names: Vec<Vec<u8>>,
}

/// The whole configuration, in the order in which it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `alias` lines.
    pub aliases: Vec<Alias>,
    /// `options` lines, then `MODULE.PARAMETER` items of the kernel command line.
    pub options: Vec<ModuleOptions>,
    /// `blacklist` lines, then `modprobe.blacklist=` of the kernel command line.
    pub blacklist: Vec<Vec<u8>>,
    /// `install` lines.
    pub install: Vec<Command>,
    /// `remove` lines.
    pub remove: Vec<Command>,
    /// `softdep` lines.
    pub softdeps: Vec<Softdep>,
    /// `weakdep` lines.
    pub weakdeps: Vec<Weakdep>,
    /// `mask` lines of kmod.d.
    pub masks: Masks,
}

/// A part of the configuration that was ignored.
#[derive(Debug, thiserror::Error)]
pub enum ConfigWarning {
    /// An unknown keyword or a missing field.
    #[error("{} line {line}: ignoring bad line starting with '{}'", show_path(.file), Escaped(.word))]
    BadLine {
        /// The file.
        file: PathBuf,
        /// The number of the line's first physical line, from 1.
        line: usize,
        /// Its first word.
        word: Vec<u8>,
    },
    /// `include` or `config`, which old versions of modprobe knew.
    #[error("{} line {line}: command {} is deprecated and not parsed anymore", show_path(.file), Escaped(.word))]
    Deprecated {
        /// The file.
        file: PathBuf,
        /// The number of the line's first physical line, from 1.
        line: usize,
        /// The command.
        word: Vec<u8>,
    },
    /// `x.conf` is a directory.
    #[error("Directories inside directories are not supported: {}", show_path(.0))]
    Directory(PathBuf),
    /// A `mask` line with more than one pattern.
    #[error("{} line {line}: only the first pattern of the line is masked: '{}'", show_path(.file), Escaped(.pattern))]
    SurplusMask {
        /// The file.
        file: PathBuf,
        /// The number of the line's first physical line, from 1.
        line: usize,
        /// The first pattern.
        pattern: Vec<u8>,
    },
    /// A line is longer than `lines::LINE_LIMIT`.
    #[error("{} line {line}: longer than {} bytes, ignored", show_path(.file), lines::LINE_LIMIT)]
    LongLine {
        /// The file.
        file: PathBuf,
        /// The number of the line's first physical line, from 1.
        line: usize,
    },
    /// A file is larger than [`files::SIZE_LIMIT`]; its first lines are used.
    #[error("{}: larger than {} bytes, the rest is ignored", show_path(.0), files::SIZE_LIMIT)]
    TooLarge(PathBuf),
    /// `x.conf` is a pipe, a socket or a device.
    #[error("{}: not a regular file, not read", show_path(.0))]
    NotAFile(PathBuf),
    /// A file or directory exists and cannot be read.
    #[error("{}: could not be read: {}", show_path(.file), crate::sys::strerror_io(.cause))]
    Unreadable {
        /// The file or directory.
        file: PathBuf,
        /// The error.
        cause: io::Error,
    },
    /// A module name on the kernel command line has an unmatched bracket.
    #[error("Ignoring bad option on kernel command line while parsing module name: '{}'", Escaped(.0))]
    CommandLine(Vec<u8>),
}

/// A path as it is shown in messages.
pub(crate) fn show_path(path: &Path) -> Escaped<&[u8]> {
    use std::os::unix::ffi::OsStrExt;
    Escaped(path.as_os_str().as_bytes())
}

impl Config {
    /// Reads a [`ConfigSource`]. Whatever cannot be used is ignored, with a warning, except in kmod.d ([`mask`]).
    #[must_use]
    pub fn load(source: &ConfigSource) -> (Self, Vec<ConfigWarning>) {
        let mut warnings = Vec::new();
        let config = Self::load_with(source, &mut warnings);
        (config, warnings)
    }

    /// Reads a [`ConfigSource`] like [`Config::load`], and passes each warning on as soon as it is known.
    pub fn load_with(source: &ConfigSource, warnings: &mut impl Extend<ConfigWarning>) -> Self {
        let mut config = Self::default();
        for path in files::list(source, warnings) {
            let before = config.lengths();
            let each = &mut |line: LogicalLine<'_>| config.add_line(&path, line, warnings);
            match files::read_lines(&path, each) {
                Ok(()) => {}
                Err(error) => {
                    // Out of memory: give back what the file took.
                    if !matches!(error, files::ReadError::TooLarge) {
                        config.truncate(before);
                    }
                    error.warn(&path, warnings);
                }
            }
        }
        config.masks.load(&source.kmod_d_only(), warnings);
        if let Some(path) = &source.command_line {
            // Without /proc there are no items: an initramfs may run modprobe before it mounts /proc.
            if let Ok(text) = files::read_limited(path) {
                config.add_command_line(&text, warnings);
            }
        }
        config
    }

    /// Adds the lines of a file. `file` is used in warnings only.
    pub fn add_file(&mut self, file: &Path, text: &[u8], warnings: &mut impl Extend<ConfigWarning>) {
        let added = lines::each(text, &mut |line| self.add_line(file, line, warnings));
        if added.is_err() {
            files::ReadError::out_of_memory().warn(file, warnings);
        }
    }

    fn add_line(
        &mut self,
        file: &Path,
        line: LogicalLine<'_>,
        warnings: &mut impl Extend<ConfigWarning>,
    ) -> Result<(), TryReserveError> {
        let number = line.number;
        let parsed = match line.text.map(line::parse) {
            Some(parsed) => parsed,
            None => {
                warnings.extend([ConfigWarning::LongLine { file: file.to_owned(), line: number }]);
                return Ok(());
            }
        };
        match parsed {
            Ok(Some(line)) => return self.add(line),
            Ok(None) => {}
            Err(line::BadLine::Unknown(word)) => {
                warnings.extend([ConfigWarning::BadLine { file: file.to_owned(), line: number, word }]);
            }
            Err(line::BadLine::Deprecated(word)) => {
                warnings.extend([ConfigWarning::Deprecated { file: file.to_owned(), line: number, word }]);
            }
        }
        Ok(())
    }

    fn add(&mut self, line: line::Line) -> Result<(), TryReserveError> {
        match line {
            line::Line::Alias(alias) => push(&mut self.aliases, alias),
            line::Line::Options(options) => push(&mut self.options, options),
            line::Line::Blacklist(name) => push(&mut self.blacklist, name),
            line::Line::Install(command) => push(&mut self.install, command),
            line::Line::Remove(command) => push(&mut self.remove, command),
            line::Line::Softdep(softdep) => push(&mut self.softdeps, softdep),
            line::Line::Weakdep(weakdep) => push(&mut self.weakdeps, weakdep),
        }
    }

    /// The number of entries of each kind that files contain.
    fn lengths(&self) -> [usize; 7] {
        [
            self.aliases.len(),
            self.options.len(),
            self.blacklist.len(),
            self.install.len(),
            self.remove.len(),
            self.softdeps.len(),
            self.weakdeps.len(),
        ]
    }

    fn truncate(&mut self, [aliases, options, blacklist, install, remove, softdeps, weakdeps]: [usize; 7]) {
        truncate(&mut self.aliases, aliases);
        truncate(&mut self.options, options);
        truncate(&mut self.blacklist, blacklist);
        truncate(&mut self.install, install);
        truncate(&mut self.remove, remove);
        truncate(&mut self.softdeps, softdeps);
        truncate(&mut self.weakdeps, weakdeps);
    }

    /// Adds the items of a kernel command line (see [`crate::cmdline`]).
    pub fn add_command_line(&mut self, text: &[u8], warnings: &mut impl Extend<ConfigWarning>) {
        for item in crate::cmdline::items(text) {
            match item {
                Ok(crate::cmdline::Item::Option { module, text }) => {
                    self.options.push(ModuleOptions { name: module, text });
                }
                Ok(crate::cmdline::Item::Blacklist(name)) => self.blacklist.push(name),
                Err(module) => warnings.extend([ConfigWarning::CommandLine(module)]),
            }
        }
    }

    /// Returns all options of a module, and those of the `alias` under which it was requested: in order, separated by a space.
    #[must_use]
    pub fn options_for(&self, module: &ModuleName, alias: Option<&[u8]>) -> Vec<u8> {
        let mut joined = Vec::new();
        for options in &self.options {
            if options.name == module.as_bytes() || Some(options.name.as_slice()) == alias {
                append_word(&mut joined, &options.text);
            }
        }
        joined
    }

    /// Whether the module is on the blacklist. The resolver decides which requests that stops.
    #[must_use]
    pub fn is_blacklisted(&self, module: &ModuleName) -> bool {
        self.blacklist.iter().any(|name| name == module.as_bytes())
    }

    /// Returns the install command of a module: the first line that matches.
    #[must_use]
    pub fn install_for(&self, module: &ModuleName) -> Option<&[u8]> {
        first_command(&self.install, module)
    }

    /// Returns the remove command of a module: the first line that matches.
    #[must_use]
    pub fn remove_for(&self, module: &ModuleName) -> Option<&[u8]> {
        first_command(&self.remove, module)
    }

    /// Returns the names to load before and after a module: those of all matching lines, each name once.
    ///
    /// C kmod uses only the first matching line, so that a line in modprobe.d silently replaces the module's own soft
    /// dependencies.
    #[must_use]
    pub fn softdeps_for(&self, module: &ModuleName) -> (Vec<&[u8]>, Vec<&[u8]>) {
        merge_softdeps(self.softdeps.iter().filter(|softdep| matches(&softdep.pattern, module.as_bytes())))
    }

    /// Returns the names that an initramfs with this module should also contain: those of all matching lines, each name
    /// once. modprobe does not load them.
    #[must_use]
    pub fn weakdeps_for(&self, module: &ModuleName) -> Vec<&[u8]> {
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        for weakdep in self.weakdeps.iter().filter(|weakdep| matches(&weakdep.pattern, module.as_bytes())) {
            add_new(&mut names, &mut seen, &weakdep.names);
        }
        names
    }
}

/// Appends to a list that may be so long that there is no memory for a longer one.
fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), TryReserveError> {
    list.try_reserve(1)?;
    list.push(item);
    Ok(())
}

fn truncate<T>(list: &mut Vec<T>, length: usize) {
    if list.len() > length {
        list.truncate(length);
        list.shrink_to_fit();
    }
}

/// Returns the names to load before and after a module, each once.
fn merge_softdeps<'a>(lines: impl Iterator<Item = &'a Softdep>) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    let (mut seen_pre, mut seen_post) = (HashSet::new(), HashSet::new());
    for softdep in lines {
        add_new(&mut pre, &mut seen_pre, &softdep.pre);
        add_new(&mut post, &mut seen_post, &softdep.post);
    }
    (pre, post)
}

fn first_command<'a>(commands: &'a [Command], module: &ModuleName) -> Option<&'a [u8]> {
    commands.iter().find(|c| matches(&c.pattern, module.as_bytes())).map(|c| c.command.as_slice())
}

fn add_new<'a>(names: &mut Vec<&'a [u8]>, seen: &mut HashSet<&'a [u8]>, more: &'a [Vec<u8>]) {
    names.extend(more.iter().map(Vec::as_slice).filter(|name| seen.insert(name)));
}

/// fnmatch, with a shortcut that decides most lines: the literal bytes before the first special character.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    for (at, byte) in pattern.iter().enumerate() {
        if b"*?[\\".contains(byte) {
            return fnmatch(&pattern[at..], name.get(at..).unwrap_or_default());
        }
        if name.get(at) != Some(byte) {
            return false;
        }
    }
    pattern.len() == name.len()
}

/// Appends `word`, after a space if there is text already.
pub(crate) fn append_word(text: &mut Vec<u8>, word: &[u8]) {
    if !text.is_empty() && !word.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Config, Vec<String>) {
        let (mut config, mut warnings) = (Config::default(), Vec::new());
        config.add_file(Path::new("a.conf"), text.as_bytes(), &mut warnings);
        (config, warnings.iter().map(ToString::to_string).collect())
    }

    fn name(name: &str) -> ModuleName {
        ModuleName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn options_of_the_name_and_the_alias_are_joined() {
        let (config, _) = parse("options foo a=1\noptions al-ias b=2\noptions other c=3\noptions foo d=4\n");
        assert_eq!(config.options_for(&name("foo"), Some(b"al_ias")), b"a=1 b=2 d=4");
        assert_eq!(config.options_for(&name("foo"), None), b"a=1 d=4");
    }

    #[test]
    fn options_match_exact_names_and_commands_match_patterns() {
        let (config, _) = parse("options f* a=1\ninstall f* first\ninstall foo second\nremove foo bye\n");
        assert_eq!(config.options_for(&name("foo"), None), b"");
        assert_eq!(config.install_for(&name("foo")), Some(&b"first"[..]));
        assert_eq!(config.remove_for(&name("fo")), None);
    }

    #[test]
    fn softdep_lines_of_one_module_are_merged_without_duplicates() {
        let (config, _) = parse("softdep foo pre: a b post: c\nsoftdep f?o pre: b d\n");
        assert_eq!(config.softdeps_for(&name("foo")), (vec![&b"a"[..], b"b", b"d"], vec![&b"c"[..]]));
    }

    #[test]
    fn weakdep_lines_of_one_module_are_merged_without_duplicates() {
        let (config, _) = parse("weakdep foo a b\nweakdep f* b c\nweakdep other d\n");
        assert_eq!(config.weakdeps_for(&name("foo")), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_hundred_thousand_soft_dependencies_take_linear_time() {
        let text: String = (0..100_000).map(|number| format!("softdep foo pre: name{number}\n")).collect();
        let (config, _) = parse(&text);
        let start = std::time::Instant::now();
        assert_eq!(config.softdeps_for(&name("foo")).0.len(), 100_000);
        assert!(start.elapsed().as_secs() < 5, "took {:?}", start.elapsed());
    }

    #[test]
    fn the_shortcut_agrees_with_fnmatch() {
        arbtest::arbtest(|u| {
            let mut bytes = |most| -> arbitrary::Result<Vec<u8>> {
                (0..u.int_in_range(0..=most)?).map(|_| u.choose(b"ab*?[]\\-!").copied()).collect()
            };
            let (pattern, name) = (bytes(8)?, bytes(6)?);
            assert_eq!(matches(&pattern, &name), fnmatch(&pattern, &name), "{pattern:?} on {name:?}");
            Ok(())
        });
    }

    #[test]
    fn the_blacklist_matches_exact_names() {
        let (config, _) = parse("blacklist foo-bar and more\nblacklist b*\n");
        assert!(config.is_blacklisted(&name("foo-bar")));
        assert!(!config.is_blacklisted(&name("bar")));
    }

    #[test]
    fn bad_lines_are_reported_with_file_and_line_and_the_others_are_used() {
        let (config, warnings) = parse("\n # x\nalias a\nalias [a b\ninclude x\nop\\\ntions\nblacklist ok\n");
        assert_eq!(config.blacklist, [b"ok"]);
        insta::assert_snapshot!(warnings.join("\n"), @r"
        a.conf line 2: ignoring bad line starting with '#'
        a.conf line 3: ignoring bad line starting with 'alias'
        a.conf line 4: ignoring bad line starting with 'alias'
        a.conf line 5: command include is deprecated and not parsed anymore
        a.conf line 6: ignoring bad line starting with 'options'
        ");
    }

    #[test]
    fn options_of_the_command_line_follow_those_of_the_files() {
        let (mut config, _) = parse("options foo a=1\n");
        let mut warnings = Vec::new();
        config.add_command_line(b"quiet foo.b=2 modprobe.blacklist=x-y,,z ivrs_acpihid[00:14.5]=1", &mut warnings);
        assert_eq!(config.options_for(&name("foo"), None), b"a=1 b=2");
        assert!(config.is_blacklisted(&name("x_y")) && config.is_blacklisted(&name("z")));
        assert_eq!(config.blacklist.len(), 2);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic_and_the_shown_text_parses_to_the_same() {
        const WORDS: &[&[u8]] = &[
            b"alias ",
            b"options ",
            b"install ",
            b"remove ",
            b"softdep ",
            b"weakdep ",
            b"blacklist ",
            b"pre: ",
            b"post: ",
            b"a-b",
            b"[x-]",
            b"*",
            b"\\",
            b"\n",
            b"\t",
            b" ",
            b"#",
            b"\r",
            b"\0",
            b"\xff",
        ];
        arbtest::arbtest(|u| {
            let mut text = Vec::new();
            for _ in 0..u.int_in_range(0..=20)? {
                text.extend_from_slice(u.choose(WORDS)?);
            }
            let (mut config, mut again) = (Config::default(), Config::default());
            config.add_file(Path::new("a"), &text, &mut Vec::new());
            let mut warnings = Vec::new();
            again.add_file(Path::new("b"), &show::as_file(&config), &mut warnings);
            assert!(warnings.is_empty(), "{warnings:?} for {:?}", Escaped(&text));
            assert_eq!(config, again, "{:?}", Escaped(&text));
            Ok(())
        });
    }
}
