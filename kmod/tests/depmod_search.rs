//! `depmod` as a process: which files it finds, and which of several files for one module it lists.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use module_root::Root;

#[test]
fn the_last_override_line_whose_file_exists_counts() {
    let root = Root::new(&[]);
    ["a/m.ko", "b/m.ko", "updates/m.ko"].iter().for_each(|path| root.module(path));
    let listed = |config: &str| root.depmod_with(config);
    assert_eq!(listed("override m * a\noverride m * b\n"), "Some(0)\n--\n--\nb/m.ko:\n");
    assert_eq!(listed("override m * b\noverride m * a\n"), "Some(0)\n--\n--\na/m.ko:\n");
    assert_eq!(listed("override m * b\noverride m * nosuch\n"), "Some(0)\n--\n--\nb/m.ko:\n");
    assert_eq!(listed("override m * b\noverride m 9.9 a\n"), "Some(0)\n--\n--\nb/m.ko:\n");
    assert_eq!(listed("override m * nosuch\n"), "Some(0)\n--\n--\nupdates/m.ko:\n");
}
