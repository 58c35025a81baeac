//! The `kmod` command.

use super::cases;
use crate::case::Case;

cases![
    static_nodes,
    static_nodes_odd_lines,
    static_nodes_missing,
    static_nodes_wrong,
    static_nodes_options_after_operands,
    static_nodes_output,
];

const NODES: &str = "# Device nodes to trigger on-demand module loading.\nfuse fuse c10:229\nsnd_timer snd/timer c116:33\nloop loop b7:0\n\
                     deep a/b/c c1:2\n";

fn static_nodes() -> Case {
    Case::new()
        .file("modules.devname", NODES)
        .run("kmod static-nodes")
        .run("kmod static-nodes -f human")
        .run("kmod static-nodes -f tmpfiles")
        .run("kmod static-nodes --format=devname")
        .run("kmod static-nodes --form tmpfiles")
}

fn static_nodes_odd_lines() -> Case {
    Case::new()
        .file("modules.devname", "fuse fuse c10:229\nbad\ntwo words\nm n x1:2\nm n c1\nm n c1:\nm n c:2\n\n# c\nm  n  c1:2\nm n c1:2 extra\nlast l b3:4")
        .run("kmod static-nodes")
        .run("kmod static-nodes -f tmpfiles")
        .run("kmod static-nodes -f devname")
}

fn static_nodes_missing() -> Case {
    Case::new().run("kmod static-nodes").run("kmod static-nodes -f tmpfiles -o /out/x").file("modules.dep", "")
}

fn static_nodes_wrong() -> Case {
    Case::new()
        .file("modules.devname", NODES)
        .run("kmod static-nodes -f foo")
        .run("kmod static-nodes -f")
        .run("kmod static-nodes --nosuch")
        .run("kmod static-nodes -f ''")
        .run("kmod static-nodes -f foo -f human -f bar")
        .run("kmod static-nodes extra")
        .run("kmod static-nodes -o")
}

fn static_nodes_options_after_operands() -> Case {
    Case::new()
        .file("modules.devname", NODES)
        .run("kmod static-nodes -f tmpfiles x -f devname")
        .run("kmod static-nodes x -f")
        .run("kmod static-nodes '' -Z")
        .run("kmod static-nodes x -h")
}

fn static_nodes_output() -> Case {
    Case::new()
        .file("modules.devname", NODES)
        .file("/file", "")
        .run("kmod static-nodes -o /run/a/b/c.conf -f tmpfiles")
        .run("kmod static-nodes --output=/run/a/b/c.conf")
        .run("kmod static-nodes -o relative/x")
        .run("kmod static-nodes -o /file/x")
        .run("kmod static-nodes -o /run")
        .run("kmod static-nodes -o ''")
}
