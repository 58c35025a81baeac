//! Indexes a module directory: finds the module files, reads them in parallel, computes the dependencies, and writes the lists
//! and indexes that modprobe reads.
//!
//! ```text
//!   search  directory tree -> one file per module name, in order
//!   load    module files -> aliases, exports, imports                    parallel
//!   cache   the results of an earlier run, for unchanged modules
//!   graph   exports and imports -> sorted dependencies, or cycles        pure
//!   output  modules and graph -> the lists and indexes as bytes          pure
//!   write   temporary files, then renames: all of them or none
//! ```
//!
//! Nothing is printed here; messages are returned as [`Notice`]s. The order of the output depends only on module names and
//! `modules.order`, not on the file system or on timing.
//!
//! Intended differences from C kmod's depmod:
//!
//! - Modules that modules.order does not name are sorted by path, and modules.symbols by symbol. In C both are in hash order.
//! - Of several files of equal rank for one module, the first by path is listed. In C it is the first that readdir returns.
//! - Absolute symbolic links are resolved below [`Options::root`]. In C they are resolved on the host.
//! - Each directory is visited once, so that a loop of links ends.
//! - A path with white space, and an alias or softdep with a newline, are reported and left out. In C they break the lists.
//! - The old files stay until all new ones are complete.
//! - If the kernel's list is missing, the index is a valid one without entries. In C it is an empty file.

mod budget;
pub mod cache;
pub mod config;
mod expression;
mod graph;
mod load;
mod loaded;
mod notice;
mod output;
mod root;
mod search;
pub mod symvers;
mod write;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

pub use config::DepmodConfig;
pub use notice::Notice;
pub use symvers::KernelSymbols;

use crate::index::InsertError;
use crate::name::{Escaped, ModuleName};
use crate::object::Limits;
use crate::sys::strerror_io;

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The module directory (`/lib/modules/RELEASE`). It must be absolute, so that the lists can name modules outside it.
    pub dir: PathBuf,
    /// The root directory that absolute symbolic links refer to; `/` by default. Links in the path of a module directory below it
    /// are resolved below it too.
    pub root: Option<PathBuf>,
    /// The output directory; the module directory by default. It is created if it does not exist.
    pub out: Option<PathBuf>,
    /// Index only these module files instead of all in the directory.
    pub files: Vec<PathBuf>,
    /// Do nothing if no module is newer than modules.dep.
    pub quick: bool,
    /// Read unchanged modules from the [cache](cache::FILE) in the output directory, and update the cache.
    pub incremental: bool,
    /// Write no files; return the lists in [`Summary::text`].
    pub dry_run: bool,
    /// Report keys that an index contains more than once with the same value.
    pub warn_duplicates: bool,
    /// Report each direct dependency with the first symbol that causes it.
    pub show_needs: bool,
    /// The symbols that the kernel exports, to report unknown symbols and versions that do not match.
    pub kernel_symbols: Option<KernelSymbols>,
    /// A character that precedes exported names, but not the same names where they are imported.
    pub symbol_prefix: Option<u8>,
    /// The settings of depmod.d.
    pub config: DepmodConfig,
    /// The limits for reading a module file.
    pub limits: Limits,
    /// The number of threads that read module files; the number of processors by default.
    pub threads: Option<usize>,
}

impl Options {
    /// Returns options that index all modules of a directory, without configuration.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            root: None,
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

    /// Whether the checksums of symbols are needed.
    fn versions_matter(&self) -> bool {
        self.kernel_symbols.as_ref().is_some_and(|symbols| symbols.has_versions)
    }
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// The number of listed modules.
    pub modules: usize,
    /// How many of them came from the cache and were not read.
    pub unchanged: usize,
    /// Whether nothing was done because no module is newer than modules.dep.
    pub up_to_date: bool,
    /// The files that were written, in order.
    pub written: Vec<PathBuf>,
    /// In a dry run, the text lists one after the other.
    pub text: Vec<u8>,
    /// Messages for the user, in order ([`run`] only).
    pub notices: Vec<Notice>,
}

/// Why a module directory could not be indexed. No file has changed, except after [`DepmodError::Rename`].
#[derive(Debug, thiserror::Error)]
pub enum DepmodError {
    /// The directory cannot be read.
    #[error("could not open directory {path}: {}", strerror_io(cause), path = crate::config::show_path(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A path in [`Options::files`] is relative.
    #[error("{path}: not absolute path.", path = crate::config::show_path(path))]
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// A file in [`Options::files`] is named twice.
    #[error("could not add module {path}: File exists", path = crate::config::show_path(path))]
    Repeated {
        /// The file.
        path: PathBuf,
    },
    /// A file in [`Options::files`] has the module name of an earlier one.
    #[error("could not create module {path}: File exists", path = crate::config::show_path(path))]
    SameName {
        /// The name of both modules.
        name: ModuleName,
        /// The later file.
        path: PathBuf,
        /// The earlier file.
        other: PathBuf,
    },
    /// A file in [`Options::files`] cannot be read.
    #[error("could not create module {path}: {}", strerror_io(cause), path = crate::config::show_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A file in [`Options::files`] does not have the name of a module file.
    #[error("{path} is not a module file; its name must end in .ko, .ko.xz, .ko.gz or .ko.zst", path = crate::config::show_path(path))]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// Modules depend on each other.
    #[error("found {modules} modules in dependency cycles: {}", show_cycles(cycles))]
    Cycles {
        /// The modules of each cycle; each needs the next one, and the last needs the first.
        cycles: Vec<Vec<ModuleName>>,
        /// The number of modules in cycles.
        modules: usize,
    },
    /// The modules do not fit into an index.
    #[error("{file}: {cause}")]
    Index {
        /// The index.
        file: &'static str,
        /// The cause.
        cause: InsertError,
    },
    /// There is not enough memory for the dependencies or for a list.
    #[error("not enough memory for {0}")]
    Memory(&'static str),
    /// A file of the module directory cannot be read.
    #[error("could not read {path}: {}", strerror_io(cause), path = crate::config::show_path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error("could not write {path}: {}", strerror_io(cause), path = crate::config::show_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The directory for the files cannot be created.
    #[error("could not create directory {path}: {}", strerror_io(cause), path = crate::config::show_path(path))]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A complete file could not be renamed. The files before it, in the order of writing, have been replaced.
    #[error("could not rename to {path}: {}; run depmod again", strerror_io(cause), path = crate::config::show_path(path))]
    Rename {
        /// The file's name.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
}

fn show_cycles(cycles: &[Vec<ModuleName>]) -> String {
    let shown = cycles.iter().take(3).map(|cycle| show_cycle(cycle));
    let more = if cycles.len() > 3 { "; …" } else { "" };
    shown.collect::<Vec<_>>().join("; ") + more
}

/// Formats a cycle as `a -> b -> a`.
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

/// Indexes a module directory and reports messages as they occur.
///
/// # Errors
/// [`DepmodError`].
pub fn run_with(options: &Options, notify: &mut dyn FnMut(Notice)) -> Result<Summary, DepmodError> {
    run_in(&resolved(options), notify)
}

/// Returns whether a run with [`Options::quick`] has nothing to do.
#[must_use]
pub fn is_up_to_date(options: &Options) -> bool {
    is_up_to_date_in(&resolved(options))
}

fn is_up_to_date_in(options: &Options) -> bool {
    let out = options.out.as_deref().unwrap_or(&options.dir);
    options.dry_run || search::is_up_to_date(options, &out.join("modules.dep"))
}

/// Resolves links in the path of the module directory below another root.
fn resolved(options: &Options) -> Cow<'_, Options> {
    match root::Root::new(options.root.as_deref()).resolve(&options.dir) {
        Ok(Some(dir)) if dir != options.dir => Cow::Owned(Options { dir, ..options.clone() }),
        // A directory that cannot be resolved cannot be opened either, which is reported then.
        Ok(_) | Err(_) => Cow::Borrowed(options),
    }
}

/// Indexes a module directory whose path has been resolved.
fn run_in(options: &Options, notify: &mut dyn FnMut(Notice)) -> Result<Summary, DepmodError> {
    let out = options.out.as_deref().unwrap_or(&options.dir);
    if options.quick && is_up_to_date_in(options) {
        return Ok(Summary { up_to_date: true, ..Summary::default() });
    }
    // Only a run over the whole directory that may write updates the cache.
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
        summary.written = write::write(out, &outputs, notify)?;
    }
    if let (Some(mut file), Some(bytes)) = (file.take(), known.and_then(|known| known.to_bytes())) {
        // The lists are complete. Without a cache the next run is slower, nothing else.
        let path = out.join(cache::FILE);
        match file.fill(&bytes).and_then(|()| file.rename(&path)) {
            Ok(()) => summary.written.push(path),
            Err(cause) => notify(Notice::Cache { path, cause }),
        }
    }
    Ok(summary)
}

/// Creates the file of the next cache. This comes first, because its mtime is the start of the run by the file system's clock.
fn pending_cache(options: &Options, out: &Path) -> io::Result<write::Pending> {
    if options.out.is_some() {
        write::make_directory(out)?;
    }
    write::Pending::new(out, cache::FILE)
}

/// Reads a list that the kernel's build puts into the module directory. If it cannot be read, it is reported and counts as empty.
fn build_list(options: &Options, name: &'static str, notify: &mut dyn FnMut(Notice)) -> Vec<u8> {
    /// The lists of the largest kernels have a few hundred KiB.
    const LIMIT: u64 = 64 << 20;
    crate::file::read_regular(&options.dir.join(name), LIMIT).unwrap_or_else(|cause| {
        // C kmod creates a module directory before it reads the other lists.
        let is_created = name != "modules.order" && options.out.is_none() && !options.dry_run;
        let dir = options.dir.clone();
        notify(match std::fs::metadata(&dir) {
            Err(cause) if !is_created => Notice::MissingDirectory { path: dir, cause },
            _ => Notice::MissingList { name, dir, cause },
        });
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
