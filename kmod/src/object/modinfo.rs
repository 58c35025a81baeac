//! `.modinfo`: the metadata of a module, as `key=value` strings.

use std::borrow::Cow;

use super::{ElfModule, ObjectErrorKind};

/// The strings of a module's `.modinfo` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modinfo<'a>(Cow<'a, [u8]>);

impl<'a> Modinfo<'a> {
    /// Uses the bytes of the section. Truncated and empty strings and strings without `=` are accepted.
    #[must_use]
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Iterates over keys and values in file order. A string without `=` is a key with an empty value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()).map(|entry| {
            match entry.iter().position(|&byte| byte == b'=') {
                Some(at) => (&entry[..at], &entry[at + 1..]),
                None => (entry, &[][..]),
            }
        })
    }

    /// Iterates over the values of one key.
    pub fn values<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = &'s [u8]> {
        self.iter().filter(move |(found, _)| *found == key).map(|(_, value)| value)
    }
}

impl<'a> ElfModule<'a> {
    /// Reads `.modinfo`; empty when the module has none.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] when the section extends beyond the file.
    pub fn modinfo(&self) -> Result<Modinfo<'a>, ObjectErrorKind> {
        Ok(Modinfo(self.section(b".modinfo")?.unwrap_or_default()))
    }
}
