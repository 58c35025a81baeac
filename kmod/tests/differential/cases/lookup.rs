//! Lookup of names, and the order of the sources.

use super::{cases, module, patched};
use crate::case::Case;

cases![
    options_of_a_configured_alias,
    alias_shapes,
    chain,
    brackets,
    negated_brackets,
    backslashes,
    stars,
    dots,
    case_of_letters,
    one_alias_of_several_modules,
    several_aliases_of_one_module,
    an_alias_to_nothing,
    an_alias_of_an_alias,
    an_alias_hides_a_module,
    an_alias_in_a_circle,
    an_alias_with_a_path_for_target,
    colons,
    symbols,
    names_of_files,
    dashes_and_underscores,
    an_empty_name,
    odd_bytes,
    long_names,
    a_builtin_alias,
    a_builtin_that_is_a_module_too,
    no_directory,
    no_index,
    paths,
    several_names,
    names_like_options,
    softdeps_by_alias,
    wildcards_in_the_name,
];

fn alias_shapes() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=pci:v00008086d*sv*").info("alias=a-b-c").info("alias=x[0-9]y"))
        .ko("kernel/b.ko", &module("b").info("alias=fs-*").info("alias=q?r").info("alias=br[ab-]c"))
        .run("depmod")
        .queries(&[
            "modprobe -R pci:v00008086d0001sv2",
            "modprobe -R a_b-c",
            "modprobe -R x5y",
            "modprobe -R xay",
            "modprobe -R fs-ext4",
            "modprobe -R fs_ext4",
            "modprobe -R qxr",
            "modprobe -R q?r",
            "modprobe -R br-c",
            "modprobe -R br_c",
            "modprobe -D fs-x",
            "modprobe -c",
        ])
}

fn chain() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["sym"]))
        .ko("kernel/b.ko", &module("b").info("alias=c").info("alias=bi"))
        .file("modules.builtin", "kernel/bi.ko\nkernel/bo.ko\n")
        .conf("x.conf", "alias a b\ninstall d true\nremove e true\n")
        .run("depmod")
        .queries(&[
            "modprobe -R a",
            "modprobe -R symbol:sym",
            "modprobe -R c",
            "modprobe -R d",
            "modprobe -R e",
            "modprobe -R bi",
            "modprobe -R bo",
            "modprobe -R nosuch",
            "modprobe -D a",
            "modprobe -D bo",
            "modprobe -aD a b c d e bi bo nosuch",
        ])
}

fn brackets() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a").info("alias=one[ab").info("alias=two]").info("alias=three[]x").info("alias=f[[]g"),
        )
        .ko("kernel/b.ko", &module("b").info("alias=h[a-c]i").info("alias=j[]]k").info("alias=good"))
        .run("depmod")
        .queries(&[
            "modprobe -R one[ab",
            "modprobe -R onea",
            "modprobe -R two]",
            "modprobe -R three[]x",
            "modprobe -R f[g",
            "modprobe -R hbi",
            "modprobe -R h[a-c]i",
            "modprobe -R j]k",
            "modprobe -R good",
            "modprobe -D one[ab",
            "modprobe -r a[b",
            "modprobe -a a[b good",
            "modprobe -q a[b",
            "modprobe -c",
        ])
}

fn negated_brackets() -> Case {
    Case::new().ko("kernel/a.ko", &module("a").info("alias=x[!0-9]y").info("alias=z[^0-9]y")).run("depmod").queries(&[
        "modprobe -R xay",
        "modprobe -R x1y",
        "modprobe -R zay",
        "modprobe -R z1y",
        "modprobe -R x-y",
        "modprobe -R x!y",
    ])
}

fn backslashes() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=x\\*y").info("alias=p\\q").info("alias=end\\"))
        .conf("a.conf", "alias co\\nf a\nalias g\\*h a\n")
        .run("depmod")
        .queries(&[
            "modprobe -R x*y",
            "modprobe -R xzy",
            "modprobe -R x\\*y",
            "modprobe -R pq",
            "modprobe -R p\\q",
            "modprobe -R end\\",
            "modprobe -R conf",
            "modprobe -R g*h",
            "modprobe -R gxh",
            "modprobe -c",
        ])
}

fn stars() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=*").info("alias=a*b*c"))
        .ko("kernel/b.ko", &module("b").info("alias=**x").info("alias=a?*"))
        .run("depmod")
        .queries(&[
            "modprobe -R anything",
            "modprobe -R abc",
            "modprobe -R axxbxxc",
            "modprobe -R x",
            "modprobe -R ax",
            "modprobe -R a",
        ])
}

fn dots() -> Case {
    Case::new()
        .ko("kernel/d.ko", &module("d").info("alias=e.f").info("alias=g.*"))
        .ko("kernel/a.b.c.ko", &module("a"))
        .run("depmod")
        .queries(&[
            "modprobe -R a",
            "modprobe -R a.b.c",
            "modprobe -R e.f",
            "modprobe -R g.h.i",
            "modprobe -R d.ko",
            "modprobe -R .d",
            "modprobe -R .",
            "modprobe -R ..",
            "modprobe -D a",
        ])
}

fn case_of_letters() -> Case {
    Case::new().ko("kernel/Abc.ko", &module("Abc").info("alias=OF:NfooT*")).run("depmod").queries(&[
        "modprobe -R abc",
        "modprobe -R Abc",
        "modprobe -R of:nfoot",
        "modprobe -R OF:NfooTx",
    ])
}

fn one_alias_of_several_modules() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=same").info("alias=pat*"))
        .ko("kernel/b.ko", &module("b").info("alias=same").info("alias=pat?"))
        .ko("kernel/c.ko", &module("c").info("alias=same").info("alias=patx"))
        .run("depmod")
        .queries(&["modprobe -R same", "modprobe -D same", "modprobe -R patx", "modprobe -D patx", "modprobe -c"])
}

fn several_aliases_of_one_module() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=x*").info("alias=xy").info("alias=xy").info("alias=*y"))
        .run("depmod")
        .queries(&["modprobe -R xy", "modprobe -D xy", "modprobe -c"])
        .run("depmod -w")
}

fn an_alias_to_nothing() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .conf("a.conf", "alias gone nosuch\nalias off off\n")
        .run("depmod")
        .queries(&["modprobe -R gone", "modprobe -D gone", "modprobe -n gone", "modprobe -D off", "modprobe -nv gone"])
        .run("modprobe gone")
        .run("modprobe off")
        .run("modprobe -r gone")
        .run("modprobe -q gone")
}

fn an_alias_of_an_alias() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=inner"))
        .conf("a.conf", "alias outer inner\nalias twice outer\n")
        .run("depmod")
        .queries(&["modprobe -R outer", "modprobe -R twice", "modprobe -D outer", "modprobe -D twice"])
        .run("modprobe outer")
}

fn an_alias_hides_a_module() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .ko("kernel/b.ko", &module("b"))
        .conf("a.conf", "alias a b\nalias b b\n")
        .run("depmod")
        .queries(&["modprobe -R a", "modprobe -D a", "modprobe -R b", "modprobe -D b", "modprobe -aR a b"])
}

fn an_alias_in_a_circle() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .conf("a.conf", "alias x y\nalias y x\nalias z z\n")
        .run("depmod")
        .queries(&["modprobe -R x", "modprobe -D x", "modprobe -D z"])
}

fn an_alias_with_a_path_for_target() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .conf("a.conf", "alias x kernel/a.ko\nalias y a.ko\nalias z A-B\n")
        .run("depmod")
        .queries(&["modprobe -R x", "modprobe -R y", "modprobe -R z", "modprobe -D y", "modprobe -c"])
}

fn colons() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=usb:v1*"))
        .ko("kernel/b:c.ko", &module("b"))
        .run("depmod")
        .queries(&["modprobe -R usb:v123", "modprobe -R b:c", "modprobe -D b:c", "modprobe -R :", "modprobe -R a:"])
}

fn symbols() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["one", "two_three"]))
        .ko("kernel/b.ko", &module("b").exports(&["one"]).imports(&["two_three"]))
        .run("depmod")
        .queries(&[
            "modprobe -R symbol:one",
            "modprobe -R symbol:two-three",
            "modprobe -D symbol:one",
            "modprobe -R symbol:*",
            "modprobe -R symbol:nosuch",
            "modprobe -R one",
            "modprobe -D b",
            "modprobe -c",
        ])
}

fn names_of_files() -> Case {
    Case::new().ko("kernel/a.ko", &module("a")).run("depmod").queries(&[
        "modprobe -R a.ko",
        "modprobe -R kernel/a.ko",
        "modprobe -R kernel/a",
        "modprobe -D a.ko",
        "modprobe -R a/",
    ])
}

fn dashes_and_underscores() -> Case {
    Case::new()
        .ko("kernel/x-y_z.ko", &module("x_y_z").info("alias=k-l_m[n-o]"))
        .conf("a.conf", "options x-y_z a-b=1\nalias q-r x_y-z\nblacklist x-y-z\n")
        .run("depmod")
        .queries(&[
            "modprobe -D x-y-z",
            "modprobe -D x_y_z",
            "modprobe -R k_l-mn",
            "modprobe -R k-l-m-",
            "modprobe -R q_r",
            "modprobe -bD x_y_z",
            "modprobe -D q-r",
            "modprobe -D k-l-mn",
            "modprobe -c",
        ])
}

fn an_empty_name() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a"))
        .ko("kernel/.ko", &module("nameless"))
        .run("depmod")
        .queries(&["modprobe -R ''", "modprobe -D ''", "modprobe -aD '' a", "modprobe -n '' a"])
        .run("modprobe -r ''")
        .run("rmmod ''")
        .run("insmod ''")
}

fn odd_bytes() -> Case {
    Case::new()
        .file([b"kernel/a\xff.ko".as_slice()].concat(), module("a").build())
        .ko("kernel/b.ko", &module("b"))
        .ko("kernel/c c.ko", &module("c"))
        .raw("kernel/d.ko", patched(&module("d").info("alias=e\x01f"), 1, 0xfe))
        .unordered()
        .run("depmod")
        .queries(&["modprobe -R b", "modprobe -R 'c c'", "modprobe -D 'c c'", "modprobe -R 'a b'"])
}

fn long_names() -> Case {
    let name = "n".repeat(240);
    let alias = "a".repeat(3000);
    Case::new()
        .ko(format!("kernel/{name}.ko"), &module(&name).info(&format!("alias={alias}")))
        .run("depmod")
        .query(&format!("modprobe -R {name}"))
        .query(&format!("modprobe -R {alias}"))
        .query(&format!("modprobe -R {}", "b".repeat(4090)))
        .query(&format!("modprobe -R {}", "b".repeat(4096)))
        .query(&format!("modprobe -R {}", "b".repeat(5000)))
        .run(&format!("rmmod {}", "b".repeat(5000)))
        .run(&format!("modprobe -r {}", "b".repeat(5000)))
}

fn a_builtin_alias() -> Case {
    Case::new()
        .file("modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/crypto/crc-32.ko\n")
        .file(
            "modules.builtin.modinfo",
            "ext4.alias=fs-ext4\0ext4.alias=fs-ext3\0ext4.license=GPL\0crc_32.alias=crypto-*\0",
        )
        .run("depmod")
        .queries(&[
            "modprobe -R fs-ext4",
            "modprobe -D fs-ext4",
            "modprobe -R crypto-x",
            "modprobe -D crc-32",
            "modprobe -R ext4",
            "modprobe -c",
            "modprobe -n ext4",
        ])
        .run("modprobe ext4")
        .run("modprobe fs-ext4")
        .run("modprobe --first-time ext4")
        .run("modprobe -r ext4")
}

fn a_builtin_that_is_a_module_too() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=bi"))
        .ko("kernel/both.ko", &module("both"))
        .file("modules.builtin", "kernel/bi.ko\nkernel/both.ko\n")
        .file("modules.builtin.modinfo", "bi.alias=ali\0")
        .run("depmod")
        .queries(&["modprobe -R bi", "modprobe -D bi", "modprobe -D both", "modprobe -D ali", "modprobe -R ali"])
        .run("modprobe both")
}

fn no_directory() -> Case {
    Case::bare()
        .conf("a.conf", "alias x y\ninstall z true\nsoftdep s pre: a post: b\n")
        .queries(&["modprobe a", "modprobe -R x", "modprobe -D x", "modprobe -D z", "modprobe -c", "modprobe -aD a b"])
        .run("modprobe -r a")
        .run("depmod")
        .run("depmod -n")
        .run("modprobe -S 1.2.3 a")
        .run("modprobe -d /elsewhere a")
}

fn no_index() -> Case {
    Case::new().ko("kernel/a.ko", &module("a")).queries(&[
        "modprobe a",
        "modprobe -R a",
        "modprobe -D a",
        "modprobe -c",
        "modprobe -r a",
        "modprobe -aq a b",
    ])
}

fn paths() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["s"]))
        .ko("kernel/b.ko", &module("b").imports(&["s"]))
        .file("/x.ko", module("x").build())
        .file("/kernel-b/b.ko", module("b").build())
        .conf("a.conf", "options x k=1\noptions b k=2\n")
        .run("depmod")
        .queries(&[
            "modprobe -D /x.ko",
            "modprobe -D ./x.ko",
            "modprobe -D x.ko",
            "modprobe -D /kernel-b/b.ko",
            "modprobe -D ./nosuch.ko",
            "modprobe -D /",
            "modprobe -D ./",
            "modprobe -R /x.ko",
            "modprobe -D ../x.ko",
            "modprobe -aD ./x.ko ./nosuch.ko b",
        ])
        .run("modprobe ./x.ko")
        .run("modprobe ./nosuch.ko")
        .run("modprobe -q ./nosuch.ko")
        .run("modprobe -r ./x.ko")
}

fn several_names() -> Case {
    Case::new().ko("kernel/a.ko", &module("a")).ko("kernel/b.ko", &module("b")).run("depmod").queries(&[
        "modprobe -R a b",
        "modprobe -aR a b",
        "modprobe -aR nosuch a",
        "modprobe -R nosuch a",
        "modprobe -D a b",
        "modprobe -aD a nosuch b",
        "modprobe -aqD a nosuch b",
        "modprobe -aD b a b",
    ])
}

fn names_like_options() -> Case {
    Case::new().ko("kernel/-x.ko", &module("_x")).run("depmod").queries(&[
        "modprobe -R -- -x",
        "modprobe -R _x",
        "modprobe -D -- -x",
        "modprobe -- -nosuch",
        "modprobe -R -",
        "modprobe --",
    ])
}

fn softdeps_by_alias() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("softdep=pre: al nosuch bi post: symbol:sym"))
        .ko("kernel/b.ko", &module("b").info("alias=al"))
        .ko("kernel/c.ko", &module("c").info("alias=al").exports(&["sym"]))
        .file("modules.builtin", "kernel/bi.ko\n")
        .run("depmod")
        .queries(&["modprobe -D a", "modprobe -c", "modprobe -bD a", "modprobe -iD a"])
}

fn wildcards_in_the_name() -> Case {
    Case::new()
        .ko("kernel/abc.ko", &module("abc").info("alias=al1").info("alias=al2"))
        .conf("a.conf", "alias c?nf abc\n")
        .run("depmod")
        .queries(&[
            "modprobe -R a*",
            "modprobe -R al?",
            "modprobe -R al[12]",
            "modprobe -R c?nf",
            "modprobe -R c*nf",
            "modprobe -R *",
        ])
}

/// Options count for the pattern of an `alias` line, but for the requested name if the alias is in the index.
fn options_of_a_configured_alias() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf").info("alias=usb:*"))
        .conf("a.conf", "alias m* leaf\noptions mx a=1\noptions m* b=1\noptions usb:v1 c=1\noptions usb:* d=1\n")
        .run("depmod")
        .run("modprobe -D mx")
        .run("modprobe -D usb:v1")
}
