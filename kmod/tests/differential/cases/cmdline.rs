//! Options on the kernel command line.

use super::{cases, module};
use crate::case::Case;

cases![
    plain,
    quotes,
    quotes_without_a_value,
    unterminated_quotes,
    stray_quotes,
    dots,
    blanks,
    blacklist,
    blacklist_odd_shapes,
    brackets,
    no_value,
    dashes,
    after_files,
    missing,
    long,
    separator,
];

fn with(line: &str) -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf"))
        .ko("kernel/snd-x.ko", &module("snd_x").info("alias=al"))
        .cmdline(line)
        .run("depmod")
        .queries(&["modprobe -c", "modprobe -D leaf", "modprobe -D snd-x"])
}

fn plain() -> Case {
    with("root=/dev/sda leaf.a=1 quiet snd-x.b=2 leaf.c=3,4 other.d ro\n")
}

fn quotes_without_a_value() -> Case {
    with("\"leaf.a\" leaf.b \"snd-x.c\" \"snd-x.d=\"\n")
}

fn quotes() -> Case {
    with("leaf.a=\"x y\" \"leaf.b=c d\" leaf.e='f g' leaf.h=\"\"\n")
}

fn unterminated_quotes() -> Case {
    with("leaf.a=1 leaf.b=\"x y\n")
}

fn stray_quotes() -> Case {
    with("le\"af\".a=1 leaf.\"b\"=2 \"leaf\".c=3 leaf.d=x\"y\"z leaf.e=1\n")
}

fn dots() -> Case {
    with("leaf.a.b=1 .x=1 leaf.=2 leaf.c=1.2.3 . .. leaf..d=1 leaf.e=.\n")
}

fn blanks() -> Case {
    with("  leaf.a=1\tleaf.b=2\n\nleaf.c=3 \x0bleaf.d=4\x0cleaf.e=5\r\n")
}

fn blacklist() -> Case {
    with("modprobe.blacklist=leaf,other modprobe.blacklist=third module_blacklist=x\n").queries(&["modprobe -bD leaf"])
}

fn blacklist_odd_shapes() -> Case {
    with("modprobe.blacklist=snd-x,,other, modprobe.blacklist= \"modprobe.blacklist=a,b\" modprobe.blacklist modprobe.other=1\n")
        .queries(&["modprobe -bD snd-x", "modprobe -D al"])
}

fn brackets() -> Case {
    with("ivrs_acpihid[00:14.5]=AMD0020:0 a[b.c=1 d]e.f=1 leaf.g=[h] i[j].k=1\n")
}

fn no_value() -> Case {
    with("leaf.a leaf.b= leaf.c== leaf.=x leaf\n")
}

fn dashes() -> Case {
    with("snd-x.a=1 snd_x.b=2 snd-x.c-d=e-f\n")
}

fn after_files() -> Case {
    with("leaf.a=cmdline\n").conf("z.conf", "options leaf a=file\n").queries(&["modprobe -D leaf a=argument"])
}

fn missing() -> Case {
    with("").without("/proc/cmdline").run("modprobe -D leaf")
}

fn long() -> Case {
    with(&format!("leaf.a={} leaf.b=1\n", "x".repeat(4080)))
}

fn separator() -> Case {
    with("leaf.a=1 -- leaf.b=2 init.c=3\n")
}
