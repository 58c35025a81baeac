//! depmod: modules, dependencies, output.

use super::{cases, module};
use crate::case::Case;

cases![
    dependencies,
    a_diamond,
    a_long_chain,
    an_import_of_itself,
    two_exporters,
    a_cycle_of_two,
    a_cycle_of_three,
    two_cycles,
    a_cycle_leaves_old_files,
    a_knot,
    weak_imports,
    updates_win,
    old_files_are_replaced,
    an_empty_tree,
    output_that_cannot_be_written,
];

/// `top` depends on `mid` and `leaf`, `mid` on `leaf`.
pub(super) fn tree() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("kernel/mid.ko", &module("mid").exports(&["m"]).imports(&["l"]))
        .ko("kernel/top.ko", &module("top").imports(&["m", "l"]))
}

fn dependencies() -> Case {
    tree()
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D mid", "modprobe -D leaf", "modprobe -c"])
        .run("depmod -n")
}

fn a_diamond() -> Case {
    Case::new()
        .ko("kernel/base.ko", &module("base").exports(&["b"]))
        .ko("kernel/left.ko", &module("left").exports(&["l"]).imports(&["b"]))
        .ko("kernel/right.ko", &module("right").exports(&["r"]).imports(&["b"]))
        .ko("kernel/top.ko", &module("top").imports(&["l", "r"]))
        .ko("kernel/pot.ko", &module("pot").imports(&["r", "l", "b"]))
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D pot"])
}

fn a_long_chain() -> Case {
    let link = |case: Case, n: usize| {
        let (own, next) = (format!("s{n}"), format!("s{}", n + 1));
        case.ko(format!("kernel/m{n:02}.ko"), &module("m").exports(&[&own]).imports(&[&next]))
    };
    (0..40).fold(Case::new(), link).run("depmod").queries(&["modprobe -D m00", "modprobe -D m39"])
}

fn an_import_of_itself() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]).imports(&["a"]))
        .ko("kernel/b.ko", &module("b").imports(&["a", "a", "nosuch"]))
        .run("depmod")
        .queries(&["modprobe -D a", "modprobe -D b"])
}

fn two_exporters() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["s"]))
        .ko("kernel/b.ko", &module("b").exports(&["s"]))
        .ko("kernel/c.ko", &module("c").imports(&["s"]))
        .run("depmod -w")
        .queries(&["modprobe -D c", "modprobe -R symbol:s"])
}

fn a_cycle_of_two() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]).imports(&["b"]))
        .ko("kernel/b.ko", &module("b").exports(&["b"]).imports(&["a"]))
        .ko("kernel/c.ko", &module("c").imports(&["a"]))
        .run("depmod")
        .run("depmod -n")
}

fn a_cycle_of_three() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]).imports(&["b"]))
        .ko("kernel/b.ko", &module("b").exports(&["b"]).imports(&["c"]))
        .ko("kernel/c.ko", &module("c").exports(&["c"]).imports(&["a"]))
        .run("depmod")
}

fn two_cycles() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]).imports(&["b"]))
        .ko("kernel/b.ko", &module("b").exports(&["b"]).imports(&["a"]))
        .ko("kernel/c.ko", &module("c").exports(&["c"]).imports(&["d"]))
        .ko("kernel/d.ko", &module("d").exports(&["d"]).imports(&["c"]))
        .run("depmod")
}

fn a_cycle_leaves_old_files() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]).imports(&["b"]))
        .ko("kernel/b.ko", &module("b").exports(&["b"]).imports(&["a"]))
        .file("modules.dep", "old\n")
        .run("depmod")
}

fn a_knot() -> Case {
    let names = ["a", "b", "c", "d"];
    names
        .iter()
        .fold(Case::new(), |case, name| {
            case.ko(format!("kernel/{name}.ko"), &module(name).exports(&[name]).imports(&names))
        })
        .run("depmod")
}

fn weak_imports() -> Case {
    let mut weak = module("w");
    weak.weak = vec!["l".into(), "nosuch".into()];
    tree()
        .ko("kernel/w.ko", &weak)
        .file("/map", "ffffffff81000000 T x\n")
        .run("depmod -e -F /map")
        .query("modprobe -D w")
}

fn updates_win() -> Case {
    tree()
        .ko("updates/leaf.ko", &module("leaf").exports(&["l"]).info("alias=new"))
        .ko("updates/dkms/mid.ko", &module("mid").exports(&["m"]))
        .ko("extra/top.ko", &module("top"))
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -R new"])
}

fn old_files_are_replaced() -> Case {
    tree()
        .file("modules.dep", "old\n")
        .file("modules.dep.bin", "old\n")
        .file("modules.unknown", "stays\n")
        .link("modules.alias", "/elsewhere")
        .file("/elsewhere", "not mine\n")
        .run("depmod")
}

fn an_empty_tree() -> Case {
    Case::new().run("depmod").queries(&["modprobe -R a", "modprobe -c", "modprobe a"])
}

fn output_that_cannot_be_written() -> Case {
    tree()
        .file("/file", "in the way\n")
        .run("depmod -o /file")
        .run("depmod -o /file/x")
        .directory("modules.dep")
        .run("depmod")
}
