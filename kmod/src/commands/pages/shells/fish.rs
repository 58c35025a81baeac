//! Completions for fish: a line for each option and for the operands.

use super::{FIRST_LINE, LOADED, MODULES, RELEASES};
use crate::commands::pages::tools::options_of_command;
use crate::commands::pages::{Entry, Operands, Tool, Value};

/// Returns the completion file of a tool.
#[must_use]
pub fn fish(tool: &Tool) -> String {
    let name = tool.page.name;
    let mut out = format!("# {FIRST_LINE} {name}.\n");
    (tool.options)().iter().for_each(|entry| out += &option(name, "", entry));
    if let Operands::Commands(commands) = tool.operands {
        for (command, _) in commands {
            let condition = format!("-n '__fish_seen_subcommand_from {command}' ");
            options_of_command(command).iter().for_each(|entry| out += &option(name, &condition, entry));
        }
    }
    let words = |condition: &str, words: String| format!("complete -c {name} -f {condition}-a {words}\n");
    out += &match tool.operands {
        Operands::Nothing => format!("complete -c {name} -f\n"),
        Operands::Commands(commands) => commands
            .iter()
            .map(|(command, about)| words("-n __fish_use_subcommand ", format!("{command} -d {}", quote(about))))
            .collect(),
        Operands::Loaded => words("", list(LOADED)),
        Operands::Release => words("", list(RELEASES)),
        Operands::ModuleOrFile => {
            format!("complete -c {name} -a {}\n", list(&MODULES.replace("$release", "(uname -r)")))
        }
        // Fish offers files by default.
        Operands::ModuleFile => String::new(),
        Operands::Modules => {
            words("-n 'not __fish_contains_opt -s r remove' ", list(&MODULES.replace("$release", "(uname -r)")))
                + &words("-n '__fish_contains_opt -s r remove' ", list(LOADED))
        }
    };
    out
}

fn option(tool: &str, condition: &str, entry: &Entry) -> String {
    let short = entry.short.map(|short| format!("-s {short} ")).unwrap_or_default();
    let value = match entry.kind() {
        None => String::new(),
        Some(Value::Directory) => "-x -a '(__fish_complete_directories)' ".to_owned(),
        Some(Value::File) => "-r -F ".to_owned(),
        Some(Value::Release) => format!("-x -a {} ", list(RELEASES)),
        Some(Value::Choices(choices)) => format!("-x -a {} ", quote(choices)),
        Some(Value::Other) => "-x ".to_owned(),
    };
    format!("complete -c {tool} {condition}{short}-l {} {value}-d {}\n", entry.long, quote(&entry.line()))
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Offers the lines that a command prints.
fn list(command: &str) -> String {
    quote(&format!("({command})"))
}
