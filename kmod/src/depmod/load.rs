//! Reads the module files on several threads.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::cache::{Cache, Entry, Identity};
use super::loaded::{Key, Loaded};
use super::search::Found;
use super::{Notice, Options};
use crate::object::symbols::Import;
use crate::object::{Limits, Module, ObjectError, ObjectErrorKind, Scratch};

/// Reads one module. After an error, `loaded` keeps what was read before it.
fn read(loaded: &mut Loaded, path: &Path, options: &Options, memory: &mut Memory<'_>) -> Result<(), ObjectError> {
    // The lock is released last.
    let (_lock, file) = memory.open(path, &options.limits)?;
    let elf = file.elf()?;
    let mut read = || {
        for (key, value) in elf.modinfo()?.iter() {
            let key = match key {
                b"alias" => Key::Alias,
                b"softdep" => Key::Softdep,
                b"weakdep" => Key::Weakdep,
                _ => continue,
            };
            loaded.add_info(key, value)?;
        }
        let versions_matter = versions_matter(options);
        for export in elf.exports()? {
            loaded.add_export(export.name, if versions_matter { elf.crc(&export) } else { None })?;
        }
        for import in elf.imports()? {
            let crc = import.crc.filter(|_| versions_matter);
            loaded.add_import(&Import { crc, ..import })?;
        }
        Ok(())
    };
    let result = read().map_err(|kind| ObjectError { path: path.to_owned(), kind });
    drop(elf);
    memory.scratch.recycle(file);
    result
}

/// Returns whether the checksums of symbols are needed.
pub(super) fn versions_matter(options: &Options) -> bool {
    options.kernel_symbols.as_ref().is_some_and(|symbols| symbols.has_versions)
}

/// The memory of one thread for decompressed modules. Only one thread at a time reads a large module, so that a tree of large
/// modules needs no more memory than one of them.
struct Memory<'t> {
    scratch: Scratch,
    large: &'t Mutex<()>,
}

impl<'t> Memory<'t> {
    /// The largest module that every thread may read at any time, in bytes.
    const SMALL: u64 = 64 << 20;

    fn open(&mut self, path: &Path, limits: &Limits) -> Result<(Option<MutexGuard<'t, ()>>, Module), ObjectError> {
        let small = Limits { size: limits.size.min(Self::SMALL), ..*limits };
        match Module::open_with(path, &small, &mut self.scratch) {
            Err(ObjectError { kind: ObjectErrorKind::TooLarge(_), .. }) if small != *limits => {
                let lock = self.large.lock().unwrap_or_else(PoisonError::into_inner);
                Ok((Some(lock), Module::open_with(path, limits, &mut self.scratch)?))
            }
            opened => Ok((None, opened?)),
        }
    }
}

/// Reads all modules; unchanged ones come from the cache. A module that cannot be read is kept with the parts that could be read.
pub(super) fn load(
    found: &[Found],
    options: &Options,
    mut cache: Option<&mut Cache>,
    notify: &mut dyn FnMut(Notice),
) -> Vec<Loaded> {
    let large = Mutex::new(());
    let memory = || Memory { scratch: Scratch::default(), large: &large };
    let old = cache.as_deref();
    let loaded = parallel_with(found.len(), options, memory, |place, memory| {
        let module = &found[place];
        // Taken before the module is read, so that a later change gives another identity.
        let identity = old.and_then(|_| Identity::of(module.file()));
        if let Some((loaded, entry)) = old.zip(identity).and_then(|(old, i)| old.get(&module.listed, &i)) {
            return (loaded, None, Some(entry));
        }
        let mut loaded = Loaded::default();
        let error = read(&mut loaded, module.file(), options, memory).err();
        let error = error.map(|error| ObjectError { path: module.path.clone(), ..error });
        loaded.shrink();
        let entry = identity.filter(|_| error.is_none()).map(|identity| Entry::new(&module.listed, identity, &loaded));
        (loaded, error, entry)
    });
    let mut modules = Vec::with_capacity(loaded.len());
    for (module, error, entry) in loaded {
        // Notices are in the order of the modules, not of the threads.
        error.into_iter().for_each(|error| notify(Notice::Unreadable(error)));
        if let (Some(cache), Some(entry)) = (cache.as_deref_mut(), entry) {
            cache.keep(entry);
        }
        modules.push(module);
    }
    modules
}

/// Runs `job` for each number below `count` on several threads and returns the results in order.
pub(super) fn parallel<T: Send>(count: usize, options: &Options, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    parallel_with(count, options, || (), |place, ()| job(place))
}

/// Like [`parallel`], with a value per thread.
fn parallel_with<T: Send, M>(
    count: usize,
    options: &Options,
    memory: impl Fn() -> M + Sync,
    job: impl Fn(usize, &mut M) -> T + Sync,
) -> Vec<T> {
    /// Small enough for an even load, large enough to keep contention low.
    const BATCH: usize = 16;
    let processors = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = options.threads.unwrap_or_else(processors).clamp(1, count.div_ceil(BATCH).max(1));
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut done, mut memory) = (Vec::new(), memory());
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            if start >= count {
                return done;
            }
            done.extend((start..count.min(start + BATCH)).map(|place| (place, job(place, &mut memory))));
        }
    };
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        // If no thread can be started, this one does all the work.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).map_while(spawn).collect();
        let mut results = work();
        for other in others {
            match other.join() {
                Ok(done) => results.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}
