//! Indexing a module directory: search for module files, read them in parallel, find who needs whom, and write the lists and
//! indexes that modprobe reads.
//!
//! ```text
//!   search  the directory tree -> one file for each module name, in their order
//!   load    module files -> aliases, exports, imports                    parallel
//!   cache   what an earlier run read, for modules that are unchanged
//!   graph   exports and imports -> who needs whom, sorted; cycles        pure
//!   output  modules and graph -> the lists and indexes as bytes          pure
//!   write   temporary files, then renames: all of them or none
//! ```
//!
//! Nothing is printed here: what is worth telling comes as [`Notice`]s. The order of everything written depends on the
//! modules' names and `modules.order` alone, not on the file system or on timing.
//!
//! Where it differs from C kmod's depmod, on purpose: what modules.order does not name comes by path, and modules.symbols by
//! symbol (there both are in the order of a hash table); of several files for one module with the same right the first by
//! path is listed (there the first that the file system gives); each directory is visited once, so that links cannot loop; a path
//! with white space and an alias or softdep with a newline are told of and left out (there they break the lists); the old files
//! stay until all new ones are complete; an index without entries is a valid one (there a file without a byte, when
//! the kernel's list is missing); modes are 0644 whatever the umask.

pub mod cache;
pub mod config;
mod graph;
mod load;
mod loaded;
mod notice;
mod output;
mod search;
pub mod symvers;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use config::DepmodConfig;
pub use notice::Notice;
pub use symvers::KernelSymbols;

use crate::index::InsertError;
use crate::name::{Escaped, ModuleName};
use crate::object::Limits;
use crate::sys::strerror_io;

/// What to index, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The module directory (`/lib/modules/RELEASE`). Absolute, so that what is outside it can be named.
    pub dir: PathBuf,
    /// Where the files go; the module directory itself when not given. Made when it does not exist.
    pub out: Option<PathBuf>,
    /// Only these module files, instead of all in the directory.
    pub files: Vec<PathBuf>,
    /// Do nothing when no module is newer than modules.dep.
    pub quick: bool,
    /// Take what is known of unchanged modules from the [cache](cache::FILE) beside the lists, and write the next one.
    pub incremental: bool,
    /// Write nothing; the lists are in [`Summary::text`].
    pub dry_run: bool,
    /// Tell of keys that an index holds twice with the same value.
    pub warn_duplicates: bool,
    /// Tell which module needs which other one, and the first symbol for which it does.
    pub show_needs: bool,
    /// What the kernel itself exports: symbols that nobody has are told of.
    pub kernel_symbols: Option<KernelSymbols>,
    /// A character that exported names have and importing modules leave out.
    pub symbol_prefix: Option<u8>,
    /// depmod.d.
    pub config: DepmodConfig,
    /// How much a module file may cost.
    pub limits: Limits,
    /// Threads that read module files; as many as there are processors when not given.
    pub threads: Option<usize>,
}

impl Options {
    /// All modules of a directory, with no configuration.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            out: None,
            files: Vec::new(),
            quick: false,
            incremental: false,
            dry_run: false,
            warn_duplicates: false,
            show_needs: false,
            kernel_symbols: None,
            symbol_prefix: None,
            config: DepmodConfig::default(),
            limits: Limits::default(),
            threads: None,
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many modules are listed.
    pub modules: usize,
    /// How many of them are known from the cache, and were not read.
    pub unchanged: usize,
    /// Nothing was done, since no module is newer than modules.dep.
    pub up_to_date: bool,
    /// The files that were written, in their order.
    pub written: Vec<PathBuf>,
    /// With a dry run: the text lists, one behind the other.
    pub text: Vec<u8>,
    /// What is worth telling, in its order ([`run`] only).
    pub notices: Vec<Notice>,
}

/// Why a module directory was not indexed. No file of it has changed then, save where the message says so.
#[derive(Debug, thiserror::Error)]
pub enum DepmodError {
    /// The directory cannot be read.
    #[error("could not open directory {path}: {}", strerror_io(source), path = crate::config::show_path(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that the options name cannot be had.
    #[error("could not create module {path}: {}", strerror_io(source), path = crate::config::show_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that the options name is no module.
    #[error("{path} is not a module file; its name must end in .ko, .ko.xz, .ko.gz or .ko.zst", path = crate::config::show_path(path))]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// Modules need each other.
    #[error("found {modules} modules in dependency cycles: {}", show_cycles(cycles))]
    Cycles {
        /// The modules of each cycle, from one that needs the next on to the one that needs the first.
        cycles: Vec<Vec<ModuleName>>,
        /// How many modules are in cycles.
        modules: usize,
    },
    /// The modules do not fit into an index.
    #[error("{file}: {source}")]
    Index {
        /// The index.
        file: &'static str,
        /// Why.
        source: InsertError,
    },
    /// A file of the module directory cannot be read.
    #[error("could not read {path}: {}", strerror_io(source), path = crate::config::show_path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("could not write {path}: {}", strerror_io(source), path = crate::config::show_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A finished file could not be put in its place; those before it, in the order of writing, already have been.
    #[error("could not rename to {path}: {}; run depmod again", strerror_io(source), path = crate::config::show_path(path))]
    Rename {
        /// The file's name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn show_cycles(cycles: &[Vec<ModuleName>]) -> String {
    let shown = cycles.iter().take(3).map(|cycle| show_cycle(cycle));
    let more = if cycles.len() > 3 { "; …" } else { "" };
    shown.collect::<Vec<_>>().join("; ") + more
}

/// `a -> b -> a`
#[must_use]
pub fn show_cycle(cycle: &[ModuleName]) -> String {
    let closed = cycle.iter().chain(cycle.first());
    closed.map(|name| Escaped(name.as_bytes()).to_string()).collect::<Vec<_>>().join(" -> ")
}

/// Indexes a module directory.
///
/// # Errors
/// [`DepmodError`].
pub fn run(options: &Options) -> Result<Summary, DepmodError> {
    let mut notices = Vec::new();
    let summary = run_with(options, &mut |notice| notices.push(notice))?;
    Ok(Summary { notices, ..summary })
}

/// Indexes a module directory, and tells of things as they come up.
///
/// # Errors
/// [`DepmodError`].
pub fn run_with(options: &Options, notify: &mut dyn FnMut(Notice)) -> Result<Summary, DepmodError> {
    let out = options.out.as_deref().unwrap_or(&options.dir);
    if options.quick && (options.dry_run || search::is_up_to_date(options, &out.join("modules.dep"))) {
        return Ok(Summary { up_to_date: true, ..Summary::default() });
    }
    // Only a run that sees the whole directory and may write has a next cache.
    let next = options.incremental && !options.dry_run && options.files.is_empty();
    let mut file = if next { pending_cache(options, out).ok() } else { None };
    let start = file.as_ref().and_then(write::Pending::time);
    let mut known = options.incremental.then(|| cache::Cache::read(out, options, start));

    let found = search::search(options, notify)?;
    let modules = load::load(&found, options, known.as_mut(), notify);
    let graph = graph::Graph::new(&found, &modules, options, notify)?;
    let outputs = output::outputs(&found, &modules, &graph, options, notify)?;
    let unchanged = known.as_ref().map_or(0, cache::Cache::unchanged);
    let mut summary = Summary { modules: found.len(), unchanged, ..Summary::default() };
    if options.dry_run {
        summary.text = outputs.into_iter().filter(|o| !o.name.ends_with(".bin")).flat_map(|o| o.bytes).collect();
    } else {
        summary.written = write::write(out, &outputs)?;
    }
    if let (Some(mut file), Some(bytes)) = (file.take(), known.and_then(|known| known.to_bytes())) {
        // The lists are there: without a cache the next run takes longer, and no more.
        let path = out.join(cache::FILE);
        match file.fill(&bytes).and_then(|()| file.rename(&path)) {
            Ok(()) => summary.written.push(path),
            Err(source) => notify(Notice::Cache { path, source }),
        }
    }
    Ok(summary)
}

/// The file that becomes the next cache. It is made first of all: its time tells from when on a change is a later one.
fn pending_cache(options: &Options, out: &Path) -> io::Result<write::Pending> {
    if options.out.is_some() {
        write::make_directory(out)?;
    }
    write::Pending::new(out, cache::FILE)
}

/// A file that the kernel's build leaves in the module directory; empty, with a notice, when it cannot be read.
fn build_list(dir: &Path, name: &'static str, notify: &mut dyn FnMut(Notice)) -> Vec<u8> {
    /// The lists of the largest kernels have some hundred KiB.
    const LIMIT: u64 = 64 << 20;
    crate::file::read_regular(&dir.join(name), LIMIT).unwrap_or_else(|source| {
        notify(Notice::MissingList { name, dir: dir.to_owned(), source });
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
