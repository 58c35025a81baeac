//! Kernel command lines.

use super::Random;
use super::plan::Plan;
use super::trees;

const PIECES: [&str; 26] = [
    "leaf",
    "leaf.a",
    "other-x.b",
    "other_x",
    ".",
    "=",
    "=1",
    "\"",
    "\"",
    " ",
    " ",
    " ",
    "\t",
    "\n",
    "x y",
    "modprobe.blacklist=",
    "leaf,other-x",
    ",",
    "[",
    "]",
    "-",
    "--",
    "'",
    "\\",
    "modprobe.",
    "\u{e9}",
];
const ITEMS: [&str; 20] = [
    "root=/dev/sda",
    "quiet",
    "leaf.a=1",
    "leaf.b=\"x y\"",
    "\"leaf.c=x y\"",
    "other-x.d",
    "other_x.e=",
    "leaf.f.g=1",
    ".h=1",
    "leaf.=i",
    "le\"af\".j=1",
    "leaf.k='x y'",
    "modprobe.blacklist=leaf",
    "modprobe.blacklist=other-x,,mid",
    "\"modprobe.blacklist=al,top\"",
    "modprobe.blacklist",
    "module_blacklist=leaf",
    "a[b.c=1",
    "leaf.l==m",
    "bi.n=\"",
];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = trees::chain(random);
    let mut line = String::new();
    for _ in 0..=random.below(6) {
        line += &if random.one_in(2) { random.of(&ITEMS).to_owned() } else { random.text(6, &PIECES) };
        line += random.of(&[" ", " ", " ", "  ", "\t", "\n", "\u{b}", "\u{c}", "\r", ""]);
    }
    line += random.of(&["\n", "\n", "\n", ""]);
    plan.file("/proc/cmdline", line);
    if random.one_in(3) {
        plan.file(
            "/etc/modprobe.d/a.conf",
            random.of(&["options leaf z=1\n", "blacklist mid\n", "alias my other-x\n"]),
        );
    }
    plan.run_line("depmod");
    plan.run_line("modprobe -c");
    for line in ["modprobe -D top", "modprobe -D other-x", "modprobe -abD leaf other-x mid top", "modprobe -D al y=1"] {
        plan.run_line(line);
    }
    plan
}
