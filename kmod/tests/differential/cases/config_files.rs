//! modprobe.d: files and their order, -C, MODPROBE_OPTIONS, and the output of -c.

use super::cases;
use super::config::tree;
use crate::case::Case;

cases![
    directories,
    order_of_files,
    names_of_files,
    links_and_directories,
    given_file,
    given_directory,
    given_several,
    given_missing,
    environment_options,
    environment_odd_blanks,
    environment_quotes,
    show_config_order,
    show_config_names,
];

fn directories() -> Case {
    tree()
        .file("/etc/modprobe.d/one.conf", "options leaf etc=1\n")
        .file("/run/modprobe.d/one.conf", "options leaf run=1\n")
        .file("/run/modprobe.d/two.conf", "options leaf run=2\n")
        .file("/usr/local/lib/modprobe.d/two.conf", "options leaf local=2\n")
        .file("/usr/local/lib/modprobe.d/three.conf", "options leaf local=3\n")
        .file("/usr/lib/modprobe.d/three.conf", "options leaf usr=3\n")
        .file("/usr/lib/modprobe.d/four.conf", "options leaf usr=4\n")
        .file("/lib/modprobe.d/four.conf", "options leaf lib=4\n")
        .file("/lib/modprobe.d/five.conf", "options leaf lib=5\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -c"])
}

fn order_of_files() -> Case {
    tree()
        .file("/etc/modprobe.d/b.conf", "options leaf b=1\n")
        .file("/run/modprobe.d/a.conf", "options leaf a=1\n")
        .file("/lib/modprobe.d/B.conf", "options leaf B=1\n")
        .file("/etc/modprobe.d/10-x.conf", "options leaf ten=1\n")
        .file("/etc/modprobe.d/9-x.conf", "options leaf nine=1\n")
        .file("/etc/modprobe.d/_.conf", "options leaf score=1\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -c"])
}

fn names_of_files() -> Case {
    tree()
        .conf(".hidden.conf", "options leaf hidden=1\n")
        .conf("a.conf.bak", "options leaf bak=1\n")
        .conf("noext", "options leaf noext=1\n")
        .conf(".conf", "options leaf dot=1\n")
        .conf("x.CONF", "options leaf upper=1\n")
        .conf("a.alias", "options leaf alias=1\n")
        .conf("b.conf", "options leaf good=1\n")
        .conf("c d.conf", "options leaf blank=1\n")
        .run("depmod")
        .query("modprobe -D leaf")
}

fn links_and_directories() -> Case {
    tree()
        .directory("/etc/modprobe.d/dir.conf")
        .link("/etc/modprobe.d/dangling.conf", "nosuch")
        .link("/etc/modprobe.d/loop.conf", "loop.conf")
        .link("/etc/modprobe.d/null.conf", "/dev/null")
        .link("/etc/modprobe.d/real.conf", "/etc/elsewhere")
        .file("/etc/elsewhere", "options leaf linked=1\n")
        .file("/run/modprobe.d/null.conf", "options leaf masked=1\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -qD leaf"])
}

fn given_file() -> Case {
    tree().conf("a.conf", "options leaf default=1\n").file("/my", "options leaf mine=1\nbogus\n").run("depmod").queries(
        &[
            "modprobe -C /my -D leaf",
            "modprobe --config=/my -D leaf",
            "modprobe -D leaf -C /my",
            "modprobe -C my -D leaf",
        ],
    )
}

fn given_directory() -> Case {
    tree()
        .conf("a.conf", "options leaf default=1\n")
        .file("/my/b.conf", "options leaf b=1\n")
        .file("/my/a.conf", "options leaf a=1\n")
        .file("/my/skip", "options leaf skip=1\n")
        .run("depmod")
        .queries(&[
            "modprobe -C /my -D leaf",
            "modprobe -C /my/ -D leaf",
            "modprobe -C my -D leaf",
            "modprobe -c -C /my",
        ])
}

fn given_several() -> Case {
    tree()
        .file("/one/x.conf", "options leaf one=1\n")
        .file("/two/x.conf", "options leaf two=1\n")
        .file("/two/w.conf", "options leaf w=1\n")
        .file("/y.conf", "options leaf y=1\n")
        .file("/a", "options leaf a=1\n")
        .run("depmod")
        .queries(&[
            "modprobe -C /one -C /two -D leaf",
            "modprobe -C /two -C /one -D leaf",
            "modprobe -C /y.conf -C /one -C /a -D leaf",
            "modprobe -C /a -C /a -D leaf",
        ])
}

fn given_missing() -> Case {
    tree().conf("a.conf", "options leaf default=1\n").file("/empty", "").run("depmod").queries(&[
        "modprobe -C /nosuch -D leaf",
        "modprobe -C '' -D leaf",
        "modprobe -C /empty -D leaf",
        "modprobe -C /dev/null -D leaf",
    ])
}

fn environment_options() -> Case {
    let with = |value: &'static str| {
        move |step: &mut crate::case::Step| step.env = vec![("MODPROBE_OPTIONS".into(), value.into())]
    };
    tree()
        .conf("a.conf", "blacklist leaf\n")
        .run("depmod")
        .step("modprobe leaf", with("-D"))
        .step("modprobe leaf", with("-b -D"))
        .step("modprobe nosuch", with("-q"))
        .step("modprobe -D", with("leaf"))
        .step("modprobe -D leaf", with(""))
        .step("modprobe leaf", with("--show-depends -C /dev/null"))
        .step("modprobe leaf", with("--bogus"))
        .step("insmod", with("-V"))
}

fn environment_odd_blanks() -> Case {
    let with = |value: &'static str| {
        move |step: &mut crate::case::Step| step.env = vec![("MODPROBE_OPTIONS".into(), value.into())]
    };
    tree()
        .run("depmod")
        .step("modprobe leaf", with(" -D"))
        .step("modprobe leaf", with("-D "))
        .step("modprobe leaf", with("-b  -D"))
        .step("modprobe leaf", with("-b\t-D"))
}

fn environment_quotes() -> Case {
    let with = |value: &'static str| {
        move |step: &mut crate::case::Step| step.env = vec![("MODPROBE_OPTIONS".into(), value.into())]
    };
    tree()
        .file("/a b", "options leaf quoted=1\n")
        .file("/ab", "options leaf plain=1\n")
        .run("depmod")
        .step("modprobe leaf", with("-D -C '/ab'"))
        .step("modprobe leaf", with("-D -C \"/ab\""))
        .step("modprobe leaf", with("-D -C '/a b'"))
}

fn show_config_order() -> Case {
    tree()
        .conf(
            "a.conf",
            "weakdep w1 x\nsoftdep s1 pre: x\noptions o1 a=1\nalias al1 x\nremove r1 x\ninstall i1 x\nblacklist b1\n",
        )
        .conf(
            "b.conf",
            "blacklist b2\ninstall i2 y\nremove r2 y\nalias al2 y\noptions o2 b=1\nsoftdep s2 post: y\nweakdep w2 y\n",
        )
        .run("depmod")
        .queries(&[
            "modprobe -c",
            "modprobe --showconfig",
            "modprobe --show-config",
            "modprobe -c leaf",
            "modprobe -c -S 1.2.3",
        ])
}

fn show_config_names() -> Case {
    tree()
        .conf(
            "a.conf",
            "blacklist a-b\ninstall c-d e-f\nremove g-h i-j\nalias k-l m-n\noptions o-p q-r=1\nsoftdep s-t pre: u-v post: w-x\n\
             weakdep y-z a-a\nalias bad[x y\nblacklist bad]\noptions b[a-c]d x\n",
        )
        .run("depmod")
        .query("modprobe -c")
}
