//! `lsmod`: prints `/proc/modules` in columns. A single read makes the listing consistent: a module that is removed meanwhile
//! appears completely or not at all.

use super::options::About;
use super::{Failed, Invocation, Messages, help_flag, syslog_flag, verbose_flag, version_flag};
use crate::execute::linux::{ListedModule, parse_proc_modules};
use crate::sys::strerror_io;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    messages: Messages,
}

impl AsMut<Messages> for Arguments {
    fn as_mut(&mut self) -> &mut Messages {
        &mut self.messages
    }
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> =
    About { usage: "lsmod [options]", flags: &[syslog_flag(), verbose_flag(), version_flag(), help_flag()] };

/// Runs the tool.
///
/// # Errors
/// Any failure, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    list(invocation, "lsmod")
}

/// Lists modules on behalf of `lsmod` or `kmod list`.
pub(super) fn list(invocation: &Invocation, tool: &'static str) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let Some(operands) = invocation.parse(&ABOUT, invocation.operands().to_vec(), &mut arguments)? else {
        return Ok(());
    };
    let mut log = arguments.messages.log(invocation, tool);
    if !operands.is_empty() {
        log.error("too many arguments provided.");
        return Err(Failed);
    }
    let text = std::fs::read("/proc/modules").map_err(|error| {
        let why = strerror_io(&error);
        log.error(format_args!("could not open /proc/modules: {why}"));
        log.error(format_args!("could not get list of modules: {why}"));
        Failed
    })?;
    let mut output = invocation.output();
    output.write(&table(&parse_proc_modules(&text)));
    output.flush().map_err(|_| Failed)
}

fn table(modules: &[ListedModule]) -> Vec<u8> {
    let mut table = b"Module                  Size  Used by\n".to_vec();
    for module in modules {
        table.extend_from_slice(&module.name);
        table.extend(std::iter::repeat_n(b' ', 19_usize.saturating_sub(module.name.len())));
        // A kernel without CONFIG_MODULE_UNLOAD does not count users.
        table.extend_from_slice(format!(" {:8}  {}", module.size, module.users.unwrap_or_default()).as_bytes());
        if !module.holders.is_empty() {
            table.push(b' ');
            table.extend_from_slice(&module.holders.join(&b','));
        }
        table.push(b'\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }

    #[test]
    fn modules_are_printed_in_columns() {
        let text =
            b"8021q 45056 0 - Live 0x0\ngarp 16384 1 8021q, Live 0x0\na_module_with_a_long_name_x 1 2 b,c, Live 0x0\n";
        insta::assert_snapshot!(String::from_utf8(table(&parse_proc_modules(text))).unwrap(), @r"
        Module                  Size  Used by
        8021q                  45056  0
        garp                   16384  1 8021q
        a_module_with_a_long_name_x        1  2 b,c
        ");
    }
}
