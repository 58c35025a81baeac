//! `depmod` as a process: messages, exit status, and the files that it writes.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

// The builder of small modules belongs to the unit tests of the library; only a part of it is used here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use testing::TinyModule;

const RELEASE: &str = "1.2.3-test";

/// A root directory with a module directory.
struct Root(tempfile::TempDir);

impl Root {
    fn new(modules: &[(&str, &[&str], &[&str])]) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            root.put(list, b"");
        }
        for (path, exports, imports) in modules {
            root.put(path, &TinyModule::named("x").exports(exports).imports(imports).build());
        }
        root
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("lib/modules").join(RELEASE)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_kmod")).arg0(tool).args(arguments).env_clear().output().unwrap();
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(self.0.path().to_str().unwrap(), "ROOT");
        format!("{:?}\n{}--\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs depmod on this root, without the configuration of the host.
    fn depmod(&self, arguments: &[&str]) -> String {
        let root = self.0.path().to_str().unwrap();
        self.run("depmod", &[&["-C", "/nonexistent", "-b", root], arguments].concat())
    }

    fn modprobe(&self, arguments: &[&str]) -> String {
        let root = self.0.path().to_str().unwrap();
        self.run("modprobe", &[&["-C", "/nonexistent", "-d", root, "-S", RELEASE], arguments].concat())
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

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
    let out = root.0.path().join("out/side");
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
