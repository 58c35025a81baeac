//! modprobe.d: lines and directives.

use super::{cases, module};
use crate::case::Case;

cases![
    blanks,
    continuations,
    comments,
    bad_lines,
    missing_fields,
    deprecated_words,
    carriage_returns,
    backslashes,
    no_last_newline,
    nul_bytes,
    odd_bytes,
    long_lines,
    options_join,
    options_by_alias,
    options_on_the_command_line,
    options_of_dependencies,
    install_with_options,
    install_patterns,
    install_first_wins,
    install_of_a_dependency,
    install_runs,
    install_fails,
    install_is_killed,
    install_of_no_module,
    install_with_softdep,
    install_ignored,
    install_of_an_alias,
    remove_commands,
    blacklist,
    blacklist_and_dependencies,
    blacklist_odd_shapes,
    softdep_shapes,
    softdep_white_space,
    softdep_order,
    softdep_twice,
    softdep_patterns,
    softdep_circle,
    softdep_of_itself,
    softdep_of_a_dependency,
    softdep_of_nothing,
    softdep_and_dependency_at_once,
    weakdep,
    module_softdep_and_config,
    alias_lines,
];

/// `top` depends on `mid` and `leaf`, `mid` on `leaf`; `other` has the alias `al`.
pub(super) fn tree() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf").exports(&["l"]))
        .ko("kernel/mid.ko", &module("mid").exports(&["m"]).imports(&["l"]))
        .ko("kernel/top.ko", &module("top").imports(&["m", "l"]))
        .ko("kernel/other.ko", &module("other").info("alias=al"))
}

fn blanks() -> Case {
    tree()
        .conf(
            "a.conf",
            "  options   leaf   a=1    b=2  \n\toptions\tmid\tc=3\td=4\t\n\n \n\t\noptions top e=\"x  y\"\n",
        )
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -c"])
}

fn continuations() -> Case {
    tree()
        .conf(
            "a.conf",
            "options leaf a=1 \\\n b=2\\\nc=3\nopt\\\nions mid d=4\noptions top e\\\n=5 \\\n\noptions other f=1 \\",
        )
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D other", "modprobe -c"])
}

fn comments() -> Case {
    tree()
        .conf(
            "a.conf",
            "# options leaf a=1\n  # indented\n#\\\noptions leaf b=1\noptions mid c=1 # tail\n#options top d\n",
        )
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -c", "modprobe -q -D leaf"])
}

fn bad_lines() -> Case {
    tree()
        .conf(
            "a.conf",
            "bogus\nbogus word\noptionsleaf a=1\nOPTIONS leaf a=1\n= =\noptions leaf fine=1\n'options' leaf x=1\n",
        )
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -qD leaf", "modprobe -c", "modprobe -sD leaf"])
        .run("insmod /nosuch.ko")
        .run("lsmod")
}

fn missing_fields() -> Case {
    tree()
        .conf(
            "a.conf",
            "alias\nalias x\nblacklist\noptions\noptions leaf\ninstall\ninstall leaf\nremove\nremove leaf\nsoftdep\n\
             softdep leaf\nweakdep\nweakdep leaf\noptions mid \n",
        )
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -c"])
}

fn deprecated_words() -> Case {
    tree()
        .conf("a.conf", "include /etc/other.conf\nconfig x\ninclude\nconfig\noptions leaf a=1\n")
        .file("/etc/other.conf", "options leaf b=2\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -c", "modprobe -vD leaf"])
}

fn carriage_returns() -> Case {
    tree().conf("a.conf", "options leaf a=1\r\nblacklist other\r\nalias x leaf\r\n\r\n").run("depmod").queries(&[
        "modprobe -D leaf",
        "modprobe -bD other",
        "modprobe -R x",
        "modprobe -c",
    ])
}

fn backslashes() -> Case {
    tree()
        .conf("a.conf", "options leaf a=\\x b=\\\\ c=\\\"q\\\"\noptions \\mid d=1\ninstall other echo \\$x \\\\n\n")
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D other", "modprobe -c"])
}

fn no_last_newline() -> Case {
    tree()
        .conf("a.conf", "options leaf a=1")
        .conf("b.conf", "")
        .conf("c.conf", "\n")
        .run("depmod")
        .query("modprobe -D leaf")
}

fn nul_bytes() -> Case {
    tree()
        .conf("a.conf", b"options leaf a=1\0b=2\noptions mid c=1\n")
        .run("depmod")
        .queries(&["modprobe -D mid", "modprobe -c"])
}

fn odd_bytes() -> Case {
    tree()
        .conf("a.conf", b"options leaf a=\xff\xfe\noptions mid b=\xc3\xa9\n\xff\xfe x\nalias \xc3\xa9 leaf\n")
        .run("depmod")
        .queries(&["modprobe -D mid", "modprobe -c"])
}

fn long_lines() -> Case {
    let long = "x".repeat(20_000);
    tree()
        .conf("a.conf", format!("options leaf a={long}\nalias {} leaf\n", "y".repeat(5000)))
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -c"])
}

fn options_join() -> Case {
    tree()
        .conf("b.conf", "options leaf two=2\noptions leaf  three=3\tfour=4\n")
        .conf("a.conf", "options leaf one=1\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D leaf five=5", "modprobe -D top six=6", "modprobe -c"])
}

fn options_by_alias() -> Case {
    tree()
        .conf(
            "a.conf",
            "options al byalias=1\noptions other byname=1\nalias my other\noptions my mine=1\noptions o* star=1\n",
        )
        .run("depmod")
        .queries(&["modprobe -D al", "modprobe -D other", "modprobe -D my", "modprobe -D my x=1", "modprobe -c"])
}

fn options_on_the_command_line() -> Case {
    tree().run("depmod").queries(&[
        "modprobe -D leaf a=1 b=2",
        "modprobe -D leaf 'a=x y' b",
        "modprobe -D leaf 'a=\"x y\"'",
        "modprobe -D leaf 'a b'",
        "modprobe -D leaf '' a=1",
        "modprobe -D leaf 'a=' '=b' '='",
        "modprobe -D leaf -- -a=1 --b",
        "modprobe -D top 'k=a\tb'",
    ])
}

fn options_of_dependencies() -> Case {
    tree()
        .conf("a.conf", "options leaf a=1\noptions mid b=1\noptions top c=1\n")
        .run("depmod")
        .query("modprobe -D top d=1")
}

fn install_with_options() -> Case {
    tree()
        .conf(
            "a.conf",
            "options leaf a=1\ninstall leaf echo [$CMDLINE_OPTS] $CMDLINE_OPTS; true\ninstall mid echo none\n",
        )
        .run("depmod")
        .queries(&["modprobe -D leaf b=2", "modprobe -D mid c=3", "modprobe -nv leaf b=2"])
        .run("modprobe -v leaf b=2")
        .run("modprobe leaf 'b=x y'")
        .run("modprobe mid c=3")
}

fn install_patterns() -> Case {
    tree()
        .conf("a.conf", "install le* echo star\ninstall m?d echo mark\ninstall o[t]her echo bracket\n")
        .run("depmod")
        .queries(&[
            "modprobe -D leaf",
            "modprobe -D mid",
            "modprobe -D other",
            "modprobe -D le*",
            "modprobe -D lex",
            "modprobe -R lex",
        ])
}

fn install_first_wins() -> Case {
    tree()
        .conf("a.conf", "install leaf echo first\ninstall leaf echo second\n")
        .conf("b.conf", "install leaf echo third\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -c"])
        .run("modprobe leaf")
}

fn install_of_a_dependency() -> Case {
    tree()
        .conf("a.conf", "install leaf echo leaf\ninstall top echo top\n")
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -iD top", "modprobe -iD leaf"])
        .run("modprobe -n top")
}

fn install_runs() -> Case {
    tree()
        .conf(
            "a.conf",
            "install leaf echo \"m=$MODPROBE_MODULE o=$MODPROBE_OPTIONS\"; echo err >&2; echo x > /done\n\
             options leaf z=1\n",
        )
        .run("depmod")
        .run("modprobe leaf")
        .run("modprobe -v leaf")
        .run("modprobe -qs -C /etc/modprobe.d leaf")
        .run("modprobe -n leaf")
        .run("modprobe -nv leaf")
}

fn install_fails() -> Case {
    tree()
        .conf("a.conf", "install leaf false\ninstall mid exit 3\ninstall other nosuchcommand\ninstall top exit 255\n")
        .run("depmod")
        .run("modprobe leaf")
        .run("modprobe mid")
        .run("modprobe -q other")
        .run("modprobe -v top")
        .run("modprobe -a leaf other")
}

fn install_is_killed() -> Case {
    tree()
        .conf("a.conf", "install leaf kill -9 $$\nremove leaf kill -9 $$\n")
        .run("depmod")
        .run("modprobe leaf")
        .run("modprobe -r leaf")
}

fn install_of_no_module() -> Case {
    tree()
        .conf("a.conf", "install ghost echo ghost\nremove spirit echo spirit\ninstall gh-ost2 echo two\n")
        .run("depmod")
        .queries(&[
            "modprobe -R ghost",
            "modprobe -D ghost",
            "modprobe -R spirit",
            "modprobe -D spirit",
            "modprobe -D gh_ost2",
        ])
        .run("modprobe ghost")
        .run("modprobe spirit")
        .run("modprobe -r spirit")
        .run("modprobe -r ghost")
}

fn install_with_softdep() -> Case {
    tree()
        .conf("a.conf", "install leaf echo blocked\nsoftdep leaf pre: other\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D mid"])
}

fn install_ignored() -> Case {
    tree()
        .conf("a.conf", "install top echo top\ninstall leaf echo leaf\nsoftdep top pre: other\n")
        .run("depmod")
        .queries(&[
            "modprobe -iD top",
            "modprobe --ignore-install -D top",
            "modprobe --ignore-remove -D top",
            "modprobe -D top",
        ])
}

fn install_of_an_alias() -> Case {
    tree().conf("a.conf", "install al echo alias\nalias my other\ninstall my echo mine\n").run("depmod").queries(&[
        "modprobe -R al",
        "modprobe -D al",
        "modprobe -D my",
        "modprobe -D other",
    ])
}

fn remove_commands() -> Case {
    tree()
        .conf(
            "a.conf",
            "remove leaf echo gone [$CMDLINE_OPTS] $MODPROBE_MODULE\nremove mid false\nremove t* echo star\n",
        )
        .run("depmod")
        .run("modprobe -r leaf")
        .run("modprobe -rv leaf")
        .run("modprobe -rn leaf")
        .run("modprobe -rnv leaf")
        .run("modprobe -r mid")
        .run("modprobe -ra mid top")
        .run("modprobe -ri leaf")
}

fn blacklist() -> Case {
    tree()
        .conf("a.conf", "blacklist other\nblacklist leaf\n")
        .run("depmod")
        .queries(&[
            "modprobe -D al",
            "modprobe -D other",
            "modprobe -bD other",
            "modprobe -bD al",
            "modprobe -R al",
            "modprobe -bR other",
            "modprobe -D top",
            "modprobe -bD top",
            "modprobe -bD leaf",
            "modprobe -c",
        ])
        .run("modprobe al")
        .run("modprobe -b other")
}

fn blacklist_and_dependencies() -> Case {
    tree()
        .conf("a.conf", "blacklist leaf\nsoftdep other pre: leaf\nalias x top\nblacklist top\n")
        .run("depmod")
        .queries(&["modprobe -bD mid", "modprobe -bD other", "modprobe -D x", "modprobe -bD al"])
}

fn blacklist_odd_shapes() -> Case {
    tree()
        .conf("a.conf", "blacklist other more words\nblacklist le-af\nblacklist m*\nblacklist al\n")
        .run("depmod")
        .queries(&["modprobe -bD other", "modprobe -bD leaf", "modprobe -bD mid", "modprobe -D al", "modprobe -c"])
}

fn softdep_shapes() -> Case {
    tree()
        .conf(
            "a.conf",
            "softdep leaf word pre: other\nsoftdep mid pre:\nsoftdep top post: other\nsoftdep other before\n\
             softdep p1 pre: a post: b pre: c\nsoftdep p2 pre:a post:b\nsoftdep p3  pre:  a   b  post:   c  \n\
             softdep p4 post: a pre: b\n",
        )
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D mid", "modprobe -D top", "modprobe -D other", "modprobe -c"])
}

fn softdep_white_space() -> Case {
    Case::new()
        .ko("kernel/leaf.ko", &module("leaf"))
        .ko("kernel/x.ko", &module("x"))
        .conf("a.conf", "softdep leaf pre: x\r\nsoftdep b pre: x\x0by post:\x0cz\nweakdep c x y\r\nsoftdep d pre: \r\n")
        .run("depmod")
        .queries(&["modprobe -c", "modprobe -D leaf"])
}

fn softdep_order() -> Case {
    tree()
        .ko("kernel/p1.ko", &module("p1"))
        .ko("kernel/p2.ko", &module("p2"))
        .ko("kernel/q1.ko", &module("q1"))
        .ko("kernel/q2.ko", &module("q2"))
        .conf("a.conf", "softdep top pre: p1 p2 post: q1 q2\nsoftdep leaf pre: q2\nsoftdep p2 post: other\n")
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D top o=1", "modprobe -D leaf"])
}

fn softdep_twice() -> Case {
    tree()
        .conf("a.conf", "softdep top pre: other\n")
        .conf("b.conf", "softdep top post: other\n")
        .ko("kernel/two.ko", &module("two").info("softdep=pre: leaf").info("softdep=post: other"))
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D two", "modprobe -c"])
}

fn softdep_patterns() -> Case {
    tree()
        .conf("a.conf", "softdep t* pre: other\nsoftdep l?af post: other\n")
        .run("depmod")
        .queries(&["modprobe -D top", "modprobe -D leaf"])
}

fn softdep_circle() -> Case {
    tree()
        .conf("a.conf", "softdep leaf pre: other\nsoftdep other pre: leaf\nsoftdep mid post: top\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D other", "modprobe -D mid", "modprobe -D top"])
}

fn softdep_of_itself() -> Case {
    tree()
        .conf("a.conf", "softdep leaf pre: leaf post: leaf\n")
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D top"])
}

fn softdep_of_a_dependency() -> Case {
    tree().conf("a.conf", "softdep leaf pre: other\n").run("depmod").queries(&[
        "modprobe -D top",
        "modprobe -iD leaf",
        "modprobe -iD top",
    ])
}

fn softdep_of_nothing() -> Case {
    tree().conf("a.conf", "softdep leaf pre: nosuch post: neither\nsoftdep ghost pre: leaf\n").run("depmod").queries(&[
        "modprobe -D leaf",
        "modprobe -D ghost",
        "modprobe -R ghost",
    ])
}

fn softdep_and_dependency_at_once() -> Case {
    tree().conf("a.conf", "softdep top pre: leaf post: mid\n").run("depmod").query("modprobe -D top")
}

fn weakdep() -> Case {
    tree()
        .conf("a.conf", "weakdep leaf other mid\nweakdep top nosuch\nweakdep t* other\n")
        .ko("kernel/w.ko", &module("w").info("weakdep=leaf").info("weakdep=mid top"))
        .run("depmod")
        .queries(&["modprobe -D leaf", "modprobe -D w", "modprobe -c"])
}

fn module_softdep_and_config() -> Case {
    tree()
        .ko("kernel/s.ko", &module("s").info("softdep=pre: leaf"))
        .ko("kernel/t.ko", &module("t").info("softdep=pre: leaf"))
        .conf("a.conf", "softdep s pre: other\n")
        .conf("z.conf", "softdep t pre: other\n")
        .run("depmod")
        .queries(&["modprobe -D s", "modprobe -D t", "modprobe -c"])
}

fn alias_lines() -> Case {
    tree()
        .conf(
            "a.conf",
            "alias x* leaf\nalias xy mid\nalias xy leaf extra\nalias [a-b]q other\nalias sl/ash leaf\nalias s*h mid\n",
        )
        .run("depmod")
        .queries(&["modprobe -R xy", "modprobe -D xy", "modprobe -R aq", "modprobe -R sl/ash", "modprobe -c"])
}
