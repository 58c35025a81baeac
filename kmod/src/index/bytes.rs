//! The bytes of an index: in memory, or in a file that is read in blocks on demand. A lookup needs about ten of the hundreds
//! of blocks of a real index.
//!
//! The file is read, not mapped: a mapped file that another process truncates would kill this one. It stays open, so that a depmod
//! that replaces it does not affect a reader of the old file.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::file;

/// A read fetches a block and the bytes that follow it, so that a node at the end of the block is complete.
const BLOCK: usize = 4096;
const OVERLAP: usize = 4096;
/// A file up to this size is read as a whole.
const SMALL: usize = 32 << 10;

#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Memory(Vec<u8>),
    File(Arc<Blocks>),
}

#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    length: usize,
    blocks: Vec<OnceLock<Box<[u8]>>>,
    /// The number of blocks that were read.
    count: AtomicUsize,
    whole: OnceLock<Box<[u8]>>,
}

impl Bytes {
    /// Uses an open file of a known length.
    pub(super) fn from_file(file: File, length: usize) -> io::Result<Self> {
        if length <= SMALL {
            return Ok(Self::Memory(read(&file, 0, length)?.into_vec()));
        }
        let blocks = (0..length.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        let (count, whole) = (AtomicUsize::new(0), OnceLock::new());
        Ok(Self::File(Arc::new(Blocks { file, length, blocks, count, whole })))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(blocks) => blocks.length,
        }
    }

    /// Returns the bytes from an offset on: at least `length`, or all up to the end of the file.
    pub(super) fn from(&self, at: usize, length: usize) -> io::Result<&[u8]> {
        match self {
            Self::Memory(bytes) => Ok(bytes.get(at..).unwrap_or_default()),
            Self::File(blocks) => blocks.from(at, length),
        }
    }

    /// Reads the whole file, for callers that need most of it.
    pub(super) fn read_whole(&self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(blocks) => blocks.whole().map(|_| ()),
        }
    }
}

impl Blocks {
    fn from(&self, at: usize, length: usize) -> io::Result<&[u8]> {
        if at >= self.length {
            return Ok(&[]);
        }
        if let Some(whole) = self.whole.get() {
            return Ok(&whole[at..]);
        }
        let start = at / BLOCK * BLOCK;
        let end = self.length.min(start + BLOCK + OVERLAP);
        if end < self.length.min(at.saturating_add(length)) {
            return Ok(&self.whole()?[at..]);
        }
        let slot = &self.blocks[at / BLOCK];
        let block = match slot.get() {
            Some(block) => block,
            None => {
                // Reading the whole file is cheaper than more blocks.
                if self.count.fetch_add(1, Ordering::Relaxed) > self.blocks.len() / 4 {
                    return Ok(&self.whole()?[at..]);
                }
                let block = read(&self.file, start, end - start)?;
                slot.get_or_init(|| block)
            }
        };
        Ok(&block[at - start..])
    }

    fn whole(&self) -> io::Result<&[u8]> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let whole = read(&self.file, 0, self.length)?;
        Ok(self.whole.get_or_init(|| whole))
    }
}

fn read(source: &File, at: usize, length: usize) -> io::Result<Box<[u8]>> {
    let mut bytes = file::buffer(length)?;
    file::read_exact_at(source, &mut bytes, at as u64)?;
    Ok(bytes.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Bytes) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        (dir, Bytes::from_file(File::open(path).unwrap(), bytes.len()).unwrap())
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    #[test]
    fn any_sequence_of_reads_returns_the_bytes_of_the_file() {
        arbtest::arbtest(|u| {
            let all = sample(u.int_in_range(0..=200_000)?);
            let (_dir, bytes) = file(&all);
            for _ in 0..u.int_in_range(1..=40)? {
                let (at, length) = (u.int_in_range(0..=all.len() + 9)?, u.int_in_range(0..=20_000)?);
                let got = bytes.from(at, length).unwrap();
                let left = all.get(at..).unwrap_or_default();
                assert!(left.starts_with(got) && got.len() >= length.min(left.len()), "{length} bytes at {at}");
            }
            Ok(())
        });
    }

    #[test]
    fn few_lookups_read_few_blocks_and_many_read_the_whole_file() {
        let all = sample(1 << 20);
        let (_dir, bytes) = file(&all);
        let Bytes::File(blocks) = &bytes else { panic!("a large file in memory") };
        for at in [0, 500_000, 500_001, 1 << 19] {
            bytes.from(at, 8).unwrap();
        }
        assert_eq!((blocks.count.load(Ordering::Relaxed), blocks.whole.get()), (3, None));
        (0..all.len()).step_by(BLOCK).for_each(|at| assert_eq!(bytes.from(at, 1).unwrap()[0], all[at]));
        assert!(blocks.whole.get().is_some());
    }

    #[test]
    fn a_small_file_is_read_whole_and_a_large_one_by_block_and_overlap() {
        assert!(matches!(file(&sample(30_000)).1, Bytes::Memory(_)));
        let (_dir, bytes) = file(&sample(1 << 20));
        let Bytes::File(blocks) = &bytes else { panic!("a large file in memory") };
        // One block and its overlap are enough.
        for (at, length) in [(0, BLOCK + OVERLAP), (500_000, 8)] {
            assert!((length..=BLOCK + OVERLAP).contains(&bytes.from(at, length).unwrap().len()));
        }
        assert_eq!(blocks.whole.get(), None);
    }

    #[test]
    fn the_whole_file_is_read_after_a_quarter_of_its_blocks() {
        let (_dir, bytes) = file(&sample(1 << 20));
        let Bytes::File(blocks) = &bytes else { panic!("a large file in memory") };
        for block in 0..=65 {
            assert_eq!(blocks.whole.get(), None, "before block {block}");
            bytes.from(block * BLOCK, 1).unwrap();
        }
        assert!(blocks.whole.get().is_some());
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, sample(100_000)).unwrap();
        let bytes = Bytes::from_file(File::open(&path).unwrap(), 100_000).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(bytes.from(50_000, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(bytes.read_whole().is_err());
    }
}
