//! `--show-exports` and `--show-modversions`.

use super::{cases, module};
use crate::case::Case;
use crate::testing::TinyModule;

cases![
    exports,
    exports_without_checksum,
    exports_of_every_class,
    modversions,
    modversions_of_every_class,
    of_nothing,
    of_a_broken_file,
    by_name
];

const FILE: &str = "/lib/modules/REL/kernel/a.ko";

fn exports() -> Case {
    let made = module("a").exports(&["one", "two", "three"]);
    Case::new()
        .ko("kernel/a.ko", &made)
        .run("depmod")
        .run(&format!("modprobe --show-exports {FILE}"))
        .run(&format!("modprobe --show-exports {FILE} x"))
}

fn exports_without_checksum() -> Case {
    let made = TinyModule { plain_exports: vec!["p".into(), "q".into()], ..module("a") };
    Case::new().ko("kernel/a.ko", &made).run(&format!("modprobe --show-exports {FILE}"))
}

fn every_class(made: &TinyModule) -> Case {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().fold(
        Case::new(),
        |case, (is_32, is_big)| {
            case.ko(format!("kernel/m{is_32}{is_big}.ko"), &TinyModule { is_32, is_big, ..made.clone() })
        },
    )
}

fn exports_of_every_class() -> Case {
    ["absolute", "section"]
        .iter()
        .fold(every_class(&module("a").exports(&["one", "two"])), |case, _| case)
        .run("modprobe --show-exports /lib/modules/REL/kernel/mfalsefalse.ko")
        .run("modprobe --show-exports /lib/modules/REL/kernel/mfalsetrue.ko")
        .run("modprobe --show-exports /lib/modules/REL/kernel/mtruefalse.ko")
        .run("modprobe --show-exports /lib/modules/REL/kernel/mtruetrue.ko")
}

fn versions() -> TinyModule {
    TinyModule {
        versions: vec![("module_layout".into(), 0x1234_5678), ("printk".into(), 1), ("z".into(), u32::MAX)],
        ..module("a")
    }
}

fn modversions() -> Case {
    Case::new()
        .ko("kernel/a.ko", &versions())
        .run(&format!("modprobe --show-modversions {FILE}"))
        .run(&format!("modprobe --dump-modversions {FILE}"))
}

fn modversions_of_every_class() -> Case {
    every_class(&versions())
        .run("modprobe --show-modversions /lib/modules/REL/kernel/mfalsefalse.ko")
        .run("modprobe --dump-modversions /lib/modules/REL/kernel/mfalsetrue.ko")
        .run("modprobe --dump-modversions /lib/modules/REL/kernel/mtruefalse.ko")
        .run("modprobe --dump-modversions /lib/modules/REL/kernel/mtruetrue.ko")
}

fn of_nothing() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .run(&format!("modprobe --show-exports {FILE}"))
        .run(&format!("modprobe --dump-modversions {FILE}"))
        .run("modprobe --show-exports /nosuch.ko")
        .run("modprobe --dump-modversions /nosuch.ko")
}

fn of_a_broken_file() -> Case {
    Case::new()
        .raw("kernel/a.ko", "text")
        .raw("kernel/e.ko", "")
        .run(&format!("modprobe --show-exports {FILE}"))
        .run(&format!("modprobe --dump-modversions {FILE}"))
        .run("modprobe --show-exports /lib/modules/REL/kernel/e.ko")
        .run("modprobe --show-exports /lib/modules")
        .run("modprobe --show-exports /dev/null")
}

fn by_name() -> Case {
    Case::new()
        .ko("kernel/a.ko", &versions().exports(&["one"]).info("alias=al"))
        .run("depmod")
        .run("modprobe --show-exports a")
        .run("modprobe --dump-modversions a")
        .run("modprobe --show-exports nosuch")
        .run("modprobe --show-exports al")
}
