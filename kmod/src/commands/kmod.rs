//! `kmod`: the program under its own name. The first operand selects the command.

use super::options::{About, Order};
use super::{Failed, Invocation, help_flag, lsmod, output, static_nodes, version_flag};
use std::os::unix::ffi::OsStrExt as _;

use crate::name::Escaped;

/// The tool's usage and options.
pub static ABOUT: About<()> =
    About { usage: "kmod [options] COMMAND [options]", flags: &[version_flag(), help_flag()] };

/// The commands, each with its description.
pub static COMMANDS: &[(&str, &str)] = &[
    ("help", "print this help"),
    ("list", "list the loaded modules"),
    ("static-nodes", "list the device nodes that load a module when opened"),
];

/// Runs the tool.
///
/// # Errors
/// Any failure, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let parsed = invocation.parse_in(Order::OptionsFirst, &ABOUT, &help, invocation.operands().to_vec(), &mut ())?;
    let Some(arguments) = parsed else { return Ok(()) };
    let Some(command) = arguments.first() else { return wrong_use(invocation, "missing command") };
    match command.as_bytes() {
        b"help" => show_help(invocation),
        b"list" => lsmod::list(&Invocation { arguments, ..invocation.clone() }, "kmod"),
        b"static-nodes" => static_nodes::run(&Invocation { arguments, ..invocation.clone() }),
        other => wrong_use(invocation, &format!("invalid command '{}'", Escaped(other))),
    }
}

fn help() -> String {
    let mut help = ABOUT.help();
    help += "Commands:\n";
    COMMANDS.iter().for_each(|(command, about)| help += &format!("\t{command:<28}{about}\n"));
    help + "When invoked under one of these names, kmod acts as that tool:\n\tlsmod rmmod insmod modinfo modprobe depmod\n"
}

fn show_help(invocation: &Invocation) -> Result<(), Failed> {
    let mut output = invocation.output();
    output.write(help().as_bytes());
    output.flush().map_err(|_| Failed)
}

fn wrong_use(invocation: &Invocation, message: &str) -> Result<(), Failed> {
    output::print_error(&format!("{message}\n"));
    show_help(invocation)?;
    Err(Failed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_lists_options_and_commands() {
        insta::assert_snapshot!(super::help());
    }
}
