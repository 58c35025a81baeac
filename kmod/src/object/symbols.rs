//! The exported and imported symbols of a module.

use std::borrow::Cow;
use std::collections::HashMap;

use super::ObjectErrorKind::Elf;
use super::elf::{Encoding, SHT_SYMTAB, SHT_SYMTAB_SHNDX};
use super::{ElfModule, ObjectErrorKind};
use crate::file::out_of_memory;
use crate::hash::SeededState;
use crate::memory;
use crate::name::NAME_LIMIT;

const SHN_UNDEF: u16 = 0;
const SHN_LORESERVE: u16 = 0xff00;
const SHN_ABS: u16 = 0xfff1;
const SHN_XINDEX: u16 = 0xffff;
const STB_WEAK: u8 = 2;
/// A global register, which SPARC compilers list as undefined; not a symbol to resolve.
const STT_REGISTER: u8 = 13;
const SPARC: [u16; 3] = [2, 18, 43];

/// The maximum number of symbols that a module exports, and that it imports. Real modules have up to some 10,000.
const SYMBOL_LIMIT: usize = 1 << 18;

/// The length of one entry of `__versions`, in either class.
const VERSION_SIZE: usize = 64;

/// An exported symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export<'s> {
    /// Its name.
    pub name: &'s [u8],
    /// The place of its checksum, if it has one.
    crc: Option<CrcPlace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CrcPlace {
    Value(u64),
    In { section: usize, offset: u64 },
}

/// An imported symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import<'s> {
    /// Its name.
    pub name: &'s [u8],
    /// Whether the module works without it.
    pub weak: bool,
    /// The checksum that the module was built against.
    pub crc: Option<u64>,
}

/// An entry of `__versions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'s> {
    /// The name of the symbol.
    pub name: &'s [u8],
    /// Its checksum.
    pub crc: u64,
}

/// The sections with symbols.
#[derive(Debug)]
pub(super) struct SymbolTable<'a> {
    encoding: Encoding,
    symbols: Cow<'a, [u8]>,
    /// The names; ends in NUL unless empty.
    strings: Cow<'a, [u8]>,
    /// Section numbers that do not fit into a symbol.
    wide: Cow<'a, [u8]>,
    exported: Cow<'a, [u8]>,
    versions: Cow<'a, [u8]>,
}

/// One entry of a symbol table.
struct Symbol<'s> {
    number: usize,
    name: &'s [u8],
    value: u64,
    info: u8,
    section: u16,
}

impl<'a> SymbolTable<'a> {
    fn read(elf: &ElfModule<'a>) -> Result<Self, ObjectErrorKind> {
        let of_kind = |kind| elf.sections().find(|section| section.kind == kind);
        let (symbols, strings) = match of_kind(SHT_SYMTAB) {
            Some(table) => {
                let strings = elf.section_at(table.link as usize).filter(|_| table.link > 0);
                let strings = strings.ok_or(Elf("the symbol table has no string table"))?;
                (elf.read(&table)?, elf.read(&strings)?)
            }
            None => Default::default(),
        };
        if strings.last().is_some_and(|&byte| byte != 0) {
            return Err(Elf("the string table does not end in NUL"));
        }
        let wide = of_kind(SHT_SYMTAB_SHNDX).map(|section| elf.read(&section)).transpose()?;
        Ok(Self {
            encoding: elf.encoding,
            symbols,
            strings,
            wide: wide.unwrap_or_default(),
            exported: elf.section(b"__ksymtab_strings")?.unwrap_or_default(),
            versions: elf.section(b"__versions")?.unwrap_or_default(),
        })
    }

    /// Iterates over all entries except the first, which is null. A name outside the string table is an error.
    fn symbols(&self) -> impl Iterator<Item = Result<Symbol<'_>, ObjectErrorKind>> {
        let (size, value, info, section) = if self.encoding.is_64 { (24, 8, 4, 6) } else { (16, 4, 12, 14) };
        let entries = self.symbols.chunks_exact(size).enumerate().skip(1);
        entries.filter_map(move |(number, entry)| {
            let name = match self.encoding.u32(entry, 0)? as usize {
                0 => &[][..],
                at => match self.strings.get(at..) {
                    Some(rest) => rest,
                    None => return Some(Err(Elf("a symbol's name is outside the string table"))),
                },
            };
            Some(Ok(Symbol {
                number,
                name,
                value: self.encoding.word(entry, value)?,
                info: *entry.get(info)?,
                section: self.encoding.u16(entry, section)?,
            }))
        })
    }

    fn exports(&self) -> Result<Vec<Export<'_>>, ObjectErrorKind> {
        let mut exports = Vec::new();
        // All symbols are searched: the section names may be stripped.
        for symbol in self.symbols() {
            let symbol = symbol?;
            let Some(name) = symbol.name.strip_prefix(b"__crc_") else { continue };
            push(&mut exports, Export { name: until_nul(name)?, crc: self.crc_place(&symbol) })?;
        }
        if exports.is_empty() {
            let names = self.exported.split(|&byte| byte == 0).filter(|name| !name.is_empty());
            for name in names {
                push(&mut exports, Export { name: until_nul(name)?, crc: None })?;
            }
        }
        Ok(exports)
    }

    fn crc_place(&self, symbol: &Symbol<'_>) -> Option<CrcPlace> {
        let section = match symbol.section {
            SHN_UNDEF => return None,
            SHN_ABS => return Some(CrcPlace::Value(symbol.value)),
            SHN_XINDEX => self.encoding.u32(&self.wide, symbol.number.checked_mul(4)?)? as usize,
            SHN_LORESERVE.. => return None,
            section => usize::from(section),
        };
        Some(CrcPlace::In { section, offset: symbol.value })
    }

    fn versions(&self) -> impl Iterator<Item = Version<'_>> {
        let name_at = if self.encoding.is_64 { 8 } else { 4 };
        self.versions.chunks_exact(VERSION_SIZE).filter_map(move |entry| {
            Some(Version { crc: self.encoding.word(entry, 0)?, name: until_nul(entry.get(name_at..)?).ok()? })
        })
    }

    fn imports(&self, is_sparc: bool) -> Result<Vec<Import<'_>>, ObjectErrorKind> {
        let capacity = self.versions.len() / VERSION_SIZE;
        if capacity > SYMBOL_LIMIT {
            return Err(Elf(TOO_MANY));
        }
        let mut versions = HashMap::with_hasher(SeededState::default());
        versions.try_reserve(capacity).map_err(out_of_memory)?;
        for version in self.versions() {
            versions.insert(version.name, (version.crc, false));
        }
        let mut imports = Vec::new();
        memory::reserve_exact(&mut imports, capacity).map_err(out_of_memory)?;
        for symbol in self.symbols() {
            let symbol = symbol?;
            if symbol.section != SHN_UNDEF || (is_sparc && symbol.info & 0xf == STT_REGISTER) {
                continue;
            }
            let name = until_nul(symbol.name)?;
            if name.is_empty() {
                continue;
            }
            let crc = versions.get_mut(name).map(|(crc, seen)| {
                *seen = true;
                *crc
            });
            push(&mut imports, Import { name, weak: symbol.info >> 4 == STB_WEAK, crc })?;
        }
        // Names with a version but without a symbol, such as module_layout, in file order.
        for Version { name, .. } in self.versions() {
            if let Some((crc, seen @ false)) = versions.get_mut(name) {
                *seen = true;
                if !name.is_empty() {
                    push(&mut imports, Import { name, weak: false, crc: Some(*crc) })?;
                }
            }
        }
        Ok(imports)
    }
}

impl<'a> ElfModule<'a> {
    /// Returns the exported symbols: the names that follow `__crc_` in the symbol table or, if there are none, the strings of
    /// `__ksymtab_strings`.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the tables are malformed.
    pub fn exports(&self) -> Result<Vec<Export<'_>>, ObjectErrorKind> {
        self.table()?.exports()
    }

    /// Returns the checksum of an export; `None` when it has none, or it is outside its section.
    #[must_use]
    pub fn crc(&self, export: &Export<'_>) -> Option<u64> {
        match export.crc? {
            CrcPlace::Value(value) => Some(value),
            CrcPlace::In { section, offset } => {
                let section = self.section_at(section).filter(|_| section > 0)?;
                let bytes = self.read_part(&section, offset, 4).ok()?;
                self.encoding.u32(&bytes, 0).map(u64::from)
            }
        }
    }

    /// Returns the imported symbols: the undefined names of the symbol table, then those that are only in `__versions`.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the tables are malformed.
    pub fn imports(&self) -> Result<Vec<Import<'_>>, ObjectErrorKind> {
        self.table()?.imports(SPARC.contains(&self.machine))
    }

    /// Returns the entries of `__versions`.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the tables are malformed.
    pub fn versions(&self) -> Result<Vec<Version<'_>>, ObjectErrorKind> {
        let mut versions = Vec::new();
        for version in self.table()?.versions() {
            push(&mut versions, version)?;
        }
        Ok(versions)
    }

    fn table(&self) -> Result<&SymbolTable<'a>, ObjectErrorKind> {
        if let Some(table) = self.symbols.get() {
            return Ok(table);
        }
        let table = SymbolTable::read(self)?;
        Ok(self.symbols.get_or_init(|| table))
    }
}

const TOO_MANY: &str = "more than 262144 symbols";

/// Appends a symbol, up to the limit.
fn push<T>(symbols: &mut Vec<T>, symbol: T) -> Result<(), ObjectErrorKind> {
    if symbols.len() >= SYMBOL_LIMIT {
        return Err(Elf(TOO_MANY));
    }
    memory::reserve(symbols, 1).map_err(out_of_memory)?;
    symbols.push(symbol);
    Ok(())
}

/// Returns the bytes before the first NUL. Names have a limit, since many symbols can share one long string.
fn until_nul(bytes: &[u8]) -> Result<&[u8], ObjectErrorKind> {
    let bytes = bytes.get(..=NAME_LIMIT).unwrap_or(bytes);
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    if end > NAME_LIMIT { Err(Elf("a symbol's name is too long")) } else { Ok(&bytes[..end]) }
}
