//! Bit streams: forward for the description of an FSE table, backward for everything that FSE and Huffman codes encode.

use super::super::compress::Damage;

/// Reads bits from the first byte on, the lowest bit first.
pub(super) struct ForwardBits<'a> {
    bytes: &'a [u8],
    /// The number of bits that were read.
    at: usize,
}

impl<'a> ForwardBits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the next bits, up to 16, without consuming them; bits after the end are zero.
    pub(super) fn peek(&self, count: u32) -> u32 {
        let start = self.at / 8;
        let bytes = self.bytes.iter().skip(start).take(3).enumerate();
        let word = bytes.fold(0, |word, (place, byte)| word | u32::from(*byte) << (8 * place));
        word >> (self.at % 8) & ((1 << count) - 1)
    }

    pub(super) fn consume(&mut self, count: u32) -> Result<(), Damage> {
        self.at += count as usize;
        if self.at <= self.bytes.len() * 8 { Ok(()) } else { Err(Damage::Corrupt) }
    }

    /// Returns the number of bytes of which bits were read.
    pub(super) fn bytes_read(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// Reads bits from the last byte back to the first, the highest bit first. The highest bit that is set in the last byte marks the
/// end of the stream and is not part of it.
pub(super) struct BackwardBits<'a> {
    bytes: &'a [u8],
    /// The number of bits that are left.
    left: usize,
}

impl<'a> BackwardBits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Damage> {
        match bytes.last() {
            Some(&last) if last != 0 => Ok(Self { bytes, left: bytes.len() * 8 - last.leading_zeros() as usize - 1 }),
            _ => Err(Damage::Corrupt),
        }
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Returns the next bits at the top of a word, at least 57; bits after the end of the stream are zero.
    pub(super) fn word(&self) -> u64 {
        let end = self.left.div_ceil(8);
        let word = match self.bytes.get(end.wrapping_sub(8)..end).and_then(<[u8]>::first_chunk) {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 8];
                // Fewer than eight bytes are left.
                chunk[8 - end.min(8)..].copy_from_slice(&self.bytes[..end.min(8)]);
                u64::from_le_bytes(chunk)
            }
        };
        word << (end * 8 - self.left)
    }

    /// Consumes bits that [`BackwardBits::word`] returned.
    pub(super) fn consume(&mut self, count: usize) -> Result<(), Damage> {
        self.left = self.left.checked_sub(count).ok_or(Damage::Corrupt)?;
        Ok(())
    }

    /// Reads up to 32 bits.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Damage> {
        let word = self.word();
        self.consume(count as usize)?;
        // Two steps: a shift by 64 is not defined.
        Ok((word >> 1 >> (63 - count)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_bits_start_with_the_lowest_bit() {
        let mut bits = ForwardBits::new(&[0b1010_0110, 0xff]);
        assert_eq!((bits.peek(3), bits.bytes_read()), (0b110, 0));
        bits.consume(3).unwrap();
        assert_eq!((bits.peek(9), bits.bytes_read()), (0b1_1111_0100, 1));
        bits.consume(9).unwrap();
        assert_eq!((bits.peek(16), bits.bytes_read()), (0b1111, 2));
        bits.consume(4).unwrap();
        assert!(bits.consume(1).is_err());
    }

    #[test]
    fn backward_bits_start_after_the_marker_of_the_last_byte() {
        let mut bits = BackwardBits::new(&[0b1100_0011, 0b0001_0110]).unwrap();
        assert_eq!((bits.left(), bits.word() >> 60), (12, 0b0110));
        assert_eq!(
            [bits.read(0), bits.read(3), bits.read(3), bits.read(6)].map(Result::unwrap),
            [0, 0b011, 0b011, 0b11]
        );
        assert_eq!((bits.left(), bits.word()), (0, 0));
        assert!(bits.read(0).is_ok() && bits.read(1).is_err());
        assert!(BackwardBits::new(&[]).is_err() && BackwardBits::new(&[1, 0]).is_err());
        assert_eq!(BackwardBits::new(&[1]).unwrap().left(), 0);
    }

    #[test]
    fn backward_bits_are_those_of_a_naive_reader() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let Ok(mut bits) = BackwardBits::new(&bytes) else { return Ok(()) };
            let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
            for _ in 0..u.int_in_range(0..=20)? {
                let count = u.int_in_range(0..=32)?;
                let left = bits.left();
                match left.checked_sub(count as usize) {
                    Some(after) => {
                        let expected = (after..left).rev().fold(0, |number, at| number << 1 | bit(at));
                        assert_eq!(bits.read(count).unwrap(), expected);
                        assert_eq!(bits.left(), after);
                    }
                    None => assert!(bits.read(count).is_err()),
                }
            }
            Ok(())
        });
    }
}
