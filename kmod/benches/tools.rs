//! Benchmarks of the parts of the tools: `cargo bench -p kmodlab-kmod`. `ci/bench` compares whole programs.

// A failed unwrap is a failed benchmark; the macros define public functions.
#![allow(clippy::unwrap_used, missing_docs)]

// The builder of test modules belongs to the library's unit tests. Not everything in it is used here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use kmod::depmod::{self, Options};
use kmod::index::{Index, IndexWriter};
use kmod::name::fnmatch;
use kmod::object::ElfModule;
use testing::TinyModule;

/// The number of PCI aliases in a distribution's kernel.
const ALIASES: u32 = 20_000;

fn aliases() -> IndexWriter {
    let mut writer = IndexWriter::new();
    for number in 0..ALIASES {
        let (vendor, device) = (0x1000 + number / 64, number % 64 * 0x111);
        let alias = format!("pci:v{vendor:08X}d{device:08X}sv*sd*bc*sc*i*");
        writer.insert(alias.as_bytes(), format!("module_{}", number / 8).as_bytes(), number / 8).unwrap();
    }
    writer
}

fn index(c: &mut Criterion) {
    c.bench_function("index/build of 20000 aliases", |b| b.iter(|| aliases().to_bytes().unwrap()));
    let bytes = aliases().to_bytes().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("modules.alias.bin");
    fs::write(&path, &bytes).unwrap();
    let name = b"pci:v00001080d00000DDEsv00001028sd0000085Abc03sc00i00";
    let in_memory = Index::parse(bytes).unwrap();
    assert!(in_memory.matches(name).unwrap().is_empty());
    let name = b"pci:v00001080d00000DDDsv00001028sd0000085Abc03sc00i00";
    assert_eq!(in_memory.matches(name).unwrap().len(), 1);
    c.bench_function("index/lookup in memory", |b| b.iter(|| in_memory.matches(black_box(name)).unwrap()));
    c.bench_function("index/lookup in a file just opened", |b| {
        b.iter(|| Index::read(&path).unwrap().matches(black_box(name)).unwrap());
    });
    c.bench_function("index/all entries", |b| b.iter(|| in_memory.entries().unwrap()));
}

fn names(c: &mut Criterion) {
    let name = b"pci:v00008086d00003E92sv00001028sd0000085Abc03sc00i00";
    c.bench_function("fnmatch/a device", |b| {
        b.iter(|| fnmatch(black_box(b"pci:v00008086d00003E92sv*sd*bc03sc*i*"), black_box(name)));
    });
    let hostile = [b"*a".repeat(30), b"b".to_vec()].concat();
    let long = b"a".repeat(200);
    c.bench_function("fnmatch/many stars", |b| b.iter(|| fnmatch(black_box(&hostile), black_box(&long))));
}

fn some_module(number: usize) -> Vec<u8> {
    let exports: Vec<String> = (0..4).map(|symbol| format!("symbol_{number}_{symbol}")).collect();
    let imports: Vec<String> = (1..=20).map(|other| format!("symbol_{}_{}", number + other, other % 4)).collect();
    let mut module = TinyModule::named("x");
    for alias in 0..8 {
        module = module.info(&format!("alias=pci:v{number:08X}d{alias:08X}sv*sd*bc*sc*i*"));
    }
    let exports: Vec<&str> = exports.iter().map(String::as_str).collect();
    let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
    module.exports(&exports).imports(&imports).build()
}

fn objects(c: &mut Criterion) {
    let module = some_module(7);
    c.bench_function("modinfo/of a module in memory", |b| {
        b.iter(|| ElfModule::parse(black_box(&module)).unwrap().modinfo().unwrap().iter().count());
    });
    c.bench_function("symbols/of a module in memory", |b| {
        b.iter(|| {
            let elf = ElfModule::parse(black_box(&module)).unwrap();
            elf.exports().unwrap().len() + elf.imports().unwrap().len()
        });
    });
}

fn whole_depmod(c: &mut Criterion) {
    const MODULES: usize = 500;
    // Avoid measuring the disk.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    for number in 0..MODULES {
        fs::write(dir.path().join(format!("module_{number}.ko")), some_module(number)).unwrap();
    }
    let mut group = c.benchmark_group("depmod");
    group.sample_size(20);
    for (name, incremental) in [("500 generated modules", false), ("the same, incremental, nothing changed", true)] {
        let options = Options { incremental, ..Options::new(dir.path()) };
        assert_eq!(depmod::run(&options).unwrap().modules, MODULES);
        group.bench_function(name, |b| b.iter(|| depmod::run(&options).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, index, names, objects, whole_depmod);
criterion_main!(benches);
