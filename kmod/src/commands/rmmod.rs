//! `rmmod`: removes modules, without dependencies or configuration.

use super::options::{About, Apply, Flag};
use super::{Failed, Invocation, Messages, help_flag, running_release, syslog_flag, verbose_flag, version_flag};
use crate::execute::{Disabled, Kernel, Linux, State, unload};
use crate::log::{Log, Priority};
use crate::name::{Escaped, ModuleName};
use crate::sys::strerror;
use crate::tree::Tree;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    force: bool,
    messages: Messages,
}

impl AsMut<Messages> for Arguments {
    fn as_mut(&mut self) -> &mut Messages {
        &mut self.messages
    }
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "rmmod [options] MODULE...",
    flags: &[
        Flag {
            short: Some('f'),
            long: "force",
            old: &[],
            apply: Apply::Set(|a| a.force = true),
            help: "remove a module even if it is in use; dangerous",
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
/// Any module that was not removed, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let Some(operands) = invocation.parse(&ABOUT, invocation.operands().to_vec(), &mut arguments)? else {
        return Ok(());
    };
    let mut log = arguments.messages.log(invocation, "rmmod");
    if operands.is_empty() {
        log.error("missing module name.");
        return Err(Failed);
    }
    let mut release = std::ffi::OsString::from("/lib/modules/");
    release.push(running_release());
    let tree = Tree::new(Path::new(&release));
    // A damaged index must not prevent a removal.
    let is_builtin = |module: &ModuleName| tree.is_builtin(module).unwrap_or(false);
    let mut result = Ok(());
    for operand in &operands {
        result = remove(operand, arguments.force, &is_builtin, &mut Linux::default(), &mut log).and(result);
    }
    result
}

fn remove(
    operand: &OsStr,
    force: bool,
    is_builtin: &dyn Fn(&ModuleName) -> bool,
    kernel: &mut impl Kernel,
    log: &mut Log,
) -> Result<(), Failed> {
    let shown = Escaped(operand.as_bytes());
    let name = if Path::new(operand).exists() {
        ModuleName::from_path(operand.as_bytes())
    } else {
        ModuleName::new(operand.as_bytes())
    };
    let module = name.map_err(|error| {
        log.error(format_args!("could not use module {shown}: {error}"));
        Failed
    })?;
    if !force {
        check(&module, is_builtin, kernel).map_err(|problem| {
            log.error(problem);
            Failed
        })?;
    }
    log.write(Priority::Info, format_args!("rmmod {module}"));
    unload(&module, force, None, kernel).map_err(|errno| {
        let cause = Disabled::by(errno, kernel);
        log.error(format_args!("could not remove module {shown}: {}{cause}", strerror(errno)));
        Failed
    })
}

/// Checks whether a module can be removed, before asking the kernel.
fn check(
    module: &ModuleName,
    is_builtin: &dyn Fn(&ModuleName) -> bool,
    kernel: &mut impl Kernel,
) -> Result<(), String> {
    if kernel.state(module) == State::Absent {
        return Err(if is_builtin(module) {
            format!("Module {module} is builtin.")
        } else {
            format!("Module {module} is not currently loaded")
        });
    }
    let holders = kernel.holders(module);
    if !holders.is_empty() {
        let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
        return Err(format!("Module {module} is in use by: {}", names.join(" ")));
    }
    match kernel.refcount(module) {
        Some(users) if users > 0 => Err(format!("Module {module} is in use")),
        None if kernel.state(module) != State::Coming => Err("Module unloading is not supported".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::ModelKernel;
    use crate::execute::model::Loaded;
    use crate::log::Destination;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }

    #[test]
    fn each_reason_has_its_message() {
        let mut kernel = ModelKernel::default();
        let mut log = Log::new("rmmod", Priority::Error, Destination::Memory(Vec::new()));
        kernel.modules.insert(name("free"), Loaded::default());
        kernel.modules.insert(name("used"), Loaded { users: 1, ..Loaded::default() });
        kernel.modules.insert(name("held"), Loaded { holders: vec![name("a"), name("b")], ..Loaded::default() });
        let mut rmmod = |operand: &str, force: bool| {
            remove(OsStr::new(operand), force, &|module| *module == name("bi"), &mut kernel, &mut log).is_ok()
        };
        assert!(rmmod("free", false) && rmmod("used", true));
        assert!(!rmmod("gone\n", false) && !rmmod("bi", false) && !rmmod("held", false) && !rmmod("held", true));
        assert!(!rmmod(".", false));
        insta::assert_snapshot!(log.lines().join("\n"), @r"
        rmmod: ERROR: Module gone\x0a is not currently loaded
        rmmod: ERROR: Module bi is builtin.
        rmmod: ERROR: Module held is in use by: a b
        rmmod: ERROR: could not remove module held: Resource temporarily unavailable
        rmmod: ERROR: could not use module .: the module name is empty
        ");
    }

    #[test]
    fn a_module_with_users_but_no_holders_is_in_use() {
        let mut kernel = ModelKernel::default();
        kernel.modules.insert(name("used"), Loaded { users: 1, ..Loaded::default() });
        assert_eq!(check(&name("used"), &|_| false, &mut kernel), Err("Module used is in use".to_owned()));
    }
}
