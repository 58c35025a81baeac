//! The module tools on files that claim much, under limits of memory, stack and descriptors: an error names the file, no signal
//! ends a tool, and depmod goes on with the other modules.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/module_root.rs"]
mod module_root;

use std::io::Write as _;
use std::process::{Command, Output};

use module_root::testing::TinyModule;
use module_root::{RELEASE, Root};

/// A zstd frame: a raw block, then runs of zeros of 128 KiB each.
fn zeros_as_zstd(start: &[u8], runs: usize) -> Vec<u8> {
    let block = |kind: usize, size: usize, is_last: bool| {
        let header = usize::from(is_last) | kind << 1 | size << 3;
        header.to_le_bytes()[..3].to_vec()
    };
    let mut bytes = b"\x28\xb5\x2f\xfd\x00\x38".to_vec();
    bytes.extend(block(0, start.len(), runs == 0));
    bytes.extend(start);
    for run in 1..=runs {
        bytes.extend(block(1, 128 << 10, run == runs));
        bytes.push(0);
    }
    bytes
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

fn xz(content: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(0);
    options.lzma_options.dict_size = dictionary;
    let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    packer.write_all(content).unwrap();
    packer.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A module with this many bytes of `__ksymtab_strings`: names of one letter.
fn many_exports(bytes: usize) -> Vec<u8> {
    TinyModule { export_bytes: b"s\0".repeat(bytes / 2), ..TinyModule::named("many") }.build()
}

impl Root {
    /// Runs a tool under `ulimit` options.
    fn limited(&self, limits: &str, tool: &str, arguments: &[&str]) -> Output {
        let script = format!("ulimit {}; exec \"$@\"", limits.replace(';', "; ulimit"));
        let tool = self.path().join("bin").join(tool);
        Command::new("sh").args(["-c", &script, "sh"]).arg(tool).args(arguments).env_clear().output().unwrap()
    }

    fn with_tools(self) -> Self {
        let bin = self.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in ["depmod", "modinfo", "modprobe"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmod"), bin.join(tool)).unwrap();
        }
        self
    }

    fn limited_depmod(&self, limits: &str) -> String {
        let root = self.path().to_str().unwrap().to_owned();
        self.shown(&self.limited(limits, "depmod", &["-C", "/nonexistent", "-b", &root, RELEASE]))
    }
}

#[test]
fn depmod_goes_on_after_modules_with_millions_of_exports() {
    let root = Root::new(&[("kernel/a.ko", &["a"], &["b"]), ("kernel/b.ko", &["b"], &[])]).with_tools();
    let bomb = zstd(&many_exports(60_000_000));
    assert!(bomb.len() < 50_000, "{} bytes", bomb.len());
    for number in 1..=4 {
        root.put(&format!("kernel/bomb{number}.ko.zst"), &bomb);
    }
    insta::assert_snapshot!(root.limited_depmod("-v 1000000") + &root.list("modules.dep"), @r"
    Some(0)
    --
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/kernel/bomb1.ko.zst: Exec format error (malformed ELF file: more than 262144 symbols)
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/kernel/bomb2.ko.zst: Exec format error (malformed ELF file: more than 262144 symbols)
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/kernel/bomb3.ko.zst: Exec format error (malformed ELF file: more than 262144 symbols)
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/kernel/bomb4.ko.zst: Exec format error (malformed ELF file: more than 262144 symbols)
    kernel/a.ko: kernel/b.ko
    kernel/b.ko:
    kernel/bomb1.ko.zst:
    kernel/bomb2.ko.zst:
    kernel/bomb3.ko.zst:
    kernel/bomb4.ko.zst:
    ");
}

#[test]
fn a_small_file_that_unpacks_to_a_gigabyte_is_an_error_without_the_memory() {
    let root = Root::new(&[("kernel/a.ko", &["a"], &[])]).with_tools();
    let bomb = zeros_as_zstd(&TinyModule::named("bomb").build(), 8000);
    assert!(bomb.len() < 33_000, "{} bytes", bomb.len());
    root.put("kernel/bomb.ko.zst", &bomb);
    insta::assert_snapshot!(root.limited_depmod("-v 500000") + &root.list("modules.dep"), @r"
    Some(0)
    --
    depmod: ERROR: failed to load symbols from ROOT/lib/modules/1.2.3-test/kernel/bomb.ko.zst: Cannot allocate memory
    kernel/a.ko:
    kernel/bomb.ko.zst:
    ");
    let path = root.dir().join("kernel/bomb.ko.zst");
    let run = |tool, arguments: &[&str]| root.shown(&root.limited("-v 500000", tool, arguments));
    let path = path.to_str().unwrap();
    for (tool, arguments) in [("modinfo", &[path][..]), ("modprobe", &["--show-modversions", path])] {
        let printed = run(tool, arguments);
        assert!(printed.starts_with("Some(1)"), "{printed}");
        assert!(printed.contains("bomb") && printed.contains("Cannot allocate memory\n"), "{printed}");
    }
}

#[test]
fn every_decoder_works_with_a_stack_of_64_kib() {
    let root = Root::new(&[]).with_tools();
    // Incompressible, so that zstd stores raw blocks of the full size.
    let mut module = TinyModule::named("m").exports(&["one"]).build();
    let mut state = 1_u32;
    module.extend((0..400_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    let packed: [(&str, Vec<u8>); 4] = [
        ("a.ko", module.clone()),
        ("b.ko.gz", gzip(&module)),
        ("c.ko.xz", xz(&module, 1 << 20)),
        ("d.ko.zst", zstd(&module)),
    ];
    for (name, bytes) in &packed {
        root.put(name, bytes);
    }
    for limits in ["-s 64", "-s 128"] {
        assert_eq!(root.limited_depmod(limits), "Some(0)\n--\n");
        for (name, _) in &packed {
            let path = root.dir().join(name);
            let output = root.limited(limits, "modinfo", &["-F", "name", path.to_str().unwrap()]);
            assert_eq!(root.shown(&output), "Some(0)\nm\n--\n", "{name}");
        }
    }
}
