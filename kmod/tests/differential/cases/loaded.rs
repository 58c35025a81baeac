//! Loaded modules, according to /proc/modules and /sys/module: lsmod, rmmod, modprobe -r, and loads of loaded modules.

use super::{cases, module};
use crate::case::Case;

cases![
    listing,
    listing_of_nothing,
    listing_without_proc,
    listing_odd_lines,
    listing_states,
    listing_wide,
    loading_what_is_there,
    loading_refused,
    loading_missing_files,
    loading_with_a_missing_dependency,
    dry_loading,
    removing,
    removing_in_use,
    removing_builtin,
    removing_what_is_not_there,
    removing_several,
    removing_dry,
    removing_as_if_not_in_use,
    removing_invalid_names,
    removing_names_of_directories,
    removing_holders,
    removing_a_holder_that_is_a_soft_dependency,
    removing_what_a_module_that_is_not_loaded_needs,
    removing_with_softdeps,
    removing_with_refused_softdeps,
    removing_by_alias,
    removing_with_wait,
    removing_by_rmmod,
    being_loaded,
    being_removed,
    first_time,
    forced,
];

fn tree() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf").exports(&["l"]).info("alias=al"))
        .ko("kernel/mid.ko", &module("mid").exports(&["m"]).imports(&["l"]))
        .ko("kernel/top.ko", &module("top").imports(&["m", "l"]))
        .ko("kernel/other-x.ko", &module("other_x"))
        .file("modules.builtin", "kernel/bi.ko\n")
        .run("depmod")
}

/// `top` depends on `mid`, `mid` on `leaf`; `other_x` has no dependencies.
fn loaded() -> Case {
    tree()
        .loaded("top", 16384, &[], 0)
        .loaded("mid", 20480, &["top"], 1)
        .loaded("leaf", 24576, &["top", "mid"], 2)
        .loaded("other_x", 4096, &[], 0)
}

fn listing() -> Case {
    loaded().run("lsmod").run("kmod list")
}

fn listing_of_nothing() -> Case {
    Case::new().file("/proc/modules", "").run("lsmod")
}

fn listing_without_proc() -> Case {
    Case::new().run("lsmod").run("kmod list").run("rmmod x")
}

fn listing_odd_lines() -> Case {
    Case::new().file("/proc/modules", "\nshort\nname 123\n x 1 0 - Live 0x0\nlast 5 0 - Live 0x0").run("lsmod")
}

fn listing_states() -> Case {
    loaded()
        .file("/proc/modules", "top 1 0 - Loading 0x0\nmid 2 -1 - Unloading 0x0\nleaf 3 2 top,mid, Live 0x0 (OE)\nother_x 4 1 [permanent], Live 0x0\n")
        .run("lsmod")
}

fn listing_wide() -> Case {
    let name = "a_very_long_name_of_a_module_that_fills_the_column";
    Case::new().loaded(name, 1_234_567_890, &["x", "y", "z"], 3).run("lsmod")
}

fn loading_what_is_there() -> Case {
    loaded()
        .run("modprobe leaf")
        .run("modprobe top")
        .run("modprobe -v top a=1")
        .run("modprobe al")
        .run("modprobe -D top")
        .run("modprobe -a leaf mid")
}

fn loading_refused() -> Case {
    tree()
        .run("modprobe leaf")
        .run("modprobe -v top")
        .run("modprobe -q top")
        .run("modprobe -a leaf other-x")
        .run("modprobe al")
        .run("modprobe -s leaf")
}

fn loading_missing_files() -> Case {
    Case::new()
        .file("modules.dep.bin", include_bytes!("one.dep.bin"))
        .run("modprobe one")
        .run("modprobe -v one")
        .run("modprobe -D one")
        .run("modprobe -q one")
        .run("modprobe -s one")
        .run("modprobe -a one one")
}

fn loading_with_a_missing_dependency() -> Case {
    Case::new()
        .ko("kernel/two.ko", &module("two"))
        .file("modules.dep.bin", include_bytes!("one.dep.bin"))
        .run("modprobe two")
        .run("modprobe -v two")
        .run("modprobe -D two")
        .run("modprobe -n two")
}

fn dry_loading() -> Case {
    loaded()
        .run("modprobe -n top")
        .run("modprobe -nv top")
        .run("modprobe -nv leaf")
        .run("modprobe -n nosuch")
        .run("modprobe --dry-run other-x")
}

fn removing() -> Case {
    loaded().run("modprobe -r top").run("modprobe -rv top").run("modprobe -r other-x").run("modprobe -rf top")
}

fn removing_in_use() -> Case {
    loaded()
        .run("modprobe -r leaf")
        .run("modprobe -r mid")
        .run("modprobe -rq leaf")
        .run("modprobe -ra leaf other-x")
        .run("modprobe -r leaf other-x")
        .run("modprobe -rn leaf")
        .run("modprobe -rs leaf")
}

fn removing_builtin() -> Case {
    loaded()
        .run("modprobe -r bi")
        .run("modprobe -ra bi other-x")
        .run("rmmod bi")
        .run("modprobe -rq bi")
        .run("modprobe -r --first-time bi")
}

fn removing_what_is_not_there() -> Case {
    tree()
        .run("modprobe -r leaf")
        .run("modprobe -r --first-time leaf")
        .run("modprobe -ra --first-time leaf top")
        .run("modprobe -r nosuch")
        .run("modprobe -rq nosuch")
        .run("modprobe -rn leaf")
        .run("modprobe -rv leaf")
}

fn removing_several() -> Case {
    loaded()
        .run("modprobe -r nosuch leaf bi")
        .run("modprobe -ra nosuch leaf bi")
        .run("modprobe -rqa nosuch leaf bi")
        .run("modprobe -rq nosuch other-x")
}

fn removing_dry() -> Case {
    loaded().run("modprobe -rn top").run("modprobe -rnv top").run("modprobe -rnv other-x").run("modprobe -rnv mid")
}

fn removing_holders() -> Case {
    loaded()
        .run("modprobe -r --remove-holders mid")
        .run("modprobe -rnv --remove-holders mid")
        .run("modprobe -rnv --remove-holders leaf")
        .run("modprobe -rnv --remove-dependencies other-x")
        .run("modprobe -rnv --remove-holders bi")
}

fn removing_with_softdeps() -> Case {
    loaded()
        .conf("a.conf", "softdep other_x pre: bi nosuch post: top\nsoftdep top pre: other-x\n")
        .run("modprobe -rnv other-x")
        .run("modprobe -rinv other-x")
        .run("modprobe -rnv top")
        .run("modprobe -r other-x")
}

fn removing_with_refused_softdeps() -> Case {
    let case = tree().loaded("top", 4096, &[], 0).loaded("other_x", 4096, &[], 0).loaded("leaf", 4096, &[], 1);
    case.conf("a.conf", "softdep other_x pre: leaf post: top\nsoftdep leaf post: mid\nremove mid false\n")
        .run("modprobe -r other-x")
        .run("modprobe -rv other-x")
        .run("modprobe -rq other-x")
        .run("modprobe -r leaf")
        .run("modprobe -ra leaf")
        .run("modprobe -rq leaf")
}

fn removing_by_alias() -> Case {
    loaded()
        .conf("a.conf", "alias my other_x\nblacklist other_x\n")
        .run("modprobe -rnv my")
        .run("modprobe -rnv al")
        .run("modprobe -rbnv other-x")
}

fn removing_as_if_not_in_use() -> Case {
    loaded().run("modprobe -rD leaf").run("modprobe -rDv mid top").run("modprobe -rD other-x leaf nosuch")
}

fn removing_a_holder_that_is_a_soft_dependency() -> Case {
    loaded()
        .conf("a.conf", "softdep mid post: top\n")
        .run("modprobe -r --remove-holders mid")
        .run("modprobe -rnv --remove-holders mid")
}

/// The second name is in use.
fn removing_invalid_names() -> Case {
    loaded()
        .run("modprobe -r a[b leaf")
        .run("modprobe -ra c]d leaf")
        .run("modprobe -rs a[b leaf")
        .run("modprobe -rq a[b leaf")
}

fn removing_names_of_directories() -> Case {
    loaded().run("rmmod / leaf").run("rmmod lib/ leaf").run("rmmod . leaf")
}

fn removing_with_wait() -> Case {
    loaded().run("modprobe -rnv -w 5 other-x").run("modprobe -r -w 5 other-x").run("modprobe -rnv -w 5 leaf")
}

fn removing_by_rmmod() -> Case {
    loaded()
        .run("rmmod leaf")
        .run("rmmod mid")
        .run("rmmod top")
        .run("rmmod nosuch")
        .run("rmmod other-x")
        .run("rmmod other_x leaf nosuch")
        .run("rmmod -f leaf")
        .run("rmmod /lib/modules/REL/kernel/other-x.ko")
        .run("rmmod -v top")
        .run("rmmod -s leaf")
}

fn being_loaded() -> Case {
    tree()
        .loaded("leaf", 100, &[], 0)
        .file("/sys/module/leaf/initstate", "coming\n")
        .run("modprobe leaf")
        .run("modprobe -r leaf")
        .run("rmmod leaf")
        .run("modprobe mid")
        .run("lsmod")
}

fn being_removed() -> Case {
    tree()
        .loaded("leaf", 100, &[], 0)
        .file("/sys/module/leaf/initstate", "going\n")
        .run("modprobe leaf")
        .run("modprobe -r leaf")
        .run("rmmod leaf")
}

fn first_time() -> Case {
    loaded()
        .run("modprobe --first-time leaf")
        .run("modprobe --first-time bi")
        .run("modprobe --first-time al")
        .run("modprobe --first-time -q leaf")
        .run("modprobe -a --first-time leaf bi")
        .run("modprobe -D --first-time leaf")
}

fn forced() -> Case {
    tree()
        // Only dry runs: the result of a real load with these flags depends on the kernel.
        .run("modprobe -fD top")
        .run("modprobe --force-vermagic -nv leaf")
        .run("modprobe --force-modversion -D top")
}

fn removing_what_a_module_that_is_not_loaded_needs() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .ko("kernel/b.ko", &module("b"))
        .ko("kernel/m.ko", &module("m"))
        .conf("a.conf", "softdep m pre: b a\nsoftdep a pre: b\n")
        .loaded("m", 4096, &[], 0)
        .loaded("b", 4096, &[], 0)
        .run("depmod")
        .run("modprobe -rnv m")
        .run("modprobe -r m")
}
