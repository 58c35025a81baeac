//! depmod, over small modules and over the lists of the kernel's build.

use crate::common::{Lab, RELEASE};
use crate::inputs::{compressed, lab_with, plain};
use crate::run::{ALL, MEMORY, check};
use crate::testing::TinyModule;
use std::fs::{self, File};

const TREE: [&str; 5] = ["-C", "conf", "-b", ".", RELEASE];

fn lab() -> Lab {
    let lab = lab_with(&[plain(), compressed()].concat());
    lab.index("modules.order", &"k/good.ko\n".repeat(100_000));
    lab.index("modules.builtin", &"kernel/bi.ko\n".repeat(100_000));
    lab.index("modules.builtin.modinfo", &"bi.parm=x:y\0".repeat(100_000));
    fs::write(lab.path("map"), "0 r __ksymtab_b_sym\n".repeat(10_000)).unwrap();
    fs::write(lab.path("symvers"), "0x1\tb_sym\tvmlinux\tEXPORT_SYMBOL\n".repeat(10_000)).unwrap();
    lab
}

#[test]
fn depmod_indexes_within_limits() {
    check(&lab(), ALL, &[("depmod", &TREE)]);
}

#[test]
fn depmod_shows_the_lists_within_limits() {
    let shown = |symbols: &[&'static str]| [&TREE[..4], &["-n", "-v", "-w", "-e"], symbols, &[RELEASE]].concat();
    check(&lab(), ALL, &[("depmod", &shown(&["-F", "map"])), ("depmod", &shown(&["-E", "symvers"]))]);
}

#[test]
fn incremental_runs_of_depmod_end_within_limits() {
    let lab = lab();
    let incremental: &[&str] = &[&TREE[..4], &["--incremental", RELEASE]].concat();
    check(&lab, ALL, &[("depmod", incremental)]);
    let cache = lab.tree().join("modules.kmodlab-cache");
    let mut bytes = fs::read(&cache).unwrap();
    // A cache that is damaged, and one that is too large.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&cache, bytes).unwrap();
    check(&lab, &ALL[..1], &[("depmod", incremental)]);
    File::create(&cache).unwrap().set_len(100 << 20).unwrap();
    check(&lab, &MEMORY[..1], &[("depmod", incremental)]);
}

#[test]
fn depmod_reads_large_lists_of_the_build_within_limits() {
    let lab = lab_with(&[("good.ko", TinyModule::named("good").build())]);
    let size = 40 << 20;
    for (name, line) in [
        ("modules.order", "k/good.ko\n"),
        ("modules.builtin", "kernel/bi.ko\n"),
        ("modules.builtin.modinfo", "bi.alias=a*\0"),
    ] {
        lab.index(name, &line.repeat(size / line.len()));
        check(&lab, MEMORY, &[("depmod", &TREE)]);
        lab.index(name, "");
    }
    fs::write(lab.path("map"), "0 r __ksymtab_b_sym\n".repeat(size / 20)).unwrap();
    check(&lab, MEMORY, &[("depmod", &[&TREE[..4], &["-e", "-F", "map", RELEASE]].concat())]);
}
