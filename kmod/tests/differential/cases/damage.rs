//! Damaged and foreign index files.

use super::{cases, module};
use crate::case::Case;

cases![
    empty,
    short,
    wrong_magic,
    wrong_major_version,
    newer_minor_version,
    root_outside,
    root_zero,
    garbage,
    cut_in_the_middle,
    no_closing_nul,
    children_outside,
    first_over_last,
    wrong_value_in_dep,
    dep_with_odd_paths,
    text_without_bin,
    bin_without_text,
    alias_index_is_missing,
    symbols_index_is_missing,
    builtin_index_is_damaged,
    directories_in_place,
    softdep_file_is_damaged,
];

const QUERIES: [&str; 5] = ["modprobe -R a", "modprobe -D b", "modprobe -R al", "modprobe -c", "modinfo -n a"];

fn tree() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["s"]).info("alias=al"))
        .ko("kernel/b.ko", &module("b").imports(&["s"]).info("alias=al*"))
        .run("depmod")
}

/// A case in which `modules.dep.bin` and `modules.alias.bin` are these bytes.
fn with(bytes: &[u8]) -> Case {
    QUERIES.iter().fold(Case::new().file("modules.dep.bin", bytes).file("modules.alias.bin", bytes), |case, query| {
        case.run(query)
    })
}

/// The same for files with which C kmod loops: fewer commands, since each takes a second.
fn endless(bytes: &[u8]) -> Case {
    Case::new().file("modules.dep.bin", bytes).file("modules.alias.bin", bytes).run("modprobe -D b").run("modprobe -c")
}

/// Returns an index: magic, version, root offset, and these bytes.
fn index(root: u32, rest: &[u8]) -> Vec<u8> {
    [&[0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1][..], &root.to_be_bytes(), rest].concat()
}

fn empty() -> Case {
    with(b"")
}

fn short() -> Case {
    with(&[0xb0, 0x07, 0xf4])
}

fn wrong_magic() -> Case {
    with(&[0; 12])
}

fn wrong_major_version() -> Case {
    with(&[0xb0, 0x07, 0xf4, 0x57, 0, 3, 0, 1, 0, 0, 0, 0])
}

fn newer_minor_version() -> Case {
    with(&[0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 9, 0, 0, 0, 0])
}

fn root_outside() -> Case {
    endless(&index(0x4000_ffff, b"xxxx"))
}

fn root_zero() -> Case {
    with(&index(0, b""))
}

fn garbage() -> Case {
    with(b"this is a text and no index at all\n")
}

fn cut_in_the_middle() -> Case {
    // A node whose list of values is cut.
    endless(&index(0x4000_000c, &[0, 0, 0, 2, 0, 0, 0, 0, b'a']))
}

fn no_closing_nul() -> Case {
    endless(&index(0x8000_000c, b"abc"))
}

fn children_outside() -> Case {
    endless(&index(0x2000_000c, &[b'a', b'b', 0x20, 0, 0xff, 0xff, 0x20, 1, 0, 0]))
}

fn first_over_last() -> Case {
    endless(&index(0x2000_000c, &[b'z', b'a', 0, 0, 0, 0]))
}

/// Returns an index with one node: this key and value.
fn dep(key: &[u8], value: &[u8]) -> Vec<u8> {
    let node = [key, &[0, 0, 0, 0, 1, 0, 0, 0, 0], value, &[0]].concat();
    index(0xc000_000c, &node)
}

fn wrong_value_in_dep() -> Case {
    Case::new()
        .file("modules.dep.bin", dep(b"a", b"no colon here"))
        .queries(&["modprobe -R a", "modprobe -D a"])
        .run("modprobe a")
        .run("modinfo a")
}

fn dep_with_odd_paths() -> Case {
    Case::new()
        .file("modules.dep.bin", dep(b"a", b"kernel/b.ko: /abs/c.ko ../d.ko   e.ko"))
        .queries(&["modprobe -R a", "modprobe -D a"])
}

/// C kmod reads only the `.bin`.
fn text_without_bin() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .file("modules.dep", "kernel/a.ko:\n")
        .file("modules.alias", "alias al a\n")
        .queries(&QUERIES)
}

fn bin_without_text() -> Case {
    tree().run("depmod -n").queries(&QUERIES)
}

fn alias_index_is_missing() -> Case {
    Case::new().file("modules.dep.bin", dep(b"a", b"kernel/a.ko:")).queries(&[
        "modprobe -R a",
        "modprobe -R al",
        "modprobe -D a",
        "modprobe -c",
    ])
}

fn symbols_index_is_missing() -> Case {
    Case::new().file("modules.dep.bin", dep(b"a", b"kernel/a.ko:")).queries(&["modprobe -R symbol:s"])
}

fn builtin_index_is_damaged() -> Case {
    Case::new()
        .file("modules.dep.bin", dep(b"a", b"kernel/a.ko:"))
        .file("modules.builtin.bin", "garbage of some length")
        .file("modules.builtin.alias.bin", "garbage of some length")
        .queries(&["modprobe -R a", "modprobe -D a", "modprobe -R bi", "modprobe -D bi"])
}

fn directories_in_place() -> Case {
    Case::new()
        .directory("modules.dep.bin")
        .directory("modules.alias.bin")
        .directory("modules.softdep")
        .queries(&QUERIES)
}

fn softdep_file_is_damaged() -> Case {
    Case::new()
        .file("modules.dep.bin", dep(b"a", b"kernel/a.ko:"))
        .file("modules.softdep", "bogus line\nsoftdep a pre: b\noptions a x=1\n\x00\x01\nsoftdep")
        .queries(&["modprobe -D a", "modprobe -c"])
}
