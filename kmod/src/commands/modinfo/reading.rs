//! Reads modules for modinfo: one file, or many compressed files in several threads, since decompression takes most of the time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::listing::{Listing, Style};
use crate::file::out_of_memory;
use crate::object::{Limits, Modinfo, Module, ObjectError, ObjectErrorKind, Scratch, Signature};
use crate::tree::TreeError;

/// Why a module cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("{}: no .modinfo section", crate::config::show_path(.0))]
    NoModinfo(PathBuf),
}

impl Problem {
    /// The text of the errno that C kmod reports.
    pub(super) fn errno_text(&self) -> String {
        let errno = |errno| crate::sys::strerror_io(&io::Error::from_raw_os_error(errno));
        match self {
            Self::Object(ObjectError { kind: ObjectErrorKind::Io(error), .. })
            | Self::Tree(TreeError::Io { cause: error, .. }) => errno(error.raw_os_error().unwrap_or(libc::EINVAL)),
            Self::Object(ObjectError { kind: ObjectErrorKind::NotElf, .. }) => errno(libc::ENOEXEC),
            Self::Object(_) | Self::Tree(_) => errno(libc::EINVAL),
            Self::NoModinfo(_) => errno(libc::ENODATA),
        }
    }

    /// Reports whether [`Problem::errno_text`] is the whole explanation.
    pub(super) fn is_plain_errno(&self) -> bool {
        let error = match self {
            Self::Object(ObjectError { kind: ObjectErrorKind::Io(error), .. })
            | Self::Tree(TreeError::Io { cause: error, .. }) => error,
            _ => return false,
        };
        error.raw_os_error().is_some()
    }
}

/// Reads as much of a module file as the style requires, reusing memory.
pub(super) fn read(style: &Style, path: &Path, limits: &Limits, scratch: &mut Scratch) -> Result<Listing, Problem> {
    let module = Module::open_with(path, limits, scratch)?;
    let listing = read_open(style, path, &module);
    scratch.recycle(module);
    listing
}

fn read_open(style: &Style, path: &Path, module: &Module) -> Result<Listing, Problem> {
    let at = |kind| ObjectError { path: path.to_owned(), kind };
    let section = module.elf()?.section(b".modinfo").map_err(at)?;
    let modinfo = Modinfo::new(section.ok_or_else(|| Problem::NoModinfo(path.to_owned()))?);
    let appended = if style.shows_signature() { module.signature_bytes()? } else { None };
    let signature = appended.as_deref().and_then(Signature::parse);
    match style.list(modinfo.iter(), signature.as_ref()) {
        Listing { out_of_memory: true, .. } => Err(at(out_of_memory(()).into()).into()),
        listing => Ok(listing),
    }
}

/// Bounds the memory of each thread. Larger modules are left to [`read`], one at a time.
const READ_AHEAD_LIMITS: Limits = Limits { size: 64 << 20, window: 32 << 20 };
const THREADS: usize = 4;
/// The number of compressed modules that justifies a thread.
const MODULES_PER_THREAD: usize = 2;

/// Reads the compressed ones among these files in several threads. Returns `None` for each file that remains to be read: all of
/// them if a second thread does not pay off.
pub(super) fn read_ahead(style: &Style, paths: &[Option<&Path>]) -> Vec<Option<Result<Listing, Problem>>> {
    let mut ready: Vec<_> = paths.iter().map(|_| None).collect();
    let is_packed = |path: &Path| path.extension().is_some_and(|extension| extension != "ko");
    let packed: Vec<(usize, &Path)> =
        paths.iter().enumerate().filter_map(|(at, path)| Some((at, path.filter(|path| is_packed(path))?))).collect();
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = processors.min(THREADS).min(packed.len() / MODULES_PER_THREAD);
    if threads < 2 {
        return ready;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut done, mut scratch) = (Vec::new(), Scratch::default());
        while let Some((at, path)) = packed.get(next.fetch_add(1, Ordering::Relaxed)) {
            match read(style, path, &READ_AHEAD_LIMITS, &mut scratch) {
                Err(Problem::Object(ObjectError {
                    kind: ObjectErrorKind::TooLarge(_) | ObjectErrorKind::Window { .. },
                    ..
                })) => {}
                result => done.push((*at, result)),
            }
        }
        done
    };
    let done = thread::scope(|scope| {
        // If no thread can be created, this one does all the work.
        let others: Vec<_> =
            (1..threads).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    for (at, result) in done {
        if let Some(place) = ready.get_mut(at) {
            *place = Some(result);
        }
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::testing::TinyModule;
    use std::io::Write as _;

    #[test]
    fn reading_ahead_preserves_the_order_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for number in 0..40 {
            let module = TinyModule::named(&format!("m{number}")).build();
            let (name, bytes) = match number % 4 {
                0 => (format!("m{number}.ko"), module),
                1 => (format!("m{number}.ko.gz"), b"\x1f\x8bbroken".to_vec()),
                _ => {
                    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    gz.write_all(&module).unwrap();
                    (format!("m{number}.ko.gz"), gz.finish().unwrap())
                }
            };
            paths.push(dir.path().join(name));
            std::fs::write(&paths[number], bytes).unwrap();
        }
        let mut files: Vec<Option<&Path>> = paths.iter().map(|path| Some(&**path)).collect();
        files[39] = None;
        let style = Style { field: Some(b"name".to_vec()), null: false };
        let ready = read_ahead(&style, &files);
        assert_eq!(ready.len(), 40);
        let one_thread = thread::available_parallelism().map_or(1, std::num::NonZero::get) == 1;
        for (number, result) in ready.into_iter().enumerate() {
            match result {
                None => assert!(number % 4 == 0 || number == 39 || one_thread, "{number}"),
                Some(Err(problem)) => assert!(number % 4 == 1 && !problem.is_plain_errno(), "{number}: {problem}"),
                Some(Ok(listing)) => assert_eq!(listing.text, format!("m{number}\n").into_bytes()),
            }
        }
        assert!(read_ahead(&style, &files[..4]).iter().all(Option::is_none), "too few files for a second thread");
    }
}
