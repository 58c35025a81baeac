//! depmod.d: which directories are searched, which file of a module is preferred, and which names are excluded. Files and
//! directories are found as for modprobe.d.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::expression;
use crate::config::{ConfigSource, ConfigWarning, LogicalLine, files, lines};
use crate::name::ModuleName;
use crate::stack::run_with_stack;

/// The directories that configuration is read from, highest priority first.
pub const DEFAULT_DIRECTORIES: [&str; 5] =
    ["/etc/depmod.d", "/run/depmod.d", "/usr/local/lib/depmod.d", "/usr/lib/depmod.d", "/lib/depmod.d"];

/// The settings of depmod.d.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DepmodConfig {
    /// `search`: highest priority first; `updates built-in` when empty.
    pub searches: Vec<Search>,
    /// `override`: the directory from which a module is preferred.
    pub overrides: Vec<Override>,
    /// `external`: directories outside the module directory that are searched too.
    pub externals: Vec<PathBuf>,
    /// `exclude`: base names that are skipped.
    pub excludes: Vec<Vec<u8>>,
}

/// An argument of a `search` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// `built-in`: every directory that no other argument names.
    BuiltIn,
    /// `external`: the directories of `external` lines.
    External,
    /// A directory below the module directory.
    Below(Vec<u8>),
}

/// An `override` line that applies to this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The module.
    pub name: ModuleName,
    /// The directory below the module directory.
    pub dir: Vec<u8>,
}

/// A line that is not valid, with its first word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BadLine(Vec<u8>);

impl DepmodConfig {
    /// Reads directories and files, highest priority first. Missing ones are skipped silently.
    #[must_use]
    pub fn load(paths: Vec<PathBuf>, release: &[u8]) -> (Self, Vec<ConfigWarning>) {
        let (mut config, mut warnings) = (Self::default(), Vec::new());
        let source = ConfigSource { paths, ..ConfigSource::default() };
        for file in files::list(&source, &mut warnings) {
            let each = &mut |line: LogicalLine<'_>| {
                config.add_line(&file, line, release, &mut warnings);
                Ok(())
            };
            if let Err(error) = files::read_lines(&file, each) {
                error.warn(&file, &mut warnings);
            }
        }
        (config, warnings)
    }

    /// Adds the lines of one file for a kernel release. `file` is used only in warnings.
    pub fn add_file(&mut self, file: &Path, text: &[u8], release: &[u8], warnings: &mut Vec<ConfigWarning>) {
        // The only error is that of an allocation.
        let _ = lines::each(text, &mut |line| {
            self.add_line(file, line, release, warnings);
            Ok(())
        });
    }

    fn add_line(&mut self, file: &Path, line: LogicalLine<'_>, release: &[u8], warnings: &mut Vec<ConfigWarning>) {
        let number = line.number;
        let warning = match line.text {
            Some(text) => match self.add(text, release) {
                Ok(()) => return,
                Err(BadLine(word)) => ConfigWarning::BadLine { file: file.to_owned(), line: number, word },
            },
            None => ConfigWarning::LongLine { file: file.to_owned(), line: number },
        };
        warnings.push(warning);
    }

    /// Adds lines like [`DepmodConfig::add_file`], without warnings.
    pub fn parse(&mut self, text: &[u8], release: &[u8]) {
        self.add_file(Path::new(""), text, release, &mut Vec::new());
    }

    fn add(&mut self, line: &[u8], release: &[u8]) -> Result<(), BadLine> {
        let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return Ok(()) };
        let bad = || BadLine(keyword.to_vec());
        if line.starts_with(b"#") {
            return Ok(());
        }
        if line.contains(&0) {
            return Err(bad());
        }
        match keyword {
            b"search" => self.searches.extend(words.map(|word| match word {
                b"built-in" => Search::BuiltIn,
                b"external" => Search::External,
                dir => Search::Below(trim_slashes(dir).to_vec()),
            })),
            b"override" => match (words.next(), words.next(), words.next()) {
                (Some(name), Some(kernel), Some(dir)) => {
                    let name = ModuleName::new(name).map_err(|_| bad())?;
                    if is_for(kernel, release).ok_or_else(bad)? {
                        self.overrides.push(Override { name, dir: trim_slashes(dir).to_vec() });
                    }
                }
                _ => return Err(bad()),
            },
            b"external" => match (words.next(), words.next()) {
                (Some(kernel), Some(dir)) if dir.starts_with(b"/") => {
                    if is_for(kernel, release).ok_or_else(bad)? {
                        self.externals.push(PathBuf::from(OsStr::from_bytes(dir)));
                    }
                }
                _ => return Err(bad()),
            },
            b"exclude" => self.excludes.extend(words.map(<[u8]>::to_vec)),
            // Obsolete.
            b"include" | b"make_map_files" => {}
            _ => return Err(bad()),
        }
        Ok(())
    }

    /// Returns whether a directory entry is skipped.
    #[must_use]
    pub fn is_excluded(&self, name: &[u8]) -> bool {
        // Links to the kernel's source tree, which may contain modules.
        matches!(name, b"build" | b"source") || self.excludes.iter().any(|excluded| excluded == name)
    }

    /// Returns whether a dangling link, given by its path relative to the module directory, counts as a directory to search. If
    /// its name contains a dot, it is one only if depmod.d names a directory there.
    pub(super) fn is_searched(&self, listed: &[u8]) -> bool {
        let searches = self.searches.iter().filter_map(|search| match search {
            Search::Below(dir) => Some(dir),
            Search::BuiltIn | Search::External => None,
        });
        let mut named = searches.chain(self.overrides.iter().map(|line| &line.dir));
        let name = listed.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        !name.contains(&b'.') || named.any(|dir| is_below(dir, listed))
    }

    /// Returns the rank of a module file; a lower rank is preferred. `listed` is the path relative to the module directory, or
    /// the absolute path of a file below an `external` directory.
    #[must_use]
    pub fn rank(&self, name: &ModuleName, listed: &[u8], external: bool) -> usize {
        let dir = listed.iter().rposition(|&b| b == b'/').map_or(&[][..], |slash| &listed[..slash]);
        // The last line counts first, as in every version of C kmod.
        if let Some(at) = self.overrides.iter().rev().position(|o| o.name == *name && o.dir == dir) {
            return at;
        }
        let usual = [Search::Below(b"updates".to_vec()), Search::BuiltIn];
        let searches = if self.searches.is_empty() { &usual[..] } else { &self.searches };
        let names = |search: &Search| match search {
            Search::BuiltIn => false,
            Search::External => external,
            Search::Below(top) => !external && is_below(dir, top),
        };
        let at = searches.iter().position(names).or_else(|| searches.iter().position(|s| *s == Search::BuiltIn));
        self.overrides.len() + at.unwrap_or(searches.len())
    }
}

/// Returns whether a directory is another one or below it.
fn is_below(dir: &[u8], top: &[u8]) -> bool {
    dir.strip_prefix(top).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// Returns whether a line applies to this kernel: `*`, or a regular expression that matches anywhere in the release. Returns
/// `None` for an invalid expression.
fn is_for(kernel: &[u8], release: &[u8]) -> Option<bool> {
    if kernel == b"*" {
        return Some(true);
    }
    // The parser of the crate is recursive.
    run_with_stack(|| Some(expression::is_match(&expression::compile(kernel)?, release)))
}

fn trim_slashes(mut dir: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = dir {
        dir = rest;
    }
    dir
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DepmodConfig {
        let mut config = DepmodConfig::default();
        config.parse(text.as_bytes(), b"6.1.0-9-cloud-amd64");
        config
    }

    /// Returns the preferred file.
    fn better(config: &DepmodConfig, a: &'static str, b: &'static str) -> &'static str {
        let rank = |path: &str| {
            config.rank(&ModuleName::from_path(path.as_bytes()).unwrap(), path.as_bytes(), path.starts_with('/'))
        };
        match rank(a).cmp(&rank(b)) {
            std::cmp::Ordering::Less => a,
            std::cmp::Ordering::Greater => b,
            std::cmp::Ordering::Equal => "equal",
        }
    }

    #[test]
    fn updates_is_preferred_by_default() {
        let none = config("");
        assert_eq!(better(&none, "kernel/a.ko", "updates/x/a.ko"), "updates/x/a.ko");
        assert_eq!(better(&none, "kernel/a.ko", "updatesx/a.ko"), "equal");
    }

    #[test]
    fn search_compares_whole_path_components() {
        let ordered = config("search extra/x built-in external updates");
        assert_eq!(better(&ordered, "kernel/a.ko", "extra/x/a.ko"), "extra/x/a.ko");
        assert_eq!(better(&ordered, "kernel/a.ko", "extra/a.ko"), "equal");
        assert_eq!(better(&ordered, "kernel/a.ko", "/opt/a.ko"), "kernel/a.ko");
        assert_eq!(better(&ordered, "updates/a.ko", "/opt/a.ko"), "/opt/a.ko");
        let without = config("search extra updates");
        assert_eq!(better(&without, "kernel/a.ko", "updates/a.ko"), "updates/a.ko");
    }

    #[test]
    fn an_override_wins_for_its_module_and_kernel() {
        let for_ours = config("override a-b 6\\.1 /weird/\noverride c 5.10 weird\noverride d * weird");
        assert_eq!(better(&for_ours, "updates/a_b.ko", "weird/a-b.ko"), "weird/a-b.ko");
        assert_eq!(better(&for_ours, "updates/c.ko", "weird/c.ko"), "updates/c.ko");
        assert_eq!(better(&for_ours, "updates/d.ko", "weird/d.ko"), "weird/d.ko");
        assert_eq!(better(&for_ours, "updates/d.ko", "weird/e/d.ko"), "updates/d.ko");
    }

    #[test]
    fn the_last_of_several_overrides_is_preferred() {
        let several = config("override a * one\noverride a * two\noverride b * one");
        assert_eq!(better(&several, "one/a.ko", "two/a.ko"), "two/a.ko");
        assert_eq!(better(&several, "one/a.ko", "updates/a.ko"), "one/a.ko");
        assert_eq!(better(&several, "one/b.ko", "two/b.ko"), "one/b.ko");
    }

    #[test]
    fn a_directory_without_a_dot_or_named_by_a_line_is_searched() {
        let named = config("search v1.2/drivers built-in\noverride a * w/v1.3");
        for searched in ["extra", "a.b/extra", "v1.2", "v1.2/drivers", "w/v1.3"] {
            assert!(named.is_searched(searched.as_bytes()), "{searched}");
        }
        for other in ["v1.3", "x.txt", "v1.2/drivers.d", "v1.2/drivers/x.y"] {
            assert!(!named.is_searched(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn external_and_exclude_lines_are_read() {
        let config = config("external * /opt/m\nexternal ^5 /opt/n\nexternal * relative\nexclude .debug old\n");
        assert_eq!(config.externals, [PathBuf::from("/opt/m")]);
        for name in [&b".debug"[..], b"old", b"build", b"source"] {
            assert!(config.is_excluded(name));
        }
        assert!(!config.is_excluded(b"kernel"));
    }

    #[test]
    fn bad_lines_are_reported_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.conf");
        std::fs::write(&file, "# c\n\nfoo x\noverride a b\noverride a ( b\ninclude x\nsearch \\\n x\nexternal * r\n")
            .unwrap();
        let (config, warnings) = DepmodConfig::load(vec![dir.path().to_owned()], b"6.1");
        assert_eq!(config.searches, [Search::Below(b"x".to_vec())]);
        let messages: Vec<String> =
            warnings.iter().map(|w| w.to_string().replace(file.to_str().unwrap(), "F")).collect();
        let line = |number, word| format!("F line {number}: ignoring bad line starting with '{word}'");
        assert_eq!(messages, [line(3, "foo"), line(4, "override"), line(5, "override"), line(9, "external")]);
    }

    #[test]
    fn arbitrary_text_is_parsed_without_panicking() {
        arbtest::arbtest(|u| {
            let mut text: Vec<u8> = u.arbitrary()?;
            if u.arbitrary()? {
                let words =
                    ["search ", "override ", "external ", "exclude ", "* ", "[a-z]+ ", "(((", "{9}", "/x ", "\n"];
                text = text.iter().flat_map(|b| words[usize::from(*b) % words.len()].bytes()).collect();
            }
            let mut config = DepmodConfig::default();
            config.parse(&text, b"6.1");
            let most = config.overrides.len() + config.searches.len().max(2);
            assert!(config.rank(&ModuleName::new(b"x").unwrap(), b"x/x.ko", false) <= most);
            Ok(())
        });
    }
}
