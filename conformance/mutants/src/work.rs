//! The files of the runner.
//!
//! ```text
//! WORK/KERNEL/source/        a copy of the sources; files with a fault are restored after the build
//! WORK/KERNEL/pristine/      the original of each file that had a fault
//! WORK/KERNEL/objects/       the directory of `make O=`; `faulty` in it says that an object file may have a fault, `quick`
//!                            whether a quick build makes the same image as a whole one
//! WORK/KERNEL/base/          the kernel without a fault: bzImage, modules/ as built, lib/modules/ as installed, and `id`, which
//!                            changes with sources and configuration
//! WORK/KERNEL/images/KEY/    the kernel with a fault: bzImage, the modules that differ; or `error`, or `same`
//! WORK/KERNEL/results/KEY    the verdicts on it
//! ```

use crate::edit::{self, EditError};
use crate::table::Entry;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A fault cannot be built or run here.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A file cannot be read or written.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A fault does not fit its file.
    #[error("{id} does not fit the sources")]
    Edit {
        /// The id of the fault.
        id: String,
        /// What is wrong.
        source: EditError,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: String,
        /// Why, or its last lines.
        reason: String,
    },
}

/// Returns a function that makes an error of a file.
pub fn failed<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> WorkError + 'a {
    move |source| WorkError::File { verb, path: path.to_owned(), source }
}

/// The directory of one kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The directory.
    pub dir: PathBuf,
    /// What identifies the kernel without a fault.
    base_id: String,
}

/// A fault as an edit of a file.
#[derive(Debug)]
pub struct Edit {
    /// The name of its image and its result.
    pub key: String,
    /// The text of the file without the fault.
    pub original: String,
    /// The text of the file with it.
    pub edited: String,
}

impl Kernel {
    /// Opens the directory, in which the kernel without a fault has been built.
    ///
    /// # Errors
    /// [`WorkError`] if there is none.
    pub fn open(work: &Path, name: &str) -> Result<Kernel, WorkError> {
        let dir = work.join(name);
        let id = dir.join("base/id");
        let base_id = fs::read_to_string(&id).map_err(failed("read", &id))?;
        Ok(Kernel { dir, base_id })
    }

    /// What identifies the kernel without a fault.
    pub fn base_id(&self) -> &str {
        &self.base_id
    }

    /// The directory of the modules of the kernel without a fault: `lib/modules/RELEASE`.
    ///
    /// # Errors
    /// [`WorkError`] if they are not installed.
    pub fn modules(&self) -> Result<PathBuf, WorkError> {
        let dir = self.dir.join("base/lib/modules");
        let mut listed = fs::read_dir(&dir).map_err(failed("read", &dir))?;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let first = listed.next().ok_or_else(missing).and_then(|entry| entry).map_err(failed("read", &dir))?;
        Ok(first.path())
    }

    /// Returns the edit of a fault.
    ///
    /// # Errors
    /// [`WorkError`] if the file cannot be read, or the fault does not fit it.
    pub fn edit(&self, entry: &Entry) -> Result<Edit, WorkError> {
        let fault = &entry.fault;
        let pristine = self.dir.join("pristine").join(&fault.file);
        let path = if pristine.exists() { pristine } else { self.dir.join("source").join(&fault.file) };
        let original = fs::read_to_string(&path).map_err(failed("read", &path))?;
        let edited =
            edit::apply(&original, fault).map_err(|source| WorkError::Edit { id: entry.id.clone(), source })?;
        Ok(Edit { key: digest(&[&self.base_id, &fault.file, &edited])[..16].to_owned(), original, edited })
    }

    /// The directory of an image.
    pub fn image(&self, edit: &Edit) -> PathBuf {
        self.dir.join("images").join(&edit.key)
    }

    /// The file of a result.
    pub fn result(&self, edit: &Edit) -> PathBuf {
        self.dir.join("results").join(format!("{}.json", edit.key))
    }
}

/// Returns the SHA-256 of texts as hexadecimal digits.
pub fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file whole: a hard link to the old one keeps its contents.
///
/// # Errors
/// [`WorkError`] if that fails.
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), WorkError> {
    let temporary = path.with_extension("new");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
    }
    fs::write(&temporary, contents).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("write", path))
}

/// Removes a file, which need not exist.
///
/// # Errors
/// [`WorkError`] if that fails.
pub fn remove(path: &Path) -> Result<(), WorkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Returns the files below a directory, relative to it, in order.
///
/// # Errors
/// [`WorkError`] if a directory cannot be read.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, WorkError> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).map_err(failed("read", &next))? {
            let entry = entry.map_err(failed("read", &next))?;
            let kind = entry.file_type().map_err(failed("read", &next))?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                found.extend(entry.path().strip_prefix(dir).map(Path::to_owned));
            }
        }
    }
    found.sort();
    Ok(found)
}
