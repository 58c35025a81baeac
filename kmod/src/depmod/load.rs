//! Reads the module files on several threads.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::budget::{Budget, has_memory_for_threads, small_module};
use super::cache::{Cache, Entry, Identity};
use super::loaded::{Key, Loaded};
use super::search::Found;
use super::{Notice, Options};
use crate::object::symbols::Import;
use crate::object::{Limits, Module, ObjectError, ObjectErrorKind, Scratch};

/// Reads one module. After an error, `loaded` keeps what was read before it.
fn read(
    loaded: &mut Loaded,
    path: &Path,
    options: &Options,
    limits: &Limits,
    memory: &mut Memory<'_>,
) -> Result<(), ObjectError> {
    let budget = memory.budget;
    let file = Module::open_with(path, limits, &mut memory.scratch)?;
    let elf = file.elf()?;
    let mut read = || {
        for (key, value) in elf.modinfo()?.iter() {
            let key = match key {
                b"alias" => Key::Alias,
                b"softdep" => Key::Softdep,
                b"weakdep" => Key::Weakdep,
                _ => continue,
            };
            loaded.add_info(budget, key, value)?;
        }
        let versions_matter = options.versions_matter();
        for export in elf.exports()? {
            loaded.add_export(budget, export.name, if versions_matter { elf.crc(&export) } else { None })?;
        }
        for import in elf.imports()? {
            let crc = import.crc.filter(|_| versions_matter);
            loaded.add_import(budget, &Import { crc, ..import })?;
        }
        Ok(())
    };
    let result = read().map_err(|kind| ObjectError { path: path.to_owned(), kind });
    drop(elf);
    memory.scratch.recycle(file);
    result
}

/// Reads one module within the bounds of a thread. If these, or the memory that other threads leave, are not enough, reads it again
/// as the only large module at a time.
fn read_in_turn(
    loaded: &mut Loaded,
    path: &Path,
    options: &Options,
    memory: &mut Memory<'_>,
) -> Result<(), ObjectError> {
    let small = Limits { size: options.limits.size.min(memory.small), ..options.limits };
    let result = read(loaded, path, options, &small, memory);
    let needs_more = match &result {
        Err(ObjectError { kind: ObjectErrorKind::TooLarge(_), .. }) => small != options.limits,
        Err(ObjectError { kind: ObjectErrorKind::Io(error), .. }) => error.raw_os_error() == Some(libc::ENOMEM),
        _ => false,
    };
    if !needs_more {
        return result;
    }
    let _lock = memory.large.lock().unwrap_or_else(PoisonError::into_inner);
    memory.budget.release(loaded.cost());
    *loaded = Loaded::default();
    memory.scratch = Scratch::default();
    read(loaded, path, options, &options.limits, memory)
}

/// The memory of one thread for decompressed modules. Only one thread at a time reads a large module, so that a tree of large
/// modules needs no more memory than one of them.
struct Memory<'t> {
    scratch: Scratch,
    budget: &'t Budget,
    large: &'t Mutex<()>,
    /// The size up to which a module is not large, in bytes.
    small: u64,
}

/// Reads all modules; unchanged ones come from the cache. A module that cannot be read is kept with the parts that could be read.
pub(super) fn load(
    found: &[Found],
    options: &Options,
    mut cache: Option<&mut Cache>,
    notify: &mut dyn FnMut(Notice),
) -> Vec<Loaded> {
    let (budget, large) = (Budget::new(), Mutex::new(()));
    let small = small_module(threads(found.len(), options));
    let memory = || Memory { scratch: Scratch::default(), budget: &budget, large: &large, small };
    let old = cache.as_deref();
    let loaded = parallel_with(found.len(), options, memory, |place, memory| {
        let module = &found[place];
        // Taken before the module is read, so that a later change gives another identity.
        let identity = old.and_then(|_| Identity::of(module.file()));
        let cached = old.zip(identity).and_then(|(old, i)| old.get(&module.listed, &i, memory.budget));
        if let Some((loaded, entry)) = cached {
            return (loaded, None, Some(entry));
        }
        let mut loaded = Loaded::default();
        let error = read_in_turn(&mut loaded, module.file(), options, memory).err();
        let error = error.map(|error| ObjectError { path: module.path.clone(), ..error });
        loaded.shrink();
        let entry = identity.filter(|_| error.is_none());
        let entry = entry.and_then(|identity| Entry::new(&module.listed, identity, &loaded));
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

/// The number of jobs that a thread takes at once: small enough for an even load, large enough to keep contention low.
const BATCH: usize = 16;

/// Returns the number of threads for a number of jobs.
fn threads(count: usize, options: &Options) -> usize {
    // Where memory is limited, the content of another thread's module must not take the last of it.
    let processors = || match has_memory_for_threads() {
        true => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        false => 1,
    };
    options.threads.unwrap_or_else(processors).clamp(1, count.div_ceil(BATCH).max(1))
}

/// Like [`parallel`], with a value per thread.
fn parallel_with<T: Send, M>(
    count: usize,
    options: &Options,
    memory: impl Fn() -> M + Sync,
    job: impl Fn(usize, &mut M) -> T + Sync,
) -> Vec<T> {
    let threads = threads(count, options);
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
