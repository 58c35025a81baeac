//! The contents of a directory of templates: list, full check, removal.
//!
//! Each use of a template makes the cheap checks: its description, length and time of the memory file, the hash of the
//! device state. The memory, about a hundred MiB that are not zero, is hashed only when it is saved and on request.

use super::Templates;
use super::memory::memory_hash;
use super::saved::{Found, read};
use crate::error::HarnessError;
use crate::lock::{Lock, Mode};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// A template on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The name of its directory.
    pub name: String,
    /// Disk space in bytes.
    pub bytes: u64,
    /// Time of the last use.
    pub used: SystemTime,
}

/// The result of a full check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The template is as it was saved.
    Whole,
    /// The template belongs to another version of this program; it is not used and cannot be checked.
    Other,
    /// The template was changed; how.
    Damaged(&'static str),
}

impl Templates {
    /// Returns all templates, complete or not.
    #[must_use]
    pub fn stored(&self) -> Vec<Stored> {
        let entries = self.dir.read_dir().into_iter().flatten().flatten();
        let stored = entries.filter_map(|entry| {
            let path = entry.path();
            let name = entry.file_name().into_string().ok().filter(|name| name.len() == 32 && path.is_dir())?;
            let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
            let used = time(&path.with_extension("lock")).or_else(|| time(&path))?;
            let files = path.read_dir().ok()?.flatten();
            let bytes = files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum();
            Some(Stored { name, bytes, used })
        });
        stored.collect()
    }

    /// Checks every byte of a template.
    ///
    /// # Errors
    /// [`HarnessError`] if it cannot be read.
    pub fn verify(&self, name: &str) -> Result<Verified, HarnessError> {
        let dir = self.dir.join(name);
        let saved = match read(&dir)? {
            Found::Nothing => return Ok(Verified::Damaged("meta.json is missing")),
            Found::Other => return Ok(Verified::Other),
            Found::Damaged(what) => return Ok(Verified::Damaged(what)),
            Found::Whole(saved) => saved,
        };
        let memory = dir.join("memory");
        let now = memory_hash(&memory).map_err(HarnessError::io("read", &memory))?;
        let whole = now == saved.meta.memory_sha256;
        Ok(if whole { Verified::Whole } else { Verified::Damaged("its memory differs from what was saved") })
    }

    /// Removes a template unless it is in use. Returns whether it was removed.
    #[must_use]
    pub fn remove(&self, name: &str) -> bool {
        let path = self.dir.join(name);
        let Ok(Some(alone)) = Lock::try_take(&path.with_extension("lock"), Mode::Exclusive) else { return false };
        let gone = fs::remove_dir_all(&path).is_ok();
        if gone {
            alone.remove();
        }
        gone
    }
}
