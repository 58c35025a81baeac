//! Resource limits: every tool, over crafted inputs of every decoder, index and configuration file, with little memory, a small
//! stack, a file size limit, few descriptors, and a closed or full standard output. Whatever happens, a tool exits with status 0, or
//! with status 1 and a message; no signal ends it.
//!
//! A debug build needs more stack than a release build. It is tested with 1 MiB; the static release build of `ci/setup`, if there is
//! an up-to-date one, with 64 KiB.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;
// The builder of test modules belongs to the library's unit tests. Not everything in it is used here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use common::{Lab, RELEASE};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;
use testing::TinyModule;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8], preset: u32) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(preset)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Builds a zstd frame: the bytes in raw blocks, then `repeats` blocks of 128 KiB of one byte, with a window of 2^`window` bytes.
fn zstd(bytes: &[u8], byte: u8, repeats: usize, window: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window - 10) << 3];
    let block = |kind: u32, length: usize| (u32::try_from(length).unwrap() << 3 | kind << 1).to_le_bytes();
    for chunk in bytes.chunks(1 << 16) {
        frame.extend_from_slice(&block(0, chunk.len())[..3]);
        frame.extend_from_slice(chunk);
    }
    for _ in 0..repeats {
        frame.extend_from_slice(&block(1, 1 << 17)[..3]);
        frame.push(byte);
    }
    // An empty last block.
    frame.extend_from_slice(&[1, 0, 0]);
    frame
}

/// Crafted module files by their names below the module directory.
fn modules() -> Vec<(&'static str, Vec<u8>)> {
    let module = |name: &str| TinyModule::named(name).exports(&["a_sym"]).imports(&["b_sym"]).build();
    let (large, names) = (vec![0; 40 << 20], b"a\0".repeat(20 << 20));
    // An ELF file whose first section, .modinfo, is as large as the file claims.
    let mut claims = module("claims");
    let sections = usize::try_from(u64::from_le_bytes(claims[40..48].try_into().unwrap())).unwrap();
    claims[sections + 64 + 32..sections + 64 + 40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let mut sections_claim = module("sections");
    sections_claim[60..62].copy_from_slice(&[0xff, 0xff]);
    let many: Vec<String> = (0..20_000).map(|number| format!("alias=pci:v{number:08X}d*sv*")).collect();
    let many = many.iter().fold(TinyModule::named("many"), |module, alias| module.info(alias));
    vec![
        ("good.ko", module("good")),
        ("empty.ko", Vec::new()),
        ("text.ko", b"text".to_vec()),
        ("claims.ko", claims),
        ("sections.ko", sections_claim),
        ("short.ko", module("short")[..100].to_vec()),
        ("many.ko", many.build()),
        ("good_gz.ko.gz", gzip(&module("good_gz"))),
        ("cut_gz.ko.gz", gzip(&module("cut_gz"))[..60].to_vec()),
        ("bomb_gz.ko.gz", gzip(&large)),
        ("names_gz.ko.gz", gzip(&[module("names_gz"), names.clone()].concat())),
        ("good_xz.ko.xz", xz(&module("good_xz"), 0)),
        ("window_xz.ko.xz", xz(&module("window_xz"), 9)),
        ("cut_xz.ko.xz", xz(&module("cut_xz"), 0)[..60].to_vec()),
        ("bomb_xz.ko.xz", xz(&large, 0)),
        ("good_zst.ko.zst", zstd(&module("good_zst"), 0, 0, 17)),
        ("window_zst.ko.zst", zstd(&module("window_zst"), 0, 0, 27)),
        ("cut_zst.ko.zst", zstd(&module("cut_zst"), 0, 0, 17)[..60].to_vec()),
        ("bomb_zst.ko.zst", zstd(&module("bomb_zst"), b'a', 512, 17)),
    ]
}

/// Creates a lab for the tools that read modules.
fn module_lab(with_large: bool) -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.tree().join("k")).unwrap();
    let mut dependencies = String::new();
    let is_wanted = |name: &str| with_large || !(name.starts_with("bomb_") || name.starts_with("names_"));
    for (name, bytes) in modules().into_iter().filter(|(name, _)| is_wanted(name)) {
        fs::write(lab.tree().join("k").join(name), bytes).unwrap();
        dependencies += &format!("k/{name}:\n");
    }
    symlink("..", lab.tree().join("k/loop")).unwrap();
    lab.index("modules.dep", &dependencies);
    lab.index("modules.order", &"k/good.ko\n".repeat(100_000));
    lab.index("modules.builtin", &"kernel/bi.ko\n".repeat(100_000));
    lab.index("modules.builtin.modinfo", &"bi.parm=x:y\0".repeat(100_000));
    lab
}

/// Creates a lab with crafted indexes and configuration.
fn index_lab() -> Lab {
    let lab = Lab::new();
    let chain: String = (0..3000).map(|number| format!("k/m{number}.ko: k/m{}.ko\n", number + 1)).collect();
    lab.index("modules.dep", &format!("k/leaf.ko:\n{chain}k/m3000.ko:\n"));
    lab.index("modules.alias", &format!("alias {}* leaf\nalias {} leaf\n", "*a".repeat(1000), "[".repeat(4000)));
    lab.index("modules.softdep", &"softdep leaf pre: leaf post: leaf\n".repeat(1000));
    lab.index("modules.devname", &"leaf a/b c1:2\nbad\n".repeat(1000));
    let cycle: String = (0..1000).map(|number| format!("softdep s{number} pre: s{}\n", (number + 1) % 1000)).collect();
    let texts = [
        ("long.conf", format!("options leaf {}\n", "a".repeat(1 << 20))),
        ("lines.conf", "options leaf a=1\n".repeat(10_000)),
        ("continued.conf", "options leaf \\\n".repeat(100_000)),
        ("brackets.conf", format!("alias {} leaf\nblacklist {}\n", "[".repeat(100_000), "]".repeat(100_000))),
        ("cycle.conf", cycle),
        ("bad.conf", "\0\n\u{ff}\nbogus\n".repeat(1000)),
        ("regex.conf", format!("override leaf {}{} x\n", "(".repeat(10_000), ")".repeat(10_000))),
        ("repeat.conf", "override leaf ((((a{99}){99}){99}){99}){99} x\n".to_owned()),
    ];
    texts.iter().for_each(|(name, text)| _ = lab.config(name, text));
    symlink("loop.conf", lab.path("conf/loop.conf")).unwrap();
    lab
}

/// Creates a lab in which every index is damaged: a chain of nodes, a loop of nodes, or noise.
fn damaged_lab(kind: usize) -> Lab {
    let lab = Lab::new();
    let mut index = [0xb007_f457_u32.to_be_bytes(), 0x0002_0001_u32.to_be_bytes()].concat();
    const PREFIX: u32 = 0x8000_0000;
    const CHILDREN: u32 = 0x2000_0000;
    match kind {
        0 => {
            // Each node has the prefix `a` and one child, `a`.
            index.extend_from_slice(&(12 | PREFIX | CHILDREN).to_be_bytes());
            for number in 1..=50_000_u32 {
                index.extend_from_slice(b"a\0aa");
                index.extend_from_slice(&((12 + number * 8) | PREFIX | CHILDREN).to_be_bytes());
            }
        }
        1 => {
            index.extend_from_slice(&(12 | PREFIX | CHILDREN).to_be_bytes());
            index.extend_from_slice(b"a\0aa");
            index.extend_from_slice(&(12 | PREFIX | CHILDREN).to_be_bytes());
        }
        _ => index.extend((0..100_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes())),
    }
    for name in ["dep", "alias", "symbols", "builtin", "builtin.alias"] {
        fs::write(lab.tree().join(format!("modules.{name}.bin")), &index).unwrap();
    }
    lab
}

/// A limit as a line of the shell.
#[derive(Clone, Copy)]
struct Limit(&'static str);

const LIMITS: [Limit; 7] = [
    Limit("ulimit -v 65536"),
    Limit("ulimit -s $stack"),
    Limit("ulimit -f 0"),
    Limit("ulimit -n 8"),
    Limit("exec >&-"),
    Limit("exec >/dev/full"),
    Limit("exec >/dev/full; ulimit -s $stack; ulimit -f 8; ulimit -n 8; ulimit -v 65536"),
];

/// A program to test, with the stack that it gets in KiB.
struct Program {
    path: PathBuf,
    stack: u32,
}

fn newest(directory: &Path) -> SystemTime {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { newest(&path) } else { fs::metadata(path).unwrap().modified().unwrap() })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn programs() -> Vec<Program> {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_kmod"));
    let guest = built.ancestors().nth(2).unwrap().join("guest/kmod");
    let mut programs = vec![Program { path: built, stack: if cfg!(debug_assertions) { 1024 } else { 64 } }];
    let sources = newest(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    if fs::metadata(&guest).is_ok_and(|data| data.modified().unwrap() > sources) {
        programs.push(Program { path: guest, stack: 64 });
    } else {
        eprintln!("skipped: no up-to-date static program; ci/setup builds it");
    }
    programs
}

/// Runs a tool under each limit and returns what is wrong.
fn run(lab: &Lab, program: &Program, tool: &str, arguments: &[&str], wrong: &mut Vec<String>) {
    let link = lab.path("limited").join(tool);
    fs::create_dir_all(lab.path("limited")).unwrap();
    let _may_be_missing = fs::remove_file(&link);
    symlink(&program.path, &link).unwrap();
    // Large modules are about memory.
    let is_large = arguments.iter().any(|argument| argument.contains("/bomb_") || argument.contains("/names_"));
    for Limit(limit) in LIMITS.into_iter().filter(|Limit(limit)| !is_large || limit.contains("ulimit -v")) {
        let script = format!("stack={}; {limit}; exec \"$0\" \"$@\"", program.stack);
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(lab.path("")).stdin(Stdio::null());
        let output = command.args(["-c", &script]).arg(&link).args(arguments).output().unwrap();
        let is_right = match output.status.code() {
            Some(0) => true,
            Some(1) => !output.stderr.is_empty(),
            _ => false,
        };
        if !is_right {
            let message = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(300)]).into_owned();
            let (code, signal) = (output.status.code(), output.status.signal());
            let program = program.path.display();
            wrong.push(format!(
                "{program} as {tool} {arguments:?} after `{limit}`: {code:?}, signal {signal:?}: {message}"
            ));
        }
    }
}

fn check(lab: &Lab, invocations: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for program in programs() {
        for (tool, arguments) in invocations {
            run(lab, &program, tool, arguments, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_file_is_read_within_limits() {
    let lab = module_lab(true);
    let names: Vec<String> = modules().iter().map(|(name, _)| format!("lib/modules/{RELEASE}/k/{name}")).collect();
    for name in &names {
        let path = format!("./{name}");
        check(&lab, &[("modinfo", &[name]), ("modprobe", &["--show-exports", &path]), ("insmod", &["-f", &path])]);
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    check(&lab, &[("modinfo", &all)]);
}

#[test]
fn depmod_indexes_within_limits() {
    let lab = module_lab(false);
    fs::write(lab.path("map"), "0 r __ksymtab_b_sym\n".repeat(10_000)).unwrap();
    check(
        &lab,
        &[
            ("depmod", &["-C", "conf", "-b", ".", RELEASE]),
            ("depmod", &["-C", "conf", "-b", ".", "-n", "-v", "-e", "-F", "map", RELEASE]),
            ("depmod", &["-C", "conf", "-b", ".", "--incremental", RELEASE]),
        ],
    );
    let lab = module_lab(true);
    let files = ["bomb_gz.ko.gz", "names_gz.ko.gz", "bomb_xz.ko.xz", "bomb_zst.ko.zst", "good.ko"];
    let files = files.map(|name| lab.tree().join("k").join(name).into_os_string().into_string().unwrap());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    check(&lab, &[("depmod", &[&["-C", "conf", "-b", ".", RELEASE], &files[..]].concat())]);
}

#[test]
fn configuration_and_indexes_are_read_within_limits() {
    let lab = index_lab();
    let tree = ["-d", ".", "-S", RELEASE, "-C", "conf"];
    let modprobe = |arguments: &[&'static str]| [&tree[..], arguments].concat();
    for arguments in [&["-c"][..], &["-D", "m0"], &["-D", "leaf"], &["-R", "aaaa"], &["-v", "s0"], &["-r", "-D", "m0"]]
    {
        check(&lab, &[("modprobe", &modprobe(arguments))]);
    }
    check(
        &lab,
        &[
            ("modinfo", &["-b", ".", "-k", RELEASE, "m0"]),
            ("depmod", &["-C", "conf", "-b", ".", "-n", RELEASE]),
            ("rmmod", &["-v", "no_such_module"]),
            ("lsmod", &[]),
            ("kmod", &["static-nodes", "-o", "out"]),
            ("kmod", &["list"]),
            ("kmod", &["help"]),
        ],
    );
}

#[test]
fn damaged_indexes_are_read_within_limits() {
    for kind in 0..3 {
        let lab = damaged_lab(kind);
        for arguments in [&["-R", "aaaaaaaa"][..], &["-D", "leaf"], &["-c"]] {
            check(&lab, &[("modprobe", &[&["-d", ".", "-S", RELEASE, "-C", "conf"], arguments].concat())]);
        }
        check(&lab, &[("modinfo", &["-b", ".", "-k", RELEASE, "leaf"])]);
    }
}
