//! The xz decoder: in Rust, or in C with the feature `liblzma`, which takes about two thirds of the time. Both accept
//! concatenated streams, verify checksums, and have the same limits.

use super::compress::Damage;
use super::{Compression, Limits, ObjectErrorKind};

#[cfg(not(feature = "liblzma"))]
pub(super) use in_rust::decompress;

#[cfg(feature = "liblzma")]
pub(super) use in_c::decompress;

#[cfg(any(test, not(feature = "liblzma")))]
pub(super) mod in_rust {
    use super::super::compress::fill;
    use super::*;
    use crate::file::out_of_memory;
    use lzma_rust2::XzReader;
    use std::io;

    /// Appends the content of the streams.
    pub(in crate::object) fn decompress(
        bytes: &[u8],
        out: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<(), ObjectErrorKind> {
        let window_kib = u32::try_from(limits.window / 1024).unwrap_or(u32::MAX);
        fill(XzReader::new_mem_limit(bytes, true, window_kib), out, limits, |error| cause(error, limits))
    }

    /// Classifies an error of the decoder as liblzma does, which does not report a wrong checksum separately.
    fn cause(error: &io::Error, limits: &Limits) -> ObjectErrorKind {
        let format = Compression::Xz;
        let damage = match error.kind() {
            // The dictionary grows with the content.
            io::ErrorKind::OutOfMemory if error.to_string().contains("limit") => {
                return ObjectErrorKind::Window { format, limit: limits.window };
            }
            io::ErrorKind::OutOfMemory => return out_of_memory(error).into(),
            io::ErrorKind::UnexpectedEof => Damage::Truncated,
            io::ErrorKind::Unsupported => Damage::Unsupported,
            io::ErrorKind::InvalidInput if error.to_string().contains("unsupported") => Damage::Unsupported,
            _ => Damage::Corrupt,
        };
        ObjectErrorKind::Decompress { format, damage }
    }
}

#[cfg(feature = "liblzma")]
pub(super) mod in_c {
    use super::*;
    use crate::file::out_of_memory;
    use crate::memory;
    use liblzma::stream::{Action, CONCATENATED, Error, Status, Stream};

    /// The initial capacity; most modules need no more.
    const LEAST: usize = 1 << 18;

    /// Appends the content of the streams.
    pub(in crate::object) fn decompress(
        bytes: &[u8],
        out: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<(), ObjectErrorKind> {
        let format = Compression::Xz;
        let damaged = |damage| ObjectErrorKind::Decompress { format, damage };
        let failed = |error: Error| match error {
            Error::MemLimit => ObjectErrorKind::Window { format, limit: limits.window },
            Error::Mem => out_of_memory(error).into(),
            Error::Options | Error::UnsupportedCheck => damaged(Damage::Unsupported),
            Error::Data | Error::Format | Error::Program | Error::NoCheck => damaged(Damage::Corrupt),
        };
        let mut stream = Stream::new_stream_decoder(limits.window, CONCATENATED).map_err(failed)?;
        loop {
            // The decoder fills the whole capacity, which is at most one byte beyond the limit: that byte shows an excess.
            if out.len() == out.capacity() {
                let most = usize::try_from(limits.size.saturating_add(1)).unwrap_or(usize::MAX);
                let wanted = (out.len() * 2).max(LEAST).min(most);
                let more = wanted.saturating_sub(out.len()).max(1);
                memory::reserve_exact(out, more)
                    .or_else(|_| memory::reserve_exact(out, LEAST.min(more)))
                    .map_err(out_of_memory)?;
            }
            let rest = bytes.get(stream.total_in() as usize..).unwrap_or_default();
            let status = stream.process_vec(rest, out, Action::Finish).map_err(failed)?;
            if out.len() as u64 > limits.size {
                return Err(ObjectErrorKind::TooLarge(limits.size));
            }
            match status {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::GetCheck => {}
                // There was room for output, so the input ends early.
                Status::MemNeeded => {
                    return Err(damaged(Damage::Truncated));
                }
            }
        }
    }
}

#[cfg(all(test, feature = "liblzma"))]
mod tests {
    use super::*;

    #[test]
    fn both_decoders_return_the_same_bytes_or_both_fail() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let whole = super::super::tests::compressed(Compression::Xz, &plain);
        let limits = Limits { size: 1 << 20, window: 64 << 20 };
        let both = |bytes: &[u8]| {
            let (mut c, mut rust) = (b"before".to_vec(), b"before".to_vec());
            let c = in_c::decompress(bytes, &mut c, &limits).ok().map(|()| c);
            let rust = in_rust::decompress(bytes, &mut rust, &limits).ok().map(|()| rust);
            assert_eq!(c, rust, "{} bytes", bytes.len());
            c.is_some()
        };
        assert!(both(&whole) && both(&[&whole[..], &whole].concat()) && both(&[&whole[..], &[0; 8]].concat()));
        assert!(!both(&whole[..whole.len() - 1]) && !both(&[&whole[..], b"x"].concat()));
        arbtest::arbtest(|u| {
            let mut bytes = whole.clone();
            for _ in 0..u.int_in_range(0..=3)? {
                let at = u.choose_index(bytes.len())?;
                bytes[at] = u.arbitrary()?;
            }
            both(&bytes[..u.int_in_range(0..=bytes.len())?]);
            Ok(())
        });
    }
}
