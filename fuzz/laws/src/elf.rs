//! Builds ELF files from sections, in every form that a module may have, so that the expected output is known.

use arbitrary::Arbitrary;

pub(super) const PROGBITS: u32 = 1;
pub(super) const SYMTAB: u32 = 2;
pub(super) const STRTAB: u32 = 3;
pub(super) const SYMTAB_SHNDX: u32 = 18;

/// The file's class and byte order, and where it stores the number of its sections.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) struct Form {
    pub(super) is_32: bool,
    is_big: bool,
    /// The number of sections and the index of their names are in the first section, as in a file with very many.
    many_sections: bool,
    is_sparc: bool,
}

/// A section, other than the first and the last, which every file has.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) kind: u32,
    /// The number of the section that this one refers to (`sh_link`).
    pub(super) link: u32,
    pub(super) bytes: Vec<u8>,
}

impl Form {
    pub(super) fn half(self, half: u16) -> Vec<u8> {
        if self.is_big { half.to_be_bytes().to_vec() } else { half.to_le_bytes().to_vec() }
    }

    pub(super) fn word(self, word: u32) -> Vec<u8> {
        if self.is_big { word.to_be_bytes().to_vec() } else { word.to_le_bytes().to_vec() }
    }

    /// An address, offset or size; the low half in a 32-bit file.
    pub(super) fn address(self, address: u64) -> Vec<u8> {
        match (self.is_32, self.is_big) {
            (true, _) => self.word(address as u32),
            (false, true) => address.to_be_bytes().to_vec(),
            (false, false) => address.to_le_bytes().to_vec(),
        }
    }

    /// Whether registers may be undefined symbols, as in modules for SPARC.
    pub(super) fn is_sparc(self) -> bool {
        self.is_sparc
    }

    /// An entry of a symbol table.
    pub(super) fn symbol(self, name: u32, value: u64, info: u8, section: u16) -> Vec<u8> {
        let rest = [&[info, 0][..], &self.half(section)].concat();
        let numbers = [self.address(value), self.address(0)].concat();
        match self.is_32 {
            true => [self.word(name), numbers, rest].concat(),
            false => [self.word(name), rest, numbers].concat(),
        }
    }

    /// The file. The first of `sections` has number 1.
    pub(super) fn file(self, sections: &[Section]) -> Vec<u8> {
        const NAMES: &str = ".shstrtab";
        let names: Vec<&str> =
            [""].into_iter().chain(sections.iter().map(|section| section.name)).chain([NAMES]).collect();
        let text: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([0])).collect();
        let name_at = |number: usize| names[..number].iter().map(|name| name.len() + 1).sum::<usize>() as u32;
        let count = names.len();

        let header_size = if self.is_32 { 52 } else { 64 };
        let mut body = Vec::new();
        let mut table = Vec::new();
        let mut add = |number: usize, kind: u32, link: u32, size: usize, bytes: &[u8]| {
            let at = (header_size + body.len()) as u64;
            body.extend_from_slice(bytes);
            table.extend([self.word(name_at(number)), self.word(kind)].concat());
            table.extend([0, 0, at, size as u64].map(|address| self.address(address)).concat());
            table.extend([self.word(link), self.word(0), self.address(1), self.address(0)].concat());
        };
        let (size, link) = if self.many_sections { (count, count as u32 - 1) } else { (0, 0) };
        add(0, 0, link, size, b"");
        for (number, section) in sections.iter().enumerate() {
            add(number + 1, section.kind, section.link, section.bytes.len(), &section.bytes);
        }
        add(count - 1, STRTAB, 0, text.len(), &text);

        let machine = if self.is_sparc { 43 } else { 62 };
        let (class, order) = (if self.is_32 { 1 } else { 2 }, if self.is_big { 2 } else { 1 });
        let mut file = [&b"\x7fELF"[..], &[class, order, 1], &[0; 9]].concat();
        file.extend([self.half(1), self.half(machine), self.word(1)].concat());
        file.extend([0, 0, (header_size + body.len()) as u64].map(|address| self.address(address)).concat());
        file.extend(self.word(0));
        let (shown, names_in) = if self.many_sections { (0, 0xffff) } else { (count as u16, count as u16 - 1) };
        let entry = if self.is_32 { 40 } else { 64 };
        file.extend([header_size as u16, 0, 0, entry, shown, names_in].map(|half| self.half(half)).concat());
        [file, body, table].concat()
    }
}
