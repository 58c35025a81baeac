//! Completions for zsh: an autoloaded function.

use super::{FIRST_LINE, LOADED, MODULES, RELEASES};
use crate::commands::pages::tools::options_of_command;
use crate::commands::pages::{Entry, Operands, Tool, Value};

/// Returns the completion file of a tool.
#[must_use]
pub fn zsh(tool: &Tool) -> String {
    let name = tool.page.name;
    let context = if matches!(tool.operands, Operands::Commands(_)) { "-C " } else { "" };
    let mut out =
        format!("#compdef {name}\n# {FIRST_LINE} {name}.\nlocal release=$(uname -r)\n_arguments {context}-s -S \\\n");
    (tool.options)().iter().for_each(|entry| out += &option(entry));
    out += &match tool.operands {
        Operands::Nothing => "    && return 0\n".to_owned(),
        Operands::Commands(commands) => {
            let words: Vec<_> =
                commands.iter().map(|(command, about)| format!("{command}\\:\"{}\"", describe(about))).collect();
            let mut out = format!("    '1:command:(({}))' \\\n    '*::argument:->argument'\n", words.join(" "));
            out += "case $words[1] in\n";
            for (command, _) in commands {
                let entries = options_of_command(command);
                if !entries.is_empty() {
                    let options: String = entries.iter().map(option).collect();
                    out += &format!("{command}) _arguments -s -S \\\n{options}    && return 0 ;;\n");
                }
            }
            out + "esac\n"
        }
        Operands::Loaded => format!("    '*:loaded module:{}'\n", list(LOADED)),
        Operands::Release => format!("    '1:release:{}' \\\n    '*:module:_files -g \"*.ko*\"'\n", list(RELEASES)),
        Operands::ModuleFile => "    '1:module:_files -g \"*.ko*\"' \\\n    '*:parameter: '\n".to_owned(),
        Operands::ModuleOrFile => {
            format!("    '*:module or file:{{ {}; _files -g \"*.ko*\" }}'\n", list(MODULES))
        }
        Operands::Modules => format!("    '*:module:{}'\n", list(MODULES)),
    };
    out
}

/// Returns a specification for `_arguments`. Options can be repeated, since their order matters.
fn option(entry: &Entry) -> String {
    let help = describe(&entry.line());
    let (plus, equals, value) = match (entry.value, entry.kind()) {
        (Some(value), Some(kind)) => {
            let action = match kind {
                Value::Directory => "_files -/".to_owned(),
                Value::File => "_files".to_owned(),
                Value::Release => list(RELEASES),
                Value::Choices(choices) => format!("({choices})"),
                Value::Other => " ".to_owned(),
            };
            ("+", "=", format!(":{value}:{action}"))
        }
        _ => ("", "", String::new()),
    };
    match entry.short {
        Some(short) => format!("    '*'{{-{short}{plus},--{}{equals}}}'[{help}]{value}' \\\n", entry.long),
        None => format!("    '*--{}{equals}[{help}]{value}' \\\n", entry.long),
    }
}

fn quote(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// Quotes a description, including brackets and colons.
fn describe(text: &str) -> String {
    quote(text).replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

/// Returns an action that offers the lines that a command prints. An unescaped colon would end the specification.
fn list(command: &str) -> String {
    quote(&format!("compadd -- ${{(f)\"$({command})\"}}")).replace(':', "\\:")
}
