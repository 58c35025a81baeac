//! Builds small modules in memory, so that tests need no kernel package.

/// The content of a module to build.
#[derive(Debug, Clone, Default)]
pub(crate) struct TinyModule {
    pub(crate) is_32: bool,
    pub(crate) is_big: bool,
    /// `key=value` strings.
    pub(crate) modinfo: Vec<String>,
    /// Exported names with their checksums, which are stored as absolute symbols.
    pub(crate) exports: Vec<(String, u32)>,
    /// Exported names without a checksum.
    pub(crate) plain_exports: Vec<String>,
    /// The bytes of `__ksymtab_strings`, if not empty, instead of `plain_exports`.
    pub(crate) export_bytes: Vec<u8>,
    pub(crate) imports: Vec<String>,
    pub(crate) weak: Vec<String>,
    pub(crate) versions: Vec<(String, u32)>,
    /// Store checksums in a separate section, like relative checksums.
    pub(crate) crcs_in_section: bool,
    /// Store the number of sections and the index of the names in the first section.
    pub(crate) many_sections: bool,
    /// The name in `struct module`.
    pub(crate) struct_name: Option<String>,
}

impl TinyModule {
    pub(crate) fn named(name: &str) -> Self {
        Self { modinfo: vec![format!("name={name}")], ..Self::default() }
    }

    pub(crate) fn info(mut self, entry: &str) -> Self {
        self.modinfo.push(entry.to_owned());
        self
    }

    pub(crate) fn exports(mut self, names: &[&str]) -> Self {
        self.exports.extend(names.iter().map(|name| ((*name).to_owned(), 0x1234)));
        self
    }

    pub(crate) fn imports(mut self, names: &[&str]) -> Self {
        self.imports.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Returns the ELF file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut sections: Vec<(&str, u32, u32, Vec<u8>)> = vec![("", 0, 0, Vec::new())];
        let strings =
            |all: &mut dyn Iterator<Item = &String>| all.flat_map(|s| s.bytes().chain([0])).collect::<Vec<u8>>();
        sections.push((".modinfo", 1, 0, strings(&mut self.modinfo.iter())));
        let crcs: Vec<u8> = self.exports.iter().flat_map(|(_, crc)| self.u32(*crc)).collect();
        sections.push(("___kcrctab", 1, 0, crcs));
        if !self.export_bytes.is_empty() {
            sections.push(("__ksymtab_strings", 1, 0, self.export_bytes.clone()));
        } else if !self.plain_exports.is_empty() {
            sections.push(("__ksymtab_strings", 1, 0, strings(&mut self.plain_exports.iter())));
        }
        if !self.versions.is_empty() {
            let entry = |(name, crc): &(String, u32)| {
                let mut bytes = self.word(u64::from(*crc));
                bytes.extend_from_slice(name.as_bytes());
                bytes.resize(64, 0);
                bytes
            };
            sections.push(("__versions", 1, 0, self.versions.iter().flat_map(entry).collect()));
        }
        if let Some(name) = &self.struct_name {
            let mut bytes = [self.word(0), self.word(0), self.word(0)].concat();
            bytes.extend_from_slice(name.as_bytes());
            bytes.resize(200, 0);
            sections.push((".gnu.linkonce.this_module", 1, 0, bytes));
        }
        let (symtab, strtab) = self.symbols();
        let link = sections.len() as u32 + 1;
        sections.push((".symtab", 2, link, symtab));
        sections.push((".strtab", 3, 0, strtab));
        sections.push((".shstrtab", 3, 0, Vec::new()));
        let mut names = Vec::new();
        let name_at: Vec<u32> = sections
            .iter()
            .map(|(name, ..)| {
                names.extend_from_slice(name.as_bytes());
                names.push(0);
                (names.len() - name.len() - 1) as u32
            })
            .collect();
        sections.last_mut().unwrap().3 = names;

        let header = if self.is_32 { 52 } else { 64 };
        let mut body = vec![0; header];
        let mut table = Vec::new();
        let count = sections.len();
        for (number, ((section, kind, link, bytes), name)) in sections.iter().zip(name_at).enumerate() {
            let first = number == 0 && self.many_sections;
            let size = if first { count as u64 } else { bytes.len() as u64 };
            let link = if first { count as u32 - 1 } else { *link };
            table.extend(self.u32(name));
            table.extend(self.u32(*kind));
            // SHF_ALLOC, which the kernel requires of this section.
            let flags = if *section == "__versions" { 2 } else { 0 };
            table.extend([self.word(flags), self.word(0), self.word(body.len() as u64), self.word(size)].concat());
            table.extend([self.u32(link), self.u32(0)].concat());
            table.extend([self.word(1), self.word(0)].concat());
            body.extend_from_slice(bytes);
        }
        let at = body.len() as u64;
        body.extend(table);
        let mut start = b"\x7fELF".to_vec();
        start.extend([if self.is_32 { 1 } else { 2 }, if self.is_big { 2 } else { 1 }, 1]);
        start.resize(16, 0);
        start.extend([self.u16(1), self.u16(62), self.u32(1).to_vec()].concat());
        start.extend([self.word(0), self.word(0), self.word(at), self.u32(0)].concat());
        let (shown, names_in) = if self.many_sections { (0, 0xffff) } else { (count as u16, count as u16 - 1) };
        let entry = if self.is_32 { 40 } else { 64 };
        start.extend([header as u16, 0, 0, entry, shown, names_in].map(|half| self.u16(half)).concat());
        body[..header].copy_from_slice(&start);
        body
    }

    fn symbols(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut table, mut names) = (self.symbol(0, 0, 0, 0), vec![0]);
        let mut add = |name: &str, value: u64, bind: u8, section: u16| {
            table.extend(self.symbol(names.len() as u32, value, bind << 4, section));
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        };
        add("a_local", 0, 0, 1);
        for (number, (name, crc)) in self.exports.iter().enumerate() {
            match self.crcs_in_section {
                true => add(&format!("__crc_{name}"), 4 * number as u64, 0, 2),
                false => add(&format!("__crc_{name}"), u64::from(*crc), 1, 0xfff1),
            }
        }
        self.imports.iter().for_each(|name| add(name, 0, 1, 0));
        self.weak.iter().for_each(|name| add(name, 0, 2, 0));
        (table, names)
    }

    fn symbol(&self, name: u32, value: u64, info: u8, section: u16) -> Vec<u8> {
        let rest = [&[info, 0][..], &self.u16(section)].concat();
        let numbers = [self.word(value), self.word(0)].concat();
        match self.is_32 {
            true => [self.u32(name), numbers, rest].concat(),
            false => [self.u32(name), rest, numbers].concat(),
        }
    }

    fn u16(&self, half: u16) -> Vec<u8> {
        if self.is_big { half.to_be_bytes().to_vec() } else { half.to_le_bytes().to_vec() }
    }

    fn u32(&self, word: u32) -> Vec<u8> {
        if self.is_big { word.to_be_bytes().to_vec() } else { word.to_le_bytes().to_vec() }
    }

    fn word(&self, word: u64) -> Vec<u8> {
        match (self.is_32, self.is_big) {
            (true, _) => self.u32(word as u32),
            (false, true) => word.to_be_bytes().to_vec(),
            (false, false) => word.to_le_bytes().to_vec(),
        }
    }
}
