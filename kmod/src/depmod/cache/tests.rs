//! The cache never changes a result, whatever happens to the modules and to itself.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;
use crate::depmod::{KernelSymbols, Notice, Summary, run};
use crate::object::testing::TinyModule;

/// A module directory, and one beside it for the files of full runs.
struct Lab {
    top: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        // A disk makes hundreds of renames wait for it.
        let memory = Path::new("/dev/shm");
        let top = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let lab = Self { top: top.unwrap() };
        fs::create_dir_all(lab.dir().join("kernel")).unwrap();
        for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fs::write(lab.dir().join(list), b"").unwrap();
        }
        lab
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

    /// Runs both ways, and proves that all files and all that is told are the same. Gives how many modules were not read.
    fn compare(&self, options: &Options) -> usize {
        let out = self.top.path().join("full");
        let full = run(&Options { incremental: false, out: Some(out.clone()), ..options.clone() });
        let incremental = run(options);
        let told = |notices: &[Notice]| notices.iter().map(ToString::to_string).collect::<Vec<_>>();
        match (full, incremental) {
            (Ok(full), Ok(incremental)) => {
                assert_eq!(told(&full.notices), told(&incremental.notices));
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

    /// Waits, a few milliseconds at most, for the next tick of the file system's clock.
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
fn an_incremental_run_writes_what_a_full_run_writes_whatever_happened() {
    let mut known = 0;
    arbtest::arbtest(|u| {
        let lab = Lab::new();
        let names = ["a.ko", "b.ko", "c.ko", "d-d.ko"];
        // Symbols of the same length, so that sizes stay; few cycles, since a run that fails has no next cache.
        let symbols = ["s0", "s1", "s2", "s3", "s4"];
        let pair = |u: &mut arbitrary::Unstructured<'_>| {
            let first = u.int_in_range(0..=3)?;
            let least = if u.ratio(1, 20)? { 0 } else { first + 1 };
            arbitrary::Result::Ok((symbols[first], symbols[u.int_in_range(least..=4)?]))
        };
        for _ in 0..u.int_in_range(1..=12)? {
            let path = lab.dir().join("kernel").join(u.choose(&names)?);
            let path = path.as_path();
            match u.int_in_range(0..=9)? {
                0..=2 => {
                    let (symbol, needs) = pair(u)?;
                    lab.module(path.file_name().unwrap().to_str().unwrap(), symbol, needs);
                }
                // The same, and the old time on it.
                3 if path.exists() => {
                    let time = fs::metadata(path).unwrap().modified().unwrap();
                    let (symbol, needs) = pair(u)?;
                    lab.module(path.file_name().unwrap().to_str().unwrap(), symbol, needs);
                    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
                }
                // Another file in its place.
                4 if path.exists() => {
                    let (symbol, needs) = pair(u)?;
                    let other = lab.module("new.tmp", symbol, needs);
                    fs::rename(other, path).unwrap();
                }
                5 if path.exists() => fs::rename(path, lab.dir().join("kernel").join(u.choose(&names)?)).unwrap(),
                6 => drop(fs::remove_file(path)),
                7 => fs::write(path, u.arbitrary::<[u8; 3]>()?).unwrap(),
                8 if lab.cache().exists() => {
                    let mut bytes = fs::read(lab.cache()).unwrap();
                    match u.int_in_range(0..=2)? {
                        0 => bytes.truncate(u.int_in_range(0..=bytes.len())?),
                        1 => bytes.extend_from_slice(u.arbitrary::<[u8; 9]>()?.as_slice()),
                        _ => {
                            let at = u.choose_index(bytes.len().max(1))?;
                            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(1));
                        }
                    }
                    fs::write(lab.cache(), bytes).unwrap();
                }
                _ => {}
            }
            if u.ratio(1, 2)? {
                lab.tick();
            }
            let mut options = lab.options();
            if u.ratio(1, 4)? {
                let symvers = KernelSymbols::from_symvers(b"0x1\tkmalloc\tvmlinux\tEXPORT_SYMBOL\n");
                options.kernel_symbols = Some(KernelSymbols { tell_unknown: true, ..symvers });
            }
            if u.ratio(1, 8)? {
                options.config.excludes.push(b"a.ko".to_vec());
            }
            known += lab.compare(&options);
        }
        Ok(())
    })
    .size_min(256)
    .budget_ms(3000);
    assert!(known > 10, "only {known} modules were known from the cache: nothing was proved");
}

#[test]
fn only_what_changed_is_read_again() {
    let lab = Lab::new();
    lab.module("a.ko", "s0", "s1");
    lab.module("b.ko", "s1", "s2");
    lab.tick();
    assert_eq!(lab.run().unchanged, 0);
    assert_eq!(lab.run().unchanged, 2);
    lab.module("a.ko", "s3", "s1");
    lab.tick();
    assert_eq!((lab.run().unchanged, lab.compare(&lab.options())), (1, 2));
    fs::remove_file(lab.dir().join("kernel/a.ko")).unwrap();
    assert_eq!(lab.compare(&lab.options()), 1);
}

#[test]
fn the_same_size_and_time_of_change_do_not_hide_a_change() {
    let lab = Lab::new();
    let path = lab.module("a.ko", "s0", "s1");
    let old = SystemTime::now() - Duration::from_secs(1000);
    let age = || fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    lab.tick();
    lab.run();
    assert_eq!(lab.run().unchanged, 1);
    lab.module("a.ko", "s2", "s1");
    age();
    assert_eq!(lab.run().unchanged, 0);
    assert!(fs::read_to_string(lab.dir().join("modules.symbols")).unwrap().contains("symbol:s2 a"));
}

#[test]
fn a_module_that_changed_in_the_tick_of_the_run_is_not_believed() {
    let settled = |modified, changed, now| Identity { device: 1, inode: 1, size: 1, modified, changed }.is_settled(now);
    assert!(settled((9, 5), (9, 999), (10, 1)));
    assert!(settled((9, 5), (10, 1), (10, 2)));
    assert!(!settled((9, 5), (10, 2), (10, 2)), "the same tick");
    assert!(!settled((11, 5), (9, 2), (10, 2)), "a time to come");
    // A clock of whole seconds, or of two.
    assert!(!settled((9, 0), (5, 1), (10, 500)) && !settled((8, 0), (8, 0), (10, 500)));
    assert!(settled((7, 0), (7, 0), (10, 500)));
    assert!(!settled((i64::MAX, 0), (i64::MIN, 0), (10, 500)));
}

#[test]
fn a_broken_or_foreign_cache_is_none() {
    let lab = Lab::new();
    lab.module("a.ko", "s0", "s1");
    lab.tick();
    lab.run();
    let good = fs::read(lab.cache()).unwrap();
    let count = |bytes: &[u8], options: &Options| Cache::parse(bytes.to_vec(), options, None).places.len();
    assert_eq!(count(&good, &lab.options()), 1);
    let other_limits = Options { limits: crate::object::Limits { size: 1, window: 1 }, ..lab.options() };
    let with_versions = Options { kernel_symbols: Some(KernelSymbols::from_symvers(b"")), ..lab.options() };
    assert_eq!(count(&good, &other_limits) + count(&good, &with_versions), 0);
    for length in 0..good.len() {
        assert_eq!(count(&good[..length], &lab.options()), 0, "cut to {length}");
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        assert_eq!(count(&bytes, &lab.options()), 0, "another byte at {at}");
    }
    // Whole, and of another format: the number at the end of the magic.
    let mut other = good[..good.len() - 8].to_vec();
    other[MAGIC.len() - 2] += 1;
    let sum = checksum(&other);
    other.extend_from_slice(&sum.to_le_bytes());
    assert_eq!(count(&other, &lab.options()), 0);
}

#[test]
fn no_bytes_make_the_reader_panic() {
    arbtest::arbtest(|u| {
        let options = Options::new("/nonexistent");
        // With the right start and the right sum, or nothing would be looked at.
        let mut bytes = header(&options);
        let entries = u.int_in_range(0..=3)?;
        put(&mut bytes, entries);
        for _ in 0..entries {
            let identity = Identity { device: 1, inode: 2, size: 3, modified: (4, 5), changed: (6, 7) };
            match Entry::new(b"x", identity, &Loaded::default()) {
                Entry::New(_, entry) if u.ratio(3, 4)? => {
                    let tail: Vec<u8> = u.arbitrary()?;
                    // The length in front is one byte here; what follows the identity is anything.
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
        let _either_way = cache.get(b"x", &identity);
        Ok(())
    });
}

#[test]
fn an_entry_reads_back() {
    let mut module = Loaded::default();
    module.add_info(Key::Weakdep, b"w").unwrap();
    module.add_info(Key::Alias, &[0xff; 300]).unwrap();
    module.add_export(b"e", Some(u64::MAX)).unwrap();
    module.add_import(&Needed { name: b"", weak: true, crc: None }).unwrap();
    module.add_import(&Needed { name: b"i", weak: false, crc: Some(7) }).unwrap();
    let identity =
        Identity { device: u64::MAX, inode: 0, size: 9, modified: (-1, 999_999_999), changed: (i64::MIN, 0) };
    let options = Options::new("/nonexistent");
    let mut cache = Cache::parse(Vec::new(), &options, Some((i64::MAX, 0)));
    cache.keep(Entry::new(b"k/m.ko", identity, &module));
    let cache = Cache::parse(cache.to_bytes().unwrap(), &options, None);
    assert_eq!(cache.get(b"k/m.ko", &identity).unwrap().0, module);
    assert!(cache.get(b"k/m.ko", &Identity { inode: 1, ..identity }).is_none());
    assert!(cache.get(b"k/other.ko", &identity).is_none());
}

#[test]
fn a_dry_run_and_one_on_chosen_files_leave_the_cache_alone() {
    let lab = Lab::new();
    let path = lab.module("a.ko", "s0", "s1");
    lab.module("b.ko", "s1", "s2");
    lab.tick();
    lab.run();
    let before = fs::read(lab.cache()).unwrap();
    fs::remove_file(lab.dir().join("kernel/b.ko")).unwrap();
    assert_eq!(run(&Options { dry_run: true, ..lab.options() }).unwrap().unchanged, 1);
    assert_eq!(run(&Options { files: vec![path], ..lab.options() }).unwrap().unchanged, 1);
    assert_eq!(fs::read(lab.cache()).unwrap(), before);
}
