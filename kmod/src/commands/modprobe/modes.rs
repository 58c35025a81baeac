//! Translates options into the modes of loading and removing.

use super::Arguments;
use crate::execute::{Kernel, LoadMode, RemovalMode};
use crate::log::Priority;
use crate::name::ModuleName;
use crate::resolve::RemovalRequest;
use std::time::Duration;

pub(super) fn load(arguments: &Arguments) -> LoadMode {
    LoadMode {
        dry_run: arguments.dry_run || arguments.show_depends,
        show: shows_steps(arguments),
        ignore_loaded: arguments.show_depends,
        first_time: arguments.first_time,
        force: arguments.force,
    }
}

pub(super) fn removal(arguments: &Arguments, wait: Option<Duration>) -> RemovalMode {
    RemovalMode {
        dry_run: arguments.dry_run || arguments.show_depends,
        show: shows_steps(arguments),
        ignore_loaded: arguments.show_depends,
        first_time: arguments.first_time,
        force: arguments.force.modversions && arguments.force.vermagic,
        wait,
    }
}

pub(super) fn removal_request(arguments: &Arguments, module: &ModuleName, kernel: &mut impl Kernel) -> RemovalRequest {
    RemovalRequest {
        ignore_commands: arguments.ignore_commands,
        holders: if arguments.remove_holders { kernel.holders(module) } else { Vec::new() },
    }
}

/// Reports whether steps are printed.
fn shows_steps(arguments: &Arguments) -> bool {
    arguments.show_depends || arguments.loudness.level() > Priority::Warning as u8
}

#[cfg(test)]
mod tests {
    use super::super::{ABOUT, wait};
    use super::*;
    use crate::commands::options::{Order, Parsed, parse};
    use crate::execute::model::Loaded;
    use crate::execute::{Force, ModelKernel};
    use crate::log::{Destination, Log};

    fn parsed(options: &str) -> Arguments {
        let mut arguments = Arguments::default();
        let parsed = parse(ABOUT.flags, options.split(' ').map(Into::into).collect(), Order::Any, &mut arguments);
        assert_eq!(parsed, Ok(Parsed::Run(vec!["m".into()])), "{options}");
        arguments
    }

    #[test]
    fn force_skips_both_checks_and_each_check_has_its_own_option() {
        let force = |options| load(&parsed(options)).force;
        let (both, none) = (Force { modversions: true, vermagic: true }, Force::default());
        assert_eq!(force("m"), none);
        assert_eq!([force("-f m"), force("--force m"), force("--force-mod --force-ver m")], [both; 3]);
        assert_eq!(force("--force-modversion m"), Force { modversions: true, ..none });
        assert_eq!(force("--force-vermagic m"), Force { vermagic: true, ..none });
        // For a removal there is only the full force.
        let removed = |options| removal(&parsed(options), None).force;
        assert!(removed("-r -f m") && !removed("-r m") && !removed("-r --force-vermagic m"));
    }

    #[test]
    fn options_set_the_modes_of_load_and_removal() {
        for (options, dry_run, show, ignore_loaded, first_time) in [
            ("m", false, false, false, false),
            ("-n m", true, false, false, false),
            ("--show m", true, false, false, false),
            ("-v m", false, true, false, false),
            ("-v -q m", false, false, false, false),
            ("-q -vvvv m", false, false, false, false),
            ("-q -vvvvv m", false, true, false, false),
            ("-q -D m", true, true, true, false),
            ("-D m", true, true, true, false),
            ("--first-time m", false, false, false, true),
        ] {
            let arguments = parsed(options);
            let expected = LoadMode { dry_run, show, ignore_loaded, first_time, force: Force::default() };
            assert_eq!(load(&arguments), expected, "{options}");
            let mode = removal(&arguments, None);
            let flags = (mode.dry_run, mode.show, mode.ignore_loaded, mode.first_time);
            assert_eq!(flags, (dry_run, show, ignore_loaded, first_time), "-r {options}");
        }
    }

    #[test]
    fn the_wait_option_sets_the_wait_of_a_removal() {
        let mut log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
        let mut waits = |options| wait(&parsed(options), &mut log).unwrap().map(|wait| wait.as_millis());
        assert_eq!([waits("-r m"), waits("-r -w 20 m"), waits("-r --wait=0x20 m")], [None, Some(20), Some(32)]);
        assert_eq!(removal(&parsed("-r m"), Some(Duration::from_millis(7))).wait, Some(Duration::from_millis(7)));
    }

    #[test]
    fn remove_holders_requests_the_holders_of_a_removed_module() {
        let name = |text: &str| ModuleName::new(text.as_bytes()).unwrap();
        let mut kernel = ModelKernel::default();
        kernel.modules.insert(name("m"), Loaded { holders: vec![name("h")], ..Loaded::default() });
        let mut request = |options| removal_request(&parsed(options), &name("m"), &mut kernel);
        assert_eq!(request("-r m"), RemovalRequest { ignore_commands: false, holders: vec![] });
        for options in ["-r --remove-holders m", "-r --remove-dependencies m"] {
            assert_eq!(request(options).holders, [name("h")]);
        }
        assert!(!parsed("--remove-holders m").remove);
        for options in ["-r -i m", "-r --ignore-install m", "-r --ignore-remove m"] {
            assert!(request(options).ignore_commands, "{options}");
        }
    }
}
