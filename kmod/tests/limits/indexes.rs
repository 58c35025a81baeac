//! Indexes and configuration files, read by modprobe and modinfo.

use crate::common::{Lab, RELEASE};
use crate::run::{ALL, Job, MEMORY, check, check_jobs};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;

const TREE: [&str; 6] = ["-d", ".", "-S", RELEASE, "-C", "conf"];

/// Crafted configuration files: those of modprobe.d and those of depmod.d have the same names.
pub fn configuration() -> Vec<(&'static str, String)> {
    let cycle: String = (0..1000).map(|number| format!("softdep s{number} pre: s{}\n", (number + 1) % 1000)).collect();
    vec![
        ("long.conf", format!("options leaf {}\n", "a".repeat(1 << 20))),
        ("lines.conf", "options leaf a=1\n".repeat(10_000)),
        ("continued.conf", "options leaf \\\n".repeat(100_000)),
        ("brackets.conf", format!("alias {} leaf\nblacklist {}\n", "[".repeat(100_000), "]".repeat(100_000))),
        ("cycle.conf", cycle),
        ("bad.conf", "\0\n\u{ff}\nbogus\n".repeat(1000)),
        ("regex.conf", format!("override leaf {}{} x\n", "(".repeat(10_000), ")".repeat(10_000))),
        ("repeat.conf", "override leaf ((((a{99}){99}){99}){99}){99} x\n".to_owned()),
    ]
}

/// Creates a lab with crafted text indexes and configuration.
fn lab() -> Lab {
    let lab = Lab::new();
    let chain: String = (0..3000).map(|number| format!("k/m{number}.ko: k/m{}.ko\n", number + 1)).collect();
    lab.index("modules.dep", &format!("k/leaf.ko:\n{chain}k/m3000.ko:\n"));
    lab.index("modules.alias", &format!("alias {}* leaf\nalias {} leaf\n", "*a".repeat(1000), "[".repeat(4000)));
    lab.index("modules.symbols", &format!("alias symbol:{} leaf\n", "s".repeat(100_000)));
    lab.index("modules.softdep", &"softdep leaf pre: leaf post: leaf\n".repeat(1000));
    lab.index("modules.weakdep", &"weakdep leaf leaf\n".repeat(1000));
    lab.index("modules.devname", &"leaf a/b c1:2\nbad\n".repeat(1000));
    configuration().iter().for_each(|(name, text)| _ = lab.config(name, text));
    symlink("loop.conf", lab.path("conf/loop.conf")).unwrap();
    lab
}

fn modprobe<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&TREE[..], arguments].concat()
}

#[test]
fn configuration_and_indexes_are_shown_within_limits() {
    let lab = lab();
    for arguments in [&["-c"][..], &["-R", "aaaa"], &["-R", "symbol:sss"], &["-r", "-D", "m0"]] {
        check(&lab, ALL, &[("modprobe", &modprobe(arguments))]);
    }
    check(&lab, ALL, &[("modinfo", &["-b", ".", "-k", RELEASE, "m0"])]);
}

#[test]
fn modules_are_planned_and_loaded_within_limits() {
    let lab = lab();
    for arguments in [&["-D", "m0"][..], &["-D", "leaf"], &["-v", "s0"]] {
        check(&lab, ALL, &[("modprobe", &modprobe(arguments))]);
    }
    check(
        &lab,
        ALL,
        &[
            ("depmod", &["-C", "conf", "-b", ".", "-n", RELEASE]),
            ("rmmod", &["-v", "no_such_module"]),
            ("lsmod", &[]),
            ("kmod", &["static-nodes", "-o", "out"]),
            ("kmod", &["list"]),
            ("kmod", &["help"]),
        ],
    );
}

/// The names of the binary indexes.
const BINARY: [&str; 5] = ["dep", "alias", "symbols", "builtin", "builtin.alias"];

const HEADER: [u8; 8] = [0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1];
const PREFIX: u32 = 0x8000_0000;
const CHILDREN: u32 = 0x2000_0000;

/// Returns damaged indexes: a chain of nodes, a loop of nodes, and noise.
fn damaged() -> [Vec<u8>; 3] {
    let root = (12 | PREFIX | CHILDREN).to_be_bytes();
    // Each node has the prefix `a` and one child, `a`.
    let node = |child: u32| [&b"a\0aa"[..], &(child | PREFIX | CHILDREN).to_be_bytes()].concat();
    let chain: Vec<u8> = (1..=50_000_u32).flat_map(|number| node(12 + number * 8)).collect();
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    [[&HEADER[..], &root, &chain].concat(), [&HEADER[..], &root, &node(12)].concat(), [&HEADER[..], &noise].concat()]
}

#[test]
fn damaged_indexes_are_read_within_limits() {
    for index in damaged() {
        let lab = Lab::new();
        BINARY.iter().for_each(|name| fs::write(lab.tree().join(format!("modules.{name}.bin")), &index).unwrap());
        for arguments in [&["-R", "aaaaaaaa"][..], &["-D", "leaf"], &["-c"]] {
            check(&lab, ALL, &[("modprobe", &modprobe(arguments))]);
        }
        check(&lab, ALL, &[("modinfo", &["-b", ".", "-k", RELEASE, "leaf"])]);
    }
}

/// The queries that read large indexes.
const QUERIES: [&[&str]; 5] =
    [&["-R", "bbbb"], &["-R", "symbol:t"], &["-D", "leaf"], &["-D", "m0"], &["-r", "-D", "m0"]];

/// Runs the queries in a lab whose inputs are large.
fn check_queries(lab: &Lab) {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut jobs: Vec<Job> =
        QUERIES.iter().map(|arguments| ("modprobe", words(&modprobe(arguments)), MEMORY[0])).collect();
    for &limit in MEMORY {
        jobs.push(("modprobe", words(&modprobe(&["-c"])), limit));
        jobs.push(("modinfo", words(&["-b", ".", "-k", RELEASE, "bi"]), limit));
    }
    check_jobs(lab, &jobs);
}

#[test]
fn large_lists_are_read_within_limits() {
    let size = 20 << 20;
    for (name, line) in [
        ("modules.dep", "k/leaf.ko: k/leaf.ko k/leaf.ko k/leaf.ko\n"),
        ("modules.alias", "alias b* leaf\n"),
        ("modules.symbols", "alias symbol:s leaf\n"),
        ("modules.builtin", "kernel/bi.ko\n"),
        ("modules.softdep", "softdep leaf pre: a b c d\n"),
        ("modules.weakdep", "weakdep leaf a b c d\n"),
        ("modules.builtin.modinfo", "bi.alias=b*\0"),
    ] {
        let lab = Lab::new();
        lab.index(name, &line.repeat(size / line.len()));
        check_queries(&lab);
    }
}

/// Lists whose entries differ: each becomes a module of a plan, or a match.
#[test]
fn lists_of_many_modules_are_read_within_limits() {
    let numbered = |count: u32, line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<String>();
    let chain = |count| numbered(count, &|n| format!("k/m{n}.ko: k/m{}.ko\n", n + 1)) + "k/leaf.ko:\n";
    let line = |count| format!("k/m0.ko:{}\n", numbered(count, &|n| format!(" k/d{n}.ko")));
    for (name, text) in [
        ("modules.dep", chain(50_000)),
        ("modules.dep", chain(200_000)),
        ("modules.dep", line(50_000)),
        ("modules.dep", line(500_000)),
        ("modules.alias", numbered(300_000, &|n| format!("alias b* m{n}\n"))),
        ("modules.symbols", numbered(300_000, &|n| format!("alias symbol:t m{n}\n"))),
        ("modules.builtin.modinfo", numbered(300_000, &|n| format!("m{n}.alias=b*\0"))),
        ("modules.builtin.modinfo", numbered(300_000, &|n| format!("bi.parm=p{n}:x\0"))),
    ] {
        let lab = Lab::new();
        lab.index(name, &text);
        check_queries(&lab);
    }
}

#[test]
fn large_binary_indexes_are_read_within_limits() {
    let root = [&HEADER[..], &(12 | PREFIX | CHILDREN).to_be_bytes()].concat();
    for name in BINARY {
        let lab = Lab::new();
        let file = File::create(lab.tree().join(format!("modules.{name}.bin"))).unwrap();
        (&file).write_all(&root).unwrap();
        file.set_len(100 << 20).unwrap();
        check_queries(&lab);
    }
}

#[test]
fn a_large_configuration_is_read_within_limits() {
    for line in ["options leaf a=1\n", "softdep leaf pre: a b c\n", "alias b* leaf\n", "install m0 true\n"] {
        for size in [1 << 20, 16 << 20] {
            let lab = Lab::new();
            lab.config("a.conf", &line.repeat(size / line.len()));
            check_queries(&lab);
        }
    }
}
