//! The name of a requested module.

use core::fmt;

/// The size of a name in bytes, including the terminating NUL, on a 64-bit kernel (`MODULE_NAME_LEN`). It is 60 on 32-bit
/// kernels.
pub const NAME_SIZE: usize = 56;

/// A requested name: at most 55 bytes, which may be any byte but NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_SIZE],
    length: u8,
}

impl Name {
    /// The name up to its first NUL.
    ///
    /// # Errors
    /// [`NameTooLong`] for more than 55 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, NameTooLong> {
        let mut name = Self { bytes: [0; NAME_SIZE], length: 0 };
        let mut room = name.bytes.iter_mut().take(NAME_SIZE - 1);
        for &byte in bytes.iter().take_while(|&&byte| byte != 0) {
            *room.next().ok_or(NameTooLong)? = byte;
            name.length = name.length.saturating_add(1);
        }
        Ok(name)
    }

    /// Returns the bytes, without the NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// A name has more than 55 bytes. `request_module()` then returns -ENAMETOOLONG and logs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameTooLong;

impl fmt::Display for NameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has more than 55 bytes")
    }
}

impl core::error::Error for NameTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_at_most_55_bytes_and_ends_at_a_nul() {
        assert_eq!(Name::new(&[b'x'; 55]).unwrap().as_bytes(), [b'x'; 55]);
        assert_eq!(Name::new(&[b'x'; 56]), Err(NameTooLong));
        assert_eq!(Name::new(b"a\0b").unwrap().as_bytes(), b"a");
        assert_eq!(Name::new(&[&[b'x'; 55][..], b"\0y"].concat()).unwrap().as_bytes(), [b'x'; 55]);
        assert_eq!(Name::new(b"").unwrap().as_bytes(), b"");
    }
}
