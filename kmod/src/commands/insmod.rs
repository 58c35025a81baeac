//! `insmod`: loads one module file, without dependencies or configuration.

use super::options::{About, Apply, Flag};
use super::{Failed, Invocation, Messages, help_flag, join_arguments, syslog_flag, verbose_flag, version_flag};
use crate::execute::{Force, Linux, LoadError, OpenError, insert_file};
use crate::log::Priority;
use crate::name::Escaped;
use crate::sys::strerror;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    force: Force,
    messages: Messages,
}

impl AsMut<Messages> for Arguments {
    fn as_mut(&mut self) -> &mut Messages {
        &mut self.messages
    }
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "insmod [options] FILE [PARAMETER...]",
    flags: &[
        Flag {
            short: Some('f'),
            long: "force",
            old: &[],
            apply: Apply::Set(|a| a.force = Force { modversions: true, vermagic: true }),
            help: "force loading; implies --force-modversion and\n--force-vermagic",
        },
        Flag {
            short: None,
            long: "force-modversion",
            old: &[],
            apply: Apply::Set(|a| a.force.modversions = true),
            help: "skip the check of symbol versions",
        },
        Flag {
            short: None,
            long: "force-vermagic",
            old: &[],
            apply: Apply::Set(|a| a.force.vermagic = true),
            help: "skip the check of the version magic",
        },
        syslog_flag(),
        verbose_flag(),
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
    let mut log = arguments.messages.log(invocation, "insmod");
    let Some((file, parameters)) = operands.split_first() else {
        log.error("missing filename.");
        return Err(Failed);
    };
    if file == "-" {
        log.error("this tool does not support loading from stdin!");
        return Err(Failed);
    }
    log.write(Priority::Info, format_args!("loading {}", Escaped(file.as_bytes())));
    let inserted = insert_file(Path::new(file), &join_arguments(parameters), arguments.force, &mut Linux::default());
    inserted.map_err(|error| {
        let file = Escaped(file.as_bytes());
        match error {
            LoadError::Open { error: OpenError::Errno(errno), .. } if errno != Errno::ISDIR => {
                log.error(format_args!("could not load module {file}: {}", strerror(errno)));
            }
            // C kmod opens the file, but the kernel refuses it.
            LoadError::Open { error, .. } => log.error(format_args!("could not insert module {file}: {error}")),
            LoadError::Refused { ref module, errno, ref reason } => {
                let reason = reason.as_ref().map(|reason| format!(": {}", reason.about(module))).unwrap_or_default();
                log.error(format_args!("could not insert module {file}: {}{reason}", explain(errno)));
            }
            LoadError::AlreadyLoaded => {
                log.error(format_args!("could not insert module {file}: {}", strerror(Errno::EXIST)));
            }
            other => log.error(format_args!("could not load module: {other}")),
        }
        Failed
    })
}

/// Explains the errno of a refused module.
fn explain(errno: Errno) -> String {
    match errno {
        Errno::NOEXEC => "Invalid module format".to_owned(),
        Errno::NOENT => "Unknown symbol in module".to_owned(),
        Errno::SRCH => "Module has wrong symbol version".to_owned(),
        Errno::INVAL => "Invalid parameters".to_owned(),
        other => strerror(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::{Order, parse};

    #[test]
    fn force_skips_both_checks_and_each_check_has_its_own_option() {
        let force = |options: &[&str]| {
            let mut arguments = Arguments::default();
            parse(ABOUT.flags, options.iter().map(Into::into).collect(), Order::Any, &mut arguments).unwrap();
            arguments.force
        };
        let (both, none) = (Force { modversions: true, vermagic: true }, Force::default());
        assert_eq!(force(&["x.ko"]), none);
        assert_eq!([force(&["-f"]), force(&["--force"])], [both; 2]);
        assert_eq!(force(&["--force-modversion"]), Force { modversions: true, ..none });
        assert_eq!(force(&["--force-vermagic"]), Force { vermagic: true, ..none });
    }

    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
