//! Reading the module files, by several threads. What is kept of a module is one run of bytes and spans into it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::search::Found;
use super::{Notice, Options};
use crate::object::{Limits, Module, ObjectError, ObjectErrorKind, Scratch};

/// What the lists need to know of a module.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    text: Vec<u8>,
    info: Vec<(Key, Span)>,
    exports: Vec<(Span, Option<u64>)>,
    imports: Vec<(Span, bool, Option<u64>)>,
}

/// The keys of `.modinfo` that become lines of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Alias,
    Softdep,
    Weakdep,
}

impl Key {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::Softdep => "softdep",
            Self::Weakdep => "weakdep",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// A symbol that a module needs.
pub(super) struct Needed<'m> {
    pub(super) name: &'m [u8],
    pub(super) weak: bool,
    pub(super) crc: Option<u64>,
}

impl Loaded {
    /// The values of one key, in the order of the module.
    pub(super) fn info(&self, key: Key) -> impl Iterator<Item = &[u8]> {
        self.info.iter().filter(move |(found, _)| *found == key).map(|(_, span)| self.bytes(*span))
    }

    pub(super) fn exports(&self) -> impl Iterator<Item = (&[u8], Option<u64>)> {
        self.exports.iter().map(|(span, crc)| (self.bytes(*span), *crc))
    }

    pub(super) fn imports(&self) -> impl Iterator<Item = Needed<'_>> {
        self.imports.iter().map(|&(span, weak, crc)| Needed { name: self.bytes(span), weak, crc })
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..span.end as usize]
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Span, ObjectErrorKind> {
        /// Symbols may share the bytes of their names in the file, but not here.
        const LIMIT: usize = 64 << 20;
        let (start, end) = (self.text.len(), self.text.len() + bytes.len());
        if end > LIMIT {
            return Err(ObjectErrorKind::Elf("its names have more than 64 MiB"));
        }
        self.text.extend_from_slice(bytes);
        Ok(Span { start: start as u32, end: end as u32 })
    }

    fn read(&mut self, module: &Found, options: &Options, memory: &mut Memory<'_>) -> Result<(), ObjectError> {
        let (file, _turn) = memory.open(&module.path, &options.limits)?;
        let elf = file.elf()?;
        let mut look = || {
            for (key, value) in elf.modinfo()?.iter() {
                let key = match key {
                    b"alias" => Key::Alias,
                    b"softdep" => Key::Softdep,
                    b"weakdep" => Key::Weakdep,
                    _ => continue,
                };
                let span = self.keep(value)?;
                self.info.push((key, span));
            }
            let versions_matter = options.kernel_symbols.as_ref().is_some_and(|symbols| symbols.has_versions);
            for export in elf.exports()? {
                let crc = if versions_matter { elf.crc(&export) } else { None };
                let span = self.keep(export.name)?;
                self.exports.push((span, crc));
            }
            for import in elf.imports()? {
                let span = self.keep(import.name)?;
                self.imports.push((span, import.weak, import.crc));
            }
            Ok(())
        };
        let looked = look().map_err(|kind| ObjectError { path: module.path.clone(), kind });
        drop(elf);
        memory.scratch.recycle(file);
        looked
    }
}

/// The memory of one thread for decompressed modules. Large modules are had one at a time by all threads together, so that a
/// tree of them costs no more than one.
struct Memory<'t> {
    scratch: Scratch,
    turn: &'t Mutex<()>,
}

impl<'t> Memory<'t> {
    /// The most that each thread may hold of a module, in bytes.
    const SMALL: u64 = 64 << 20;

    fn open(&mut self, path: &Path, limits: &Limits) -> Result<(Module, Option<MutexGuard<'t, ()>>), ObjectError> {
        let small = Limits { size: limits.size.min(Self::SMALL), ..*limits };
        match Module::open_with(path, &small, &mut self.scratch) {
            Err(ObjectError { kind: ObjectErrorKind::TooLarge(_), .. }) if small != *limits => {
                let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                Ok((Module::open_with(path, limits, &mut self.scratch)?, Some(turn)))
            }
            opened => Ok((opened?, None)),
        }
    }
}

/// Reads all modules. One that cannot be read is kept with what is known of it.
pub(super) fn load(found: &[Found], options: &Options, notify: &mut dyn FnMut(Notice)) -> Vec<Loaded> {
    let turn = Mutex::new(());
    let memory = || Memory { scratch: Scratch::default(), turn: &turn };
    let mut loaded = parallel_with(found.len(), options, memory, |place, memory| {
        let mut module = Loaded::default();
        let error = module.read(&found[place], options, memory).err();
        module.text.shrink_to_fit();
        (module, error)
    });
    // The notices come in the order of the modules, whichever thread was first.
    for error in loaded.iter_mut().filter_map(|(_, error)| error.take()) {
        notify(Notice::Unreadable(error));
    }
    loaded.into_iter().map(|(module, _)| module).collect()
}

/// What `job` gives for each number below `count`, in their order; done by several threads.
pub(super) fn parallel<T: Send>(count: usize, options: &Options, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    parallel_with(count, options, || (), |place, ()| job(place))
}

/// As [`parallel`], with something of its own for each thread.
fn parallel_with<T: Send, M>(
    count: usize,
    options: &Options,
    memory: impl Fn() -> M + Sync,
    job: impl Fn(usize, &mut M) -> T + Sync,
) -> Vec<T> {
    /// Small enough for the threads to end together, large enough for them not to meet often.
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
        // A machine that gives no more threads gets by with this one.
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
