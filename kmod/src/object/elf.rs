//! The structure of an ELF file: header, section table, sections. Both classes and both byte orders are read, and files with more
//! than 65,279 sections, whose number is stored in the first section (profile-guided kernels have such modules).
//!
//! No crate is used, because sections are read one by one from a file, and only on demand.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::ops::Range;

use super::ObjectErrorKind;
use super::ObjectErrorKind::Elf;
use super::symbols::SymbolTable;
use crate::{file, memory};

/// The size limit of a section and of the section table, in bytes: far beyond any real one, and small enough to be read whole.
const SECTION_LIMIT: u64 = 64 << 20;

pub(super) const SHT_SYMTAB: u32 = 2;
pub(super) const SHT_NOBITS: u32 = 8;
pub(super) const SHT_SYMTAB_SHNDX: u32 = 18;
const SHN_XINDEX: u64 = 0xffff;

/// The source of an ELF file's bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Memory(&'a [u8]),
    File(&'a FileSource),
}

impl<'a> Source<'a> {
    /// Reads bytes, which must be within the file and at most [`SECTION_LIMIT`].
    fn read(self, offset: u64, size: u64, what: &'static str) -> Result<Cow<'a, [u8]>, ObjectErrorKind> {
        let end =
            offset.checked_add(size).filter(|end| *end <= self.length() && size <= SECTION_LIMIT).ok_or(Elf(what))?;
        let in_memory = match self {
            Self::Memory(bytes) => bytes,
            Self::File(file) => &file.start,
        };
        match (in_memory.get(offset as usize..end as usize), self) {
            (Some(bytes), _) => Ok(Cow::Borrowed(bytes)),
            (None, Self::File(file)) => Ok(Cow::Owned(file.read_range(offset..end)?)),
            (None, Self::Memory(_)) => Err(Elf(what)),
        }
    }

    /// Reads the last bytes of the file; `None` when it is shorter.
    pub(super) fn end(self, size: u64) -> Result<Option<Cow<'a, [u8]>>, ObjectErrorKind> {
        let start = self.length().checked_sub(size);
        start.map(|start| self.read(start, size, "its end is not within the file")).transpose()
    }

    fn length(self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.length,
        }
    }
}

/// An open file with its first bytes in memory.
#[derive(Debug)]
pub(super) struct FileSource {
    file: File,
    length: u64,
    start: Vec<u8>,
}

impl FileSource {
    pub(super) fn new(file: File, length: u64) -> io::Result<Self> {
        let mut start = vec![0; 64];
        let read = file::read_at_most(&file, &mut start, 0)?;
        start.truncate(read);
        Ok(Self { file, length, start })
    }

    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// Reads the whole file; replaces the content of `bytes`.
    pub(super) fn read_all(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        memory::reserve_exact(bytes, self.length as usize).map_err(file::out_of_memory)?;
        bytes.resize(self.length as usize, 0);
        file::read_exact_at(&self.file, bytes, 0)
    }

    fn read_range(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = file::buffer((range.end - range.start) as usize)?;
        file::read_exact_at(&self.file, &mut bytes, range.start)?;
        Ok(bytes)
    }
}

/// The encoding of numbers in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) is_64: bool,
    pub(super) is_big: bool,
}

impl Encoding {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let chunk = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big { u16::from_be_bytes(chunk) } else { u16::from_le_bytes(chunk) })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let chunk = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big { u32::from_be_bytes(chunk) } else { u32::from_le_bytes(chunk) })
    }

    /// Reads an address, offset or size: 8 bytes in a 64-bit file, 4 bytes in a 32-bit one.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.is_64 {
            return self.u32(bytes, at).map(u64::from);
        }
        let chunk = *bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big { u64::from_be_bytes(chunk) } else { u64::from_le_bytes(chunk) })
    }

    /// Returns the size of a section header.
    pub(super) fn section_size(self) -> usize {
        if self.is_64 { 64 } else { 40 }
    }
}

/// The fields of a section header that are needed here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) link: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The ELF file of a module. The header and the section table are in memory; sections are read on demand.
#[derive(Debug)]
pub struct ElfModule<'a> {
    source: Source<'a>,
    pub(super) encoding: Encoding,
    pub(super) machine: u16,
    /// The bytes of the section table, decoded on demand, since most sections are not needed.
    table: Cow<'a, [u8]>,
    /// The string table with the names of the sections.
    names: Cow<'a, [u8]>,
    pub(super) symbols: OnceCell<SymbolTable<'a>>,
}

impl<'a> ElfModule<'a> {
    /// Reads the header and the section table.
    ///
    /// # Errors
    /// [`ObjectErrorKind::Empty`], [`ObjectErrorKind::NotElf`], [`ObjectErrorKind::Elf`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ObjectErrorKind> {
        Self::from_source(Source::Memory(bytes))
    }

    pub(super) fn from_source(source: Source<'a>) -> Result<Self, ObjectErrorKind> {
        let start = match source {
            Source::Memory(bytes) => bytes,
            Source::File(file) => &file.start,
        };
        if start.is_empty() {
            return Err(ObjectErrorKind::Empty);
        }
        if !start.starts_with(b"\x7fELF") {
            return Err(ObjectErrorKind::NotElf);
        }
        let encoding = match start.get(4..6) {
            Some(&[class @ (1 | 2), order @ (1 | 2)]) => Encoding { is_64: class == 2, is_big: order == 2 },
            _ => return Err(Elf("unknown class or byte order")),
        };
        let header = Header::read(encoding, start).ok_or(Elf("the header is cut off"))?;
        let entry = encoding.section_size();
        if header.sections_at == 0 {
            return Err(Elf("it has no section table"));
        }
        if usize::from(header.entry_size) != entry {
            return Err(Elf("entries of the section table of a wrong size"));
        }
        let outside = "the section table is not within the file";
        // The first section contains the numbers that do not fit into the header.
        let (mut count, mut names_in) = (u64::from(header.count), u64::from(header.names_in));
        if count == 0 || names_in == SHN_XINDEX {
            let first = source.read(header.sections_at, entry as u64, outside)?;
            let first = Section::decode(encoding, &first).ok_or(Elf(outside))?;
            if count == 0 {
                count = first.size;
            }
            if names_in == SHN_XINDEX {
                names_in = u64::from(first.link);
            }
        }
        let size = count.checked_mul(entry as u64).ok_or(Elf(outside))?;
        let table = source.read(header.sections_at, size, outside)?;
        let mut elf = Self {
            source,
            encoding,
            machine: header.machine,
            table,
            names: Cow::Borrowed(&[]),
            symbols: OnceCell::new(),
        };
        let names = usize::try_from(names_in).ok().filter(|at| *at > 0).and_then(|at| elf.section_at(at));
        let names = names.ok_or(Elf("the index of the section names is out of range"))?;
        elf.names = elf.read(&names)?;
        Ok(elf)
    }

    /// Reads the first section with a name; `None` when there is none.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the section extends beyond the file.
    pub fn section(&self, name: &[u8]) -> Result<Option<Cow<'a, [u8]>>, ObjectErrorKind> {
        self.sections().find(|section| self.is_named(section, name)).map(|section| self.read(&section)).transpose()
    }

    /// Iterates over all sections except the first, which is null.
    pub(super) fn sections(&self) -> impl Iterator<Item = Section> {
        let entries = self.table.chunks_exact(self.encoding.section_size()).skip(1);
        entries.filter_map(|entry| Section::decode(self.encoding, entry))
    }

    pub(super) fn section_at(&self, index: usize) -> Option<Section> {
        let at = index.checked_mul(self.encoding.section_size())?;
        Section::decode(self.encoding, self.table.get(at..)?)
    }

    pub(super) fn read(&self, section: &Section) -> Result<Cow<'a, [u8]>, ObjectErrorKind> {
        if section.kind == SHT_NOBITS {
            return Err(Elf("a required section has no content"));
        }
        self.source.read(section.offset, section.size, "a section is not within the file")
    }

    /// Reads a part of a section.
    pub(super) fn read_part(&self, section: &Section, at: u64, size: u64) -> Result<Cow<'a, [u8]>, ObjectErrorKind> {
        let outside = "a value is not within its section";
        let end = at.checked_add(size).filter(|end| *end <= section.size).and(section.offset.checked_add(at));
        let start = end.filter(|_| section.kind != SHT_NOBITS).ok_or(Elf(outside))?;
        self.source.read(start, size, outside)
    }

    pub(super) fn is_named(&self, section: &Section, name: &[u8]) -> bool {
        let found = self.names.get(section.name as usize..).and_then(|names| names.strip_prefix(name));
        found.is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// The fields of the ELF header that are needed here.
pub(super) struct Header {
    machine: u16,
    pub(super) sections_at: u64,
    entry_size: u16,
    count: u16,
    names_in: u16,
}

impl Header {
    pub(super) fn read(encoding: Encoding, bytes: &[u8]) -> Option<Self> {
        let (sections_at, rest) = if encoding.is_64 { (40, 58) } else { (32, 46) };
        Some(Self {
            machine: encoding.u16(bytes, 18)?,
            sections_at: encoding.word(bytes, sections_at)?,
            entry_size: encoding.u16(bytes, rest)?,
            count: encoding.u16(bytes, rest + 2)?,
            names_in: encoding.u16(bytes, rest + 4)?,
        })
    }
}

impl Section {
    fn decode(encoding: Encoding, bytes: &[u8]) -> Option<Self> {
        let (offset, size, link) = if encoding.is_64 { (24, 32, 40) } else { (16, 20, 24) };
        Some(Self {
            name: encoding.u32(bytes, 0)?,
            kind: encoding.u32(bytes, 4)?,
            offset: encoding.word(bytes, offset)?,
            size: encoding.word(bytes, size)?,
            link: encoding.u32(bytes, link)?,
        })
    }
}
