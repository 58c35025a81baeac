//! The parts of a module that the lists need: one byte buffer and spans into it.

use super::budget::{Budget, Cost};
use crate::file::out_of_memory;
use crate::memory;
use crate::object::ObjectErrorKind;
use crate::object::symbols::Import;

/// The parts of a module that the lists need.
#[derive(Debug, Default, Clone)]
pub(super) struct Loaded {
    text: Vec<u8>,
    info: Vec<(Key, Span)>,
    exports: Vec<(Span, Option<u64>)>,
    imports: Vec<(Span, bool, Option<u64>)>,
    /// What was taken of the budget.
    cost: usize,
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
    pub(super) fn add_info(&mut self, budget: &Budget, key: Key, value: &[u8]) -> Result<(), ObjectErrorKind> {
        memory::reserve(&mut self.info, 1).map_err(out_of_memory)?;
        let span = self.keep(budget, value, Cost::Info)?;
        self.info.push((key, span));
        Ok(())
    }

    pub(super) fn add_export(&mut self, budget: &Budget, name: &[u8], crc: Option<u64>) -> Result<(), ObjectErrorKind> {
        memory::reserve(&mut self.exports, 1).map_err(out_of_memory)?;
        let span = self.keep(budget, name, Cost::Export)?;
        self.exports.push((span, crc));
        Ok(())
    }

    pub(super) fn add_import(&mut self, budget: &Budget, import: &Import<'_>) -> Result<(), ObjectErrorKind> {
        memory::reserve(&mut self.imports, 1).map_err(out_of_memory)?;
        let span = self.keep(budget, import.name, Cost::Import)?;
        self.imports.push((span, import.weak, import.crc));
        Ok(())
    }

    /// Returns what was taken of the budget, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Releases spare capacity.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.exports.shrink_to_fit();
        self.imports.shrink_to_fit();
    }

    fn keep(&mut self, budget: &Budget, bytes: &[u8], cost: Cost) -> Result<Span, ObjectErrorKind> {
        // Symbols can share bytes of the string table in the file, but not here.
        let cost = bytes.len().saturating_add(cost as usize);
        budget.take(self.cost, cost)?;
        self.cost += cost;
        memory::reserve(&mut self.text, bytes.len()).map_err(out_of_memory)?;
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        // A module's text is within its budget, far below 4 GiB.
        Ok(Span { start: start as u32, end: self.text.len() as u32 })
    }
}
