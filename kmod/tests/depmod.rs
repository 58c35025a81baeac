//! `depmod` as a process: messages, exit status, and the files that it writes.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use std::fs;
use std::path::Path;

use module_root::testing::TinyModule;
use module_root::{RELEASE, Root, names};

#[test]
fn modprobe_reads_the_files_of_depmod() {
    let root = Root::new(&[("k/a-a.ko", &["a"], &["b"]), ("k/b.ko.xz", &["b"], &[])]);
    root.put("k/c.ko", &TinyModule::named("c").info("alias=fs-c*").imports(&["a"]).build());
    assert_eq!(root.depmod(&["-a", RELEASE]), "Some(0)\n--\n");
    insta::assert_snapshot!(root.modprobe(&["-D", "fs-cxx"]), @r"
    Some(0)
    insmod ROOT/lib/modules/1.2.3-test/k/b.ko.xz 
    insmod ROOT/lib/modules/1.2.3-test/k/a-a.ko 
    insmod ROOT/lib/modules/1.2.3-test/k/c.ko 
    --
    ");
    let written = names(&root.dir()).join(" ");
    assert_eq!(
        written,
        "k modules.alias modules.alias.bin modules.builtin modules.builtin.alias.bin modules.builtin.bin \
         modules.builtin.modinfo modules.dep modules.dep.bin modules.devname modules.order modules.softdep \
         modules.symbols modules.symbols.bin modules.weakdep"
    );
}

#[test]
fn wrong_use_and_a_missing_directory_are_reported_with_exit_status_1() {
    let root = Root::new(&[]);
    insta::assert_snapshot!(root.depmod(&["x.ko"]), @r"
    Some(1)
    --
    depmod: ERROR: Bad version passed x.ko
    ");
    insta::assert_snapshot!(root.depmod(&[RELEASE, "x.ko"]), @r"
    Some(1)
    --
    depmod: FATAL: x.ko: not absolute path.
    ");
    insta::assert_snapshot!(root.depmod(&["7.7"]), @r"
    Some(1)
    --
    depmod: ERROR: could not open directory ROOT/lib/modules/7.7: No such file or directory
    depmod: FATAL: could not search modules: No such file or directory
    ");
    insta::assert_snapshot!(root.depmod(&["--nosuch"]), @r"
    Some(1)
    --
    depmod: unrecognized option '--nosuch'
    ");
}

#[test]
fn a_cycle_is_reported_and_no_file_is_written() {
    let root = Root::new(&[("a.ko", &["a"], &["b"]), ("b.ko", &["b"], &["a"])]);
    insta::assert_snapshot!(root.depmod(&[RELEASE]), @r"
    Some(1)
    --
    depmod: ERROR: Cycle detected: a -> b -> a
    depmod: ERROR: Found 2 modules in dependency cycles!
    ");
    assert!(!root.dir().join("modules.dep").exists());
}

#[test]
fn a_garbage_module_is_reported_with_exit_status_0() {
    let root = Root::new(&[]);
    root.put("a.ko", b"garbage");
    insta::assert_snapshot!(root.depmod(&["-ae", RELEASE]), @r"
    Some(0)
    --
    depmod: WARNING: -e needs -E or -F
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/a.ko: Exec format error (not an ELF file: it starts with neither ELF's magic nor that of a known compression)
    ");
}

#[test]
fn unknown_symbols_are_reported_with_a_system_map() {
    let root = Root::new(&[("a.ko", &[], &["kmalloc", "nosuch"])]);
    root.put("System.map", b"ffffffff82000000 r __ksymtab_kmalloc\n");
    let map = root.dir().join("System.map");
    insta::assert_snapshot!(root.depmod(&["-ae", "-F", map.to_str().unwrap(), RELEASE]), @r"
    Some(0)
    --
    depmod: WARNING: ROOT/lib/modules/1.2.3-test/a.ko needs unknown symbol nosuch
    ");
    assert!(root.dir().join("modules.dep").exists());
}

#[test]
fn show_prints_the_lists_and_verbose_the_dependencies() {
    let root = Root::new(&[("a.ko", &[], &["b"]), ("b.ko", &["b"], &[])]);
    insta::assert_snapshot!(root.depmod(&["-nv", RELEASE]), @r#"
    Some(0)
    ROOT/lib/modules/1.2.3-test/a.ko needs "b": ROOT/lib/modules/1.2.3-test/b.ko
    a.ko: b.ko
    b.ko:
    # Aliases extracted from modules themselves.
    # Soft dependencies extracted from modules themselves.
    # Weak dependencies extracted from modules themselves.
    # Aliases for symbols, used by symbol_request().
    alias symbol:b b
    --
    "#);
    assert!(!root.dir().join("modules.dep").exists());
}

#[test]
fn the_output_directory_is_created_and_the_module_directory_can_be_set() {
    let root = Root::new(&[("a.ko", &[], &[])]);
    let out = root.path().join("out/side");
    assert_eq!(root.depmod(&["-o", out.to_str().unwrap(), "-m", "/lib/modules", RELEASE]), "Some(0)\n--\n");
    assert_eq!(fs::read(out.join("lib/modules").join(RELEASE).join("modules.dep")).unwrap(), b"a.ko:\n");
    assert!(!root.dir().join("modules.dep").exists());
}

#[test]
fn an_incremental_run_writes_the_same_lists_and_a_cache() {
    let root = Root::new(&[("a.ko", &["a"], &["b"]), ("b.ko", &["b"], &[])]);
    assert_eq!(root.depmod(&[RELEASE]), "Some(0)\n--\n");
    let lists = |dir: &Path| {
        let lists = names(dir).into_iter().filter(|name| name.starts_with("modules.") && !name.ends_with("cache"));
        lists.map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect::<Vec<_>>()
    };
    let full = lists(&root.dir());
    for _ in 0..3 {
        assert_eq!(root.depmod(&["--incremental", RELEASE]), "Some(0)\n--\n");
        assert_eq!(lists(&root.dir()), full);
        assert!(root.dir().join("modules.kmodlab-cache").is_file());
    }
    // A damaged cache is replaced silently.
    root.put("modules.kmodlab-cache", b"garbage");
    assert_eq!(root.depmod(&["--incremental", RELEASE]), "Some(0)\n--\n");
    assert_eq!(lists(&root.dir()), full);
    assert_ne!(fs::read(root.dir().join("modules.kmodlab-cache")).unwrap(), b"garbage");
}
