//! The `modinfo` command.

use super::{cases, module};
use crate::case::Case;

cases![
    all_fields,
    one_field,
    short_forms,
    parameters,
    nul_separator,
    names_only,
    of_files,
    of_aliases,
    of_builtins,
    several,
    errors,
    broken_files,
    odd_entries,
    other_places,
    config_is_not_read,
    long_keys,
];

fn tree() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a")
                .info("license=GPL")
                .info("author=One <one@example.org>")
                .info("author=Two")
                .info("description=Does things")
                .info("alias=al")
                .info("alias=pci:v*")
                .info("depends=b,c")
                .info("version=1.0")
                .info("srcversion=ABCDEF")
                .info("vermagic=REL SMP")
                .info("parm=debug:Be loud")
                .info("parmtype=debug:int")
                .info("parmtype=plain:bool")
                .info("parm=text:Only described (really)")
                .info("intree=Y")
                .info("retpoline=Y"),
        )
        .ko("kernel/b.ko", &module("b").info("alias=al").info("license=MIT"))
        .file("modules.builtin", "kernel/bi.ko\nkernel/bo.ko\n")
        .file(
            "modules.builtin.modinfo",
            "bi.license=GPL\0bi.author=Me\0bi.alias=builtin-al\0bi.parm=x:y\0bi.parmtype=x:int\0bi.file=kernel/bi\0",
        )
        .run("depmod")
}

fn all_fields() -> Case {
    tree().queries(&["modinfo a", "modinfo b", "modinfo a b"])
}

fn one_field() -> Case {
    tree().queries(&[
        "modinfo -F license a",
        "modinfo -F author a",
        "modinfo -F nosuch a",
        "modinfo -F alias a",
        "modinfo -F filename a",
        "modinfo -F name a",
        "modinfo -F parm a",
        "modinfo -F parmtype a",
        "modinfo -F depends a b",
        "modinfo -F '' a",
        "modinfo -F sig_id a",
        "modinfo --field=license a",
        "modinfo -F License a",
    ])
}

fn short_forms() -> Case {
    tree().queries(&[
        "modinfo -a a",
        "modinfo -d a",
        "modinfo -l a",
        "modinfo -n a",
        "modinfo -p a",
        "modinfo --author a",
        "modinfo --description a",
        "modinfo --license a",
        "modinfo --filename a",
        "modinfo --parameters a",
        "modinfo -a -l a",
        "modinfo -n -F author a",
    ])
}

fn parameters() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a")
                .info("parm=one:First")
                .info("parmtype=two:int")
                .info("parmtype=one:uint")
                .info("parm=two:Second\nof two lines")
                .info("parmtype=three:array of charp")
                .info("parm=four")
                .info("parm=:five")
                .info("parmtype=six")
                .info("parm=one:Again")
                .info("parmtype=one:int")
                .info("parm=seven:"),
        )
        .run("depmod")
        .queries(&["modinfo a", "modinfo -p a", "modinfo -F parm a", "modinfo -F parmtype a", "modinfo -p0 a"])
}

fn nul_separator() -> Case {
    tree().queries(&[
        "modinfo -0 a",
        "modinfo --null a",
        "modinfo -0 -F author a",
        "modinfo -0n a",
        "modinfo -0p a",
        "modinfo -0 bi",
    ])
}

fn names_only() -> Case {
    tree().queries(&[
        "modinfo -m a",
        "modinfo --modname a",
        "modinfo -m al",
        "modinfo -m nosuch",
        "modinfo -m bi",
        "modinfo -m a-b",
        "modinfo -m -F name a",
    ])
}

fn of_files() -> Case {
    tree()
        .file("/x.ko", module("x").info("license=X").build())
        .file("/y.txt", module("y").build())
        .file("/z.ko.xz", "no xz")
        .run("modinfo /x.ko")
        .run("modinfo ./x.ko")
        .run("modinfo x.ko")
        .run("modinfo /lib/modules/REL/kernel/a.ko")
        .run("modinfo /y.txt")
        .run("modinfo /nosuch.ko")
        .run("modinfo nosuch.ko")
        .run("modinfo /z.ko.xz")
        .run("modinfo -F filename x.ko")
        .run("modinfo -n x.ko a")
}

fn of_aliases() -> Case {
    tree().queries(&["modinfo al", "modinfo -n al", "modinfo -F license al", "modinfo pci:vx", "modinfo symbol:x"])
}

fn of_builtins() -> Case {
    tree().queries(&[
        "modinfo bi",
        "modinfo bo",
        "modinfo -F license bi",
        "modinfo -F filename bi",
        "modinfo -n bi",
        "modinfo builtin-al",
        "modinfo -p bi",
        "modinfo -F name bi",
    ])
}

fn several() -> Case {
    tree().queries(&["modinfo -n a nosuch b", "modinfo -F license a b bi", "modinfo -n a a"])
}

fn errors() -> Case {
    tree().queries(&[
        "modinfo nosuch",
        "modinfo a[b",
        "modinfo ''",
        "modinfo -m a[b",
        "modinfo -F name nosuch",
        "modinfo a.ko",
        "modinfo -- -x",
        "modinfo kernel/a.ko",
    ])
}

fn broken_files() -> Case {
    Case::new()
        .raw("kernel/text.ko", "text")
        .raw("kernel/empty.ko", "")
        .ko("kernel/none.ko", &crate::testing::TinyModule::default())
        .directory("/dir.ko")
        .run("depmod")
        .run("modinfo text")
        .run("modinfo empty")
        .run("modinfo none")
        .run("modinfo /dir.ko")
        .run("modinfo text none empty")
        .run("modinfo -F license text")
        .run("modinfo -n text")
        .run("modinfo -p text")
}

fn odd_entries() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a")
                .info("novalue")
                .info("empty=")
                .info("=nokey")
                .info("")
                .info("eq=a=b")
                .info("multi=one\ntwo")
                .info(" sp = x "),
        )
        .run("depmod")
        .queries(&["modinfo a", "modinfo -F eq a", "modinfo -F novalue a", "modinfo -F empty a", "modinfo -0 a"])
}

fn other_places() -> Case {
    Case::bare()
        .file("/r/lib/modules/1.2.3/kernel/a.ko", module("a").build())
        .file("/r/lib/modules/1.2.3/modules.order", "kernel/a.ko\n")
        .file("/r/lib/modules/1.2.3/modules.builtin", "kernel/bi.ko\n")
        .file("/r/lib/modules/1.2.3/modules.builtin.modinfo", "bi.license=GPL\0")
        .run("depmod -b /r 1.2.3")
        .run("modinfo -b /r -k 1.2.3 a")
        .run("modinfo -b r -k 1.2.3 a")
        .run("modinfo -b /r/ -k 1.2.3 bi")
        .run("modinfo -k 1.2.3 a")
        .run("modinfo -b /r a")
        .run("modinfo a")
}

fn config_is_not_read() -> Case {
    tree().conf("a.conf", "alias my a\nbogus\nblacklist a\ninstall ghost true\n").queries(&[
        "modinfo -n my",
        "modinfo -n a",
        "modinfo ghost",
    ])
}

fn long_keys() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a")
                .info("fourteen_chars=x")
                .info("fifteen_chars__=x")
                .info("sixteen_chars___=x")
                .info("a_key_longer_than_the_column=x"),
        )
        .run("depmod")
        .query("modinfo a")
}
