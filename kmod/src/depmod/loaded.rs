//! The parts of a module that the lists need: one byte buffer and spans into it.

use crate::object::ObjectErrorKind;
use crate::object::symbols::Import;

/// The parts of a module that the lists need.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Loaded {
    text: Vec<u8>,
    info: Vec<(Key, Span)>,
    exports: Vec<(Span, Option<u64>)>,
    imports: Vec<(Span, bool, Option<u64>)>,
}

/// The keys of `.modinfo` that become lines of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Alias,
    Softdep,
    Weakdep,
}

impl Key {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::Softdep => "softdep",
            Self::Weakdep => "weakdep",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    start: u32,
    end: u32,
}

impl Loaded {
    /// Returns all values, in the order of the module.
    pub(super) fn all_info(&self) -> impl ExactSizeIterator<Item = (Key, &[u8])> {
        self.info.iter().map(|(key, span)| (*key, self.bytes(*span)))
    }

    /// Returns the values of one key, in the order of the module.
    pub(super) fn info(&self, key: Key) -> impl Iterator<Item = &[u8]> {
        self.info.iter().filter(move |(found, _)| *found == key).map(|(_, span)| self.bytes(*span))
    }

    pub(super) fn exports(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<u64>)> {
        self.exports.iter().map(|(span, crc)| (self.bytes(*span), *crc))
    }

    pub(super) fn imports(&self) -> impl ExactSizeIterator<Item = Import<'_>> {
        self.imports.iter().map(|&(span, weak, crc)| Import { name: self.bytes(span), weak, crc })
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.start as usize..span.end as usize]
    }

    /// Adds a value of `.modinfo`.
    pub(super) fn add_info(&mut self, key: Key, value: &[u8]) -> Result<(), ObjectErrorKind> {
        let span = self.keep(value)?;
        self.info.push((key, span));
        Ok(())
    }

    pub(super) fn add_export(&mut self, name: &[u8], crc: Option<u64>) -> Result<(), ObjectErrorKind> {
        let span = self.keep(name)?;
        self.exports.push((span, crc));
        Ok(())
    }

    pub(super) fn add_import(&mut self, import: &Import<'_>) -> Result<(), ObjectErrorKind> {
        let span = self.keep(import.name)?;
        self.imports.push((span, import.weak, import.crc));
        Ok(())
    }

    /// Releases spare capacity.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.exports.shrink_to_fit();
        self.imports.shrink_to_fit();
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Span, ObjectErrorKind> {
        /// Symbols can share bytes of the string table in the file, but not here: the copies need a limit.
        const LIMIT: usize = 64 << 20;
        let (start, end) = (self.text.len(), self.text.len() + bytes.len());
        if end > LIMIT {
            return Err(ObjectErrorKind::Elf("the names of its symbols exceed 64 MiB"));
        }
        self.text.extend_from_slice(bytes);
        Ok(Span { start: start as u32, end: end as u32 })
    }
}
