//! The contents of a directory of templates: list, full check, removal.
//!
//! Each use of a template makes the cheap checks: its description, length and time of the memory file, the hash of the
//! device state. The memory, about a hundred MiB that are not zero, is hashed only when it is saved and on request.

use super::{Found, Templates, hex, read};
use crate::error::HarnessError;
use crate::lock::{Lock, Mode};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

/// Memory is hashed in pieces of this size.
const PIECE: usize = 64 << 10;

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

/// Hashes a memory file: each piece that is not zero, with its position. Most of a small guest's memory is zero, and a
/// hole in the file.
fn memory_hash(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for_each_piece(&mut File::open(path)?, |number, piece| {
        hash.update(number.to_le_bytes());
        hash.update(piece);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

/// Copies a guest's memory to an empty file, with holes for pieces that are zero. Returns the hash of the memory.
pub(super) fn copy_memory(mut memory: &File, file: &mut File) -> io::Result<String> {
    let length = memory.metadata()?.len();
    memory.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    for_each_piece(&mut memory, |number, piece| {
        hash.update(number.to_le_bytes());
        hash.update(piece);
        file.write_all_at(piece, number * PIECE as u64)
    })?;
    file.set_len(length)?;
    Ok(hex(&hash.finalize()))
}

/// Calls `f` with the number and the bytes of each piece that is not zero.
fn for_each_piece(memory: &mut impl Read, mut f: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut piece, zero) = (vec![0; PIECE], vec![0; PIECE]);
    for number in 0_u64.. {
        let mut filled = 0;
        while filled < PIECE {
            match memory.read(&mut piece[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            break;
        }
        if piece[..filled] != zero[..filled] {
            f(number, &piece[..filled])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_moved_byte_changes_the_hash() {
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
        assert_ne!(first, hash(&memory), "the same piece at another position");
        memory[2 * PIECE + 7] = 0;
        assert_ne!(first, hash(&memory));
        memory[3 * PIECE + 4] = 1;
        assert_ne!(hash(&memory), hash(&memory[..3 * PIECE]));
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_hash_and_holes_for_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut memory = vec![0; 40 * PIECE];
        memory[3 * PIECE + 1] = 7;
        fs::write(&from, &memory).unwrap();
        let mut copy = File::create_new(&to).unwrap();
        let hash = copy_memory(&File::open(&from).unwrap(), &mut copy).unwrap();
        assert_eq!((fs::read(&to).unwrap(), memory_hash(&to).unwrap()), (memory, hash));
        assert!(copy.metadata().unwrap().blocks() * 512 <= 2 * PIECE as u64);
    }
}
