//! The cache never changes a result, whatever happens to the modules or to the cache file.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;
use crate::depmod::{KernelSymbols, Notice, Summary, run};
use crate::object::testing::TinyModule;

/// A module directory, and a second directory for the output of full runs.
struct Fixture {
    top: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        // On a disk, hundreds of renames are slow.
        let memory = Path::new("/dev/shm");
        let top = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let fixture = Self { top: top.unwrap() };
        fs::create_dir_all(fixture.dir().join("kernel")).unwrap();
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fs::write(fixture.dir().join(list), b"").unwrap();
        }
        fixture
    }

    fn dir(&self) -> PathBuf {
        self.top.path().join("dir")
    }

    fn cache(&self) -> PathBuf {
        self.dir().join(FILE)
    }

    fn module(&self, name: &str, symbol: &str, needs: &str) -> PathBuf {
        let path = self.dir().join("kernel").join(name);
        let alias = format!("alias=a-{symbol}");
        let module = TinyModule::named("x").info(&alias).info("softdep=pre: b").exports(&[symbol]).imports(&[needs]);
        fs::write(&path, module.build()).unwrap();
        path
    }

    fn options(&self) -> Options {
        Options { threads: Some(1), incremental: true, ..Options::new(self.dir()) }
    }

    fn run(&self) -> Summary {
        run(&self.options()).unwrap()
    }

    /// Runs depmod with and without the cache and asserts the same files and notices. Returns how many modules were not read.
    fn compare(&self, options: &Options) -> usize {
        let out = self.top.path().join("full");
        let full = run(&Options { incremental: false, out: Some(out.clone()), ..options.clone() });
        let incremental = run(options);
        let messages = |notices: &[Notice]| notices.iter().map(ToString::to_string).collect::<Vec<_>>();
        match (full, incremental) {
            (Ok(full), Ok(incremental)) => {
                assert_eq!(messages(&full.notices), messages(&incremental.notices));
                for file in full.written {
                    let name = file.file_name().unwrap();
                    let other = fs::read(self.dir().join(name)).unwrap();
                    assert_eq!(fs::read(&file).unwrap(), other, "{}", name.to_string_lossy());
                }
                incremental.unchanged
            }
            (full, incremental) => {
                assert_eq!(full.unwrap_err().to_string(), incremental.unwrap_err().to_string());
                0
            }
        }
    }

    /// Waits for the next tick of the file system's clock, a few milliseconds at most.
    fn tick(&self) {
        let path = self.top.path().join("clock");
        let time = || {
            fs::write(&path, b"x").unwrap();
            fs::metadata(&path).unwrap().modified().unwrap()
        };
        let start = time();
        while time() == start {
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_incremental_run_writes_the_same_files_as_a_full_run() {
    let mut from_cache = 0;
    arbtest::arbtest(|u| {
        let fixture = Fixture::new();
        let names = ["a.ko", "b.ko", "c.ko", "d-d.ko"];
        // All symbols have the same length, so that sizes stay. Cycles are rare, since a failed run writes no cache.
        let symbols = ["s0", "s1", "s2", "s3", "s4"];
        let pair = |u: &mut arbitrary::Unstructured<'_>| {
            let first = u.int_in_range(0..=3)?;
            let least = if u.ratio(1, 20)? { 0 } else { first + 1 };
            arbitrary::Result::Ok((symbols[first], symbols[u.int_in_range(least..=4)?]))
        };
        for _ in 0..u.int_in_range(1..=12)? {
            let path = fixture.dir().join("kernel").join(u.choose(&names)?);
            let path = path.as_path();
            match u.int_in_range(0..=9)? {
                0..=2 => {
                    let (symbol, needs) = pair(u)?;
                    fixture.module(path.file_name().unwrap().to_str().unwrap(), symbol, needs);
                }
                // A new module with the old mtime.
                3 if path.exists() => {
                    let time = fs::metadata(path).unwrap().modified().unwrap();
                    let (symbol, needs) = pair(u)?;
                    fixture.module(path.file_name().unwrap().to_str().unwrap(), symbol, needs);
                    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
                }
                // Another file renamed over it.
                4 if path.exists() => {
                    let (symbol, needs) = pair(u)?;
                    let other = fixture.module("new.tmp", symbol, needs);
                    fs::rename(other, path).unwrap();
                }
                5 if path.exists() => fs::rename(path, fixture.dir().join("kernel").join(u.choose(&names)?)).unwrap(),
                6 => drop(fs::remove_file(path)),
                7 => fs::write(path, u.arbitrary::<[u8; 3]>()?).unwrap(),
                8 if fixture.cache().exists() => {
                    let mut bytes = fs::read(fixture.cache()).unwrap();
                    match u.int_in_range(0..=2)? {
                        0 => bytes.truncate(u.int_in_range(0..=bytes.len())?),
                        1 => bytes.extend_from_slice(u.arbitrary::<[u8; 9]>()?.as_slice()),
                        _ => {
                            let at = u.choose_index(bytes.len().max(1))?;
                            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(1));
                        }
                    }
                    fs::write(fixture.cache(), bytes).unwrap();
                }
                _ => {}
            }
            if u.ratio(1, 2)? {
                fixture.tick();
            }
            let mut options = fixture.options();
            if u.ratio(1, 4)? {
                let symvers = KernelSymbols::from_symvers(b"0x1\tkmalloc\tvmlinux\tEXPORT_SYMBOL\n");
                options.kernel_symbols = Some(KernelSymbols { report_unknown: true, ..symvers });
            }
            if u.ratio(1, 8)? {
                options.config.excludes.push(b"a.ko".to_vec());
            }
            from_cache += fixture.compare(&options);
        }
        Ok(())
    })
    .size_min(256)
    .budget_ms(3000);
    assert!(from_cache > 10, "only {from_cache} modules came from the cache: the test proves nothing");
}

#[test]
fn only_changed_modules_are_read_again() {
    let fixture = Fixture::new();
    fixture.module("a.ko", "s0", "s1");
    fixture.module("b.ko", "s1", "s2");
    fixture.tick();
    assert_eq!(fixture.run().unchanged, 0);
    assert_eq!(fixture.run().unchanged, 2);
    fixture.module("a.ko", "s3", "s1");
    fixture.tick();
    assert_eq!((fixture.run().unchanged, fixture.compare(&fixture.options())), (1, 2));
    fs::remove_file(fixture.dir().join("kernel/a.ko")).unwrap();
    assert_eq!(fixture.compare(&fixture.options()), 1);
}

#[test]
fn a_change_with_the_same_size_and_mtime_is_noticed() {
    let fixture = Fixture::new();
    let path = fixture.module("a.ko", "s0", "s1");
    let old = SystemTime::now() - Duration::from_secs(1000);
    let age = || fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    fixture.tick();
    fixture.run();
    assert_eq!(fixture.run().unchanged, 1);
    fixture.module("a.ko", "s2", "s1");
    age();
    assert_eq!(fixture.run().unchanged, 0);
    assert!(fs::read_to_string(fixture.dir().join("modules.symbols")).unwrap().contains("symbol:s2 a"));
}

#[test]
fn a_module_changed_in_the_tick_of_the_run_is_not_cached() {
    let settled = |modified, changed, now| Identity { device: 1, inode: 1, size: 1, modified, changed }.is_settled(now);
    assert!(settled((9, 5), (9, 999), (10, 1)));
    assert!(settled((9, 5), (10, 1), (10, 2)));
    assert!(!settled((9, 5), (10, 2), (10, 2)), "the same tick");
    assert!(!settled((11, 5), (9, 2), (10, 2)), "a time in the future");
    // A clock with a resolution of one or two seconds.
    assert!(!settled((9, 0), (5, 1), (10, 500)) && !settled((8, 0), (8, 0), (10, 500)));
    assert!(settled((7, 0), (7, 0), (10, 500)));
    assert!(!settled((i64::MAX, 0), (i64::MIN, 0), (10, 500)));
}

#[test]
fn a_damaged_or_foreign_cache_is_not_used() {
    let fixture = Fixture::new();
    fixture.module("a.ko", "s0", "s1");
    fixture.tick();
    fixture.run();
    let good = fs::read(fixture.cache()).unwrap();
    let count = |bytes: &[u8], options: &Options| Cache::parse(bytes.to_vec(), options, None).places.len();
    assert_eq!(count(&good, &fixture.options()), 1);
    let other_limits = Options { limits: crate::object::Limits { size: 1, window: 1 }, ..fixture.options() };
    let with_versions = Options { kernel_symbols: Some(KernelSymbols::from_symvers(b"")), ..fixture.options() };
    assert_eq!(count(&good, &other_limits) + count(&good, &with_versions), 0);
    for length in 0..good.len() {
        assert_eq!(count(&good[..length], &fixture.options()), 0, "cut to {length}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        assert_eq!(count(&bytes, &fixture.options()), 0, "another byte at {at}");
    }
    // A valid checksum, but another format number at the end of the magic.
    let mut other = good[..good.len() - 8].to_vec();
    other[MAGIC.len() - 2] += 1;
    let sum = checksum(&other);
    other.extend_from_slice(&sum.to_le_bytes());
    assert_eq!(count(&other, &fixture.options()), 0);
}

#[test]
fn no_bytes_make_the_reader_panic() {
    arbtest::arbtest(|u| {
        let options = Options::new("/nonexistent");
        // A valid header and checksum: otherwise the entries would not be read.
        let mut bytes = header(&options);
        let entries = u.int_in_range(0..=3)?;
        put(&mut bytes, entries);
        for _ in 0..entries {
            let identity = Identity { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) };
            match Entry::new(b"x", identity, &Loaded::default()).unwrap() {
                Entry::New(_, entry) if u.ratio(3, 4)? => {
                    let tail: Vec<u8> = u.arbitrary()?;
                    // The leading length is one byte here; random bytes follow the identity.
                    let kept = &entry[1..entry.len() - 3];
                    put_bytes(&mut bytes, &[kept, &tail].concat());
                }
                _ => bytes.extend(u.arbitrary::<Vec<u8>>()?),
            }
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let cache = Cache::parse(bytes, &options, None);
        let identity = Identity { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) };
        let _either_way = cache.get(b"x", &identity, &Budget::new());
        Ok(())
    });
}

#[test]
fn an_entry_survives_a_round_trip() {
    let (mut module, budget) = (Loaded::default(), Budget::new());
    module.add_info(&budget, Key::Weakdep, b"w").unwrap();
    module.add_info(&budget, Key::Alias, &[0xff; 300]).unwrap();
    module.add_export(&budget, b"e", Some(u64::MAX)).unwrap();
    module.add_import(&budget, &Import { name: b"", weak: true, crc: None }).unwrap();
    module.add_import(&budget, &Import { name: b"i", weak: false, crc: Some(7) }).unwrap();
    let identity =
        Identity { device: u64::MAX, inode: 0, size: 9, modified: (-1, 999_999_999), changed: (i64::MIN, 0) };
    let options = Options::new("/nonexistent");
    let mut cache = Cache::parse(Vec::new(), &options, Some((i64::MAX, 0)));
    cache.keep(Entry::new(b"k/m.ko", identity, &module).unwrap());
    let cache = Cache::parse(cache.to_bytes().unwrap(), &options, None);
    let read = cache.get(b"k/m.ko", &identity, &budget).unwrap().0;
    assert!(read.all_info().eq(module.all_info()) && read.exports().eq(module.exports()));
    assert!(read.imports().eq(module.imports()));
    assert!(cache.get(b"k/m.ko", &Identity { inode: 1, ..identity }, &budget).is_none());
    assert!(cache.get(b"k/other.ko", &identity, &budget).is_none());
}

#[test]
fn a_dry_run_and_a_run_on_given_files_leave_the_cache_alone() {
    let fixture = Fixture::new();
    let path = fixture.module("a.ko", "s0", "s1");
    fixture.module("b.ko", "s1", "s2");
    fixture.tick();
    fixture.run();
    let before = fs::read(fixture.cache()).unwrap();
    fs::remove_file(fixture.dir().join("kernel/b.ko")).unwrap();
    assert_eq!(run(&Options { dry_run: true, ..fixture.options() }).unwrap().unchanged, 1);
    assert_eq!(run(&Options { files: vec![path], ..fixture.options() }).unwrap().unchanged, 1);
    assert_eq!(fs::read(fixture.cache()).unwrap(), before);
}
