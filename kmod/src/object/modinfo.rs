//! `.modinfo`: what a module says of itself, as `key=value` strings.

use std::borrow::Cow;

use super::{ElfModule, ObjectErrorKind};

/// The strings of a module's `.modinfo` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modinfo<'a>(Cow<'a, [u8]>);

impl<'a> Modinfo<'a> {
    /// Takes the bytes of the section. Every byte string is one: what is cut off, empty or without `=` is tolerated.
    #[must_use]
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Keys and values in the order of the file. A string without `=` is a key with an empty value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()).map(|entry| {
            match entry.iter().position(|&byte| byte == b'=') {
                Some(at) => (&entry[..at], &entry[at + 1..]),
                None => (entry, &[][..]),
            }
        })
    }

    /// The values of one key.
    pub fn values<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = &'s [u8]> {
        self.iter().filter(move |(found, _)| *found == key).map(|(_, value)| value)
    }
}

impl<'a> ElfModule<'a> {
    /// The module's `.modinfo`; empty when it has none.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the section is not within the file.
    pub fn modinfo(&self) -> Result<Modinfo<'a>, ObjectErrorKind> {
        Ok(Modinfo(self.section(b".modinfo")?.unwrap_or_default()))
    }
}
