//! depmod: modules, dependencies, options.

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
    old_files_are_replaced,
    an_empty_tree,
    output_that_cannot_be_written,
];

/// `top` depends on `mid` and `leaf`, `mid` on `leaf`.
fn tree() -> Case {
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
