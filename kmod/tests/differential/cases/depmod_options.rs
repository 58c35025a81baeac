//! depmod: options.

use super::depmod::tree;
use super::{cases, module};
use crate::case::Case;

cases![
    output_below_a_file,
    quick,
    quick_with_nothing_new,
    quick_before_symbol_files,
    the_prefix_before_the_release,
    shown,
    verbose,
    unknown_symbols,
    versions_of_symbols,
    symbol_files_that_are_missing,
    a_symbol_prefix,
    warnings_of_duplicates,
    another_root,
    another_output,
    another_module_directory,
    releases,
];

fn quick() -> Case {
    tree().run("depmod -A").run("depmod --quick -n").run("depmod -An REL")
}

fn quick_with_nothing_new() -> Case {
    tree().run("depmod").run("depmod -A").run("depmod -A -n").run("depmod -Av")
}

fn quick_before_symbol_files() -> Case {
    tree()
        .run("depmod -A -F /nosuch")
        .run("depmod")
        .run("depmod -A -F /nosuch")
        .run("depmod -A -E /nosuch -e")
        .run("depmod -A -e")
        .file("/etc/depmod.d/a.conf", "bogus\n")
}

fn the_prefix_before_the_release() -> Case {
    tree()
        .run("depmod -P ab nosuch")
        .run("depmod -P '' -n nosuch")
        .run("depmod -P ab -P _ -n")
        .run("depmod -F /nosuch nosuch")
        .run("depmod -e nosuch")
}

fn shown() -> Case {
    tree()
        .ko(
            "kernel/x.ko",
            &module("x")
                .info("alias=al")
                .info("softdep=pre: leaf")
                .info("weakdep=mid")
                .info("alias=devname:n")
                .info("alias=char-major-10-5"),
        )
        .step("depmod -n", |step| step.sorted = true)
        .step("depmod --show", |step| step.sorted = true)
        .step("depmod --dry-run REL", |step| step.sorted = true)
}

fn verbose() -> Case {
    tree().step("depmod -v", |step| step.sorted = true).step("depmod -vn", |step| step.sorted = true)
}

fn unknown_symbols() -> Case {
    tree()
        .ko("kernel/u.ko", &module("u").imports(&["nosuch", "printk", "__this_module", "_GLOBAL_OFFSET_TABLE_"]))
        .file(
            "/map",
            "ffffffff81000000 T printk\nffffffff82000000 r __ksymtab_printk\nffffffff82000000 r __ksymtab_other\nbad\n",
        )
        .run("depmod -e -F /map")
        .run("depmod -F /map")
        .run("depmod -e")
        .run("depmod -e -E /dev/null")
        .run("depmod -aeF /dev/null REL")
}

fn versions_of_symbols() -> Case {
    let mut user = module("v").imports(&["l", "printk", "kmalloc"]);
    user.versions = vec![("l".into(), 0x1234), ("printk".into(), 0x1), ("kmalloc".into(), 0xbad)];
    let mut wrong = module("w").imports(&["l"]);
    wrong.versions = vec![("l".into(), 0x9999), ("module_layout".into(), 0x5)];
    tree()
        .ko("kernel/v.ko", &user)
        .ko("kernel/w.ko", &wrong)
        .file("/symvers", "0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\n0x00000002\tkmalloc\tvmlinux\tEXPORT_SYMBOL\n0x3\tl\tkernel/leaf\tE\nbad\n")
        .run("depmod -E /symvers")
        .run("depmod -e -E /symvers")
        .run("depmod -e -E /symvers -F /dev/null")
        .run("depmod -F /dev/null -E /symvers")
}

fn symbol_files_that_are_missing() -> Case {
    tree().run("depmod -F /nosuch").run("depmod -E /nosuch").run("depmod -e -F ''")
}

fn a_symbol_prefix() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["_s"]))
        .ko("kernel/b.ko", &module("b").imports(&["s", "_s"]))
        .run("depmod -P _")
        .run("depmod -P ab")
        .run("depmod -P ''")
        .run("depmod --symbol-prefix=_ -n")
}

fn warnings_of_duplicates() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["s", "t"]).info("alias=same").info("alias=same"))
        .ko("kernel/b.ko", &module("b").exports(&["s"]).info("alias=same"))
        .ko("updates/b.ko", &module("b").exports(&["s"]).info("alias=other"))
        .run("depmod -w")
        .run("depmod --warn -n")
}

fn another_root() -> Case {
    let root = |name: &str| format!("/root/lib/modules/REL/{name}");
    Case::bare()
        .file(root("kernel/a.ko"), module("a").build())
        .file(root("modules.order"), "kernel/a.ko\n")
        .file(root("modules.builtin"), "kernel/b.ko\n")
        .file(root("modules.builtin.modinfo"), "")
        .run("depmod -b /root")
        .run("depmod --basedir root REL")
        .run("depmod -b /root/ REL")
        .run("depmod -b /nosuch")
        .run("modprobe -d /root -D a")
        .run("modprobe -d root -D a")
        .run("modprobe -d /root/ -D b")
        .run("modprobe --dirname=/root nosuch")
        .run("modprobe -d . -D a")
}

fn another_output() -> Case {
    tree()
        .run("depmod -o /out")
        .run("depmod --outdir=rel/ative REL")
        .run("depmod -o /out -n")
        .run("modprobe -d /out -D top")
}

fn another_module_directory() -> Case {
    Case::bare()
        .file("/usr/mods/1.2.3/kernel/a.ko", module("a").build())
        .file("/usr/mods/1.2.3/modules.order", "kernel/a.ko\n")
        .file("/usr/mods/1.2.3/modules.builtin", "")
        .file("/usr/mods/1.2.3/modules.builtin.modinfo", "")
        .run("depmod -m /usr/mods 1.2.3")
        .run("depmod --moduledir usr/mods 1.2.3")
        .run("depmod -m mods -b /usr 1.2.3")
        .run("depmod -m mods -b /usr -o /out 1.2.3")
        .run("depmod -m '' -b /usr/mods 1.2.3")
}

fn releases() -> Case {
    tree()
        .run("depmod 1.2.3")
        .run("depmod abc")
        .run("depmod 1")
        .run("depmod 1.")
        .run("depmod .1")
        .run("depmod 1.x")
        .run("depmod 1x.2")
        .run("depmod 1.2/3")
        .run("depmod ''")
        .run("depmod ' 1.2'")
        .run("depmod -n REL REL")
        .run("depmod +1.2")
        .run("depmod 1.-2")
}

fn output_below_a_file() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .run("depmod -o lib/modules/REL/kernel/a.ko")
        .run("depmod -o /lib/modules/REL/kernel/a.ko/x")
}
