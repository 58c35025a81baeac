//! depmod on small directories of modules that are built in memory.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::object::testing::TinyModule;
use crate::tree::Tree;

struct Fixture {
    top: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { top: tempfile::tempdir().unwrap() };
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fixture.put(list, b"");
        }
        fixture
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

    /// Returns the notices, with paths relative to the directory.
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
fn dependencies_are_transitive_and_in_reverse_load_order() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &["a"], &["b", "kmalloc"]);
    fixture.module("kernel/b-b.ko", &["b"], &["c", "d"]);
    fixture.module("kernel/c.ko", &["c"], &["d"]);
    fixture.module("kernel/d.ko", &["d"], &[]);
    assert_eq!(fixture.run(), [""; 0]);
    assert_eq!(
        fixture.text("modules.dep"),
        "kernel/a.ko: kernel/b-b.ko kernel/c.ko kernel/d.ko\n\
         kernel/b-b.ko: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\n"
    );
    let entry = fixture.tree().module(&name("b_b")).unwrap().unwrap();
    assert_eq!(entry.deps, [fixture.top.path().join("kernel/c.ko"), fixture.top.path().join("kernel/d.ko")]);
    assert_eq!(fixture.tree().symbols(b"symbol:c").unwrap(), [name("c")]);
}

#[test]
fn text_and_index_of_every_list_agree() {
    let fixture = Fixture::new();
    let module =
        TinyModule::named("a").info("alias=pci:v0*").info("alias=fs-a").info("softdep=pre: b").info("weakdep=c");
    fixture.put("kernel/a.ko", &module.exports(&["one", "two"]).build());
    fixture.put("kernel/b.ko", &TinyModule::named("b").info("alias=fs-a").build());
    fixture.put("modules.builtin", b"kernel/fs/ext4/ext4.ko\nkernel/x-y.ko\n");
    fixture.put("modules.builtin.modinfo", b"ext4.alias=fs-ext4\0ext4.license=GPL\0");
    assert_eq!(fixture.run(), [""; 0]);
    let indexes = ["dep", "alias", "symbols", "builtin", "builtin.alias"].map(|n| format!("modules.{n}.bin"));
    let answers = || {
        let tree = fixture.tree();
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
    indexes.iter().for_each(|index| fs::remove_file(fixture.top.path().join(index)).unwrap());
    assert_eq!(answers(), by_index);
    assert_eq!(fixture.text("modules.softdep").lines().last(), Some("softdep a pre: b"));
    assert_eq!(fixture.text("modules.weakdep").lines().last(), Some("weakdep a c"));
}

#[test]
fn modules_order_comes_first_and_the_rest_by_path() {
    let fixture = Fixture::new();
    for module in ["kernel/a.ko", "kernel/b.ko.xz", "updates/c.ko", "kernel/d.ko"] {
        fixture.module(module, &[], &[]);
    }
    fixture.put("modules.order", b"kernel/d.ko\nkernel/nosuch.ko\nkernel/b.ko\nkernel/d.ko\n");
    fixture.run();
    assert_eq!(fixture.text("modules.dep"), "kernel/d.ko:\nkernel/b.ko.xz:\nkernel/a.ko:\nupdates/c.ko:\n");
}

#[test]
fn the_result_does_not_depend_on_threads_or_on_the_file_system() {
    let text = |threads, backwards| {
        let fixture = Fixture::new();
        let mut names: Vec<u32> = (0..50).collect();
        if backwards {
            names.reverse();
        }
        for n in names {
            let needs = [format!("s{}", n * 7 % 50 + 50), format!("s{}", n + 1)];
            fixture.module(&format!("kernel/m{n:02}.ko"), &[&format!("s{n}")], &needs.each_ref().map(String::as_str));
        }
        fixture.run_with(&Options { threads: Some(threads), ..fixture.options() });
        ["modules.dep", "modules.symbols"].map(|list| fixture.text(list))
    };
    assert_eq!(text(1, false), text(4, true));
}

#[test]
fn a_cycle_is_an_error_and_nothing_is_written() {
    let fixture = Fixture::new();
    // Four modules that all need each other, a pair, and a module that only needs the pair.
    for (module, needs) in
        [("a", ["b", "c", "d"]), ("b", ["a", "c", "d"]), ("c", ["a", "b", "d"]), ("d", ["a", "b", "c"])]
    {
        fixture.module(&format!("{module}.ko"), &[module], &needs);
    }
    fixture.module("p.ko", &["p"], &["q"]);
    fixture.module("q.ko", &["q"], &["p", "q"]);
    fixture.module("user.ko", &[], &["p"]);
    fixture.put("modules.dep", b"old");
    let error = run(&fixture.options()).unwrap_err();
    assert_eq!(error.to_string(), "found 6 modules in dependency cycles: a -> b -> a; p -> q -> p");
    assert_eq!(fixture.text("modules.dep"), "old");
    assert!(!fixture.top.path().join("modules.dep.bin").exists());
}

#[test]
fn garbage_is_listed_and_reported() {
    let fixture = Fixture::new();
    fixture.put("a.ko", b"");
    fixture.put("b.ko", b"garbage");
    fixture.put("c.ko.xz", b"\xfd7zXZ\0garbage");
    fixture.module("d.ko", &["d"], &[]);
    let messages = fixture.run();
    assert_eq!(messages[0], "failed to load symbols from a.ko: Invalid argument (the file is empty)");
    assert!(
        messages[1].starts_with("failed to load symbols from b.ko: Exec format error (not an ELF file: "),
        "{}",
        messages[1]
    );
    assert!(
        messages[2].starts_with("failed to load symbols from c.ko.xz: Exec format error (could not decompress as xz: ")
    );
    assert_eq!(fixture.text("modules.dep"), "a.ko:\nb.ko:\nc.ko.xz:\nd.ko:\n");
}

#[test]
fn missing_lists_are_reported() {
    let fixture = Fixture { top: tempfile::tempdir().unwrap() };
    fixture.module("a.ko", &[], &[]);
    let messages: Vec<String> = run(&fixture.options()).unwrap().notices.iter().map(ToString::to_string).collect();
    let here = fixture.top.path().display();
    assert_eq!(
        messages,
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
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &[], &[]);
    symlink("..", fixture.top.path().join("kernel/0-loop")).unwrap();
    symlink("kernel", fixture.top.path().join("aaa")).unwrap();
    assert_eq!(fixture.run(), [""; 0]);
    assert_eq!(fixture.text("modules.dep"), "kernel/a.ko:\n");
}

#[test]
fn linked_directories_and_files_outside_are_followed() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let outside = other.module("m/b.ko", &[], &[]);
    symlink(outside.parent().unwrap(), fixture.top.path().join("linked")).unwrap();
    symlink(&outside, fixture.top.path().join("c.ko")).unwrap();
    fixture.run();
    assert_eq!(fixture.text("modules.dep"), "c.ko:\nlinked/b.ko:\n");
}

#[test]
fn build_source_and_other_names_are_skipped() {
    let fixture = Fixture::new();
    for path in ["build/a.ko", "kernel/source/b.ko", "kernel/c.ko.zstd", "kernel/d.o", "kernel/.ko", "kernel/e.ko"] {
        fixture.module(path, &[], &[]);
    }
    assert_eq!(fixture.run(), ["kernel/.ko: its file name leaves no module name; the module is left out"]);
    assert_eq!(fixture.text("modules.dep"), "kernel/e.ko:\n");
}

#[test]
fn the_preferred_file_of_a_module_is_listed() {
    let fixture = Fixture::new();
    let opt = Fixture::new();
    fixture.module("kernel/foo-bar.ko", &["f"], &[]);
    fixture.module("updates/foo_bar.ko.xz", &["f"], &[]);
    fixture.module("kernel/x.ko", &[], &["f"]);
    opt.module("far.ko", &[], &["f"]);
    let mut options = fixture.options();
    options.config.parse(format!("external * {}\n", opt.top.path().display()).as_bytes(), b"6.1");
    fixture.run_with(&options);
    // The same with another file in updates.
    fixture.module("updates/foo_bar.ko", &["f"], &[]);
    fs::remove_file(fixture.top.path().join("updates/foo_bar.ko.xz")).unwrap();
    fixture.run_with(&options);
    let far = opt.top.path().join("far.ko");
    assert_eq!(
        fixture.text("modules.dep"),
        format!("{}: updates/foo_bar.ko\nkernel/x.ko: updates/foo_bar.ko\nupdates/foo_bar.ko:\n", far.display())
    );
}

#[test]
fn quick_does_nothing_unless_a_module_is_newer() {
    let fixture = Fixture::new();
    let module = fixture.module("kernel/a.ko", &[], &[]);
    let quick = Options { quick: true, ..fixture.options() };
    assert!(!run(&quick).unwrap().up_to_date, "there was no modules.dep");
    assert!(run(&quick).unwrap().up_to_date);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::open(&module).unwrap().set_modified(later).unwrap();
    assert!(!run(&quick).unwrap().up_to_date);
    assert!(run(&Options { dry_run: true, ..quick }).unwrap().up_to_date);
}

#[test]
fn a_dry_run_returns_the_lists_and_writes_nothing() {
    let fixture = Fixture::new();
    fixture.module("a.ko", &["a"], &[]);
    let summary = run(&Options { dry_run: true, ..fixture.options() }).unwrap();
    assert!(summary.text.starts_with(b"a.ko:\n# Aliases extracted"), "{}", String::from_utf8_lossy(&summary.text));
    assert!(summary.written.is_empty() && !fixture.top.path().join("modules.dep").exists());
}

#[test]
fn only_the_given_files_are_listed() {
    let fixture = Fixture::new();
    let a = fixture.module("a.ko", &[], &[]);
    let b = fixture.module("b.ko", &[], &[]);
    fixture.run_with(&Options { files: vec![b], ..fixture.options() });
    assert_eq!(fixture.text("modules.dep"), "b.ko:\n");
    let error = |files: &[&Path]| {
        let files = files.iter().map(|file| file.to_path_buf()).collect();
        run(&Options { files, ..fixture.options() }).unwrap_err().to_string()
    };
    let (text, missing) = (a.with_extension("txt"), a.with_file_name("missing.ko"));
    assert!(
        error(&[&text]).ends_with("a.txt is not a module file; its name must end in .ko, .ko.xz, .ko.gz or .ko.zst")
    );
    // The first that is wrong is reported.
    let relative = Path::new("x.ko");
    assert_eq!(error(&[&a, relative, &missing]), "x.ko: not absolute path.");
    assert!(error(&[&missing, relative]).ends_with("missing.ko: No such file or directory"));
    assert_eq!(error(&[&a, &a]), format!("could not add module {}: File exists", a.display()));
    let other = fixture.module("updates/a.ko", &[], &[]);
    assert_eq!(error(&[&a, &other]), format!("could not create module {}: File exists", other.display()));
}

#[test]
fn unknown_symbols_and_mismatched_versions_are_reported() {
    let fixture = Fixture::new();
    let mut module = TinyModule::named("a").imports(&["kmalloc", "nosuch", "__this_module", ".b"]);
    module.weak = vec!["perhaps".into()];
    module.versions = vec![("kmalloc".into(), 7), ("b".into(), 0x9999)];
    fixture.put("a.ko", &module.build());
    fixture.module("b.ko", &["b"], &[]);
    let symbols =
        KernelSymbols { report_unknown: true, ..KernelSymbols::from_symvers(b"0x8 kmalloc vmlinux EXPORT_SYMBOL\n") };
    let mut options = Options { kernel_symbols: Some(symbols), ..fixture.options() };
    assert_eq!(
        fixture.run_with(&options),
        [
            "a.ko disagrees about version of symbol kmalloc",
            "a.ko needs unknown symbol nosuch",
            "a.ko disagrees about version of symbol b",
        ]
    );
    let map = KernelSymbols::from_system_map(b"f r __ksymtab_kmalloc\n");
    options.kernel_symbols = Some(KernelSymbols { report_unknown: true, ..map.clone() });
    assert_eq!(fixture.run_with(&options), ["a.ko needs unknown symbol nosuch"]);
    options.kernel_symbols = Some(map);
    assert_eq!(fixture.run_with(&options), [""; 0]);
    assert_eq!(fixture.text("modules.dep"), "a.ko: b.ko\nb.ko:\n");
}

#[test]
fn dependencies_are_reported_on_request() {
    let fixture = Fixture::new();
    fixture.module("a.ko", &[], &["b"]);
    fixture.module("b.ko", &["b"], &[]);
    assert_eq!(fixture.run_with(&Options { show_needs: true, ..fixture.options() }), ["a.ko needs \"b\": b.ko"]);
}

#[test]
fn duplicate_aliases_are_reported_on_request() {
    let fixture = Fixture::new();
    let twice = TinyModule::named("a").info("alias=fs-x").info("alias=fs_x").exports(&["same"]);
    fixture.put("a.ko", &twice.build());
    fixture.put("b.ko", &TinyModule::named("b").info("alias=fs-x").exports(&["same"]).build());
    assert_eq!(fixture.run(), [""; 0]);
    assert_eq!(
        fixture.run_with(&Options { warn_duplicates: true, ..fixture.options() }),
        ["duplicate module alias: fs_x a"]
    );
    // Of two exporters the later one counts.
    assert_eq!(fixture.tree().symbols(b"symbol:same").unwrap(), [name("b")]);
}

#[test]
fn values_of_modinfo_cannot_inject_lines() {
    let fixture = Fixture::new();
    let evil = TinyModule::named("a")
        .info("softdep=pre: b\ninstall x /bin/sh")
        .info("alias=a b")
        .info("alias=x[y")
        .info("alias=caf\u{e9}");
    fixture.put("a.ko", &evil.build());
    assert_eq!(
        fixture.run(),
        [
            "a.ko: its alias cannot stand in a list: a b; left out",
            "a.ko: its softdep cannot stand in a list: pre: b\\x0ainstall x /bin/sh; left out",
            "Unmatched bracket in x[y (the alias of a is left out of the index)",
            "Module index: bad character 0xc3 in caf\\xc3\\xa9: only 7-bit ASCII is supported in an index",
        ]
    );
    assert_eq!(fixture.text("modules.softdep").lines().count(), 1);
    assert!(fixture.text("modules.alias").ends_with("alias x[y a\nalias caf\u{e9} a\n"));
}

#[test]
fn a_soft_dependency_with_a_backslash_does_not_join_the_next_line() {
    let fixture = Fixture::new();
    fixture.put("a.ko", &TinyModule::named("a").info("softdep=pre: b \\").info("weakdep=b\\").build());
    fixture.put("b.ko", &TinyModule::named("b").info("softdep=pre: c").build());
    assert_eq!(
        fixture.run(),
        [
            "a.ko: its softdep cannot stand in a list: pre: b \\\\; left out",
            "a.ko: its weakdep cannot stand in a list: b\\\\; left out",
        ]
    );
    assert_eq!(fixture.text("modules.softdep").lines().last(), Some("softdep b pre: c"));
}

#[test]
fn device_nodes_need_a_name_and_numbers() {
    let fixture = Fixture::new();
    let module =
        |infos: &[&str]| infos.iter().fold(TinyModule::named("x"), |m, info| m.info(&format!("alias={info}"))).build();
    fixture.put("fuse.ko", &module(&["devname:fuse", "char-major-10-229"]));
    fixture.put("loop.ko", &module(&["block-major-7-*", "char-major-10-237", "devname:loop-control"]));
    fixture.put("odd.ko", &module(&["devname:odd", "char-major-10-*"]));
    assert_eq!(fixture.run(), ["Module 'odd' has devname (odd) but lacks major and minor information. Ignoring."]);
    assert_eq!(
        fixture.text("modules.devname"),
        "# Device nodes to trigger on-demand module loading.\nfuse fuse c10:229\nloop loop-control c10:237\n"
    );
}

#[test]
fn bad_lines_of_modules_builtin_are_reported() {
    let fixture = Fixture::new();
    fixture.put("modules.builtin", b"kernel/a.ko\n/kernel/b.ko\nkernel/\n");
    assert_eq!(fixture.run(), ["Invalid modules.builtin line: /kernel/b.ko", "Invalid modules.builtin line: kernel/"]);
    assert!(fixture.tree().is_builtin(&name("a")).unwrap());
}

#[test]
fn paths_with_white_space_are_left_out() {
    let fixture = Fixture::new();
    fixture.module("my modules/a.ko", &[], &[]);
    fixture.module("b.ko", &[], &[]);
    let messages = fixture.run();
    assert_eq!(
        messages,
        ["my modules/a.ko: its path holds white space, which modules.dep cannot hold; the module is left out"]
    );
    assert_eq!(fixture.text("modules.dep"), "b.ko:\n");
}

#[test]
fn a_module_beyond_the_limit_is_reported_and_the_others_are_indexed() {
    let fixture = Fixture::new();
    fixture.module("a.ko", &["a"], &["b"]);
    fixture.module("b.ko", &["b"], &[]);
    // A small file that unpacks to 4 MiB.
    let bomb = fixture.put("c.ko.gz", &[]);
    let mut packer = flate2::write::GzEncoder::new(fs::File::create(&bomb).unwrap(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, &vec![0; 4 << 20]).unwrap();
    packer.finish().unwrap();
    assert!(fs::metadata(&bomb).unwrap().len() < 10_000);
    let limits = Limits { size: 1 << 20, ..Limits::default() };
    let messages = fixture.run_with(&Options { limits, ..fixture.options() });
    assert_eq!(
        messages,
        ["failed to load symbols from c.ko.gz: File too large (has more than 1048576 bytes when decompressed)"]
    );
    assert_eq!(fixture.text("modules.dep"), "a.ko: b.ko\nb.ko:\nc.ko.gz:\n");
}

#[test]
fn a_large_module_is_read_one_at_a_time() {
    // Beyond the limit of a thread: a hole after the sections of each module.
    let fixture = Fixture::new();
    for name in ["a.ko", "b.ko", "c.ko"] {
        let path = fixture.module(name, &["large"], &[]);
        fs::File::options().append(true).open(path).unwrap().set_len(65 << 20).unwrap();
    }
    assert_eq!(fixture.run(), [""; 0]);
    assert!(fixture.text("modules.symbols").contains("alias symbol:large c"));
}

#[test]
fn modules_beyond_sixteen_bits_are_all_listed() {
    let found: Vec<_> = (0..70_000)
        .map(|n| {
            let listed = format!("kernel/m{n}.ko").into_bytes();
            search::Found { name: name(&format!("m{n}")), path: "/nonexistent/m.ko".into(), resolved: None, listed }
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
