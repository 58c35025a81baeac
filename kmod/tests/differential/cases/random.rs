//! Random trees and configurations, from fixed seeds.

use super::module;
use crate::Named;
use crate::case::Case;
use crate::generate::Random;

/// The number of cases; the seeds are 0 to this.
const SEEDS: u64 = 24;

pub(crate) fn cases() -> impl Iterator<Item = Named> {
    (0..SEEDS).map(|seed| Named { name: format!("random.{seed}"), make: Box::new(move || generate(seed)) })
}

const NAMES: [&str; 8] = ["a", "b-b", "c_c", "dd", "e1", "ff", "g", "hh"];
const WORDS: [&str; 14] =
    ["a", "b_b", "b-b", "c_c", "dd", "e1", "ff", "al", "x", "bi", "nosuch", "usb:v1", "q-r", "ghost"];
const PATTERNS: [&str; 12] = ["al", "x*", "usb:v*", "q-r", "?", "b*b", "[a-c]", "*1", "dd", "al[0-9]", "q?r", "bi"];

fn generate(seed: u64) -> Case {
    let mut random = Random(seed);
    let mut case = Case::new();
    let count = 2 + random.below(NAMES.len() - 1);
    for (number, name) in NAMES.iter().take(count).enumerate() {
        let mut built = module(name).exports(&[&format!("s{number}")]);
        // Only symbols of modules before this one: no cycles.
        let needs = random.some(3, |random| format!("s{}", random.below(number.max(1))));
        built.imports = if number == 0 { Vec::new() } else { needs };
        // At most one: our tools print a module once even if two of its aliases match.
        for alias in random.some(1, |random| random.of(&PATTERNS).to_owned()) {
            built = built.info(&format!("alias={alias}"));
        }
        let directory = random.of(&["kernel", "kernel/sub", "updates", "extra"]);
        case = case.ko(format!("{directory}/{name}.ko"), &built);
    }
    case = case.file("modules.builtin", "kernel/bi.ko\nkernel/q-r.ko\n");
    for file in ["a.conf", "m.conf", "z.conf"] {
        let lines = random.some(5, |random| {
            let (word, other, pattern) = (random.of(&WORDS), random.of(&WORDS), random.of(&PATTERNS));
            // No soft dependencies: ours differ intentionally, and the named cases cover them.
            match random.below(6) {
                0 => format!("alias {pattern} {word}"),
                1 => format!("options {word} k{}={other}", random.below(9)),
                2 => format!("install {pattern} echo {other} $CMDLINE_OPTS"),
                3 => format!("blacklist {word}"),
                4 => format!("remove {pattern} echo {other}"),
                _ => format!("  {} {word}\\\n {other}", random.of(&["options", "alias"])),
            }
        });
        case = case.conf(file, lines.join("\n") + "\n");
    }
    case = case.cmdline(format!("quiet {}.z=1 modprobe.blacklist={}\n", random.of(&WORDS), random.of(&WORDS)));
    case = case.run("depmod").query("modprobe -c");
    let asked = WORDS.iter().skip(seed as usize % 2).step_by(2);
    asked.fold(case, |case, word| case.query(&format!("modprobe -R {word}")).query(&format!("modprobe -D {word} o=1")))
}
