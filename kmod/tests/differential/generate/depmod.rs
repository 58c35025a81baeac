//! Keywords and expressions of depmod.d, with several files for some modules.

use super::Random;
use super::plan::Plan;
use crate::testing::TinyModule;

const DIRECTORIES: [&str; 10] = [
    "kernel",
    "kernel/sub",
    "updates",
    "updates/dkms",
    "extra",
    "extra/sub",
    "weak-updates/n",
    "weak-updates",
    "a.b",
    "kernelx",
];
const NAMES: [&str; 6] = ["a", "n-m", "o_p", "leaf", "b.c", "t"];
const EXPRESSIONS: [&str; 34] = [
    "*",
    "*",
    "*",
    "*",
    ".",
    "^[0-9]",
    "[0-9]+\\\\.[0-9]+",
    "^9",
    "nosuch",
    "REL",
    "^REL$",
    "(a|[0-9])",
    "[[:digit:]]",
    "x|.",
    "[",
    "(",
    ")",
    "*x",
    "+",
    "a**",
    "[]x0-9]",
    "{",
    "^*",
    "()",
    "a|",
    "\\\\d",
    "\\\\w",
    "[0-9]{1}",
    "[0-9]{1",
    "[0-9]{,1}",
    "\\.",
    "$",
    "[^a]",
    "[z-a]",
];
const BLANKS: [&str; 8] = [" ", " ", " ", "  ", "\t", " \t", "\\\n", " \\\n"];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = Plan::default();
    plan.module("kernel/base.ko", TinyModule::named("base").exports(&["b"]));
    // C kmod does not find the names of external modules and those with a dot in modules.order, and its order of such is that
    // of a hash table: at most one of them.
    let external = if random.one_in(2) { random.of(&NAMES) } else { "" };
    for name in NAMES.into_iter().filter(|name| ["", name].contains(&external) || !name.contains('.')) {
        let mut here: Vec<&str> = random.some(2, |random| random.of(&DIRECTORIES));
        here.sort_unstable();
        here.dedup();
        for (number, directory) in here.iter().enumerate() {
            let (alias, export) = (format!("alias=al{number}"), format!("{name}{number}"));
            let built = TinyModule::named(name).info(&alias).exports(&[&export]).imports(&["b"]);
            // Another spelling of the same name.
            let file = if random.one_in(8) { name.replace('-', "_") } else { name.to_owned() };
            plan.module(format!("{directory}/{file}.ko"), built);
        }
        if name == external {
            let built = TinyModule::named(name).info("alias=ext").imports(&["b"]);
            plan.module(format!("/ext/{name}.ko"), built);
        }
    }
    for file in ["/etc/depmod.d/a.conf", "/run/depmod.d/b.conf", "/lib/depmod.d/a.conf"] {
        if !random.one_in(3) {
            let text: String =
                random.some(4, |random| line(random) + random.of(&["\n", "\n", "\n", "\n\n", " \n"])).concat();
            plan.file(file, text);
        }
    }
    plan.run_line("depmod");
    if random.one_in(3) {
        plan.run_line(random.of(&[
            "depmod -n",
            "depmod -w",
            "depmod -A",
            "depmod -a REL",
            "depmod -n -e",
            "depmod -v",
        ]));
    }
    if random.one_in(4) {
        let mut words =
            vec!["depmod".to_owned(), random.of(&["-n", "-n", "-v", "-a", "-e"]).to_owned(), "REL".to_owned()];
        words.extend(random.some(3, file));
        plan.run(words);
    }
    plan.run_line("modprobe -aD a n-m o_p leaf b t base");
    plan
}

/// Returns a FILE, most of which exist.
fn file(random: &mut Random) -> String {
    let top = random.of(&["/lib/modules/REL/", "/lib/modules/REL/", "/lib/modules/REL/", "/", ""]);
    let suffix = random.of(&[".ko", ".ko", ".ko", ".ko", "", ".txt", ".ko.xz"]);
    match random.below(4) {
        0 => random.of(&["/lib/modules/REL/kernel/base.ko", "/ext/a.ko", "/nosuch.ko", "/etc", "a.ko"]).to_owned(),
        _ => format!("{top}{}/{}{suffix}", random.of(&DIRECTORIES), random.of(&NAMES)),
    }
}

fn directory(random: &mut Random) -> String {
    let before = random.of(&["", "", "", "", "/", "//", "./"]);
    let after = random.of(&["", "", "", "", "/", "//", "/."]);
    let slash = random.of(&["/", "/", "/", "//"]);
    format!("{before}{}{after}", random.of(&DIRECTORIES).replace('/', slash))
}

fn line(random: &mut Random) -> String {
    let mut fields = Vec::new();
    match random.below(12) {
        0..=3 => {
            fields.push("search".to_owned());
            fields.extend(random.some(4, |random| match random.below(6) {
                0 => "built-in".to_owned(),
                1 => "external".to_owned(),
                _ => directory(random),
            }));
        }
        4..=7 => {
            let name = random.of(&["a", "n-m", "n_m", "o_p", "o-p", "leaf", "b", "b.c", "t", "*", "t.ko"]);
            fields.extend(["override".to_owned(), name.to_owned(), expression(random), directory(random)]);
        }
        8 => fields.extend([
            "external".to_owned(),
            expression(random),
            random.of(&["/ext", "/ext", "/ext/", "/nosuch", "ext"]).into(),
        ]),
        9 => {
            fields.push("exclude".to_owned());
            fields.extend(random.some(3, |random| {
                random
                    .of(&[
                        "a.ko",
                        "extra",
                        "n_m.ko",
                        "n-m.ko",
                        "updates",
                        "sub",
                        "*.ko",
                        "extra/",
                        "leaf",
                        "kernel/sub",
                    ])
                    .to_owned()
            }));
        }
        10 => fields.push(
            random
                .of(&["#", "# x", " # x", "bogus", "Search x", "include x", "make_map_files y", "\"search\" x"])
                .to_owned(),
        ),
        _ => fields.push(
            random
                .of(&["search", "override", "override a", "override a *", "external *", "external", "exclude"])
                .to_owned(),
        ),
    }
    if random.one_in(10) {
        fields.push("surplus".to_owned());
    }
    let text: String = fields.iter().map(|field| format!("{field}{}", random.of(&BLANKS))).collect();
    format!("{}{}", random.of(&["", "", "", " ", "\t", "\\\n"]), text.trim_end_matches(['\n', '\\', ' ']))
}

fn expression(random: &mut Random) -> String {
    random.of(&EXPRESSIONS).to_owned()
}
