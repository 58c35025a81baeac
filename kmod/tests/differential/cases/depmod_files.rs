//! depmod: which files are modules.

use super::depmod::tree;
use super::{cases, module};
use crate::case::Case;

cases![
    duplicates_in_one_tree,
    names_that_fold,
    links_to_files,
    links_to_directories,
    links_that_dangle,
    absolute_links_below_another_root,
    a_loop_of_links,
    other_files,
    suffixes,
    deep_directories,
    files_given,
    files_given_wrongly,
    the_first_wrong_file,
    files_of_the_same_module,
    files_without_a_module_directory,
];

fn duplicates_in_one_tree() -> Case {
    Case::new()
        .ko("kernel/a/m.ko", &module("m").info("alias=first"))
        .ko("kernel/b/m.ko", &module("m").info("alias=second"))
        .run("depmod")
        .run("depmod -w")
}

fn names_that_fold() -> Case {
    Case::new()
        .ko("kernel/a/foo-bar.ko", &module("foo_bar"))
        .ko("updates/foo_bar.ko", &module("foo_bar"))
        .ko("kernel/z.ko.ko", &module("z"))
        .ko("kernel/x.y.ko", &module("x"))
        .run("depmod")
        .queries(&["modprobe -D foo-bar", "modprobe -D x", "modprobe -D z"])
}

fn links_to_files() -> Case {
    tree()
        .file("/elsewhere/real.ko", module("real").info("alias=r").build())
        .link("kernel/linked.ko", "/elsewhere/real.ko")
        .file("modules.order", "kernel/leaf.ko\nkernel/mid.ko\nkernel/top.ko\nkernel/linked.ko\n")
        .run("depmod")
        .queries(&["modprobe -D linked", "modprobe -R r"])
}

fn links_to_directories() -> Case {
    tree()
        .file("/elsewhere/real.ko", module("real").build())
        .link("kernel/linked", "/elsewhere")
        .file("modules.order", "kernel/leaf.ko\nkernel/mid.ko\nkernel/top.ko\nkernel/linked/real.ko\n")
        .run("depmod")
        .query("modprobe -D real")
}

fn links_that_dangle() -> Case {
    tree()
        .link("kernel/gone.ko", "nosuch")
        .link("kernel/gone", "nosuch")
        .link("kernel/self.ko", "self.ko")
        .run("depmod")
}

fn absolute_links_below_another_root() -> Case {
    let root = |name: &str| format!("/root/lib/modules/REL/{name}");
    Case::bare()
        .file(root("kernel/a.ko"), module("a").build())
        .file(root("modules.order"), "kernel/a.ko\n")
        .file(root("modules.builtin"), "")
        .file(root("modules.builtin.modinfo"), "")
        .file("/root/opt/b.ko", module("b").build())
        .file("/opt/c.ko", module("c").build())
        .link(&root("weak-updates/b.ko"), "/opt/b.ko")
        .link(&root("weak-updates/c.ko"), "/opt/c.ko")
        .link(&root("build"), "/nosuch")
        .run("depmod -b /root")
        .queries(&["modprobe -d /root -D b", "modprobe -d /root -D c"])
}

fn a_loop_of_links() -> Case {
    tree().link("kernel/loop", "..").run("depmod")
}

fn other_files() -> Case {
    tree()
        .file("kernel/readme", "text")
        .file("kernel/x.ko.txt", "text")
        .file("kernel/x.o", "text")
        .file("kernel/.hidden.ko", module("hidden").build())
        .file("kernel/.dir/a.ko", module("a").build())
        .directory("kernel/dir.ko")
        .file("vmlinuz", "kernel")
        .unordered()
        .run("depmod")
}

fn suffixes() -> Case {
    tree()
        .file("kernel/a.ko.zstd", module("a").build())
        .file("kernel/b.ko.lz4", module("b").build())
        .file("kernel/c.ko.xz", module("c").build())
        .file("kernel/d.ko.zst", module("d").build())
        .file("kernel/e.KO", module("e").build())
        .file("kernel/f.ko.bz2", module("f").build())
        .file("kernel/g.ko.", module("g").build())
        .file("kernel/ko", module("ko").build())
        .unordered()
        .run("depmod")
        .queries(&["modprobe -D c", "modprobe -D d"])
}

fn deep_directories() -> Case {
    let deep = format!("kernel/{}m.ko", "d/".repeat(60));
    let wide = format!("kernel/{}/n.ko", "w".repeat(250));
    Case::new().ko(deep, &module("m")).ko(wide, &module("n")).run("depmod").queries(&["modprobe -D m", "modprobe -D n"])
}

fn files_given() -> Case {
    tree()
        .run("depmod REL /lib/modules/REL/kernel/leaf.ko /lib/modules/REL/kernel/mid.ko")
        .queries(&["modprobe -D mid", "modprobe -D top"])
        .run("depmod -a REL /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -n REL /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -n REL/ /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -A 2.3 /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -A REL x")
}

fn files_given_wrongly() -> Case {
    tree()
        .file("/text.ko", "text")
        .file("/out.ko", module("out").build())
        .run("depmod REL x.ko")
        .run("depmod REL /nosuch.ko")
        .run("depmod -n REL /out.ko")
        .run("depmod -n REL /text.ko")
        .run("depmod -n REL /lib/modules/REL/kernel")
        .run("depmod x.ko")
        .run("depmod /lib/modules/REL/kernel/leaf.ko")
}

fn the_first_wrong_file() -> Case {
    tree()
        .run("depmod -n REL /nosuch.ko x.ko")
        .run("depmod -n REL x.ko /nosuch.ko")
        .run("depmod -n REL /lib/modules/REL/kernel/leaf.ko x.ko")
        .run("depmod -n -e REL x.ko")
        .run("depmod -n -F /nosuch REL x.ko")
}

fn files_of_the_same_module() -> Case {
    tree()
        .file("/out/leaf.ko", module("leaf").build())
        .run("depmod -n REL /lib/modules/REL/kernel/leaf.ko /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -n REL /lib/modules/REL/kernel/leaf.ko /out/leaf.ko")
        .run("depmod REL /out/leaf.ko /out/leaf.ko /nosuch.ko")
}

fn files_without_a_module_directory() -> Case {
    tree()
        .run("depmod -n 2.3 /lib/modules/REL/kernel/leaf.ko")
        .run("depmod -o out 2.3 /lib/modules/REL/kernel/leaf.ko")
        .run("depmod 2.3 /lib/modules/REL/kernel/leaf.ko")
}
