//! `depmod` as a process: which files it finds, and which of several files for one module it lists.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use std::fs;

use module_root::Root;

#[test]
fn of_equal_files_the_first_by_path_is_listed_not_the_shallower_one() {
    let root = Root::new(&[]);
    root.module("extra/mlnx-ofa/drivers/core/foo.ko");
    root.module("kernel/drivers/core/foo.ko");
    root.module("a/b/c/bar.ko");
    root.module("b.ko");
    root.module("z/bar.ko");
    assert_eq!(root.depmod_with(""), "Some(0)\n--\n--\na/b/c/bar.ko:\nb.ko:\nextra/mlnx-ofa/drivers/core/foo.ko:\n");
}

#[test]
fn the_module_directory_is_preferred_to_an_equal_external_directory() {
    let root = Root::new(&[]);
    root.module("kernel/foo.ko");
    let external = root.path().join("external");
    fs::create_dir(&external).unwrap();
    fs::copy(root.dir().join("kernel/foo.ko"), external.join("foo.ko")).unwrap();
    let config = format!("external * {}\n", external.display());
    assert_eq!(root.depmod_with(&config), "Some(0)\n--\n--\nkernel/foo.ko:\n");
}

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
