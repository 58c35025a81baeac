//! Removal of modules that are in use, whose soft dependencies or dependencies are in use, or that have remove commands.

use super::Random;
use super::plan::{Loaded, Plan};
use super::trees;

const LIST: [&str; 8] = ["leaf", "mid", "top", "other-x", "al", "bi", "ghost", "other_x"];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = trees::chain(random);
    load(&mut plan, random);
    let text: String = random
        .some(3, |random| {
            let name = random.of(&["leaf", "mid", "top", "other-x", "al", "ghost", "*", "m*"]);
            match random.below(6) {
                0 => format!(
                    "remove {name} {}\n",
                    random.of(&["echo gone", "false", "true", "echo a $CMDLINE_OPTS b", "exit 3"])
                ),
                1 => format!("alias {} {}\n", random.of(&["my", "al", "leaf"]), random.of(&LIST)),
                2 => format!("blacklist {name}\n"),
                _ => {
                    let words: Vec<&str> = (0..=random.below(4))
                        .map(|_| if random.one_in(3) { random.of(&["pre:", "post:"]) } else { random.of(&LIST) })
                        .collect();
                    format!("softdep {name} {} {}\n", random.of(&["pre:", "post:"]), words.join(" "))
                }
            }
        })
        .concat();
    plan.file("/etc/modprobe.d/a.conf", text);
    plan.run_line("depmod");
    for _ in 0..8 {
        let line = random.of(&[
            "modprobe -r",
            "modprobe -r",
            "modprobe -rv",
            "modprobe -rnv",
            "modprobe -rnv",
            "modprobe -rq",
            "modprobe -ra",
            "modprobe -rf",
            "modprobe -riv",
            "modprobe -rinv",
            "modprobe -rn",
            "modprobe -rbv",
            "modprobe -rs",
            "modprobe -rnv --remove-holders",
            "modprobe -r --remove-holders",
            "modprobe -r --first-time",
            "modprobe -r -w 3",
            "modprobe -rnv -w 3",
            "rmmod",
            "rmmod -f",
            "rmmod -s",
            "modprobe -rnva",
            "modprobe -rqa",
        ]);
        let names: Vec<&str> = (0..=random.below(2))
            .map(|_| random.of(&["leaf", "mid", "top", "other-x", "al", "bi", "my", "ghost"]))
            .collect();
        plan.run_line(&format!("{line} {}", names.join(" ")));
    }
    if random.one_in(4) {
        plan.run_line("lsmod");
    }
    plan
}

/// Adds some loaded modules, with the holders that their dependencies require.
fn load(plan: &mut Plan, random: &mut Random) {
    let (top, mid, leaf, other) = (random.one_in(2), random.one_in(2), random.one_in(4), random.one_in(2));
    let (mid, leaf) = (mid || top, leaf || mid || top);
    let mut add = |name: &str, users: Vec<String>| {
        let extra = if random.one_in(4) { 1 + random.below(2) as u32 } else { 0 };
        let state = if random.one_in(12) { ["coming\n", "going\n"][random.below(2)] } else { "live\n" };
        plan.loaded.push(Loaded { name: name.to_owned(), references: users.len() as u32 + extra, users, state });
    };
    let users =
        |all: &[(&str, bool)]| all.iter().filter(|(_, there)| *there).map(|(name, _)| (*name).to_owned()).collect();
    if top {
        add("top", Vec::new());
    }
    if mid {
        add("mid", users(&[("top", top)]));
    }
    if leaf {
        add("leaf", users(&[("mid", mid), ("top", top)]));
    }
    if other {
        add("other_x", Vec::new());
    }
}
