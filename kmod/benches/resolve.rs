//! How the plan of a load grows with the number of modules and configuration lines: `cargo bench -p kmodlab-kmod --bench resolve`.

// A failed unwrap is a failed benchmark; the macros make public functions.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kmod::config::Config;
use kmod::index::IndexWriter;
use kmod::name::ModuleName;
use kmod::resolve::{Hit, LoadRequest, find, load_plan};
use kmod::tree::Tree;

const COUNTS: [usize; 3] = [100, 1000, 10_000];

fn name(number: usize) -> String {
    format!("m{number}")
}

fn hit(number: usize) -> Hit {
    Hit { module: ModuleName::new(name(number).as_bytes()).unwrap(), alias: None }
}

/// A module directory in memory, so that the time of a disk does not count.
struct Directory(tempfile::TempDir);

impl Directory {
    /// A directory of `count` modules, each of which depends on `needs(number)`, in the order of modules.dep.
    fn new(count: usize, needs: impl Fn(usize) -> Box<dyn Iterator<Item = usize>>) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let mut index = IndexWriter::new();
        for number in 0..count {
            let mut line = format!("k/{}.ko:", name(number));
            needs(number).for_each(|need| line += &format!(" k/{}.ko", name(need)));
            index.insert(name(number).as_bytes(), line.as_bytes(), u32::try_from(number).unwrap()).unwrap();
        }
        fs::write(directory.path().join("modules.dep.bin"), index.to_bytes().unwrap()).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

/// Each module depends on the one before it.
fn chain(c: &mut Criterion) {
    let mut group = c.benchmark_group("resolve/chain, direct dependencies");
    group.sample_size(10);
    for count in COUNTS {
        let directory = Directory::new(count, |number| Box::new(number.checked_sub(1).into_iter()));
        measure(&mut group, &directory, count, &Config::default());
    }
    group.finish();
    // As depmod writes it: a line has all dependencies, so the lines have `count * count / 2` paths. The index of a chain of
    // 10,000 would be larger than the 256 MiB that an index may have.
    let mut group = c.benchmark_group("resolve/chain, complete lines");
    group.sample_size(10);
    for count in [100, 1000, 3000] {
        let directory = Directory::new(count, |number| Box::new((0..number).rev()));
        measure(&mut group, &directory, count, &Config::default());
    }
    group.finish();
}

/// One module has a soft dependency on each of `count` aliases.
fn softdeps(c: &mut Criterion) {
    for (kind, star) in [("exact", ""), ("pattern", "*")] {
        let mut group = c.benchmark_group(format!("resolve/softdep x alias, {kind}"));
        group.sample_size(10);
        for count in COUNTS {
            let directory = Directory::new(count, |_| Box::new(std::iter::empty()));
            let mut text = String::new();
            for number in 1..count {
                text += &format!("alias a{number}x{star} {}\nsoftdep m0 pre: a{number}x\n", name(number));
                text += &format!("softdep {} pre: a{}x\n", name(number), number - 1);
            }
            let mut config = Config::default();
            config.add_file(Path::new("x.conf"), text.as_bytes(), &mut Vec::new());
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| {
                    let tree = Tree::new(directory.path());
                    let plan = load_plan(&tree, &config, black_box(&hit(0)), &LoadRequest::default());
                    assert_eq!(plan.steps.len(), count);
                });
            });
        }
        group.finish();
    }
}

fn measure(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    directory: &Directory,
    count: usize,
    config: &Config,
) {
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(BenchmarkId::from_parameter(count), |b| {
        b.iter(|| {
            let tree = Tree::new(directory.path());
            let found = find(&tree, config, name(count - 1).as_bytes()).unwrap();
            let plan = load_plan(&tree, config, black_box(&found.hits[0]), &LoadRequest::default());
            assert_eq!(plan.steps.len(), count);
        });
    });
}

criterion_group!(benches, chain, softdeps);
criterion_main!(benches);
