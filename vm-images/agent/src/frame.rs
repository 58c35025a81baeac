//! Frames on the serial line: magic, length, sequence number, checksum, payload.
//!
//! A serial port carries whatever is written to it; frames make noise recognisable. The reader searches
//! for the magic, accepts a frame only if its checksum is right, and counts the bytes it skipped.

use serde::{Serialize, de::DeserializeOwned};

/// The first bytes of a frame.
pub const MAGIC: [u8; 4] = [0xf7, b'K', b'L', 0x01];
/// Length of the header: magic, length (u32), sequence number (u32), CRC-32 (u32) over length, sequence number and
/// payload; all integers little-endian.
pub const HEADER: usize = 16;
/// Maximum length of a payload.
pub const MAX_PAYLOAD: usize = 32 << 20;

/// A frame could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The payload is longer than [`MAX_PAYLOAD`].
    #[error("a message of {0} bytes exceeds the limit of {MAX_PAYLOAD} bytes")]
    TooLong(usize),
    /// The payload is not a message of the expected type: host and agent have different versions.
    #[error("the payload is not a message of this protocol")]
    Payload(#[from] postcard::Error),
}

/// Encodes one message as a frame.
///
/// # Errors
/// [`FrameError`] if the message is too long or cannot be encoded.
pub fn encode<T: Serialize>(seq: u32, message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; HEADER])?;
    let length = frame.len() - HEADER;
    let length32 = u32::try_from(length).ok().filter(|_| length <= MAX_PAYLOAD).ok_or(FrameError::TooLong(length))?;
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..8].copy_from_slice(&length32.to_le_bytes());
    frame[8..12].copy_from_slice(&seq.to_le_bytes());
    let crc = checksum(&frame[4..12], &frame[HEADER..]);
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(frame)
}

/// Decodes a payload.
///
/// # Errors
/// [`FrameError::Payload`] if it is not a `T`.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    Ok(postcard::from_bytes(payload)?)
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    noise: u64,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the number of bytes skipped because they are not part of a frame.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.noise
    }

    /// Returns the next complete frame, sequence number and payload, or `None` if more bytes are needed.
    pub fn next_frame(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let start = self.buffer.windows(MAGIC.len()).position(|w| w == MAGIC);
            // Keep bytes that may be the beginning of a magic.
            let skip = start.unwrap_or(self.buffer.len().saturating_sub(MAGIC.len() - 1));
            self.buffer.drain(..skip);
            self.noise += skip as u64;
            start?;
            let header = self.buffer.get(..HEADER)?;
            let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let (length, seq, crc) = (word(4) as usize, word(8), word(12));
            if length > MAX_PAYLOAD {
                self.reject();
                continue;
            }
            let payload = self.buffer.get(HEADER..HEADER + length)?;
            if checksum(&header[4..12], payload) != crc {
                self.reject();
                continue;
            }
            let payload = payload.to_vec();
            self.buffer.drain(..HEADER + length);
            return Some((seq, payload));
        }
    }

    /// Continues after the first byte of something that only looked like a frame.
    fn reject(&mut self) {
        self.buffer.drain(..1);
        self.noise += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_noise_and_when_they_arrive_in_pieces() {
        let mut stream = b"console noise \xf7KL".to_vec();
        stream.extend(encode(7, &"hello").unwrap());
        stream.extend(b"\xf7KL\x01 more");
        stream.extend(encode(8, &"again").unwrap());
        let mut decoder = Decoder::new();
        let mut got = Vec::new();
        for byte in stream {
            decoder.push(&[byte]);
            while let Some((seq, payload)) = decoder.next_frame() {
                got.push((seq, decode::<String>(&payload).unwrap()));
            }
        }
        assert_eq!(got, [(7, "hello".to_owned()), (8, "again".to_owned())]);
    }

    #[test]
    fn a_frame_with_a_flipped_bit_is_noise_and_the_next_frame_is_found() {
        let mut bad = encode(1, &"first").unwrap();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let length = bad.len() as u64;
        let mut decoder = Decoder::new();
        decoder.push(&bad);
        decoder.push(&encode(2, &"second").unwrap());
        assert_eq!(decoder.next_frame().map(|f| f.0), Some(2));
        assert_eq!(decoder.noise(), length);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            while decoder.next_frame().is_some() {}
            Ok(())
        });
    }
}
