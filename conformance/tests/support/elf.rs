//! Edits module files: 64-bit little-endian ELF files. Offsets are those of elf(5).

/// Fields of a section header: offset and size.
pub const NAME: (usize, usize) = (0, 4);
pub const TYPE: (usize, usize) = (4, 4);
pub const FLAGS: (usize, usize) = (8, 8);
pub const OFFSET: (usize, usize) = (24, 8);
pub const SIZE: (usize, usize) = (32, 8);
pub const LINK: (usize, usize) = (40, 4);

/// Fields of the ELF header.
pub const FILE_TYPE: (usize, usize) = (16, 2);
pub const MACHINE: (usize, usize) = (18, 2);
pub const SECTIONS: (usize, usize) = (40, 8);
pub const ENTRY_SIZE: (usize, usize) = (58, 2);
pub const COUNT: (usize, usize) = (60, 2);
pub const NAMES: (usize, usize) = (62, 2);

/// Fields of a symbol.
pub const SYMBOL_NAME: (usize, usize) = (0, 4);
pub const SYMBOL_SECTION: (usize, usize) = (6, 2);
const SYMBOL_LENGTH: usize = 24;

/// `SHF_WRITE`, `SHF_ALLOC`, `SHF_RELA_LIVEPATCH`.
pub const WRITE: u64 = 1;
pub const ALLOC: u64 = 2;
pub const LIVEPATCH: u64 = 0x0010_0000;

/// A module file.
pub struct Elf(pub Vec<u8>);

impl Elf {
    /// The file without its signature.
    pub fn new(mut file: Vec<u8>) -> Self {
        const MARKER: &[u8] = b"~Module signature appended~\n";
        if let Some(signed) = file.strip_suffix(MARKER) {
            let length = u32::from_be_bytes(*signed.last_chunk().expect("a trailer")) as usize;
            file.truncate(file.len() - MARKER.len() - 12 - length);
        }
        Self(file)
    }

    pub fn get(&self, at: usize, (offset, size): (usize, usize)) -> usize {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(&self.0[at + offset..at + offset + size]);
        usize::try_from(u64::from_le_bytes(bytes)).expect("a number")
    }

    pub fn set(&mut self, at: usize, (offset, size): (usize, usize), value: u64) {
        self.0[at + offset..at + offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// The header of a section by its number.
    pub fn header(&self, number: usize) -> usize {
        self.get(0, SECTIONS) + 64 * number
    }

    /// The header of the section with the names of sections.
    pub fn names(&self) -> usize {
        self.header(self.get(0, NAMES))
    }

    /// The header of a section by its name.
    pub fn section(&self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| panic!("the module has no section {name}"))
    }

    /// The header of a section by its name, if there is one.
    pub fn find(&self, name: &str) -> Option<usize> {
        let names = self.get(self.names(), OFFSET);
        let is_named = |header: &usize| {
            let found = &self.0[names + self.get(*header, NAME)..];
            found.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        };
        (0..self.get(0, COUNT)).map(|number| self.header(number)).find(is_named)
    }

    pub fn flag(&mut self, header: usize, flag: u64) {
        let flags = self.get(header, FLAGS) as u64;
        self.set(header, FLAGS, flags | flag);
    }

    /// Appends bytes to a section, at the end of the file. Returns where in the section they begin.
    pub fn grow(&mut self, header: usize, bytes: &[u8]) -> usize {
        let (offset, size) = (self.get(header, OFFSET), self.get(header, SIZE));
        let content = self.0[offset..offset + size].to_vec();
        self.0.resize(self.0.len().next_multiple_of(16), 0);
        let new = self.0.len() as u64;
        self.0.extend([&content, bytes].concat());
        self.set(header, OFFSET, new);
        self.set(header, SIZE, (size + bytes.len()) as u64);
        size
    }

    pub fn rename(&mut self, header: usize, name: &str) {
        let at = self.grow(self.names(), &[name.as_bytes(), b"\0"].concat());
        self.set(header, NAME, at as u64);
    }

    /// Adds an entry to .modinfo.
    pub fn add_info(&mut self, entry: &str) {
        let header = self.section(".modinfo");
        self.grow(header, &[entry.as_bytes(), b"\0"].concat());
    }

    /// The symbols that the module imports.
    pub fn imports(&self) -> Vec<usize> {
        let table = self.section(".symtab");
        let (start, size) = (self.get(table, OFFSET), self.get(table, SIZE));
        let symbols = (start..start + size).step_by(SYMBOL_LENGTH).skip(1);
        // Undefined and global.
        symbols.filter(|at| self.get(*at, SYMBOL_SECTION) == 0 && self.0[at + 4] >> 4 == 1).collect()
    }

    /// The symbol with a number.
    pub fn symbol(&self, number: usize) -> usize {
        self.get(self.section(".symtab"), OFFSET) + number * SYMBOL_LENGTH
    }

    pub fn rename_symbol(&mut self, symbol: usize, name: &str) {
        let strings = self.header(self.get(self.section(".symtab"), LINK));
        // The table of the symbols must not move: it is before the strings' new place.
        let at = self.grow(strings, &[name.as_bytes(), b"\0"].concat());
        self.set(symbol, SYMBOL_NAME, at as u64);
    }

    /// The number of the symbol of the first relocation of a section, and where the relocation is in the file.
    pub fn relocation(&self, section: &str) -> (usize, usize) {
        let at = self.get(self.section(section), OFFSET);
        (self.get(at, (12, 4)), at)
    }

    pub fn replace(&mut self, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        let at = self.0.windows(from.len()).position(|window| window == from).expect("the bytes to replace");
        self.0[at..at + to.len()].copy_from_slice(to);
    }
}
