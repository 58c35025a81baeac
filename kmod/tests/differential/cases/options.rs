//! Parsing of options, and wrong use.

use super::{cases, module};
use crate::case::Case;

cases![
    verbose_after_quiet,
    verbose_after_quiet_for_commands,
    paths_without_a_module_name,
    modprobe_wrong,
    modprobe_quoted_operands,
    modprobe_partial_options,
    trailing_slashes,
    modprobe_abbreviations,
    modprobe_places,
    modprobe_old_names,
    modprobe_wait,
    modprobe_release_and_root,
    modprobe_syslog,
    modprobe_levels,
    depmod_wrong,
    depmod_removed,
    depmod_long,
    insmod_wrong,
    rmmod_wrong,
    lsmod_wrong,
    modinfo_wrong,
    kmod_wrong,
    versions,
    helps,
    other_names,
    help_wins_at_once,
    log_level_in_the_environment,
];

fn tree() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("kernel/top.ko", &module("top").imports(&["l"]))
        .run("depmod")
}

fn modprobe_wrong() -> Case {
    tree()
        .run("modprobe")
        .run("modprobe -q")
        .run("modprobe -r")
        .run("modprobe -Z leaf")
        .run("modprobe --nosuch leaf")
        .run("modprobe -S")
        .run("modprobe --set-version")
        .run("modprobe --quiet=1 leaf")
        .run("modprobe -C")
        .run("modprobe -w")
        .run("modprobe --")
        .run("modprobe -aZqY")
        .run("modprobe -D")
        .run("modprobe -R")
        .run("modprobe --show-exports")
        .run("modprobe --show-modversions")
        .run("modprobe -qD leaf -Z")
}

fn modprobe_quoted_operands() -> Case {
    [
        "c='x y'",
        "c='x",
        "c=\"x y\" z",
        "c=x \"y z\"",
        "c=x y\"",
        "c=x'y z",
        "'c=x y'",
        "\"c=x y\"",
        "'x y'",
        "x c='y z'",
        "x c=y",
        "x c=y z",
        "=x y",
        "c= x",
        "c=x\ty",
        "c='x y' d=u v",
        "",
    ]
    .into_iter()
    .fold(tree(), |case, operand| case.step("modprobe -D top", |step| step.words.push(operand.into())))
}

/// Options that modify another option, without it.
fn modprobe_partial_options() -> Case {
    tree().file("/etc/modprobe.d/a.conf", "remove leaf echo removing\nsoftdep top post: leaf\n").queries(&[
        "modprobe --remove-holders -D top",
        "modprobe --remove-dependencies -nv top",
        "modprobe --remove-holders -R top",
        "modprobe --first-time -D top",
        "modprobe --first-time -R top",
        "modprobe --first-time -r -nD top",
        "modprobe -w 5 -D top",
        "modprobe -w abc -w 5 -D top",
        "modprobe -r -D top",
        "modprobe -r -D -i top",
        "modprobe -r -D --first-time top",
        "modprobe -r -D -q -a nosuch top",
        "modprobe -D -R top",
        "modprobe -D -c top",
        "modprobe --show-exports -a nosuch",
        "modprobe --show-exports -a /etc/modprobe.d/a.conf",
        "modprobe --dump-modversions --show-exports /lib/modules/REL/kernel/leaf.ko",
        "modprobe --dump-modversions -D /lib/modules/REL/kernel/leaf.ko",
    ])
}

fn trailing_slashes() -> Case {
    tree()
        .run("depmod REL/")
        .run("depmod -b / -o // -n REL//")
        .run("depmod -m lib/modules/ REL/")
        .run("depmod -C /etc/depmod.d/ REL/")
        .queries(&["modprobe -S REL/ -R top", "modprobe -d // -R top", "modinfo -k REL/ -F name top"])
}

fn modprobe_abbreviations() -> Case {
    tree()
        .query("modprobe --show-d leaf")
        .query("modprobe --show-dep leaf")
        .query("modprobe --res leaf")
        .run("modprobe --show leaf")
        .run("modprobe --s leaf")
        .run("modprobe --re leaf")
        .run("modprobe --force- leaf")
        .run("modprobe --remove- leaf")
        .run("modprobe --dry leaf")
        .run("modprobe --di=/ -D leaf")
        .run("modprobe --conf /dev/null -D leaf")
        .run("modprobe --verb --dry leaf")
        .run("modprobe -dry leaf")
}

fn modprobe_places() -> Case {
    tree().queries(&[
        "modprobe leaf -D",
        "modprobe -aD leaf -q top",
        "modprobe -S REL leaf -D",
        "modprobe -SREL -D leaf",
        "modprobe -DS REL leaf",
        "modprobe --set-version=REL -D leaf",
        "modprobe -D -- leaf -q",
        "modprobe -D leaf -- a=1",
        "modprobe -D leaf a=1 -q b=2",
        "modprobe -DD leaf",
    ])
}

fn modprobe_old_names() -> Case {
    tree()
        .run("modprobe --resolve-alias leaf")
        .run("modprobe --showconfig")
        .run("modprobe --dump-modversions /lib/modules/REL/kernel/leaf.ko")
        .run("modprobe --show -v leaf")
        .run("modprobe --show-alias leaf")
        .run("modprobe --show-depends leaf")
        .run("modprobe --show-config")
        .run("modprobe --remove-dependencies -r leaf")
        .run("modprobe --list")
        .run("modprobe -l")
        .run("modprobe -t net")
}

fn modprobe_wait() -> Case {
    tree()
        .run("modprobe -r -w abc leaf")
        .run("modprobe -r -w 10 leaf")
        .run("modprobe -r -w 0x10 leaf")
        .run("modprobe -r -w '' leaf")
        .run("modprobe -r -w -1 leaf")
        .run("modprobe -r -w 10x leaf")
        .run("modprobe -r --wait=99999999999999999999 leaf")
        .run("modprobe -w 10 -D leaf")
        .run("modprobe -w abc -D leaf")
}

fn modprobe_release_and_root() -> Case {
    tree()
        .file("/r/lib/modules/1.2.3/modules.dep.bin", "")
        .run("modprobe -S 1.2.3 leaf")
        .run("modprobe -S '' leaf")
        .run("modprobe -S ../REL -D leaf")
        .run("modprobe -d /r -S 1.2.3 leaf")
        .run("modprobe -d '' -D leaf")
        .run("modprobe -d r leaf")
        .run("modprobe -d / -S REL -D leaf")
        .run("modprobe -d // -D leaf")
        .run("modprobe -S x -S REL -D leaf")
        .run("modprobe -d /nosuch -d / -D leaf")
}

fn modprobe_syslog() -> Case {
    tree()
        .run("modprobe -s nosuch")
        .run("modprobe -sa nosuch leaf")
        .run("modprobe -s")
        .run("modprobe -sq nosuch")
        .run("modprobe --syslog -vD leaf")
        .run("modprobe -rs nosuch")
        .run("modprobe -s -Z")
        .run("insmod -s /nosuch.ko")
        .run("rmmod -s nosuch")
}

fn modprobe_levels() -> Case {
    tree()
        .conf("a.conf", "bogus\ninclude x\n")
        .run("modprobe -vD leaf")
        .run("modprobe -qD leaf")
        .run("modprobe -qvD leaf")
        .run("modprobe -vq nosuch")
        .run("modprobe -qv nosuch")
        .run("modprobe -n leaf")
        .run("modprobe -nv leaf")
        .run("modprobe -nv top a=1")
        .run("modprobe -nq leaf")
}

fn depmod_wrong() -> Case {
    tree()
        .run("depmod -Z")
        .run("depmod --nosuch")
        .run("depmod -b")
        .run("depmod --basedir")
        .run("depmod --all=1")
        .run("depmod --s")
        .run("depmod --sy=x")
        .run("depmod -C")
}

fn depmod_removed() -> Case {
    tree()
        .run("depmod -u")
        .run("depmod -q")
        .run("depmod -r")
        .run("depmod --quiet")
        .run("depmod --unresolved-error")
        .run("depmod --root")
}

fn depmod_long() -> Case {
    tree()
        .run("depmod --all")
        .run("depmod --all REL")
        .run("depmod --basedir=/ REL")
        .run("depmod --errsyms --filesyms=/dev/null")
        .run("depmod --symvers /dev/null")
        .run("depmod --verbose -n")
        .run("depmod REL --show")
        .run("depmod -an -- REL")
        .run("depmod -avnb / REL")
}

fn insmod_wrong() -> Case {
    tree()
        .file("/good.ko", module("good").build())
        .run("insmod")
        .run("insmod -")
        .run("insmod /nosuch.ko")
        .run("insmod nosuch")
        .run("insmod /good.ko a=1")
        .run("insmod good.ko")
        .run("insmod /")
        .run("insmod -Z")
        .run("insmod --nosuch")
        .run("insmod -v /nosuch.ko")
        .run("insmod -f /nosuch.ko")
        .run("insmod -p /nosuch.ko")
        .run("insmod /good.ko -x")
        .run("insmod -- /nosuch.ko -x")
}

fn rmmod_wrong() -> Case {
    tree()
        .run("rmmod")
        .run("rmmod nosuch")
        .run("rmmod nosuch neither")
        .run("rmmod a[b")
        .run("rmmod leaf.ko")
        .run("rmmod /lib/modules/REL/kernel/leaf.ko")
        .run("rmmod -Z x")
        .run("rmmod --nosuch x")
        .run("rmmod -w x")
        .run("rmmod -f nosuch")
        .run("rmmod -v nosuch")
        .run("rmmod --force --verbose --syslog nosuch")
        .run("rmmod -- -x")
        .run("rmmod /etc")
}

fn lsmod_wrong() -> Case {
    tree()
        .run("lsmod")
        .run("lsmod x")
        .run("lsmod -Z")
        .run("lsmod --nosuch")
        .run("lsmod -v")
        .run("lsmod -s")
        .run("lsmod -sv x")
}

fn modinfo_wrong() -> Case {
    tree()
        .run("modinfo")
        .run("modinfo nosuch")
        .run("modinfo -Z leaf")
        .run("modinfo --nosuch leaf")
        .run("modinfo -F")
        .run("modinfo -k 1.2.3 leaf")
        .run("modinfo -b /nosuch leaf")
        .run("modinfo --field=name leaf")
        .run("modinfo --fie name leaf")
        .run("modinfo --set-version=REL -n leaf")
        .run("modinfo --basedir=/ -n leaf")
        .run("modinfo --bas / --author leaf")
}

fn kmod_wrong() -> Case {
    tree()
        .run("kmod")
        .run("kmod nosuch")
        .run("kmod -Z")
        .run("kmod --nosuch")
        .run("kmod help")
        .run("kmod help x")
        .run("kmod list")
        .run("kmod list x")
        .run("kmod static-nodes -Z")
        .run("kmod insert leaf")
        .run("kmod remove leaf")
        .run("kmod --version list")
        .run("kmod lsmod")
        .run("kmod modprobe leaf")
}

fn versions() -> Case {
    ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod"].iter().fold(Case::new(), |case, tool| {
        case.run(&format!("{tool} -V")).run(&format!("{tool} --version")).run(&format!("{tool} --vers"))
    })
}

fn helps() -> Case {
    ["modprobe", "depmod", "insmod", "rmmod", "lsmod", "modinfo", "kmod", "kmod static-nodes"]
        .iter()
        .fold(Case::new(), |case, tool| case.run(&format!("{tool} -h")).run(&format!("{tool} --help")))
}

fn other_names() -> Case {
    Case::new()
        .run("other")
        .run("modprobe.static -V")
        .run("/usr/sbin/modprobe -V")
        .run("./lsmod -V")
        .run("Modprobe -V")
        .run("kmod-lsmod")
}

fn help_wins_at_once() -> Case {
    tree()
        .run("modprobe -Z -h")
        .run("modprobe -V -Z")
        .run("modprobe -h nosuch")
        .run("modprobe nosuch -V")
        .run("depmod -V -b")
        .run("lsmod x -V")
        .run("rmmod -V nosuch")
}

fn log_level_in_the_environment() -> Case {
    let with =
        |value: &'static str| move |step: &mut crate::case::Step| step.env = vec![("KMOD_LOG".into(), value.into())];
    tree()
        .step("modprobe nosuch", with("0"))
        .step("modprobe -D leaf", with("err"))
        .step("modprobe -D leaf", with("bogus"))
        .step("insmod /nosuch.ko", with("3"))
}

/// Each `-v` after `-q` shows the messages of one more priority.
fn verbose_after_quiet() -> Case {
    let case = Case::new().ko("kernel/leaf.ko", &module("leaf")).run("depmod");
    ["-q", "-qv", "-qvv", "-qvvv", "-qvvvv", "-qvvvvv", "-vvq", "-qvq", "-q -v --verb"].iter().fold(
        case,
        |case, options| {
            case.run(&format!("modprobe {options} nosuch"))
                .run(&format!("modprobe {options} leaf"))
                .run(&format!("modprobe {options} -n leaf"))
                .run(&format!("modprobe {options} -a nosuch leaf"))
        },
    )
}

fn verbose_after_quiet_for_commands() -> Case {
    let case = Case::new().conf("a.conf", "install x echo $MODPROBE_OPTIONS\n").run("depmod");
    ["-q", "-qvv", "-v", "-vvq", "-sv"].iter().fold(case, |case, options| case.run(&format!("modprobe {options} x")))
}

fn paths_without_a_module_name() -> Case {
    ["-D /.", "/.", "-nv /..", "-R /.", "-D /", "-D /lib/"]
        .iter()
        .fold(Case::new().run("depmod"), |case, arguments| case.run(&format!("modprobe {arguments}")))
}
