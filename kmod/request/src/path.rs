//! The path of the helper, as `/proc/sys/kernel/modprobe` stores it.

use core::fmt;

/// The size of the path in bytes, including the terminating NUL (`KMOD_PATH_LEN`).
pub const PATH_SIZE: usize = 256;

/// The path of the helper. An empty path disables automatic module loading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HelperPath {
    bytes: [u8; PATH_SIZE],
    length: u8,
}

impl Default for HelperPath {
    /// `/sbin/modprobe`.
    fn default() -> Self {
        let mut path = Self { bytes: [0; PATH_SIZE], length: 0 };
        path.write(b"/sbin/modprobe", &mut 0);
        path
    }
}

impl HelperPath {
    /// Returns the path, without the NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Performs a write(2) of `data` at the offset of the open file, and advances the offset.
    ///
    /// The path is replaced from the offset on, by the data up to its first newline or NUL, and cut to 255 bytes. Nothing
    /// changes if the offset is beyond the end of the path. write(2) reports the full length in each case
    /// (`proc_dostring()` with `kernel.sysctl_writes_strict=1`, the default since 4.5).
    pub fn write(&mut self, data: &[u8], offset: &mut u64) {
        let Ok(at) = u8::try_from(*offset) else { return };
        if data.is_empty() || at > self.length {
            return;
        }
        self.length = at;
        let mut room = self.bytes.iter_mut().take(PATH_SIZE - 1).skip(usize::from(at));
        for (&from, to) in data.iter().take_while(|&&byte| byte != b'\n' && byte != 0).zip(room.by_ref()) {
            *to = from;
            self.length = self.length.saturating_add(1);
        }
        // Paths are compared with all their bytes.
        room.for_each(|byte| *byte = 0);
        *offset = offset.saturating_add(data.len() as u64);
    }
}

impl fmt::Debug for HelperPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn written(data: &[u8], mut offset: u64) -> Vec<u8> {
        let mut path = HelperPath::default();
        path.write(b"/orig\n", &mut 0);
        path.write(data, &mut offset);
        path.as_bytes().to_vec()
    }

    #[test]
    fn a_write_is_cut_at_the_first_newline_or_nul() {
        for (data, path) in
            [("/a/b\n", "/a/b"), ("/a\nb", "/a"), ("/a\0b", "/a"), ("/a b c\n", "/a b c"), ("\n", ""), ("", "/orig")]
        {
            assert_eq!(written(data.as_bytes(), 0), path.as_bytes(), "{data:?}");
        }
    }

    #[test]
    fn a_write_at_an_offset_replaces_the_rest_of_the_path() {
        assert_eq!(written(b"ZZ", 3), b"/orZZ");
        assert_eq!(written(b"ZZ", 5), b"/origZZ");
        assert_eq!(written(b"ZZ", 6), b"/orig");
        assert_eq!(written(b"ZZ", u64::MAX), b"/orig");
    }

    #[test]
    fn a_long_path_is_cut_to_255_bytes() {
        for length in [254, 255, 256, 300] {
            assert_eq!(written(&std::vec![b'x'; length], 0).len(), length.min(255));
        }
        assert_eq!(written(&[b'x'; 300], 3).len(), 255);
    }

    #[test]
    fn paths_are_equal_whatever_was_written_before() {
        let mut path = HelperPath::default();
        path.write(b"/a/longer/path/to/a/helper\n", &mut 0);
        path.write(b"/sbin/modprobe\n", &mut 0);
        assert_eq!(path, HelperPath::default());
    }

    #[test]
    fn two_writes_through_one_file_append() {
        let (mut path, mut offset) = (HelperPath::default(), 0);
        path.write(b"/abc", &mut offset);
        path.write(b"def\n", &mut offset);
        assert_eq!((path.as_bytes(), offset), (&b"/abcdef"[..], 8));
    }
}
