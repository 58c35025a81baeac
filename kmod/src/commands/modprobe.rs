//! `modprobe`: loads and removes modules with all that belongs to them.
//!
//! Started by the kernel as `modprobe -q -- NAME`, it takes NAME for a name whatever it looks like: a path is a module file
//! only for who calls it otherwise. The kernel's names come from whoever may open a socket or look at an interface.

pub mod arguments;
mod modes;
mod query;

use super::{Failed, Invocation, absolute, join_arguments, module_directory, output::Output, words};
use crate::config::{Config, ConfigSource};
use crate::execute::{self, Linux, RemovalError, Report};
use crate::log::{Log, Priority, Stop};
use crate::name::{Escaped, ModuleName};
use crate::resolve::{Hit, LoadRequest, find, load_plan, removal_plan};
use crate::tree::{Tree, TreeError};
use arguments::{ABOUT, Arguments};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs it.
///
/// # Errors
/// [`Failed`] after a message (or, with `-q`, without one).
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let from_environment = invocation.modprobe_options.as_ref().map(|options| words::split(options.as_bytes()));
    let all =
        from_environment.into_iter().flatten().map(OsString::from_vec).chain(invocation.operands().iter().cloned());
    let Some(operands) = invocation.parse(&ABOUT, all.collect(), &mut arguments)? else { return Ok(()) };

    let mut log = invocation.log("modprobe", level(arguments.verbose), arguments.syslog);
    let wait = wait(&arguments, &mut log)?;
    if operands.is_empty() && !arguments.show_config {
        log.error("missing parameters. See -h.");
        return Err(Failed);
    }
    // Not before: wrong use is told whatever the options say.
    if arguments.quiet {
        log.silence();
    }

    let tree = Tree::new(module_directory(arguments.root.as_deref(), arguments.release.as_deref()));
    let mut source = ConfigSource::system(tree.dir());
    if !arguments.config.is_empty() {
        source.paths.clone_from(&arguments.config);
    }
    let (config, warnings) = Config::load(&source);
    warnings.iter().for_each(|warning| log.library_error(warning));

    let mut session = Session {
        kernel: Linux::new(child_environment(invocation, &arguments)),
        paths_are_files: !started_by_kernel(invocation),
        output: invocation.output(),
        arguments,
        wait,
        tree,
        config,
        log,
        told: Vec::new(),
    };
    let result = session.act(&operands);
    let written = session.output.flush().map_err(|_| Failed);
    result.and(written)
}

fn level(verbose: u8) -> Priority {
    match verbose {
        0 => Priority::Warning,
        1 => Priority::Notice,
        2 => Priority::Info,
        _ => Priority::Debug,
    }
}

fn wait(arguments: &Arguments, log: &mut Log) -> Result<Option<Duration>, Failed> {
    let Some(text) = &arguments.wait else { return Ok(None) };
    let Some(wait) = milliseconds(text) else {
        log.error(format_args!("unexpected wait value '{}'.", Escaped(text.as_bytes())));
        return Err(Failed);
    };
    Ok(Some(Duration::from_millis(wait)))
}

/// A number as strtoul(3) reads it with base 0: white space and a sign before it, 0x and 0 for their bases; what is too
/// large, or negative, is as long as can be.
fn milliseconds(text: &OsStr) -> Option<u64> {
    let text = text.to_str()?.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, base) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    let value = digits.chars().try_fold(0, |value: u64, digit| {
        Some(value.saturating_mul(u64::from(base)).saturating_add(u64::from(digit.to_digit(base)?)))
    })?;
    match (digits, text.starts_with('-')) {
        ("", _) => None,
        (_, true) if value > 0 => Some(u64::MAX),
        _ => Some(value),
    }
}

/// The kernel gives no descriptor and just `-q -- NAME`; either is taken as a sign, since the helper may be a script that
/// calls us, with options of its own before what it got (`exec modprobe -v "$@"`).
fn started_by_kernel(invocation: &Invocation) -> bool {
    let arguments = invocation.operands();
    invocation.streams.all_closed() || matches!(arguments, [.., q, end, _] if q == "-q" && end == "--")
}

/// The options that hold for the modprobes that our commands start, too.
fn child_environment(invocation: &Invocation, arguments: &Arguments) -> Vec<(OsString, OsString)> {
    let mut options = invocation.modprobe_options.clone().unwrap_or_default().into_vec();
    let mut add = |word: &[u8]| {
        if !options.is_empty() {
            options.push(b' ');
        }
        options.extend_from_slice(&words::quote(word));
    };
    for path in &arguments.config {
        add(b"-C");
        add(absolute(path).as_os_str().as_bytes());
    }
    let flags: [(bool, &[u8]); 3] =
        [(arguments.quiet, b"-q"), (arguments.syslog, b"-s"), (arguments.verbose > 0, b"-v")];
    flags.iter().filter(|(given, _)| *given).for_each(|(_, flag)| add(flag));
    if options.is_empty() { Vec::new() } else { vec![("MODPROBE_OPTIONS".into(), OsString::from_vec(options))] }
}

/// One run, after the arguments were understood.
struct Session {
    arguments: Arguments,
    wait: Option<Duration>,
    tree: Tree,
    config: Config,
    kernel: Linux,
    paths_are_files: bool,
    output: Output,
    log: Log,
    told: Vec<String>,
}

struct Reporter<'a> {
    output: &'a mut Output,
    log: &'a mut Log,
}

impl Report for Reporter<'_> {
    fn action(&mut self, line: &[u8]) {
        self.output.line_now(line);
    }
    fn ignored(&mut self, failure: &dyn std::fmt::Display) {
        self.log.write(Priority::Notice, failure);
    }
    fn masked(&mut self, text: &dyn std::fmt::Display) {
        self.log.warning(text);
    }
}

impl Session {
    fn act(&mut self, operands: &[OsString]) -> Result<(), Failed> {
        if self.arguments.show_config {
            return query::show_config(self);
        }
        if self.arguments.show_modversions || self.arguments.show_exports {
            return query::show_symbols(self, operands);
        }
        if self.arguments.remove {
            return self.each(operands, Self::remove);
        }
        if self.arguments.all {
            return self.each(operands, |session, name| session.load(name, &[]));
        }
        match operands {
            [name, options @ ..] => self.load(name, options).unwrap_or(Err(Failed)),
            [] => Err(Failed),
        }
    }

    /// Does the same for every operand, also after one failed, unless a fatal message ended it all.
    fn each(
        &mut self,
        operands: &[OsString],
        mut act: impl FnMut(&mut Self, &OsStr) -> Result<Result<(), Failed>, Stop>,
    ) -> Result<(), Failed> {
        let mut result = Ok(());
        for operand in operands {
            result = act(self, operand)?.and(result);
        }
        result
    }

    /// A failure that ends the run unless there are more operands to come (`-a`).
    fn fatal(&mut self, text: impl std::fmt::Display) -> Result<Failed, Stop> {
        if self.arguments.all {
            self.log.warning(text);
        } else {
            self.log.fatal(text)?;
        }
        Ok(Failed)
    }

    /// Each problem once: one broken index is met by every name that is looked up.
    fn tell(&mut self, problems: &[TreeError]) {
        for problem in problems.iter().map(ToString::to_string) {
            if !self.told.contains(&problem) {
                self.log.error(&problem);
                self.told.push(problem);
            }
        }
    }

    /// What a name stands for; none, and nothing said yet, when nobody knows it.
    fn find(&mut self, name: &OsStr) -> Vec<Hit> {
        match find(&self.tree, &self.config, name.as_bytes()) {
            Ok(found) => {
                self.tell(&found.problems);
                found.hits
            }
            Err(_) => Vec::new(),
        }
    }

    fn load(&mut self, name: &OsStr, options: &[OsString]) -> Result<Result<(), Failed>, Stop> {
        let mut request = LoadRequest {
            arguments: join_arguments(options),
            ignore_commands: self.arguments.ignore_commands,
            use_blacklist: self.arguments.use_blacklist,
            file: None,
        };
        let bytes = name.as_bytes();
        let hits = if self.paths_are_files && (bytes.starts_with(b"/") || bytes.starts_with(b"./")) {
            match module_file(Path::new(name)) {
                Ok((hit, file)) => {
                    request.file = Some(file);
                    vec![hit]
                }
                Err(why) => {
                    let failed =
                        self.fatal(format_args!("Failed to get module from path {}: {why}", Escaped(bytes)))?;
                    return Ok(Err(failed));
                }
            }
        } else {
            self.find(name)
        };
        if hits.is_empty() {
            let directory = Escaped(self.tree.dir().as_os_str().as_bytes().to_vec());
            return Ok(Err(self.fatal(format_args!("Module {} not found in directory {directory}", Escaped(bytes)))?));
        }
        // Of several modules all are tried, and the last one decides.
        let mut result = Ok(());
        for hit in hits {
            result = if self.arguments.show_alias {
                self.output.write(&[hit.module.as_bytes(), b"\n"].concat());
                Ok(())
            } else {
                self.load_one(&hit, &request)
            };
        }
        Ok(result)
    }

    fn load_one(&mut self, hit: &Hit, request: &LoadRequest) -> Result<(), Failed> {
        let plan = load_plan(&self.tree, &self.config, hit, request);
        self.tell(&plan.problems);
        let mode = modes::load(&self.arguments);
        let mut report = Reporter { output: &mut self.output, log: &mut self.log };
        execute::load(&plan, mode, &mut self.kernel, &mut report).map_err(|error| {
            error.detail().iter().for_each(|detail| self.log.error(detail));
            self.log.error(format_args!("could not insert '{}': {error}", plan.module));
            Failed
        })
    }

    fn remove(&mut self, name: &OsStr) -> Result<Result<(), Failed>, Stop> {
        let hits = self.find(name);
        if hits.is_empty() {
            return Ok(Err(self.fatal(format_args!("Module {} not found.", Escaped(name.as_bytes())))?));
        }
        for hit in hits {
            let request = modes::removal_request(&self.arguments, &hit.module, &mut self.kernel);
            let plan = removal_plan(&self.tree, &self.config, &hit, &request);
            self.tell(&plan.problems);
            let mode = modes::removal(&self.arguments, self.wait);
            let mut report = Reporter { output: &mut self.output, log: &mut self.log };
            match execute::remove(&plan, mode, &mut self.kernel, &mut report) {
                Ok(()) => {}
                Err(error @ RemovalError::Refused { .. }) => {
                    self.log.error(error);
                    return Ok(Err(Failed));
                }
                Err(error) => return Ok(Err(self.fatal(error)?)),
            }
        }
        Ok(Ok(()))
    }
}

/// The module that a path names.
fn module_file(path: &Path) -> Result<(Hit, PathBuf), String> {
    std::fs::metadata(path).map_err(|error| crate::sys::strerror_io(&error))?;
    let module = ModuleName::from_path(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    Ok((Hit { module, alias: None }, absolute(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::StandardStreams;

    fn invocation(arguments: &[&str]) -> Invocation {
        Invocation { arguments: arguments.iter().map(OsString::from).collect(), ..Invocation::default() }
    }

    #[test]
    fn the_kernel_is_known_by_its_arguments_and_by_the_closed_descriptors() {
        assert!(started_by_kernel(&invocation(&["/sbin/modprobe", "-q", "--", "./x.ko"])));
        assert!(started_by_kernel(&invocation(&["modprobe", "-C", "/c", "-q", "--", "./x.ko"])));
        assert!(!started_by_kernel(&invocation(&["modprobe", "-q", "./x.ko"])));
        assert!(!started_by_kernel(&invocation(&["modprobe", "-q", "--", "./x.ko", "a=1"])));
        let mut closed = invocation(&["modprobe", "-s", "--", "./x.ko"]);
        assert!(!started_by_kernel(&closed));
        closed.streams = StandardStreams { input_closed: true, output_closed: true, error_closed: true };
        assert!(started_by_kernel(&closed));
    }

    #[test]
    fn the_wait_is_read_in_the_bases_of_c() {
        let values = |texts: &[&str]| texts.iter().map(|text| milliseconds(OsStr::new(text))).collect::<Vec<_>>();
        assert_eq!(values(&["10", "0x1F", "010", "0", "-0"]), [10, 31, 8, 0, 0].map(Some));
        assert_eq!(values(&[" \t+7", "-1", "99999999999999999999"]), [7, u64::MAX, u64::MAX].map(Some));
        for bad in ["", " ", "+", "abc", "1x", "1 ", "08", "0x", "0xg", "+-1", "++1"] {
            assert_eq!(milliseconds(OsStr::new(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn children_get_the_options_that_concern_them() {
        let mut parent = invocation(&["modprobe"]);
        assert!(child_environment(&parent, &Arguments::default()).is_empty());
        parent.modprobe_options = Some("-v".into());
        let arguments = Arguments { config: vec!["/a b".into()], quiet: true, syslog: true, ..Arguments::default() };
        let environment = child_environment(&parent, &arguments);
        assert_eq!(environment, [("MODPROBE_OPTIONS".into(), r#"-v -C "/a b" -q -s"#.into())]);
    }
}
