//! Modules with symbols, and what must be said of them.

use super::Said;
use crate::replay::elf::{Form, PROGBITS, STRTAB, SYMTAB, SYMTAB_SHNDX, Section};
use arbitrary::Arbitrary;

/// The sections' numbers are fixed: this one holds checksums.
const CRCS: u16 = 1;
const ABSOLUTE: u16 = 0xfff1;
const WIDE: u16 = 0xffff;
const COMMON: u16 = 0xfff2;
/// The length of an entry of `__versions`.
const VERSION_SIZE: usize = 64;

/// How a module's symbols are made.
#[derive(Debug, Arbitrary)]
pub(super) struct Recipe {
    form: Form,
    symbols: Vec<Symbol>,
    versions: Vec<(Name, u32)>,
    /// The names of exports without checksums, which count only where no symbol is one.
    strings: Vec<Name>,
    /// What is changed afterwards: where, and to what.
    damage: Vec<(u16, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Symbol {
    /// An export: `__crc_NAME`.
    Export(Name, Crc),
    /// Undefined.
    Import { name: Name, weak: bool, register: bool },
    /// Of no interest.
    Other(Name),
}

/// Where a checksum is.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Crc {
    /// It is the symbol's value.
    Value(u32),
    /// It lies in the section, which each of these makes longer.
    Section(u32),
    /// Likewise, but the section's number does not stand in the symbol itself.
    Wide(u32),
    /// Behind the section's end.
    Outside,
    /// In a section that is none.
    Nowhere,
}

/// Few letters, so that names meet.
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

    pub(super) fn expected(&self) -> Said {
        let mut said = Said { versions: self.versions(), ..Said::default() };
        for symbol in &self.symbols {
            match symbol {
                Symbol::Export(name, crc) => {
                    let crc = match *crc {
                        Crc::Value(crc) | Crc::Section(crc) | Crc::Wide(crc) => Some(u64::from(crc)),
                        Crc::Outside | Crc::Nowhere => None,
                    };
                    said.exports.push((name.bytes(), crc));
                }
                Symbol::Import { register: true, .. } if self.form.is_sparc() => {}
                Symbol::Import { name, weak, .. } => said.imports.push((name.bytes(), *weak, None)),
                Symbol::Other(_) => {}
            }
        }
        if said.exports.is_empty() {
            let names = self.strings.iter().map(Name::bytes).filter(|name| !name.is_empty());
            said.exports.extend(names.map(|name| (name, None)));
        }
        said.imports.retain(|(name, ..)| !name.is_empty());
        // Of two versions the last counts; what has one and no symbol comes behind, once.
        let crc = |name: &Vec<u8>| said.versions.iter().rfind(|(other, _)| other == name).map(|(_, crc)| *crc);
        said.imports.iter_mut().for_each(|import| import.2 = crc(&import.0));
        for (name, _) in said.versions.iter().filter(|(name, _)| !name.is_empty()) {
            if !said.imports.iter().any(|import| import.0 == *name) {
                said.imports.push((name.clone(), false, crc(name)));
            }
        }
        said
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
