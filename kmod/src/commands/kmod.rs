//! `kmod`: the program under its own name.

use super::{Failed, Invocation, lsmod, output, version};

const HELP: &str = "kmod - manage kernel modules: load, unload, list, query
Usage:
\tkmod [-V | --version | -h | --help]
\tkmod COMMAND
Commands:
\thelp         show this help
\tlist         list the modules that are loaded
Under one of these names the program is that tool:
\tlsmod rmmod insmod modinfo modprobe depmod
";

/// Runs it.
///
/// # Errors
/// [`Failed`] after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let command = invocation.operands().first().map(|command| command.to_string_lossy().into_owned());
    match command.as_deref() {
        Some("help" | "-h" | "--help") => print(invocation, HELP),
        Some("-V" | "--version") => print(invocation, &version()),
        Some("list") => {
            let arguments = invocation.operands().to_vec();
            lsmod::run(&Invocation { arguments, ..invocation.clone() })
        }
        Some(other) => wrong_use(&format!("invalid command '{}'", other.escape_debug())),
        None => wrong_use("missing command"),
    }
}

fn print(invocation: &Invocation, text: &str) -> Result<(), Failed> {
    let mut output = invocation.output();
    output.write(text.as_bytes());
    output.flush().map_err(|_| Failed)
}

fn wrong_use(what: &str) -> Result<(), Failed> {
    output::complain(&format!("{what}\n\n{HELP}"));
    Err(Failed)
}
