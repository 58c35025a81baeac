//! `depmod`: indexes the modules of a kernel release.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::options::{About, Apply, Flag};
use super::{Failed, Invocation, absolute, help_flag, running_release, version_flag, without_slashes};
use crate::config::ConfigWarning;
use crate::depmod::{self, DepmodConfig, DepmodError, KernelSymbols, Notice, Options, show_cycle};
use crate::log::{Log, Priority};
use crate::name::Escaped;
use crate::sys::strerror_io;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    all: bool,
    quick: bool,
    incremental: bool,
    root: Option<PathBuf>,
    module_directory: Option<PathBuf>,
    out: Option<PathBuf>,
    config: Vec<PathBuf>,
    symvers: Option<PathBuf>,
    system_map: Option<PathBuf>,
    unknown_symbols: bool,
    symbol_prefix: Option<OsString>,
    dry_run: bool,
    warn: bool,
    verbose: u8,
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "depmod [options] [RELEASE]\ndepmod [options] RELEASE FILE...",
    flags: &[
        Flag {
            short: Some('a'),
            long: "all",
            old: &[],
            apply: Apply::Set(|a| a.all = true),
            help: "index all modules (the default if no FILE is\ngiven)",
        },
        Flag {
            short: Some('A'),
            long: "quick",
            old: &[],
            apply: Apply::Set(|a| a.quick = true),
            help: "do nothing unless a module is newer than\nmodules.dep",
        },
        Flag {
            short: Some('b'),
            long: "basedir",
            old: &[],
            apply: Apply::Value("DIR", |a, value| a.root = Some(value.into())),
            help: "use DIR as the root directory for modules",
        },
        Flag {
            short: None,
            long: "incremental",
            old: &[],
            apply: Apply::Set(|a| a.incremental = true),
            help: "read only modules that have changed since the last run\nwith this option",
        },
        Flag {
            short: Some('m'),
            long: "moduledir",
            old: &[],
            apply: Apply::Value("DIR", |a, value| a.module_directory = Some(value.into())),
            help: "use DIR instead of /lib/modules",
        },
        Flag {
            short: Some('o'),
            long: "outdir",
            old: &[],
            apply: Apply::Value("DIR", |a, value| a.out = Some(value.into())),
            help: "use DIR as the root directory for output files",
        },
        Flag {
            short: Some('C'),
            long: "config",
            old: &[],
            apply: Apply::Value("PATH", |a, value| a.config.push(value.into())),
            help: "read PATH instead of the default configuration;\nmay be repeated",
        },
        Flag {
            short: Some('E'),
            long: "symvers",
            old: &[],
            apply: Apply::Value("FILE", |a, value| a.symvers = Some(value.into())),
            help: "check symbols and their versions against this\nModule.symvers",
        },
        Flag {
            short: Some('F'),
            long: "filesyms",
            old: &[],
            apply: Apply::Value("FILE", |a, value| a.system_map = Some(value.into())),
            help: "check symbols against this System.map",
        },
        Flag {
            short: Some('e'),
            long: "errsyms",
            old: &[],
            apply: Apply::Set(|a| a.unknown_symbols = true),
            help: "report unknown symbols; needs -E or -F",
        },
        Flag {
            short: Some('n'),
            long: "show",
            old: &["dry-run"],
            apply: Apply::Set(|a| a.dry_run = true),
            help: "print the lists instead of writing files",
        },
        Flag {
            short: Some('P'),
            long: "symbol-prefix",
            old: &[],
            apply: Apply::Value("CHAR", |a, value| {
                // The first invalid value is reported.
                if a.symbol_prefix.as_ref().is_none_or(|prefix| prefix.len() == 1) {
                    a.symbol_prefix = Some(value);
                }
            }),
            help: "strip this prefix from symbol names",
        },
        Flag {
            short: Some('w'),
            long: "warn",
            old: &[],
            apply: Apply::Set(|a| a.warn = true),
            help: "warn about duplicate aliases and symbols",
        },
        Flag {
            short: Some('v'),
            long: "verbose",
            old: &[],
            apply: Apply::Set(|a| a.verbose = a.verbose.saturating_add(1)),
            help: "print the modules that each module needs",
        },
        version_flag(),
        help_flag(),
    ],
};

/// Runs the tool.
///
/// # Errors
/// Any failure, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let Some(operands) = invocation.parse(&ABOUT, invocation.operands().to_vec(), &mut arguments)? else {
        return Ok(());
    };
    let level = match arguments.verbose {
        0 => Priority::Warning,
        1 => Priority::Notice,
        2 => Priority::Info,
        _ => Priority::Debug,
    };
    let mut log = invocation.log("depmod", level, false);
    let symbol_prefix = symbol_prefix(&arguments, &mut log)?;
    let (release, files) = match operands.split_first() {
        Some((release, files)) if is_release(&without_slashes(release)) => (without_slashes(release), files),
        Some((other, _)) => {
            log.error(format_args!("Bad version passed {}", Escaped(other.as_bytes())));
            return Err(Failed);
        }
        None => (running_release(), &[][..]),
    };
    let (mut options, warnings) = options(&arguments, &release, files);
    options.symbol_prefix = symbol_prefix;
    // What is not needed is not read or reported.
    let has_symbols = arguments.symvers.is_some() || arguments.system_map.is_some();
    let may_report = has_symbols || arguments.unknown_symbols || !warnings.is_empty();
    if options.quick && may_report && depmod::is_up_to_date(&options) {
        return Ok(());
    }
    options.kernel_symbols = kernel_symbols(&arguments, &mut log)?;
    warnings.iter().for_each(|warning| log.error(warning));

    let mut output = invocation.output();
    let summary = depmod::run_with(&options, &mut |notice| match notice {
        // Output rather than a message.
        Notice::Needs { .. } => output.write(format!("{notice}\n").as_bytes()),
        notice => log.write(notice.priority(), notice),
    });
    let result = match summary {
        Ok(summary) => {
            output.write(&summary.text);
            Ok(())
        }
        Err(error) => {
            report(&error, &mut log);
            Err(Failed)
        }
    };
    let written = output.flush().map_err(|_| Failed);
    result.and(written)
}

/// Reports whether a text starts with two numbers and a dot between them, as `6.1…` does.
fn is_release(text: &OsStr) -> bool {
    let number = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let bytes = text.as_bytes();
    let major = number(bytes);
    // It becomes a component of a path, so it must not contain a slash.
    major > 0 && bytes.get(major) == Some(&b'.') && number(&bytes[major + 1..]) > 0 && !bytes.contains(&b'/')
}

fn options(arguments: &Arguments, release: &OsStr, files: &[OsString]) -> (Options, Vec<ConfigWarning>) {
    let modules = arguments.module_directory.as_deref().unwrap_or(Path::new("/lib/modules"));
    let below = |root: Option<&PathBuf>| {
        let root = root.map_or_else(|| PathBuf::from("/"), |root| absolute(root));
        // The module directory is always below the root, even if it is an absolute path.
        absolute(&root.join(modules.strip_prefix("/").unwrap_or(modules)).join(release))
    };
    let mut options = Options::new(below(arguments.root.as_ref()));
    options.root = arguments.root.as_deref().map(absolute);
    options.out = arguments.out.as_ref().map(|out| below(Some(out)));
    options.quick = arguments.quick;
    options.incremental = arguments.incremental;
    options.dry_run = arguments.dry_run;
    options.warn_duplicates = arguments.warn;
    options.show_needs = arguments.verbose > 0;
    // `-A` is `-a`, if something is newer.
    if !arguments.all && !arguments.quick {
        options.files = files.iter().map(PathBuf::from).collect();
    }
    let mut warnings = Vec::new();
    if options.files.is_empty() {
        let paths = match &arguments.config[..] {
            [] => depmod::config::DEFAULT_DIRECTORIES.map(PathBuf::from).to_vec(),
            given => given.to_vec(),
        };
        (options.config, warnings) = DepmodConfig::load(paths, release.as_bytes());
    }
    (options, warnings)
}

fn fatal(log: &mut Log, text: &str) -> Failed {
    let _last_message = log.fatal(text);
    Failed
}

fn symbol_prefix(arguments: &Arguments, log: &mut Log) -> Result<Option<u8>, Failed> {
    match arguments.symbol_prefix.as_ref().map(|prefix| prefix.as_bytes()) {
        None => Ok(None),
        Some(&[prefix]) => Ok(Some(prefix)),
        Some(_) => Err(fatal(log, "-P only takes a single char")),
    }
}

fn kernel_symbols(arguments: &Arguments, log: &mut Log) -> Result<Option<KernelSymbols>, Failed> {
    let (file, symbols) = match (&arguments.symvers, &arguments.system_map) {
        (Some(file), _) => (file, KernelSymbols::read_symvers(file)),
        (None, Some(file)) => (file, KernelSymbols::read_system_map(file)),
        (None, None) => {
            if arguments.unknown_symbols {
                log.warning("-e needs -E or -F");
            }
            return Ok(None);
        }
    };
    match symbols {
        Ok(symbols) => Ok(Some(KernelSymbols { report_unknown: arguments.unknown_symbols, ..symbols })),
        Err(error) => {
            let file = Escaped(file.as_os_str().as_bytes());
            Err(fatal(log, &format!("could not load {file}: {}", strerror_io(&error))))
        }
    }
}

fn report(error: &DepmodError, log: &mut Log) {
    match error {
        DepmodError::Directory { path, cause } => {
            let (path, why) = (Escaped(path.as_os_str().as_bytes()), strerror_io(cause));
            log.error(format_args!("could not open directory {path}: {why}"));
            let _last_message = log.fatal(format_args!("could not search modules: {why}"));
        }
        DepmodError::Cycles { cycles, modules } => {
            for cycle in cycles {
                log.error(format_args!("Cycle detected: {}", show_cycle(cycle)));
            }
            log.error(format_args!("Found {modules} modules in dependency cycles!"));
        }
        DepmodError::SameName { name, path, other } => {
            let shown = |path: &Path| Escaped(path.as_os_str().as_bytes()).to_string();
            let (name, new, old) = (Escaped(name.as_bytes()), shown(path), shown(other));
            log.error(format_args!(
                "kmod_module '{name}' already exists with different path: new-path='{new}' old-path='{old}'"
            ));
            let _last_message = log.fatal(error);
        }
        other => {
            let _last_message = log.fatal(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Destination;

    fn log() -> Log {
        Log::new("depmod", Priority::Warning, Destination::Memory(Vec::new()))
    }

    fn built_options(arguments: &Arguments) -> Options {
        // Ignore the configuration of the host.
        let arguments = Arguments { config: vec!["/nonexistent".into()], ..arguments.clone() };
        options(&arguments, OsStr::new("6.1.0-test"), &[]).0
    }

    #[test]
    fn a_release_starts_with_two_numbers() {
        for good in ["6.1", "6.1.0-56-cloud-amd64", "10.20x"] {
            assert!(is_release(OsStr::new(good)), "{good}");
        }
        for bad in ["", "6", "6.", ".1", "x.ko", "/a/6.1", "6.1/../..", "v6.1"] {
            assert!(!is_release(OsStr::new(bad)), "{bad}");
        }
    }

    #[test]
    fn directories_consist_of_root_module_directory_and_release() {
        let dirs = |root: Option<&str>, modules: Option<&str>, out: Option<&str>| {
            let path = |text: Option<&str>| text.map(PathBuf::from);
            let arguments =
                Arguments { root: path(root), module_directory: path(modules), out: path(out), ..Default::default() };
            let options = built_options(&arguments);
            (options.dir, options.out)
        };
        assert_eq!(dirs(None, None, None), ("/lib/modules/6.1.0-test".into(), None));
        assert_eq!(dirs(Some("/r"), Some("/usr/lib/modules"), None).0, Path::new("/r/usr/lib/modules/6.1.0-test"));
        let (dir, out) = dirs(Some("/r/"), Some("m"), Some("/o"));
        assert_eq!((dir, out), ("/r/m/6.1.0-test".into(), Some("/o/m/6.1.0-test".into())));
        assert!(dirs(Some("relative"), None, None).0.is_absolute());
    }

    #[test]
    fn wrong_use_is_fatal() {
        let mut log = log();
        let prefix = Arguments { symbol_prefix: Some("ab".into()), ..Default::default() };
        assert!(symbol_prefix(&prefix, &mut log).is_err());
        let map = Arguments { system_map: Some("/nonexistent/map".into()), ..Default::default() };
        assert!(kernel_symbols(&map, &mut log).is_err());
        let not_read = "depmod: FATAL: could not load /nonexistent/map: No such file or directory";
        assert_eq!(log.lines(), ["depmod: FATAL: -P only takes a single char", not_read]);
    }

    #[test]
    fn errsyms_without_a_symbol_list_is_a_warning() {
        let mut log = log();
        let symbols = kernel_symbols(&Arguments { unknown_symbols: true, ..Default::default() }, &mut log);
        assert!(symbols.unwrap().is_none());
        assert_eq!(log.lines(), ["depmod: WARNING: -e needs -E or -F"]);
    }

    #[test]
    fn each_cycle_has_its_own_message() {
        let name = |text: &str| crate::name::ModuleName::new(text.as_bytes()).unwrap();
        let cycles = vec![vec![name("a"), name("b")], vec![name("c"), name("d"), name("e")]];
        let mut log = log();
        report(&DepmodError::Cycles { cycles, modules: 5 }, &mut log);
        assert_eq!(
            log.lines(),
            [
                "depmod: ERROR: Cycle detected: a -> b -> a",
                "depmod: ERROR: Cycle detected: c -> d -> e -> c",
                "depmod: ERROR: Found 5 modules in dependency cycles!",
            ]
        );
    }

    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(ABOUT.help());
    }
}
