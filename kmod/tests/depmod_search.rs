//! `depmod` as a process: which files it finds, and which of several files for one module it lists.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use std::fs;
use std::os::unix::fs::symlink;

use module_root::{RELEASE, Root};

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

#[test]
fn an_absolute_link_is_resolved_below_the_root() {
    let root = Root::new(&[("extra/zz.ko", &["z"], &[]), ("kernel/user.ko", &[], &["z"])]);
    fs::rename(root.dir().join("extra"), root.path().join("lib/modules/extra")).unwrap();
    root.link("/lib/modules/extra/zz.ko", "weak-updates/zz.ko");
    assert_eq!(
        root.depmod(&[RELEASE]) + &root.list("modules.dep"),
        "Some(0)\n--\nkernel/user.ko: weak-updates/zz.ko\nweak-updates/zz.ko:\n"
    );
    // Through a directory, through `..` above the root, and through a chain of links.
    root.link("/lib/modules/extra", "linked");
    fs::remove_file(root.dir().join("weak-updates/zz.ko")).unwrap();
    assert_eq!(
        root.depmod(&["--incremental", RELEASE]) + &root.list("modules.dep"),
        "Some(0)\n--\nkernel/user.ko: linked/zz.ko\nlinked/zz.ko:\n"
    );
    fs::remove_file(root.dir().join("linked")).unwrap();
    root.link("/../../lib/chain", "zz.ko");
    symlink("/lib/modules/../modules/extra/zz.ko", root.path().join("lib/chain")).unwrap();
    assert_eq!(root.depmod(&[RELEASE]) + &root.list("modules.dep"), "Some(0)\n--\nkernel/user.ko: zz.ko\nzz.ko:\n");
    assert_eq!(root.depmod(&["-A", RELEASE]), "Some(0)\n--\n");
}

#[test]
fn an_absolute_link_in_the_path_of_the_module_directory_is_resolved_below_the_root() {
    let root = Root::new(&[("kernel/a.ko", &[], &[])]);
    fs::create_dir(root.path().join("usr")).unwrap();
    fs::rename(root.path().join("lib"), root.path().join("usr/lib")).unwrap();
    symlink("/usr/lib", root.path().join("lib")).unwrap();
    assert_eq!(root.depmod(&[RELEASE]), "Some(0)\n--\n");
    let listed = fs::read_to_string(root.path().join("usr/lib/modules").join(RELEASE).join("modules.dep")).unwrap();
    assert_eq!(listed, "kernel/a.ko:\n");
}

#[test]
fn dangling_links_to_modules_and_directories_are_reported() {
    let root = Root::new(&[("kernel/a.ko", &[], &[])]);
    for (target, link) in [
        ("/nowhere/build", "build"),
        ("/nowhere/source", "source"),
        ("nowhere", "skipped.ko"),
        ("nowhere", "notes.txt"),
        ("nowhere", "modules.extra"),
        ("nowhere.ko", "extra/gone.ko"),
        ("/nowhere/gone.ko.xz", "weak-updates/gone2.ko.xz"),
        ("self.ko", "extra/self.ko"),
        ("../nowhere", "updates"),
        ("../nowhere", "vendor/v1.2"),
        ("../nowhere", "vendor/v1.3"),
    ] {
        root.link(target, link);
    }
    insta::assert_snapshot!(root.depmod_with("exclude skipped.ko\nsearch vendor/v1.2/drivers built-in\n"), @r"
    Some(0)
    --
    depmod: WARNING: could not follow symbolic link ROOT/lib/modules/1.2.3-test/updates to ../nowhere: No such file or directory
    depmod: WARNING: could not follow symbolic link ROOT/lib/modules/1.2.3-test/extra/gone.ko to nowhere.ko: No such file or directory
    depmod: WARNING: could not follow symbolic link ROOT/lib/modules/1.2.3-test/extra/self.ko to self.ko: Too many levels of symbolic links
    depmod: WARNING: could not follow symbolic link ROOT/lib/modules/1.2.3-test/vendor/v1.2 to ../nowhere: No such file or directory
    depmod: WARNING: could not follow symbolic link ROOT/lib/modules/1.2.3-test/weak-updates/gone2.ko.xz to /nowhere/gone.ko.xz: No such file or directory
    --
    kernel/a.ko:
    ");
}
