//! Lines of modprobe.d with any spacing, quotes and continuation.

use super::Random;
use super::plan::Plan;
use super::trees::{self, NAMES};

const BLANKS: [&str; 9] = [" ", " ", " ", "  ", "\t", " \t ", "\\\n", " \\\n ", "\\\n\t"];
const MARGINS: [&str; 8] = ["", "", "", "", " ", "\t", "  ", "\\\n"];
const PATTERNS: [&str; 24] = [
    "leaf",
    "mid",
    "top",
    "other-x",
    "other_x",
    "al",
    "my",
    "ghost",
    "bi",
    "q-r",
    "l*",
    "?id",
    "[lm]*",
    "o[t]her_x",
    "*",
    "oth*-x",
    "a[b",
    "c]d",
    "\"leaf\"",
    "le\\af",
    "usb:v*",
    "m",
    "top.ko",
    "d[a-z]-[x-z]",
];
const PARAMETERS: [&str; 22] = [
    "a=1",
    "b=\"x y\"",
    "c='x y'",
    "d=",
    "=e",
    "f=\\\\",
    "g=\\x",
    "h=#",
    "#",
    "\"",
    "'",
    "i",
    "j=1,2",
    "k=\"",
    "l=\u{e9}",
    "$CMDLINE_OPTS",
    "m=\"a\\\"b\"",
    "n='a",
    "\r",
    "o=\\\"q\\\"",
    "pre:",
    "p=-1",
];
const COMMANDS: [&str; 11] = [
    "echo",
    "true",
    "false",
    "exit 3",
    "$CMDLINE_OPTS",
    "x",
    "\"a b\"",
    "'c  d'",
    "\\$y",
    "$MODPROBE_MODULE",
    "; echo",
];
const SOFTDEPS: [&str; 13] =
    ["pre:", "pre:", "post:", "post:", "leaf", "mid", "other-x", "other_x", "al", "ghost", "bi", "pre:leaf", "word"];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = trees::chain(random);
    for file in ["/etc/modprobe.d/a.conf", "/etc/modprobe.d/z.conf", "/run/modprobe.d/m.conf"] {
        if !random.one_in(3) {
            let text = lines(random);
            plan.file(file, text);
        }
    }
    plan.run_line("depmod");
    plan.run_line("modprobe -c");
    for _ in 0..8 {
        let options = random.of(&["-D", "-D", "-D", "-bD", "-iD", "-R", "-qD", "-nv", "-sD", "-abD", "-qsD"]);
        let mut words = vec!["modprobe", options, random.of(&NAMES)];
        words.extend(random.some(1, |random| random.of(&["x=1", "y=a b"])));
        plan.run(words);
    }
    // Commands that load run the install commands. Soft dependencies change whether C kmod runs those, which rules can
    // recognise in what is printed, but not in what happens.
    let has_softdeps = plan.files.iter().any(|(_, text)| text.windows(7).any(|text| text == b"softdep"))
        || plan.modules.iter().any(|(_, module)| module.modinfo.iter().any(|info| info.starts_with("softdep=")));
    if !has_softdeps {
        for _ in 0..2 {
            plan.run(["modprobe", random.of(&["-v", "-v", "-a", "-b"]), random.of(&NAMES)]);
        }
    }
    plan
}

fn lines(random: &mut Random) -> String {
    let mut text: String = random
        .some(6, |random| {
            let (before, after) = (random.of(&MARGINS), random.of(&MARGINS));
            let end = random.of(&["\n", "\n", "\n", "\n\n", "\n \n"]);
            format!("{before}{}{after}{end}", line(random))
        })
        .concat();
    if random.one_in(6) {
        text.truncate(text.trim_end_matches('\n').len());
    }
    text
}

fn line(random: &mut Random) -> String {
    let keyword = random.of(&[
        "options",
        "options",
        "options",
        "alias",
        "alias",
        "blacklist",
        "install",
        "remove",
        "softdep",
        "softdep",
        "weakdep",
        "include",
        "config",
        "bogus",
        "#",
        "# x",
        "opt\\\nions",
        "OPTIONS",
        "\"options\"",
        "",
    ]);
    let mut fields = vec![keyword.to_owned()];
    if !random.one_in(12) {
        fields.push(random.of(&PATTERNS).to_owned());
    }
    let (most, choices): (usize, &[&str]) = match keyword {
        "alias" => (1, &NAMES),
        "blacklist" => (0, &NAMES),
        "install" | "remove" => (4, &COMMANDS),
        "softdep" => (5, &SOFTDEPS),
        "weakdep" => (2, &NAMES),
        _ => (3, &PARAMETERS),
    };
    if matches!(keyword, "install" | "remove") {
        fields.push("echo".to_owned());
    }
    let least = usize::from(!random.one_in(10)).min(most);
    for _ in 0..least + random.below(most.max(1)) {
        fields.push(random.of(choices).to_owned());
    }
    fields.iter().map(|field| format!("{field}{}", random.of(&BLANKS))).collect::<String>().trim_end().to_owned()
}
