//! Completions for bash: a function that fills `COMPREPLY`, and the command that registers it.
//!
//! Bash expands the argument of `compgen -W`, so the lists of `super` contain only plain names.

use super::{FIRST_LINE, LOADED, MODULES, PARAMETERS, RELEASES, names, of_kind};
use crate::commands::pages::tools::options_of_command;
use crate::commands::pages::{Entry, Operands, Tool, Value};

const MODULE_FILES: &str =
    "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"; compgen -f -X '!*.ko*' -- \"$cur\")";

/// Returns the completion file of a tool.
#[must_use]
pub fn bash(tool: &Tool) -> String {
    let (name, entries) = (tool.page.name, (tool.options)());
    let mut out = format!("# {FIRST_LINE} {name}.\n_kmodlab_{name}() {{\n");
    out +=
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} release word first all remove skip\n";
    out += "    # The value after the = of a long option.\n";
    out += "    if [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; elif [[ $cur == = ]]; then cur=; fi\n";
    out += "    release=$(uname -r)\n    COMPREPLY=()\n";
    if let Operands::Commands(commands) = tool.operands {
        out += "    if ((COMP_CWORD > 1)); then\n    case ${COMP_WORDS[1]} in\n";
        for (command, _) in commands {
            let entries = options_of_command(command);
            if !entries.is_empty() {
                out += &format!("    {command})\n{}{}    ;;\n", values(&entries), options(&entries));
            }
        }
        out += "    esac\n    return\n    fi\n";
    }
    out += &values(&entries);
    out += &options(&entries);
    out += &operands(tool, &entries);
    out + &format!("}}\ncomplete -F _kmodlab_{name} {name}\n")
}

fn options(entries: &[Entry]) -> String {
    let all = entries.iter().flat_map(names).collect::<Vec<_>>().join(" ");
    format!(
        "    if [[ $cur == -* ]]; then\n        \
         mapfile -t COMPREPLY < <(compgen -W \" {all}\" -- \"$cur\")\n        return\n    fi\n"
    )
}

/// Completes the value of an option.
fn values(entries: &[Entry]) -> String {
    let fill = |kind| match kind {
        Value::Directory => "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); ".to_owned(),
        Value::File => "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); ".to_owned(),
        Value::Release => format!("{}; ", words(RELEASES)),
        Value::Choices(choices) => format!("mapfile -t COMPREPLY < <(compgen -W \"{choices}\" -- \"$cur\"); "),
        Value::Other => String::new(),
    };
    let mut kinds: Vec<_> = entries.iter().filter_map(Entry::kind).collect();
    kinds.sort();
    kinds.dedup();
    let cases: String = kinds
        .into_iter()
        .map(|kind| (of_kind(entries, kind).join(" | "), fill(kind)))
        .filter(|(options, _)| !options.is_empty())
        .map(|(options, fill)| format!("    {options}) {fill}return ;;\n"))
        .collect();
    if cases.is_empty() { cases } else { format!("    case $prev in\n{cases}    esac\n") }
}

fn words(list: &str) -> String {
    format!("mapfile -t COMPREPLY < <(compgen -W \"$({list})\" -- \"$cur\")")
}

fn operands(tool: &Tool, entries: &[Entry]) -> String {
    let parameters = format!(
        "    if [[ $first && ! $all ]]; then\n        compopt -o nospace\n        {}\n        return\n    fi\n",
        words(PARAMETERS).replace("compgen", "compgen -S =")
    );
    match tool.operands {
        Operands::Nothing => String::new(),
        Operands::Commands(commands) => {
            let commands = commands.iter().map(|(command, _)| *command).collect::<Vec<_>>().join(" ");
            format!("    mapfile -t COMPREPLY < <(compgen -W \"{commands}\" -- \"$cur\")\n")
        }
        Operands::Loaded => format!("    {}\n", words(LOADED)),
        Operands::Release => {
            let walk = walk(entries, "");
            format!("{walk}    if [[ $first ]]; then {MODULE_FILES}; else {}; fi\n", words(RELEASES))
        }
        Operands::ModuleFile => format!("{}{parameters}    {MODULE_FILES}\n", walk(entries, "")),
        Operands::ModuleOrFile => {
            let modules = words(&MODULES.replace("$release", "\"$release\""));
            format!(
                "{}    if [[ $cur == */* || $cur == .* ]]; then {MODULE_FILES}; return; fi\n    {modules}\n",
                walk(entries, "")
            )
        }
        Operands::Modules => {
            let walk = walk(entries, "        --remove* | -r*) remove=1 ;;\n        --all | -a*) all=1 ;;\n");
            let remove = format!("    if [[ $remove ]]; then {}; return; fi\n", words(LOADED));
            let files = format!("    if [[ $cur == /* || $cur == ./* ]]; then {MODULE_FILES}; return; fi\n");
            let modules = words(&MODULES.replace("$release", "\"$release\""));
            format!("{walk}{remove}{parameters}{files}    {modules}\n")
        }
    }
}

/// Scans the preceding words for the first operand, the release and the given cases.
fn walk(entries: &[Entry], cases: &str) -> String {
    let valued: Vec<_> = entries.iter().filter(|entry| entry.value.is_some()).flat_map(names).collect();
    let release = of_kind(entries, Value::Release);
    let mut out =
        String::from("    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        [[ $word == = ]] && continue\n");
    if !valued.is_empty() {
        out += "        if [[ $skip ]]; then\n";
        if !release.is_empty() {
            out += &format!("            case $skip in {}) release=$word ;; esac\n", release.join(" | "));
        }
        out += "            skip=\n            continue\n        fi\n";
    }
    out += "        case $word in\n";
    if !valued.is_empty() {
        out += &format!("        {}) skip=$word ;;\n", valued.join(" | "));
    }
    out + cases + "        -*) ;;\n        *) first=${first:-$word} ;;\n        esac\n    done\n"
}
