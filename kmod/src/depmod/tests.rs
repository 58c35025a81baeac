//! depmod on small directories of modules that are made in memory.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::object::testing::TinyModule;
use crate::tree::Tree;

struct Lab {
    top: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { top: tempfile::tempdir().unwrap() };
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            lab.put(list, b"");
        }
        lab
    }

    fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.top.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn module(&self, path: &str, exports: &[&str], imports: &[&str]) -> PathBuf {
        self.put(path, &TinyModule::named("x").exports(exports).imports(imports).build())
    }

    fn options(&self) -> Options {
        Options { threads: Some(3), ..Options::new(self.top.path()) }
    }

    fn run(&self) -> Vec<String> {
        self.run_with(&self.options())
    }

    /// The notices, with the directory taken out.
    fn run_with(&self, options: &Options) -> Vec<String> {
        let summary = run(options).unwrap();
        let here = format!("{}/", self.top.path().display());
        summary.notices.iter().map(|notice| notice.to_string().replace(&here, "")).collect()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.top.path().join(name)).unwrap()).unwrap()
    }

    fn tree(&self) -> Tree {
        Tree::new(self.top.path())
    }
}

fn name(name: &str) -> ModuleName {
    ModuleName::new(name.as_bytes()).unwrap()
}

#[test]
fn dependencies_are_transitive_and_end_with_what_is_needed_first() {
    let lab = Lab::new();
    lab.module("kernel/a.ko", &["a"], &["b", "kmalloc"]);
    lab.module("kernel/b-b.ko", &["b"], &["c", "d"]);
    lab.module("kernel/c.ko", &["c"], &["d"]);
    lab.module("kernel/d.ko", &["d"], &[]);
    assert_eq!(lab.run(), [""; 0]);
    assert_eq!(
        lab.text("modules.dep"),
        "kernel/a.ko: kernel/b-b.ko kernel/c.ko kernel/d.ko\n\
         kernel/b-b.ko: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\n"
    );
    let entry = lab.tree().module(&name("b_b")).unwrap().unwrap();
    assert_eq!(entry.deps, [lab.top.path().join("kernel/c.ko"), lab.top.path().join("kernel/d.ko")]);
    assert_eq!(lab.tree().symbols(b"symbol:c").unwrap(), [name("c")]);
}

#[test]
fn text_and_index_of_every_list_say_the_same() {
    let lab = Lab::new();
    let module =
        TinyModule::named("a").info("alias=pci:v0*").info("alias=fs-a").info("softdep=pre: b").info("weakdep=c");
    lab.put("kernel/a.ko", &module.exports(&["one", "two"]).build());
    lab.put("kernel/b.ko", &TinyModule::named("b").info("alias=fs-a").build());
    lab.put("modules.builtin", b"kernel/fs/ext4/ext4.ko\nkernel/x-y.ko\n");
    lab.put("modules.builtin.modinfo", b"ext4.alias=fs-ext4\0ext4.license=GPL\0");
    assert_eq!(lab.run(), [""; 0]);
    let indexes = ["dep", "alias", "symbols", "builtin", "builtin.alias"].map(|n| format!("modules.{n}.bin"));
    let answers = || {
        let tree = lab.tree();
        (
            tree.modules().unwrap(),
            tree.aliases(b"fs_a").unwrap(),
            tree.aliases(b"pci:v0000").unwrap(),
            tree.symbols(b"symbol:two").unwrap(),
            ["ext4", "x_y", "a"].map(|n| tree.is_builtin(&name(n)).unwrap()),
            tree.builtin_aliases(b"fs_ext4").unwrap(),
        )
    };
    let by_index = answers();
    assert_eq!((&by_index.1, by_index.4), (&vec![name("a"), name("b")], [true, true, false]));
    indexes.iter().for_each(|index| fs::remove_file(lab.top.path().join(index)).unwrap());
    assert_eq!(answers(), by_index);
    assert_eq!(lab.text("modules.softdep").lines().last(), Some("softdep a pre: b"));
    assert_eq!(lab.text("modules.weakdep").lines().last(), Some("weakdep a c"));
}

#[test]
fn modules_order_rules_and_the_rest_follows_by_path() {
    let lab = Lab::new();
    for module in ["kernel/a.ko", "kernel/b.ko.xz", "updates/c.ko", "kernel/d.ko"] {
        lab.module(module, &[], &[]);
    }
    lab.put("modules.order", b"kernel/d.ko\nkernel/nosuch.ko\nkernel/b.ko\nkernel/d.ko\n");
    lab.run();
    assert_eq!(lab.text("modules.dep"), "kernel/d.ko:\nkernel/b.ko.xz:\nkernel/a.ko:\nupdates/c.ko:\n");
}

#[test]
fn the_result_depends_on_names_alone() {
    let text = |threads, backwards| {
        let lab = Lab::new();
        let mut names: Vec<u32> = (0..50).collect();
        if backwards {
            names.reverse();
        }
        for n in names {
            let needs = [format!("s{}", n * 7 % 50 + 50), format!("s{}", n + 1)];
            lab.module(&format!("kernel/m{n:02}.ko"), &[&format!("s{n}")], &needs.each_ref().map(String::as_str));
        }
        lab.run_with(&Options { threads: Some(threads), ..lab.options() });
        ["modules.dep", "modules.symbols"].map(|list| lab.text(list))
    };
    assert_eq!(text(1, false), text(4, true));
}

#[test]
fn a_cycle_is_an_error_and_nothing_is_written() {
    let lab = Lab::new();
    // The dense knot of four, a pair, and one that only needs the pair.
    for (module, needs) in
        [("a", ["b", "c", "d"]), ("b", ["a", "c", "d"]), ("c", ["a", "b", "d"]), ("d", ["a", "b", "c"])]
    {
        lab.module(&format!("{module}.ko"), &[module], &needs);
    }
    lab.module("p.ko", &["p"], &["q"]);
    lab.module("q.ko", &["q"], &["p", "q"]);
    lab.module("user.ko", &[], &["p"]);
    lab.put("modules.dep", b"old");
    let error = run(&lab.options()).unwrap_err();
    assert_eq!(error.to_string(), "found 6 modules in dependency cycles: a -> b -> a; p -> q -> p");
    assert_eq!(lab.text("modules.dep"), "old");
    assert!(!lab.top.path().join("modules.dep.bin").exists());
}

#[test]
fn garbage_is_listed_and_told_of() {
    let lab = Lab::new();
    lab.put("a.ko", b"");
    lab.put("b.ko", b"garbage");
    lab.put("c.ko.xz", b"\xfd7zXZ\0garbage");
    lab.module("d.ko", &["d"], &[]);
    let told = lab.run();
    assert_eq!(told[0], "failed to load symbols from a.ko: Invalid argument (the file is empty)");
    assert!(
        told[1].starts_with("failed to load symbols from b.ko: Exec format error (not an ELF file: "),
        "{}",
        told[1]
    );
    assert!(
        told[2].starts_with("failed to load symbols from c.ko.xz: Exec format error (could not decompress as xz: ")
    );
    assert_eq!(lab.text("modules.dep"), "a.ko:\nb.ko:\nc.ko.xz:\nd.ko:\n");
}

#[test]
fn missing_lists_are_told_of() {
    let lab = Lab { top: tempfile::tempdir().unwrap() };
    lab.module("a.ko", &[], &[]);
    let told: Vec<String> = run(&lab.options()).unwrap().notices.iter().map(ToString::to_string).collect();
    let here = lab.top.path().display();
    assert_eq!(
        told,
        ["modules.order", "modules.builtin", "modules.builtin.modinfo"]
            .map(|list| format!("could not open {list} at {here}: No such file or directory"))
    );
}

#[test]
fn a_missing_directory_is_an_error() {
    let error = run(&Options::new("/nonexistent/modules")).unwrap_err();
    assert!(matches!(error, DepmodError::Directory { .. }), "{error}");
}

#[test]
fn a_loop_of_links_ends_and_the_real_path_is_listed() {
    let lab = Lab::new();
    lab.module("kernel/a.ko", &[], &[]);
    symlink("..", lab.top.path().join("kernel/0-loop")).unwrap();
    symlink("kernel", lab.top.path().join("aaa")).unwrap();
    symlink("nowhere", lab.top.path().join("kernel/dangling.ko")).unwrap();
    assert_eq!(lab.run(), [""; 0]);
    assert_eq!(lab.text("modules.dep"), "kernel/a.ko:\n");
}

#[test]
fn linked_directories_and_files_outside_are_followed() {
    let (lab, other) = (Lab::new(), Lab::new());
    let outside = other.module("m/b.ko", &[], &[]);
    symlink(outside.parent().unwrap(), lab.top.path().join("linked")).unwrap();
    symlink(&outside, lab.top.path().join("c.ko")).unwrap();
    lab.run();
    assert_eq!(lab.text("modules.dep"), "c.ko:\nlinked/b.ko:\n");
}

#[test]
fn build_source_and_other_names_are_passed_over() {
    let lab = Lab::new();
    for path in ["build/a.ko", "kernel/source/b.ko", "kernel/c.ko.zstd", "kernel/d.o", "kernel/.ko", "kernel/e.ko"] {
        lab.module(path, &[], &[]);
    }
    assert_eq!(lab.run(), ["kernel/.ko: its file name leaves no module name; the module is left out"]);
    assert_eq!(lab.text("modules.dep"), "kernel/e.ko:\n");
}

#[test]
fn of_two_files_for_a_module_the_preferred_one_is_listed() {
    let lab = Lab::new();
    let opt = Lab::new();
    lab.module("kernel/foo-bar.ko", &["f"], &[]);
    lab.module("updates/foo_bar.ko.xz", &["f"], &[]);
    lab.module("kernel/x.ko", &[], &["f"]);
    opt.module("far.ko", &[], &["f"]);
    let mut options = lab.options();
    options.config.parse(format!("external * {}\n", opt.top.path().display()).as_bytes(), b"6.1");
    lab.run_with(&options);
    // The preferred file is no ELF file that could be read as xz, so it exports nothing.
    lab.module("updates/foo_bar.ko", &["f"], &[]);
    fs::remove_file(lab.top.path().join("updates/foo_bar.ko.xz")).unwrap();
    lab.run_with(&options);
    let far = opt.top.path().join("far.ko");
    assert_eq!(
        lab.text("modules.dep"),
        format!("{}: updates/foo_bar.ko\nkernel/x.ko: updates/foo_bar.ko\nupdates/foo_bar.ko:\n", far.display())
    );
}

#[test]
fn quick_does_nothing_until_a_module_is_newer() {
    let lab = Lab::new();
    let module = lab.module("kernel/a.ko", &[], &[]);
    let quick = Options { quick: true, ..lab.options() };
    assert!(!run(&quick).unwrap().up_to_date, "there was no modules.dep");
    assert!(run(&quick).unwrap().up_to_date);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::open(&module).unwrap().set_modified(later).unwrap();
    assert!(!run(&quick).unwrap().up_to_date);
    assert!(run(&Options { dry_run: true, ..quick }).unwrap().up_to_date);
}

#[test]
fn a_dry_run_gives_the_texts_and_writes_nothing() {
    let lab = Lab::new();
    lab.module("a.ko", &["a"], &[]);
    let summary = run(&Options { dry_run: true, ..lab.options() }).unwrap();
    assert!(summary.text.starts_with(b"a.ko:\n# Aliases extracted"), "{}", String::from_utf8_lossy(&summary.text));
    assert!(summary.written.is_empty() && !lab.top.path().join("modules.dep").exists());
}

#[test]
fn only_the_named_files_are_listed() {
    let lab = Lab::new();
    let a = lab.module("a.ko", &[], &[]);
    let b = lab.module("b.ko", &[], &[]);
    lab.run_with(&Options { files: vec![b], ..lab.options() });
    assert_eq!(lab.text("modules.dep"), "b.ko:\n");
    let error = run(&Options { files: vec![a.with_extension("txt")], ..lab.options() }).unwrap_err();
    assert!(
        error.to_string().ends_with("a.txt is not a module file; its name must end in .ko, .ko.xz, .ko.gz or .ko.zst")
    );
}

#[test]
fn unknown_symbols_and_other_versions_are_told_of() {
    let lab = Lab::new();
    let mut module = TinyModule::named("a").imports(&["kmalloc", "nosuch", "__this_module", ".b"]);
    module.weak = vec!["perhaps".into()];
    module.versions = vec![("kmalloc".into(), 7), ("b".into(), 0x9999)];
    lab.put("a.ko", &module.build());
    lab.module("b.ko", &["b"], &[]);
    let symbols =
        KernelSymbols { tell_unknown: true, ..KernelSymbols::from_symvers(b"0x8 kmalloc vmlinux EXPORT_SYMBOL\n") };
    let mut options = Options { kernel_symbols: Some(symbols), ..lab.options() };
    assert_eq!(
        lab.run_with(&options),
        [
            "a.ko disagrees about version of symbol kmalloc",
            "a.ko needs unknown symbol nosuch",
            "a.ko disagrees about version of symbol b",
        ]
    );
    let map = KernelSymbols::from_system_map(b"f r __ksymtab_kmalloc\n");
    options.kernel_symbols = Some(KernelSymbols { tell_unknown: true, ..map.clone() });
    assert_eq!(lab.run_with(&options), ["a.ko needs unknown symbol nosuch"]);
    options.kernel_symbols = Some(map);
    assert_eq!(lab.run_with(&options), [""; 0]);
    assert_eq!(lab.text("modules.dep"), "a.ko: b.ko\nb.ko:\n");
}

#[test]
fn what_is_needed_of_whom_is_told_when_asked() {
    let lab = Lab::new();
    lab.module("a.ko", &[], &["b"]);
    lab.module("b.ko", &["b"], &[]);
    assert_eq!(lab.run_with(&Options { show_needs: true, ..lab.options() }), ["a.ko needs \"b\": b.ko"]);
}

#[test]
fn duplicate_aliases_are_told_of_when_asked() {
    let lab = Lab::new();
    let twice = TinyModule::named("a").info("alias=fs-x").info("alias=fs_x").exports(&["same"]);
    lab.put("a.ko", &twice.build());
    lab.put("b.ko", &TinyModule::named("b").info("alias=fs-x").exports(&["same"]).build());
    assert_eq!(lab.run(), [""; 0]);
    assert_eq!(lab.run_with(&Options { warn_duplicates: true, ..lab.options() }), ["duplicate module alias: fs_x a"]);
    // Of two exporters the later one counts.
    assert_eq!(lab.tree().symbols(b"symbol:same").unwrap(), [name("b")]);
}

#[test]
fn what_a_module_says_of_itself_cannot_make_lines_of_its_own() {
    let lab = Lab::new();
    let evil = TinyModule::named("a")
        .info("softdep=pre: b\ninstall x /bin/sh")
        .info("alias=a b")
        .info("alias=x[y")
        .info("alias=caf\u{e9}");
    lab.put("a.ko", &evil.build());
    assert_eq!(
        lab.run(),
        [
            "a.ko: its alias cannot stand in a list: a b; left out",
            "a.ko: its softdep cannot stand in a list: pre: b\\x0ainstall x /bin/sh; left out",
            "Unmatched bracket in x[y (the alias of a is left out of the index)",
            "Module index: bad character 0xc3 in caf\\xc3\\xa9: only 7-bit ASCII is supported in an index",
        ]
    );
    assert_eq!(lab.text("modules.softdep").lines().count(), 1);
    assert!(lab.text("modules.alias").ends_with("alias x[y a\nalias caf\u{e9} a\n"));
}

#[test]
fn a_soft_dependency_with_a_backslash_does_not_swallow_the_next_line() {
    let lab = Lab::new();
    lab.put("a.ko", &TinyModule::named("a").info("softdep=pre: b \\").info("weakdep=b\\").build());
    lab.put("b.ko", &TinyModule::named("b").info("softdep=pre: c").build());
    assert_eq!(
        lab.run(),
        [
            "a.ko: its softdep cannot stand in a list: pre: b \\\\; left out",
            "a.ko: its weakdep cannot stand in a list: b\\\\; left out",
        ]
    );
    assert_eq!(lab.text("modules.softdep").lines().last(), Some("softdep b pre: c"));
}

#[test]
fn device_nodes_need_a_name_and_numbers() {
    let lab = Lab::new();
    let module =
        |infos: &[&str]| infos.iter().fold(TinyModule::named("x"), |m, info| m.info(&format!("alias={info}"))).build();
    lab.put("fuse.ko", &module(&["devname:fuse", "char-major-10-229"]));
    lab.put("loop.ko", &module(&["block-major-7-*", "char-major-10-237", "devname:loop-control"]));
    lab.put("odd.ko", &module(&["devname:odd", "char-major-10-*"]));
    assert_eq!(lab.run(), ["Module 'odd' has devname (odd) but lacks major and minor information. Ignoring."]);
    assert_eq!(
        lab.text("modules.devname"),
        "# Device nodes to trigger on-demand module loading.\nfuse fuse c10:229\nloop loop-control c10:237\n"
    );
}

#[test]
fn bad_lines_of_modules_builtin_are_told_of() {
    let lab = Lab::new();
    lab.put("modules.builtin", b"kernel/a.ko\n/kernel/b.ko\nkernel/\n");
    assert_eq!(lab.run(), ["Invalid modules.builtin line: /kernel/b.ko", "Invalid modules.builtin line: kernel/"]);
    assert!(lab.tree().is_builtin(&name("a")).unwrap());
}

#[test]
fn paths_with_blanks_cannot_be_listed() {
    let lab = Lab::new();
    lab.module("my modules/a.ko", &[], &[]);
    lab.module("b.ko", &[], &[]);
    let told = lab.run();
    assert_eq!(
        told,
        ["my modules/a.ko: its path holds white space, which modules.dep cannot hold; the module is left out"]
    );
    assert_eq!(lab.text("modules.dep"), "b.ko:\n");
}

#[test]
fn a_module_beyond_the_limit_is_told_and_costs_nobody_else_the_index() {
    let lab = Lab::new();
    lab.module("a.ko", &["a"], &["b"]);
    lab.module("b.ko", &["b"], &[]);
    // Far more than it seems.
    let bomb = lab.put("c.ko.gz", &[]);
    let mut packer = flate2::write::GzEncoder::new(fs::File::create(&bomb).unwrap(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, &vec![0; 4 << 20]).unwrap();
    packer.finish().unwrap();
    assert!(fs::metadata(&bomb).unwrap().len() < 10_000);
    let limits = Limits { size: 1 << 20, ..Limits::default() };
    let told = lab.run_with(&Options { limits, ..lab.options() });
    assert_eq!(
        told,
        ["failed to load symbols from c.ko.gz: File too large (has more than 1048576 bytes when decompressed)"]
    );
    assert_eq!(lab.text("modules.dep"), "a.ko: b.ko\nb.ko:\nc.ko.gz:\n");
}

#[test]
fn a_module_too_large_to_be_read_beside_others_is_read_alone() {
    // Beyond what each thread may hold for itself: a hole behind a module's sections is no harm.
    let lab = Lab::new();
    for name in ["a.ko", "b.ko", "c.ko"] {
        let path = lab.module(name, &["large"], &[]);
        fs::File::options().append(true).open(path).unwrap().set_len(65 << 20).unwrap();
    }
    assert_eq!(lab.run(), [""; 0]);
    assert!(lab.text("modules.symbols").contains("alias symbol:large c"));
}

#[test]
fn modules_beyond_sixteen_bits_are_all_listed() {
    let found: Vec<_> = (0..70_000)
        .map(|n| {
            let listed = format!("kernel/m{n}.ko").into_bytes();
            search::Found { name: name(&format!("m{n}")), path: "/nonexistent/m.ko".into(), listed }
        })
        .collect();
    let modules = vec![loaded::Loaded::default(); found.len()];
    let options = Options::new("/nonexistent");
    let graph = graph::Graph::new(&found, &modules, &options, &mut drop).unwrap();
    let outputs = output::outputs(&found, &modules, &graph, &options, &mut drop).unwrap();
    let bytes = |name: &str| outputs.iter().find(|output| output.name == name).unwrap().bytes.clone();
    assert_eq!(bytes("modules.dep").split(|&byte| byte == b'\n').count(), 70_001);
    let index = crate::index::Index::parse(bytes("modules.dep.bin")).unwrap();
    assert_eq!(index.get(b"m69999").unwrap().unwrap(), b"kernel/m69999.ko:");
}
