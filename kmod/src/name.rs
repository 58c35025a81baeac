//! Module names and alias patterns: normalisation, length limit, matching. Names are bytes, since neither a file name nor an
//! alias has to be UTF-8. Pure.

mod pattern;

use std::fmt;

pub use pattern::{Pattern, fnmatch};

/// The length of the longest name or alias in bytes: PATH_MAX without the terminating NUL, as in C kmod.
pub const NAME_LIMIT: usize = 4095;

/// Why a string of bytes is not a module name or not an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of the name without its suffix.
    #[error("the module name is empty")]
    Empty,
    /// Longer than [`NAME_LIMIT`].
    #[error("the name has {0} bytes, more than the {NAME_LIMIT} that a name may have")]
    TooLong(usize),
    /// A NUL byte, which names in the kernel and in file systems cannot contain.
    #[error("the name {0} contains a NUL byte")]
    Nul(Escaped<Vec<u8>>),
    /// A `]` without its `[`, or a `[` without its `]`.
    #[error("unmatched bracket in {0}")]
    Bracket(Escaped<Vec<u8>>),
}

/// A module's name as the kernel and the indexes spell it: `_` instead of `-`, cut at the first `.`, not empty, at most
/// [`NAME_LIMIT`] bytes, without NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(Vec<u8>);

impl ModuleName {
    /// Normalises a name, with or without the suffix of a module file: `snd-hda-intel`, `xfs.ko.xz`, `a.b.c` (module `a`).
    ///
    /// # Errors
    /// [`NameError`] if the name is empty or too long, or contains a NUL byte.
    pub fn new(name: &[u8]) -> Result<Self, NameError> {
        let stem = name.split(|&b| b == b'.').next().unwrap_or_default();
        if stem.is_empty() {
            return Err(NameError::Empty);
        }
        if stem.len() > NAME_LIMIT {
            return Err(NameError::TooLong(stem.len()));
        }
        if stem.contains(&0) {
            return Err(NameError::Nul(Escaped(stem.to_vec())));
        }
        Ok(Self(stem.iter().map(|&b| underscore(b)).collect()))
    }

    /// Returns the name of the module in a file: the base name of the path, normalised.
    ///
    /// # Errors
    /// As [`ModuleName::new`].
    pub fn from_path(path: &[u8]) -> Result<Self, NameError> {
        Self::new(path.rsplit(|&b| b == b'/').next().unwrap_or_default())
    }

    /// The normalised bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleName({self})")
    }
}

/// Bytes as unambiguous text: printable ASCII unchanged, a backslash as `\\`, all other bytes as `\xNN`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Escaped<T>(pub T);

impl<T: AsRef<[u8]>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for &byte in self.0.as_ref() {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl<T: AsRef<[u8]>> fmt::Debug for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Normalises an alias or an alias pattern: `-` becomes `_`, except between `[` and `]`.
///
/// # Errors
/// [`NameError::Bracket`] for an unmatched bracket, [`NameError::TooLong`] and [`NameError::Nul`] as for a name.
pub fn normalise_alias(alias: &[u8]) -> Result<Vec<u8>, NameError> {
    if alias.len() > NAME_LIMIT {
        return Err(NameError::TooLong(alias.len()));
    }
    let mut inside = false;
    let mut out = Vec::with_capacity(alias.len());
    for &byte in alias {
        match byte {
            0 => return Err(NameError::Nul(Escaped(alias.to_vec()))),
            b']' if !inside => return Err(NameError::Bracket(Escaped(alias.to_vec()))),
            b']' => inside = false,
            b'[' => inside = true,
            _ => {}
        }
        out.push(if inside { byte } else { underscore(byte) });
    }
    if inside {
        return Err(NameError::Bracket(Escaped(alias.to_vec())));
    }
    Ok(out)
}

fn underscore(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> String {
        ModuleName::new(bytes).unwrap().to_string()
    }

    #[test]
    fn dashes_become_underscores_and_the_first_dot_ends_the_name() {
        assert_eq!(name(b"snd-hda-intel"), "snd_hda_intel");
        assert_eq!(name(b"a-b.c.ko.xz"), "a_b");
        assert_eq!(ModuleName::from_path(b"kernel/net/ipv6/ip6-tunnel.ko.xz").unwrap().as_bytes(), b"ip6_tunnel");
    }

    #[test]
    fn empty_names_long_names_and_names_with_nul_are_errors() {
        assert_eq!(ModuleName::new(b""), Err(NameError::Empty));
        assert_eq!(ModuleName::new(b".ko"), Err(NameError::Empty));
        assert_eq!(ModuleName::from_path(b"kernel/"), Err(NameError::Empty));
        assert_eq!(ModuleName::new(&[b'a'; 4096]), Err(NameError::TooLong(4096)));
        assert!(ModuleName::new(&[b'a'; 4095]).is_ok());
        assert_eq!(ModuleName::new(b"a\0b").unwrap_err().to_string(), "the name a\\x00b contains a NUL byte");
    }

    #[test]
    fn an_alias_keeps_dashes_inside_brackets() {
        assert_eq!(normalise_alias(b"a-b[0-9]c-d").unwrap(), b"a_b[0-9]c_d");
        assert_eq!(normalise_alias(b"usb:v0424pEC[0-9A]-[-]*").unwrap(), b"usb:v0424pEC[0-9A]_[-]*");
    }

    #[test]
    fn an_alias_with_an_unmatched_bracket_is_an_error() {
        for bad in [&b"a]b"[..], b"a[b", b"[a]]", b"x[[a]y]"] {
            assert!(matches!(normalise_alias(bad), Err(NameError::Bracket(_))), "{:?}", Escaped(bad));
        }
    }

    #[test]
    fn escaped_bytes_are_printable_ascii() {
        assert_eq!(Escaped(b"a\\b \x07\xff\n").to_string(), "a\\\\b \\x07\\xff\\x0a");
    }

    #[test]
    fn normalisation_is_idempotent() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            if let Ok(name) = ModuleName::new(&bytes) {
                assert_eq!(ModuleName::new(name.as_bytes()), Ok(name.clone()));
            }
            if let Ok(alias) = normalise_alias(&bytes) {
                assert_eq!(normalise_alias(&alias), Ok(alias));
            }
            Ok(())
        });
    }
}
