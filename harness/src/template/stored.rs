//! What lies in a directory of templates: a list, the check of every byte, removal.
//!
//! A template is checked on each use by what is cheap: its description, the memory's length and time, the hash of the
//! device state. Its memory, some hundred MiB that are not zero, is hashed when it is saved and when somebody asks.

use super::{Found, Templates, hex, read};
use crate::error::HarnessError;
use crate::lock::{Lock, Mode};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// Memory is hashed in pieces of this size.
const PIECE: usize = 64 << 10;

/// A template on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The name of its directory.
    pub name: String,
    /// What it takes of the disk.
    pub bytes: u64,
    /// When it was last asked for.
    pub used: SystemTime,
}

/// What the check of every byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is what was saved.
    Whole,
    /// Another version of this program made it: nobody uses it, and nothing is known of it.
    Other,
    /// It is not; why.
    Damaged(&'static str),
}

impl Templates {
    /// The templates that are there, whole or not.
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
            Found::Nothing => return Ok(Verified::Damaged("it has no description")),
            Found::Other => return Ok(Verified::Other),
            Found::Damaged(what) => return Ok(Verified::Damaged(what)),
            Found::Whole(saved) => saved,
        };
        let memory = dir.join("memory");
        let now = memory_hash(&memory).map_err(HarnessError::io("read", &memory))?;
        let whole = now == saved.meta.memory_sha256;
        Ok(if whole { Verified::Whole } else { Verified::Damaged("its memory is not what was saved") })
    }

    /// Removes a template that nobody uses. Whether it is gone.
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

/// A hash of a memory file: of each piece that is not zero, with its place. Most of a small guest's memory is zero, and a
/// hole in the file.
pub(super) fn memory_hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let (mut piece, zero) = (vec![0; PIECE], vec![0; PIECE]);
    for number in 0_u64.. {
        let mut filled = 0;
        while filled < PIECE {
            match file.read(&mut piece[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            break;
        }
        if piece[..filled] != zero[..filled] {
            hash.update(number.to_le_bytes());
            hash.update(&piece[..filled]);
        }
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_with_a_changed_or_moved_byte_hashes_to_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let hash = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            memory_hash(&path).unwrap()
        };
        let mut memory = vec![0; 3 * PIECE + 5];
        memory[PIECE + 7] = 1;
        let first = hash(&memory);
        assert_eq!(first, hash(&memory));
        memory[PIECE + 7] = 0;
        memory[2 * PIECE + 7] = 1;
        assert_ne!(first, hash(&memory), "the same piece in another place");
        memory[2 * PIECE + 7] = 0;
        assert_ne!(first, hash(&memory));
        memory[3 * PIECE + 4] = 1;
        assert_ne!(hash(&memory), hash(&memory[..3 * PIECE]));
    }
}
