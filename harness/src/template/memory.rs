//! The memory of a template: copied with holes, and hashed.

use super::hex::hex;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Memory is hashed in pieces of this size.
const PIECE: usize = 64 << 10;

/// Creates a memfd for the memory of a guest.
pub(super) fn new_memory(mib: u32) -> io::Result<File> {
    let memory = File::from(memfd_create("kmodlab-guest", MemfdFlags::CLOEXEC)?);
    memory.set_len(u64::from(mib) << 20)?;
    Ok(memory)
}

/// Hashes a memory file: each piece that is not zero, with its position. Most of a small guest's memory is zero, and a
/// hole in the file.
pub(super) fn memory_hash(path: &Path) -> io::Result<String> {
    hash(&File::open(path)?)
}

fn hash(memory: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    for_each_piece(memory, |start, piece| {
        hash.update((start / PIECE as u64).to_le_bytes());
        hash.update(piece);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

/// Copies a guest's memory to an empty file, with holes for pieces that are zero. Returns the hash of the memory.
pub(super) fn copy_memory(memory: &File, file: &File) -> io::Result<String> {
    std::thread::scope(|scope| {
        let hash = scope.spawn(|| hash(memory));
        for_each_piece(memory, |start, piece| file.write_all_at(piece, start))?;
        file.set_len(memory.metadata()?.len())?;
        hash.join().map_err(|_| io::Error::other("the thread that hashes the memory panicked"))?
    })
}

/// Returns the position of the first data at or after `start`; `None` if only a hole follows.
fn next_data(memory: &File, start: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(memory, SeekFrom::Data(start)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Calls `f` with the start and the bytes of each piece that is not zero.
fn for_each_piece(memory: &File, mut f: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut piece, zero) = (vec![0; PIECE], vec![0; PIECE]);
    let length = memory.metadata()?.len();
    let mut start = 0;
    while start < length {
        let Some(data) = next_data(memory, start)? else { break };
        start = data - data % PIECE as u64;
        let piece = &mut piece[..usize::try_from(length - start).unwrap_or(usize::MAX).min(PIECE)];
        memory.read_exact_at(piece, start)?;
        if *piece != zero[..piece.len()] {
            f(start, piece)?;
        }
        start += PIECE as u64;
    }
    Ok(())
}
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

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
        let copy = File::create_new(&to).unwrap();
        let hash = copy_memory(&File::open(&from).unwrap(), &copy).unwrap();
        assert_eq!((fs::read(&to).unwrap(), memory_hash(&to).unwrap()), (memory, hash));
        assert!(copy.metadata().unwrap().blocks() * 512 <= 2 * PIECE as u64);
    }
}
