//! Trees and configurations made by chance, from fixed seeds: whatever no named case thought of.

use super::module;
use crate::Named;
use crate::case::Case;

/// So many, by their numbers.
const SEEDS: u64 = 24;

pub(crate) fn cases() -> impl Iterator<Item = Named> {
    (0..SEEDS).map(|seed| Named { name: format!("random.{seed}"), make: Box::new(move || made(seed)) })
}

/// A small generator: splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn some(&mut self, most: usize, mut each: impl FnMut(&mut Self) -> String) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count).map(|_| each(self)).collect()
    }
}

const NAMES: [&str; 8] = ["a", "b-b", "c_c", "dd", "e1", "ff", "g", "hh"];
const WORDS: [&str; 14] =
    ["a", "b_b", "b-b", "c_c", "dd", "e1", "ff", "al", "x", "bi", "nosuch", "usb:v1", "q-r", "ghost"];
const PATTERNS: [&str; 12] = ["al", "x*", "usb:v*", "q-r", "?", "b*b", "[a-c]", "*1", "dd", "al[0-9]", "q?r", "bi"];

fn made(seed: u64) -> Case {
    let mut chance = Chance(seed);
    let mut case = Case::new();
    let count = 2 + chance.below(NAMES.len() - 1);
    for (number, name) in NAMES.iter().take(count).enumerate() {
        let mut built = module(name).exports(&[&format!("s{number}")]);
        // Only what comes before: no cycles.
        let needs = chance.some(3, |chance| format!("s{}", chance.below(number.max(1))));
        built.imports = if number == 0 { Vec::new() } else { needs };
        // One: a module that two of its aliases lead to is told once by ours.
        for alias in chance.some(1, |chance| chance.of(&PATTERNS).to_owned()) {
            built = built.info(&format!("alias={alias}"));
        }
        let directory = chance.of(&["kernel", "kernel/sub", "updates", "extra"]);
        case = case.ko(format!("{directory}/{name}.ko"), &built);
    }
    case = case.file("modules.builtin", "kernel/bi.ko\nkernel/q-r.ko\n");
    for file in ["a.conf", "m.conf", "z.conf"] {
        let lines = chance.some(5, |chance| {
            let (word, other, pattern) = (chance.of(&WORDS), chance.of(&WORDS), chance.of(&PATTERNS));
            // Soft dependencies are left to the named cases: ours differs there by intention.
            match chance.below(6) {
                0 => format!("alias {pattern} {word}"),
                1 => format!("options {word} k{}={other}", chance.below(9)),
                2 => format!("install {pattern} echo {other} $CMDLINE_OPTS"),
                3 => format!("blacklist {word}"),
                4 => format!("remove {pattern} echo {other}"),
                _ => format!("  {} {word}\\\n {other}", chance.of(&["options", "alias"])),
            }
        });
        case = case.conf(file, lines.join("\n") + "\n");
    }
    case = case.cmdline(format!("quiet {}.z=1 modprobe.blacklist={}\n", chance.of(&WORDS), chance.of(&WORDS)));
    case = case.run("depmod").ask("modprobe -c");
    let asked = WORDS.iter().skip(seed as usize % 2).step_by(2);
    asked.fold(case, |case, word| case.ask(&format!("modprobe -R {word}")).ask(&format!("modprobe -D {word} o=1")))
}
