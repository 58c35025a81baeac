//! Operands: names and paths of modules, and their options.

use super::Random;
use super::plan::Plan;
use super::trees::{self, NAMES};

const PIECES: [&str; 24] = [
    "a", "a=", "=", "'", "'", "\"", "\"", " ", " ", "x", "y z", "\t", "\\", "$", "-", "--", "\u{e9}", "\n", ".", ",",
    "b=1", "#", "/", "=\"",
];
const ODD_NAMES: [&str; 22] = [
    "leaf.ko",
    "./leaf.ko",
    "/lib/modules/REL/kernel/leaf.ko",
    "/lib/modules/REL/kernel/nosuch.ko",
    "",
    ".",
    "/",
    "..",
    "*",
    "l*",
    "lea?",
    "[l]eaf",
    "a[b",
    "c]d",
    "-leaf",
    "le-af",
    "LEAF",
    "leaf ",
    " leaf",
    "symbol:l",
    "symbol:m",
    "lib/modules",
];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = trees::chain(random);
    if random.one_in(3) {
        plan.file(
            "/etc/modprobe.d/a.conf",
            random.of(&["options top z=1\n", "alias my other-x\n", "install leaf echo x\n"]),
        );
    }
    plan.run_line("depmod");
    for _ in 0..12 {
        let command = random.of(&[
            "modprobe -D",
            "modprobe -D",
            "modprobe -D",
            "modprobe -nv",
            "modprobe -aD",
            "modprobe -R",
            "modprobe -aR",
            "modprobe",
            "modprobe -q",
            "modprobe -a",
            "modprobe -r",
            "modprobe -ra",
            "modinfo",
            "modinfo -F name",
            "modinfo -m",
            "insmod",
            "rmmod",
            "depmod -n REL",
            "modprobe --show-exports",
            "modprobe --show-modversions",
        ]);
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        words.push(name(random));
        let has_options = matches!(command, "modprobe -D" | "modprobe -nv" | "insmod" | "modprobe");
        match has_options {
            true => words.extend(random.some(3, |random| random.text(4, &PIECES))),
            false => words.extend(random.some(2, name)),
        }
        plan.run(words);
    }
    plan
}

fn name(random: &mut Random) -> String {
    match random.below(8) {
        0 => random.text(3, &PIECES),
        1 | 2 => random.of(&ODD_NAMES).to_owned(),
        3 => random.of(&NAMES).to_owned(),
        _ => random.of(&["top", "leaf", "other-x", "al"]).to_owned(),
    }
}
