//! depmod: depmod.d.

use super::depmod::tree;
use super::{cases, module};
use crate::case::Case;

cases![
    a_search_line,
    a_search_line_without_builtin,
    several_search_lines,
    search_with_paths,
    an_override,
    an_override_by_release,
    several_overrides,
    expressions_of_posix,
    an_override_with_a_folded_name,
    slashes_in_search_and_override,
    an_external_tree,
    an_external_tree_that_is_missing,
    excluded_names,
    build_and_source,
    odd_config,
    config_directories,
    config_given,
];

fn a_search_line() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("updates/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("weak-updates/mid.ko", &module("mid").exports(&["m"]))
        .file("/etc/depmod.d/a.conf", "search extra updates built-in weak-updates\n")
        .run("depmod")
        .query("modprobe -D top")
}

fn a_search_line_without_builtin() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("other/mid.ko", &module("mid").exports(&["m"]))
        .file("/etc/depmod.d/a.conf", "search extra\n")
        .run("depmod")
        .query("modprobe -D top")
}

fn several_search_lines() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("more/leaf.ko", &module("leaf").exports(&["l"]))
        .file("/etc/depmod.d/a.conf", "search extra built-in\n")
        .file("/etc/depmod.d/b.conf", "search more\n")
        .run("depmod")
        .query("modprobe -D leaf")
}

fn search_with_paths() -> Case {
    tree()
        .ko("extra/sub/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("extrasub/mid.ko", &module("mid").exports(&["m"]))
        .file("/etc/depmod.d/a.conf", "search extra/sub kernel/ /extra built-in extra\n")
        .run("depmod")
        .query("modprobe -D top")
}

fn an_override() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("updates/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("extra/mid-x.ko", &module("mid_x"))
        .ko("kernel/mid-x.ko", &module("mid_x"))
        .file("/etc/depmod.d/a.conf", "override leaf * extra\noverride mid_x * extra\noverride top * nosuch\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D mid-x", "modprobe -D top"])
}

fn an_override_by_release() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("extra/mid.ko", &module("mid").exports(&["m"]))
        .ko("extra/top.ko", &module("top"))
        .file(
            "/etc/depmod.d/a.conf",
            "override leaf [0-9]+\\.[0-9]+ extra\noverride mid ^9\\. extra\noverride top [ extra\noverride x\n",
        )
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D mid", "modprobe -D top"])
}

fn several_overrides() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("more/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("extra/mid.ko", &module("mid").exports(&["m"]))
        .ko("more/mid.ko", &module("mid").exports(&["m"]))
        .file(
            "/etc/depmod.d/a.conf",
            "override leaf * extra\noverride leaf * more\noverride mid * more\noverride mid * extra\n\
             override mid * nosuch\noverride mid ^9\\. kernel\n",
        )
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D mid"])
}

fn expressions_of_posix() -> Case {
    let expressions = [
        ")",
        "[\\\\d]",
        "[0-9]{,1}",
        "x|",
        "\\\\d",
        "[[.6.]]",
        "[0-9]?+x",
        "\\\\<[0-9]",
        "^*",
        "*",
        "x{",
        "\\\\`[0-9]",
    ];
    let names: Vec<String> = (0..expressions.len()).map(|number| format!("m{number:02}")).collect();
    let lines = names.iter().zip(expressions).map(|(name, expression)| format!("override {name} {expression} extra\n"));
    let both = |case: Case, name: &String| {
        case.ko(format!("extra/{name}.ko"), &module(name)).ko(format!("updates/{name}.ko"), &module(name))
    };
    let text = lines.collect::<String>();
    names.iter().fold(Case::new(), both).file("/etc/depmod.d/a.conf", text).run("depmod")
}

fn an_override_with_a_folded_name() -> Case {
    let both = |case: Case, name: &str| {
        let both = ["updates", "weak-updates/n"];
        both.iter().fold(case, |case, dir| case.ko(format!("{dir}/{name}.ko"), &module(name)))
    };
    let case = ["n-m", "o_p", "q-r", "s_t"].iter().fold(Case::new(), |case, name| both(case, name));
    let lines = ["n_m", "o-p", "q-r", "s_t"].map(|name| format!("override {name} * weak-updates/n\n"));
    case.file("/etc/depmod.d/a.conf", lines.concat()).run("depmod").queries(&[
        "modprobe -D n_m",
        "modprobe -D o_p",
        "modprobe -D q_r",
        "modprobe -D s_t",
    ])
}

fn slashes_in_search_and_override() -> Case {
    let names = ["a", "b", "c", "d", "e"];
    let both = |case: Case, name: &&str| {
        case.ko(format!("over/{name}.ko"), &module(name)).ko(format!("updates/{name}.ko"), &module(name))
    };
    names
        .iter()
        .fold(Case::new(), both)
        .ko("late/f.ko", &module("f"))
        .ko("late/sub/g.ko", &module("g"))
        .ko("updates/f.ko", &module("f"))
        .ko("updates/g.ko", &module("g"))
        .file(
            "/etc/depmod.d/a.conf",
            "override a * over/\noverride b * /over\noverride c * over//\noverride d * //over/\noverride e * over\n\
             search /late/ updates built-in\n",
        )
        .run("depmod")
        .queries(&["modprobe -D a", "modprobe -D b", "modprobe -D e", "modprobe -D f", "modprobe -D g"])
}

fn an_external_tree() -> Case {
    tree()
        .file("/ext/leaf.ko", module("leaf").exports(&["l"]).info("alias=ext").build())
        .file("/ext/sub/new.ko", module("new").imports(&["l"]).build())
        .file("/etc/depmod.d/a.conf", "external * /ext\nsearch external updates built-in\nexternal ^0\\. /ext2\n")
        .file("/ext2/no.ko", module("no").build())
        .step("depmod", |step| step.sorted = true)
        .queries(&["modprobe -D leaf", "modprobe -D new", "modprobe -R ext", "modprobe -D top", "modprobe -D no"])
}

fn an_external_tree_that_is_missing() -> Case {
    tree()
        .file("/etc/depmod.d/a.conf", "external * /nosuch\nexternal * relative\nexternal *\n")
        .run("depmod")
        .query("modprobe -D top")
}

fn excluded_names() -> Case {
    tree()
        .ko("skip/a.ko", &module("a"))
        .ko("kernel/b.ko", &module("b"))
        .file("/etc/depmod.d/a.conf", "exclude skip b.ko\nexclude mid.ko\n")
        .run("depmod")
        .query("modprobe -D top")
}

fn build_and_source() -> Case {
    tree()
        .file("build/a.ko", module("a").build())
        .file("source/b.ko", module("b").build())
        .file("kernel/build/c.ko", module("c").build())
        .file("built/d.ko", module("d").build())
        .file("modules.order", "kernel/leaf.ko\nkernel/mid.ko\nkernel/top.ko\nbuilt/d.ko\n")
        .run("depmod")
}

fn odd_config() -> Case {
    tree()
        .ko("extra/leaf.ko", &module("leaf").exports(&["l"]))
        .file(
            "/etc/depmod.d/a.conf",
            "# comment\n  # indented\nbogus line\nsearch\noverride\noverride leaf\noverride leaf *\nexternal\nexclude\n\
             include x\nmake_map_files yes\nsearch \\\n extra built-in\nmake_map_files\n\n   \n",
        )
        .run("depmod")
        .query("modprobe -D leaf")
}

fn config_directories() -> Case {
    tree()
        .ko("a/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("b/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("c/leaf.ko", &module("leaf").exports(&["l"]))
        .file("/etc/depmod.d/x.conf", "search a built-in\n")
        .file("/run/depmod.d/x.conf", "search b built-in\n")
        .file("/usr/local/lib/depmod.d/y.conf", "# nothing\n")
        .file("/lib/depmod.d/y.conf", "search c built-in\n")
        .file("/usr/lib/depmod.d/0.conf.bak", "search b built-in\n")
        .run("depmod")
        .query("modprobe -D leaf")
}

fn config_given() -> Case {
    tree()
        .ko("updates/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("b/leaf.ko", &module("leaf").exports(&["l"]))
        .file("/etc/depmod.d/x.conf", "search built-in updates b\n")
        .file("/my", "search b built-in updates\n")
        .file("/dir/z.conf", "search updates b built-in\n")
        .run("depmod -C /my")
        .run("depmod")
        .run("depmod --config /dir")
        .run("depmod -C /my")
        .run("depmod -C /nosuch")
        .run("depmod -C my -C dir")
}
