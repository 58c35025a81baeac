//! The command-line tools: arguments, messages and exit status. [`run`] selects the tool by the name of the program: `modprobe`,
//! `depmod` and the others are links to one file.
//!
//! The exit status is 0 or 1.

pub mod depmod;
pub mod insmod;
pub mod kmod;
pub mod lsmod;
pub mod modinfo;
pub mod modprobe;
pub mod options;
pub mod output;
pub mod pages;
pub mod request;
pub mod rmmod;
pub mod shell_words;
pub mod static_nodes;

use crate::log::{Destination, Log, Priority, RequestLog, SystemLog};
use crate::name::Escaped;
use crate::parent;
use crate::sys::StandardStreams;
use options::{Flag, Order, Parsed};
use output::Output;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Everything that a tool receives from its environment.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// All arguments, starting with the program's name (`argv[0]`).
    pub arguments: Vec<OsString>,
    /// Which standard descriptors were closed when the program started. All three are open by now.
    pub streams: StandardStreams,
    /// The environment variable `MODPROBE_OPTIONS`.
    pub modprobe_options: Option<OsString>,
    /// The environment variable `KMOD_LOG`; `None` when the program runs with elevated privileges.
    pub kmod_log: Option<OsString>,
    /// Whether `POSIXLY_CORRECT` is set: then the first operand ends the options.
    pub posixly_correct: bool,
}

/// The tool failed and has printed why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl From<crate::log::Stop> for Failed {
    fn from(_: crate::log::Stop) -> Self {
        Self
    }
}

/// Runs the tool that the first argument names and returns the exit status. An unknown name fails silently, as in C kmod.
#[must_use]
pub fn run(invocation: Invocation) -> i32 {
    let name = invocation.arguments.first().map(|name| Path::new(name).file_name().unwrap_or_default().to_owned());
    let result = match name.as_ref().map(|name| name.as_bytes()) {
        Some(b"modprobe") => modprobe::run(&invocation),
        Some(b"insmod") => insmod::run(&invocation),
        Some(b"rmmod") => rmmod::run(&invocation),
        Some(b"lsmod") => lsmod::run(&invocation),
        Some(b"depmod") => depmod::run(&invocation),
        Some(b"modinfo") => modinfo::run(&invocation),
        Some(b"kmod") => kmod::run(&invocation),
        Some(b"kmod-request") => request::run(&invocation),
        _ => Err(Failed),
    };
    i32::from(result.is_err())
}

impl Invocation {
    /// Returns the arguments that follow the program's name.
    #[must_use]
    pub fn operands(&self) -> &[OsString] {
        self.arguments.get(1..).unwrap_or_default()
    }

    /// Returns standard output.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(!self.streams.output_closed)
    }

    /// Returns the log of a tool. Messages go to standard error, or to the system log if `syslog` is set or standard error was
    /// closed at startup.
    #[must_use]
    pub fn log(&self, tool: &'static str, level: Priority, syslog: bool) -> Log {
        let system = syslog || self.streams.error_closed;
        let destination = if system { Destination::System(SystemLog::default()) } else { Destination::Stderr };
        let log = Log::new(tool, level, destination);
        match &self.kmod_log {
            Some(value) => log.with_variable(value.as_bytes()),
            None => log,
        }
    }

    /// Returns the kernel's log for a request for `name`, if the kernel started this tool.
    #[must_use]
    pub fn request_log(&self, name: &OsStr) -> Option<RequestLog> {
        let tool = Path::new(self.arguments.first()?).file_name().unwrap_or_default();
        parent::is_kernel(self.streams).then(|| RequestLog::new(&Escaped(tool.as_bytes()).to_string(), name.as_bytes()))
    }

    /// Returns a log like [`Invocation::log`]. If the kernel started this tool for a request, messages go to the kernel's log
    /// unless `syslog` is set, and so do errors that the level hides.
    #[must_use]
    pub fn log_of_request(
        &self,
        tool: &'static str,
        level: Priority,
        syslog: bool,
        request: Option<RequestLog>,
    ) -> Log {
        let mut log = self.log(tool, level, syslog).with_hidden_errors(request.clone().map(Destination::Request));
        if let Some(request) = request.filter(|_| !syslog) {
            log.set_destination(Destination::Request(request));
        }
        log
    }

    /// Parses options and returns the operands, or `None` after printing the help or the version.
    ///
    /// # Errors
    /// Wrong use, after a message on standard error. No option redirects or silences that message.
    pub fn parse<A>(
        &self,
        about: &options::About<A>,
        arguments: Vec<OsString>,
        into: &mut A,
    ) -> Result<Option<Vec<OsString>>, Failed> {
        let order = if self.posixly_correct { Order::OptionsFirst } else { Order::Any };
        self.parse_in(order, about, &|| about.help(), arguments, into)
    }

    fn parse_in<A>(
        &self,
        order: Order,
        about: &options::About<A>,
        help: &dyn Fn() -> String,
        arguments: Vec<OsString>,
        into: &mut A,
    ) -> Result<Option<Vec<OsString>>, Failed> {
        let mut output = self.output();
        match options::parse(about.flags, arguments, order, into) {
            Ok(Parsed::Run(operands)) => return Ok(Some(operands)),
            Ok(Parsed::Help) => output.write(help().as_bytes()),
            Ok(Parsed::Version) => output.write(version().as_bytes()),
            Err(error) => {
                let program = self.arguments.first().map(|name| name.as_bytes()).unwrap_or_default();
                output::print_error(&format!("{}: {error}\n", Escaped(program)));
                let name = self.operands().last().map(OsString::as_os_str).unwrap_or_default();
                if let Some(log) = self.request_log(name) {
                    log.write(Priority::Error, error);
                }
                return Err(Failed);
            }
        }
        output.flush().map_err(|_| Failed)?;
        Ok(None)
    }
}

/// Returns the output of `-V`. Programs parse the first line and compare the number, so it names the C kmod that these tools
/// replace. The second line has the features in the form of C kmod.
#[must_use]
pub fn version() -> String {
    format!("kmod version 34\n+ZSTD +XZ +ZLIB -OPENSSL\nkmodlab {}\n", env!("CARGO_PKG_VERSION"))
}

const fn help_flag<A>() -> Flag<A> {
    Flag { short: Some('h'), long: "help", old: &[], apply: options::Apply::Help, help: "print this help" }
}

const fn version_flag<A>() -> Flag<A> {
    Flag { short: Some('V'), long: "version", old: &[], apply: options::Apply::Version, help: "print the version" }
}

/// The options `-s` and `-v`, which several tools share.
#[derive(Debug, Clone, Copy, Default)]
pub struct Messages {
    syslog: bool,
    verbose: u8,
}

impl Messages {
    fn log(self, invocation: &Invocation, tool: &'static str) -> Log {
        let level = if self.verbose == 0 { Priority::Error } else { Priority::Info };
        invocation.log(tool, level, self.syslog)
    }
}

const fn syslog_flag<A: AsMut<Messages>>() -> Flag<A> {
    Flag {
        short: Some('s'),
        long: "syslog",
        old: &[],
        apply: options::Apply::Set(|a| a.as_mut().syslog = true),
        help: "log messages to syslog instead of standard error",
    }
}

const fn verbose_flag<A: AsMut<Messages>>() -> Flag<A> {
    Flag {
        short: Some('v'),
        long: "verbose",
        old: &[],
        apply: options::Apply::Set(|a| a.as_mut().verbose = a.as_mut().verbose.saturating_add(1)),
        help: "print more messages",
    }
}

/// Returns the release of the running kernel.
fn running_release() -> OsString {
    OsString::from_vec(rustix::system::uname().release().to_bytes().to_vec())
}

/// Returns the module directory of a release below a root directory.
fn module_directory(root: Option<&Path>, release: Option<&OsStr>) -> PathBuf {
    // `Path::join` with an absolute path would drop the root.
    let mut directory = root.map(absolute).unwrap_or_default().into_os_string().into_vec();
    if directory.last() == Some(&b'/') {
        directory.pop();
    }
    directory.extend_from_slice(b"/lib/modules/");
    directory.extend_from_slice(release.map_or_else(running_release, without_slashes).as_bytes());
    PathBuf::from(OsString::from_vec(directory))
}

/// Removes trailing slashes, which the completion of a shell appends to the name of a directory.
fn without_slashes(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    OsStr::from_bytes(&bytes[..end]).to_owned()
}

/// Makes a path absolute without accessing the file system.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Joins module parameters with spaces: `k=v with spaces` becomes `k="v with spaces"`, unless the value starts with a quotation
/// mark. This is the rule of C kmod 34.2.
fn join_arguments(arguments: &[OsString]) -> Vec<u8> {
    let quote = |argument: &OsString| {
        let bytes = argument.as_bytes();
        let (key, value) = bytes.split_at(bytes.iter().position(|&byte| byte == b'=').map_or(bytes.len(), |at| at + 1));
        if value.contains(&b' ') && !value.starts_with(b"\"") && !value.starts_with(b"'") {
            [key, b"\"", value, b"\""].concat()
        } else {
            bytes.to_vec()
        }
    };
    let mut joined = Vec::new();
    for argument in arguments.iter().map(quote) {
        // An empty argument counts, except at the start.
        if !joined.is_empty() {
            joined.push(b' ');
        }
        joined.extend_from_slice(&argument);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use options::{About, parse};

    /// Returns the log of a tool that has [`Messages`], given this option.
    fn log<A: Default + AsMut<Messages>>(about: &About<A>, option: &str) -> Log {
        let mut arguments = A::default();
        parse(about.flags, vec![option.into()], Order::Any, &mut arguments).unwrap();
        arguments.as_mut().log(&Invocation::default(), "x")
    }

    fn assert_message_options<A: Default + AsMut<Messages>>(about: &About<A>) {
        let plain = log(about, "--");
        assert!(matches!(plain.destination(), Destination::Stderr) && !plain.shows(Priority::Info), "{}", about.usage);
        for option in ["-s", "--syslog"] {
            assert!(matches!(log(about, option).destination(), Destination::System(_)), "{}", about.usage);
        }
        for option in ["-v", "--verbose"] {
            assert!(log(about, option).shows(Priority::Info), "{}", about.usage);
        }
    }

    #[test]
    fn syslog_selects_the_destination_and_verbose_the_level() {
        assert_message_options(&insmod::ABOUT);
        assert_message_options(&rmmod::ABOUT);
        assert_message_options(&lsmod::ABOUT);
    }

    #[test]
    fn a_closed_standard_error_redirects_messages_to_syslog() {
        let mut invocation = Invocation::default();
        invocation.streams.error_closed = true;
        let destination =
            |syslog| matches!(invocation.log("x", Priority::Error, syslog).destination(), Destination::System(_));
        assert!(destination(false) && destination(true));
    }

    /// Returns the short options in the notation of getopt(3), and the long ones, each followed by `=` if it has a value.
    fn spellings(tool: &str) -> (String, String) {
        let tool = pages::tools::TOOLS.iter().chain(pages::tools::SUBCOMMANDS).find(|t| t.page.name == tool).unwrap();
        let entries = (tool.options)();
        let short =
            |entry: &pages::Entry| Some(format!("{}{}", entry.short?, if entry.value.is_some() { ":" } else { "" }));
        let mut shorts: Vec<_> = entries.iter().filter_map(short).collect();
        let equals = |entry: &pages::Entry| if entry.value.is_some() { "=" } else { "" };
        let mut longs: Vec<_> = entries
            .iter()
            .flat_map(|entry| {
                std::iter::once(entry.long).chain(entry.old.iter().copied()).map(|l| format!("{l}{}", equals(entry)))
            })
            .collect();
        shorts.sort();
        longs.sort();
        (shorts.concat(), longs.join(" "))
    }

    /// The options of C kmod 34.2 and of its development branch, and our addition: depmod's `--incremental`.
    #[test]
    fn every_option_of_c_kmod_exists_in_all_its_spellings() {
        for (tool, short, long) in [
            (
                "modprobe",
                "C:DRS:Vabcd:fhinqrsvw:",
                "all config= dirname= dry-run dump-modversions first-time force force-modversion force-vermagic help \
                 ignore-install ignore-remove quiet remove remove-dependencies remove-holders resolve-alias \
                 set-version= show show-alias show-config show-depends show-exports show-modversions showconfig syslog \
                 use-blacklist verbose version wait=",
            ),
            (
                "depmod",
                "AC:E:F:P:Vab:ehm:no:vw",
                "all basedir= config= dry-run errsyms filesyms= help incremental moduledir= outdir= quick show \
                 symbol-prefix= symvers= verbose version warn",
            ),
            ("insmod", "Vfhsv", "force force-modversion force-vermagic help syslog verbose version"),
            ("rmmod", "Vfhsv", "force help syslog verbose version"),
            ("lsmod", "Vhsv", "help syslog verbose version"),
            (
                "modinfo",
                "0F:Vab:dhk:lmnp",
                "author basedir= description field= filename help license modname null parameters set-version= version",
            ),
            ("kmod", "Vh", "help version"),
            ("kmod-static-nodes", "f:ho:", "format= help output="),
        ] {
            assert_eq!(spellings(tool), (short.to_owned(), long.to_owned()), "{tool}");
        }
    }

    #[test]
    fn parameters_with_spaces_are_quoted_once() {
        let joined = join_arguments(&["a=1", "b=x y", "c=\"x y\"", "d e", "f"].map(OsString::from));
        assert_eq!(String::from_utf8(joined).unwrap(), r#"a=1 b="x y" c="x y" d e f"#);
        let joined = join_arguments(&["", "a", "", "b"].map(OsString::from));
        assert_eq!(String::from_utf8(joined).unwrap(), "a  b");
    }

    /// What C kmod 34.2 passes to the kernel for each operand.
    #[test]
    fn quoted_parameters_are_joined_as_in_c_kmod() {
        for (operand, joined) in [
            ("c='x y'", "c='x y'"),
            ("c='x\"y z'", "c='x\"y z'"),
            ("c='x", "c='x"),
            ("c=\"x y\" z", "c=\"x y\" z"),
            ("c=\"x y", "c=\"x y"),
            ("c=x \"y z\" u", "c=\"x \"y z\" u\""),
            ("c=x y\"", "c=\"x y\"\""),
            ("c=x'y z", "c=\"x'y z\""),
            ("'c=x y'", "'c=\"x y'\""),
            ("\"c=x y\"", "\"c=\"x y\"\""),
            ("'x y'", "'x y'"),
            ("x c='y z'", "x c='y z'"),
            ("x c=y", "x c=y"),
            ("'x c'=y", "'x c'=y"),
            ("x c=y z", "x c=\"y z\""),
            ("=x y", "=\"x y\""),
            ("c= x", "c=\" x\""),
            ("c=x\ty", "c=x\ty"),
        ] {
            let bytes = join_arguments(&[operand.into()]);
            assert_eq!(String::from_utf8(bytes).unwrap(), joined, "{operand}");
        }
    }

    #[test]
    fn the_module_directory_is_below_the_root() {
        let directory = |root: &str| {
            module_directory(Some(Path::new(root)), Some(OsStr::new("1.2"))).into_os_string().into_string().unwrap()
        };
        assert_eq!(directory("/r"), "/r/lib/modules/1.2");
        assert_eq!(directory("/r/"), "/r/lib/modules/1.2");
        assert_eq!(directory("/"), "/lib/modules/1.2");
        assert_eq!(directory(""), "/lib/modules/1.2");
        assert!(directory("r").ends_with("/r/lib/modules/1.2") && directory("r").starts_with('/'));
        let running = module_directory(None, None).into_os_string();
        assert_eq!(running.as_bytes(), [b"/lib/modules/", running_release().as_bytes()].concat());
    }

    #[test]
    fn an_unknown_program_name_fails_silently() {
        assert_eq!(run(Invocation { arguments: vec!["/bin/other".into()], ..Invocation::default() }), 1);
        assert_eq!(run(Invocation::default()), 1);
    }
}
