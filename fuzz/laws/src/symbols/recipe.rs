//! Modules with symbols, and the expected results.

use super::Symbols;
use crate::elf::{Form, PROGBITS, STRTAB, SYMTAB, SYMTAB_SHNDX, Section};
use arbitrary::Arbitrary;

/// The number of the section with checksums; section numbers are fixed.
const CRCS: u16 = 1;
const ABSOLUTE: u16 = 0xfff1;
const WIDE: u16 = 0xffff;
const COMMON: u16 = 0xfff2;
/// The length of an entry of `__versions`.
const VERSION_SIZE: usize = 64;

/// The parameters of a module.
#[derive(Debug, Arbitrary)]
pub(super) struct Recipe {
    form: Form,
    symbols: Vec<Symbol>,
    versions: Vec<(Name, u32)>,
    /// The names of exports without checksums, which are used only if no symbol is an export.
    strings: Vec<Name>,
    /// Bytes to change afterwards: positions and values.
    damage: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Symbol {
    /// An export: `__crc_NAME`.
    Export(Name, Crc),
    /// Undefined.
    Import { name: Name, weak: bool, register: bool },
    /// A symbol that must be ignored.
    Other(Name),
}

/// Where a checksum is.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Crc {
    /// In the symbol's value.
    Value(u32),
    /// In the section, which grows by this checksum.
    Section(u32),
    /// Likewise, but the section's number is not in the symbol itself.
    Wide(u32),
    /// After the end of the section.
    Outside,
    /// In a section that does not exist.
    Nowhere,
}

/// From a small alphabet, so that names collide.
#[derive(Debug, Arbitrary)]
struct Name(Vec<u8>);

impl Name {
    fn bytes(&self) -> Vec<u8> {
        self.0.iter().take(70).map(|by| b"ab_."[usize::from(*by) % 4]).collect()
    }
}

impl Recipe {
    pub(super) fn file(&self) -> Vec<u8> {
        let form = self.form;
        let (mut table, mut names) = (form.symbol(0, 0, 0, 0), vec![0]);
        let (mut wide, mut crcs) = (form.word(0), Vec::new());
        for symbol in &self.symbols {
            let (name, value, info, section) = match symbol {
                Symbol::Export(name, crc) => {
                    let at = crcs.len() as u64;
                    let (value, section) = match *crc {
                        Crc::Value(crc) => (u64::from(crc), ABSOLUTE),
                        Crc::Section(_) => (at, CRCS),
                        Crc::Wide(_) => (at, WIDE),
                        Crc::Outside => (u64::from(u32::MAX), CRCS),
                        Crc::Nowhere => (0, COMMON),
                    };
                    if let Crc::Section(crc) | Crc::Wide(crc) = *crc {
                        crcs.extend(form.word(crc));
                    }
                    ([&b"__crc_"[..], &name.bytes()].concat(), value, 0x10, section)
                }
                Symbol::Import { name, weak, register } => {
                    let info = if *weak { 0x20 } else { 0x10 } | if *register { 13 } else { 0 };
                    (name.bytes(), 0, info, 0)
                }
                Symbol::Other(name) => (name.bytes(), 8, 0x10, CRCS),
            };
            table.extend(form.symbol(names.len() as u32, value, info, section));
            wide.extend(form.word(if section == WIDE { u32::from(CRCS) } else { 0 }));
            names.extend(name.into_iter().chain([0]));
        }
        let version = |(name, crc): &(Name, u32)| {
            let mut entry = form.address(u64::from(*crc));
            entry.extend(name.bytes());
            entry.resize(VERSION_SIZE, 0);
            entry
        };
        let strings = self.strings.iter().flat_map(|name| name.bytes().into_iter().chain([0])).collect();
        form.file(&[
            Section { name: "___kcrctab", kind: PROGBITS, link: 0, bytes: crcs },
            Section { name: "__ksymtab_strings", kind: PROGBITS, link: 0, bytes: strings },
            Section {
                name: "__versions",
                kind: PROGBITS,
                link: 0,
                bytes: self.versions.iter().flat_map(version).collect(),
            },
            Section { name: ".symtab", kind: SYMTAB, link: 5, bytes: table },
            Section { name: ".strtab", kind: STRTAB, link: 0, bytes: names },
            Section { name: ".symtab_shndx", kind: SYMTAB_SHNDX, link: 4, bytes: wide },
        ])
    }

    pub(super) fn expected(&self) -> Symbols {
        let mut expected = Symbols { versions: self.versions(), ..Symbols::default() };
        for symbol in &self.symbols {
            match symbol {
                Symbol::Export(name, crc) => {
                    let crc = match *crc {
                        Crc::Value(crc) | Crc::Section(crc) | Crc::Wide(crc) => Some(u64::from(crc)),
                        Crc::Outside | Crc::Nowhere => None,
                    };
                    expected.exports.push((name.bytes(), crc));
                }
                Symbol::Import { register: true, .. } if self.form.is_sparc() => {}
                Symbol::Import { name, weak, .. } => expected.imports.push((name.bytes(), *weak, None)),
                Symbol::Other(_) => {}
            }
        }
        if expected.exports.is_empty() {
            let names = self.strings.iter().map(Name::bytes).filter(|name| !name.is_empty());
            expected.exports.extend(names.map(|name| (name, None)));
        }
        expected.imports.retain(|(name, ..)| !name.is_empty());
        // The last version of a symbol counts. Names that have a version but no symbol follow, once each.
        let crc = |name: &Vec<u8>| expected.versions.iter().rfind(|(other, _)| other == name).map(|(_, crc)| *crc);
        expected.imports.iter_mut().for_each(|import| import.2 = crc(&import.0));
        for (name, _) in expected.versions.iter().filter(|(name, _)| !name.is_empty()) {
            if !expected.imports.iter().any(|import| import.0 == *name) {
                expected.imports.push((name.clone(), false, crc(name)));
            }
        }
        expected
    }

    fn versions(&self) -> Vec<(Vec<u8>, u64)> {
        let room = VERSION_SIZE - if self.form.is_32 { 4 } else { 8 };
        let version = |(name, crc): &(Name, u32)| (name.bytes().into_iter().take(room).collect(), u64::from(*crc));
        self.versions.iter().map(version).collect()
    }

    /// Changes some bytes.
    pub(super) fn damage(&self, file: &mut [u8]) {
        for (at, byte) in &self.damage {
            let at = usize::from(*at) % file.len();
            file[at] = *byte;
        }
    }
}
