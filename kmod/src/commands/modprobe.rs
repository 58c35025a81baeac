//! `modprobe`: loads and removes modules together with their dependencies.
//!
//! When the kernel runs `modprobe -q -- NAME`, NAME is never a path, whatever it looks like: unprivileged users choose it, for
//! example by opening a socket or querying a network interface. Other callers can load a module file by its path.

pub mod arguments;
mod failure;
mod modes;
mod query;

use super::{Failed, Invocation, absolute, join_arguments, module_directory, output::Output, shell_words};
use crate::config::{Config, ConfigSource, ConfigWarning};
use crate::execute::{self, Kernel as _, Linux, RemovalError, Report, State};
use crate::log::{Log, Priority, Stop};
use crate::name::{Escaped, ModuleName, NameError};
use crate::resolve::{Hit, LoadRequest, find, load_plan, removal_plan_with};
use crate::tree::{Tree, TreeError};
use arguments::{ABOUT, Arguments};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs the tool.
///
/// # Errors
/// Any failure, after a message unless `-q` is given.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let from_environment = invocation.modprobe_options.as_ref().map(|options| shell_words::split(options.as_bytes()));
    let all =
        from_environment.into_iter().flatten().map(OsString::from_vec).chain(invocation.operands().iter().cloned());
    let Some(operands) = invocation.parse(&ABOUT, all.collect(), &mut arguments)? else { return Ok(()) };

    let name = operands.first().map(OsString::as_os_str).unwrap_or_default();
    let request = invocation.request_log(name);
    let mut log = invocation.log_of_request("modprobe", Priority::Warning, arguments.syslog, request);
    let wait = wait(&arguments, &mut log)?;
    if operands.is_empty() && !arguments.show_config {
        log.error("missing parameters. See -h.");
        return Err(Failed);
    }
    // Not earlier: -q does not silence usage errors.
    log.set_level(arguments.loudness.level());

    let tree = Tree::new(module_directory(arguments.root.as_deref(), arguments.release.as_deref()));
    let mut source = ConfigSource::system(tree.dir());
    if !arguments.config.is_empty() {
        source.paths.clone_from(&arguments.config);
    }
    let config = Config::load_with(&source, &mut Warnings(&mut log));

    let mut session = Session {
        kernel: Linux::new(child_environment(invocation, &arguments)),
        paths_are_files: !started_by_kernel(invocation),
        output: invocation.output(),
        arguments,
        wait,
        tree,
        config,
        log,
        reported: Vec::new(),
    };
    let result = session.act(&operands);
    let written = session.output.flush().map_err(|_| Failed);
    result.and(written)
}

fn wait(arguments: &Arguments, log: &mut Log) -> Result<Option<Duration>, Failed> {
    let Some(text) = &arguments.wait else { return Ok(None) };
    let Some(wait) = milliseconds(text) else {
        log.error(format_args!("unexpected wait value '{}'.", Escaped(text.as_bytes())));
        return Err(Failed);
    };
    Ok(Some(Duration::from_millis(wait)))
}

/// Parses a number as strtoul(3) does with base 0: leading white space and a sign are accepted, `0x` selects base 16 and `0`
/// base 8. A negative number or one that is too large becomes the maximum.
pub(super) fn milliseconds(text: &OsStr) -> Option<u64> {
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

/// Reports whether the kernel started this program. The kernel passes no descriptors and the arguments `-q -- NAME`. Either is
/// sufficient evidence, since the usermode helper may be a script that adds options (`exec modprobe -v "$@"`).
fn started_by_kernel(invocation: &Invocation) -> bool {
    let arguments = invocation.operands();
    invocation.streams.all_closed() || matches!(arguments, [.., q, end, _] if q == "-q" && end == "--")
}

/// Returns the environment for install and remove commands: the options that also apply to a modprobe that they run.
fn child_environment(invocation: &Invocation, arguments: &Arguments) -> Vec<(OsString, OsString)> {
    let mut options = invocation.modprobe_options.clone().unwrap_or_default().into_vec();
    let mut add = |argument: &[u8]| {
        if !options.is_empty() {
            options.push(b' ');
        }
        options.extend_from_slice(&shell_words::quote(argument));
    };
    for path in &arguments.config {
        add(b"-C");
        add(absolute(path).as_os_str().as_bytes());
    }
    let loudness = arguments.loudness;
    let flags: [(bool, &[u8]); 2] = [(loudness.quiet, b"-q"), (arguments.syslog, b"-s")];
    flags.iter().filter(|(given, _)| *given).for_each(|(_, flag)| add(flag));
    (0..loudness.verbose).for_each(|_| add(b"-v"));
    if options.is_empty() { Vec::new() } else { vec![("MODPROBE_OPTIONS".into(), OsString::from_vec(options))] }
}

/// The state of one run, once its arguments are parsed.
struct Session {
    arguments: Arguments,
    wait: Option<Duration>,
    tree: Tree,
    config: Config,
    kernel: Linux,
    paths_are_files: bool,
    output: Output,
    log: Log,
    /// The problems that were printed.
    reported: Vec<String>,
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
    fn not_removed(&mut self, failure: &RemovalError) {
        match failure {
            RemovalError::Refused { .. } => self.log.error(failure),
            _ => self.log.warning(failure),
        }
    }
    fn masked(&mut self, text: &dyn std::fmt::Display) {
        self.log.warning(text);
    }
}

/// Prints each warning of the configuration at once.
struct Warnings<'a>(&'a mut Log);

impl Extend<ConfigWarning> for Warnings<'_> {
    fn extend<T: IntoIterator<Item = ConfigWarning>>(&mut self, warnings: T) {
        warnings.into_iter().for_each(|warning| self.0.library_error(warning));
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

    /// Applies an action to every operand. A failure does not end the loop; a fatal message does.
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

    /// Reports a failure: fatal by default, a warning with `-a`, which continues with the next operand.
    fn fatal(&mut self, text: impl std::fmt::Display) -> Result<Failed, Stop> {
        if self.arguments.all {
            self.log.warning(text);
        } else {
            self.log.fatal(text)?;
        }
        Ok(Failed)
    }

    /// Reports like [`Session::fatal`] that a name was not found.
    fn not_found(&mut self, text: impl std::fmt::Display) -> Result<Failed, Stop> {
        if self.arguments.all {
            self.log.warning(text);
        } else {
            self.log.not_found(text)?;
        }
        Ok(Failed)
    }

    /// Prints each problem once: every lookup encounters the same damaged index.
    fn report(&mut self, problems: &[TreeError]) {
        for problem in problems.iter().map(ToString::to_string) {
            if !self.reported.contains(&problem) {
                self.log.error(&problem);
                self.reported.push(problem);
            }
        }
    }

    /// Resolves a name to modules. An unknown name yields none and prints nothing.
    ///
    /// # Errors
    /// [`NameError`] if this is not a valid name.
    fn find(&mut self, name: &OsStr) -> Result<Vec<Hit>, NameError> {
        let found = find(&self.tree, &self.config, name.as_bytes())?;
        self.report(&found.problems);
        Ok(found.hits)
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
            self.find(name).unwrap_or_default()
        };
        if hits.is_empty() {
            let directory = Escaped(self.tree.dir().as_os_str().as_bytes().to_vec());
            let text = format!("Module {} not found in directory {directory}", Escaped(bytes));
            return Ok(Err(self.not_found(text)?));
        }
        // All modules of an alias are loaded; the last one determines the result.
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
        self.report(&plan.problems);
        let mode = modes::load(&self.arguments);
        self.output.detect_missing_reader();
        let mut report = Reporter { output: &mut self.output, log: &mut self.log };
        execute::load(&plan, mode, &mut self.kernel, &mut report).map_err(|error| {
            failure::report(&mut self.log, &plan.module, &error);
            Failed
        })
    }

    fn remove(&mut self, name: &OsStr) -> Result<Result<(), Failed>, Stop> {
        let not_found = format!("Module {} not found.", Escaped(name.as_bytes()));
        let hits = match self.find(name) {
            Ok(hits) if hits.is_empty() => return Ok(Err(self.not_found(not_found)?)),
            Ok(hits) => hits,
            // C kmod goes on with the next name, without a message.
            Err(NameError::Bracket(_)) => {
                self.log.error(not_found);
                return Ok(Err(Failed));
            }
            Err(_) => return Ok(Err(self.not_found(not_found)?)),
        };
        for hit in hits {
            let request = modes::removal_request(&self.arguments, &hit.module, &mut self.kernel);
            let mode = modes::removal(&self.arguments, self.wait);
            let plan = removal_plan_with(&self.tree, &self.config, &hit, &request, |module| {
                mode.ignore_loaded || self.kernel.state(module) != State::Absent
            });
            self.report(&plan.problems);
            self.output.detect_missing_reader();
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

/// Returns the module that a path names.
fn module_file(path: &Path) -> Result<(Hit, PathBuf), String> {
    std::fs::metadata(path).map_err(|error| crate::sys::strerror_io(&error))?;
    let module = ModuleName::from_path(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    Ok((Hit { module, alias: None }, absolute(path)))
}

#[cfg(test)]
mod tests {
    use super::arguments::Loudness;
    use super::*;
    use crate::sys::StandardStreams;

    fn invocation(arguments: &[&str]) -> Invocation {
        Invocation { arguments: arguments.iter().map(OsString::from).collect(), ..Invocation::default() }
    }

    #[test]
    fn a_call_by_the_kernel_is_detected_by_arguments_or_closed_descriptors() {
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
    fn the_wait_is_parsed_as_strtoul_does() {
        let values = |texts: &[&str]| texts.iter().map(|text| milliseconds(OsStr::new(text))).collect::<Vec<_>>();
        assert_eq!(values(&["10", "0x1F", "010", "0", "-0"]), [10, 31, 8, 0, 0].map(Some));
        assert_eq!(values(&[" \t+7", "-1", "99999999999999999999"]), [7, u64::MAX, u64::MAX].map(Some));
        for bad in ["", " ", "+", "abc", "1x", "1 ", "08", "0x", "0xg", "+-1", "++1"] {
            assert_eq!(milliseconds(OsStr::new(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn commands_inherit_options_in_modprobe_options() {
        let mut parent = invocation(&["modprobe"]);
        assert!(child_environment(&parent, &Arguments::default()).is_empty());
        parent.modprobe_options = Some("-v".into());
        let loudness = Loudness { quiet: true, verbose: 2 };
        let arguments = Arguments { config: vec!["/a b".into()], loudness, syslog: true, ..Arguments::default() };
        let environment = child_environment(&parent, &arguments);
        assert_eq!(environment, [("MODPROBE_OPTIONS".into(), r#"-v -C "/a b" -q -s -v -v"#.into())]);
    }
}
