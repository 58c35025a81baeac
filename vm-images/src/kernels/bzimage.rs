//! The x86 boot header of a bzImage: the release, and the position of the compressed kernel.
//!
//! Layout: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". Pure.

use crate::kernels::release::KernelRelease;

/// The image is not a usable x86 kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Too short, or without the two magic numbers.
    #[error("no x86 boot header (not a bzImage?)")]
    NoHeader,
    /// Older than Linux 2.6.24.
    #[error("boot protocol {0}.{1} is older than 2.8")]
    OldProtocol(u8, u8),
    /// The header does not refer to a valid version string.
    #[error("the boot header contains no kernel release")]
    NoRelease,
    /// The payload is not entirely in the file.
    #[error("the file ends before its payload (truncated?)")]
    Truncated,
}

/// The boot header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The release, as printed by `uname -r`.
    pub release: KernelRelease,
    /// The whole version string: release, builder, build number and date.
    pub version: String,
    /// The offset of the compressed kernel in the file, in bytes.
    pub payload_offset: usize,
    /// The length of the compressed kernel in bytes.
    pub payload_length: usize,
}

const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const VERSION_STRING: usize = 0x20e;
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

impl Header {
    /// Parses the header of a complete image.
    pub fn parse(image: &[u8]) -> Result<Header, HeaderError> {
        if bytes(image, BOOT_FLAG) != Some([0x55, 0xaa]) || bytes(image, MAGIC) != Some(*b"HdrS") {
            return Err(HeaderError::NoHeader);
        }
        let [minor, major] = bytes(image, PROTOCOL).ok_or(HeaderError::NoHeader)?;
        if (major, minor) < (2, 8) {
            return Err(HeaderError::OldProtocol(major, minor));
        }
        let pointer = u16::from_le_bytes(bytes(image, VERSION_STRING).ok_or(HeaderError::NoHeader)?);
        if pointer == 0 {
            return Err(HeaderError::NoRelease);
        }
        let text = image.get(usize::from(pointer) + 0x200..).ok_or(HeaderError::NoRelease)?;
        let end = text.iter().take(512).position(|&byte| byte == 0).ok_or(HeaderError::NoRelease)?;
        let version = String::from_utf8_lossy(&text[..end]).into_owned();
        let first = version.split_ascii_whitespace().next().ok_or(HeaderError::NoRelease)?;
        let release = KernelRelease::new(first).map_err(|_| HeaderError::NoRelease)?;

        let sectors = match image.get(SETUP_SECTORS) {
            Some(0) => 4,
            Some(&sectors) => usize::from(sectors),
            None => return Err(HeaderError::NoHeader),
        };
        let number = |at| bytes(image, at).map(u32::from_le_bytes).ok_or(HeaderError::NoHeader);
        let payload_offset = (sectors + 1) * 512 + number(PAYLOAD_OFFSET)? as usize;
        let payload_length = number(PAYLOAD_LENGTH)? as usize;
        if payload_offset.checked_add(payload_length).is_none_or(|end| end > image.len()) {
            return Err(HeaderError::Truncated);
        }
        Ok(Header { release, version, payload_offset, payload_length })
    }

    /// Returns the compressed kernel in `image`, from which the header was parsed.
    pub fn payload<'a>(&self, image: &'a [u8]) -> &'a [u8] {
        image.get(self.payload_offset..self.payload_offset + self.payload_length).unwrap_or_default()
    }
}

fn bytes<const N: usize>(image: &[u8], at: usize) -> Option<[u8; N]> {
    image.get(at..at + N)?.try_into().ok()
}

/// Builds an image for tests.
#[cfg(test)]
pub(crate) fn sample_image(version: &str, payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[SETUP_SECTORS] = 1;
    image[BOOT_FLAG..BOOT_FLAG + 2].copy_from_slice(&[0x55, 0xaa]);
    image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
    image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&[15, 2]);
    image[VERSION_STRING..VERSION_STRING + 2].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
    image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16_u32.to_le_bytes());
    image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend_from_slice(&[0; 16]);
    image.extend_from_slice(payload);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_first_word_of_the_version_string() {
        let image = sample_image("6.1.0-50-cloud-amd64 (builder@host) #1 SMP", b"payload");
        let header = Header::parse(&image).unwrap();
        assert_eq!(header.release.as_str(), "6.1.0-50-cloud-amd64");
        assert_eq!(header.version, "6.1.0-50-cloud-amd64 (builder@host) #1 SMP");
        assert_eq!(header.payload(&image), b"payload");
    }

    #[test]
    fn a_file_that_is_not_a_kernel_is_an_error() {
        assert_eq!(Header::parse(b""), Err(HeaderError::NoHeader));
        assert_eq!(Header::parse(b"\x7fELF"), Err(HeaderError::NoHeader));
        assert_eq!(Header::parse(&[0x55; 4096]), Err(HeaderError::NoHeader));
        let good = sample_image("6.1.0 x", b"payload");
        let mut old = good.clone();
        old[PROTOCOL] = 7;
        assert_eq!(Header::parse(&old), Err(HeaderError::OldProtocol(2, 7)));
        let mut nameless = good.clone();
        nameless[VERSION_STRING..VERSION_STRING + 2].fill(0);
        assert_eq!(Header::parse(&nameless), Err(HeaderError::NoRelease));
        let mut far = good.clone();
        far[VERSION_STRING..VERSION_STRING + 2].fill(0xff);
        assert_eq!(Header::parse(&far), Err(HeaderError::NoRelease));
        assert_eq!(Header::parse(&good[..good.len() - 1]), Err(HeaderError::Truncated));
    }

    #[test]
    fn an_image_truncated_anywhere_is_an_error() {
        let good = sample_image("6.1.0 x", b"payload");
        for end in 0..good.len() {
            assert!(Header::parse(&good[..end]).is_err(), "{end}");
        }
    }
}
