//! Huffman codes for literals (4.2).

use super::super::compress::Damage;
use super::bits::BackwardBits;
use super::fse;

/// The longest code, in bits.
const MAX_BITS: u32 = 11;

/// A decoding table, by the next `log` bits of the stream.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    log: u32,
    /// The table of the weights, kept for its memory.
    weights: fse::Table,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    symbol: u8,
    bits: u8,
}

impl Table {
    pub(super) fn is_set(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Reads the description of a table (4.2.1) and builds the table. Returns the length of the description.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Damage> {
        let (&header, rest) = bytes.split_first().ok_or(Damage::Corrupt)?;
        let mut weights = [0_u8; 256];
        let (count, length) = if header < 128 {
            let length = usize::from(header);
            (self.read_weights(rest.get(..length).ok_or(Damage::Corrupt)?, &mut weights)?, length)
        } else {
            let count = usize::from(header) - 127;
            let packed = rest.get(..count.div_ceil(2)).ok_or(Damage::Corrupt)?;
            for (pair, byte) in weights.chunks_exact_mut(2).zip(packed) {
                (pair[0], pair[1]) = (byte >> 4, byte & 15);
            }
            // An odd count leaves half of the last byte.
            weights[count..].fill(0);
            (count, packed.len())
        };
        self.build(&mut weights, count)?;
        Ok(1 + length)
    }

    /// Decodes weights, which two interleaved states encode. Returns their number.
    fn read_weights(&mut self, bytes: &[u8], weights: &mut [u8; 256]) -> Result<usize, Damage> {
        let length = self.weights.read(bytes, 6, u8::MAX)?;
        let mut bits = BackwardBits::new(bytes.get(length..).unwrap_or_default())?;
        let mut state = self.weights.start(&mut bits)?;
        let mut other = self.weights.start(&mut bits)?;
        let mut count = 0;
        let mut push = |symbol: u8| {
            // The last weight is not stored.
            *weights.get_mut(count).filter(|_| count < 255).ok_or(Damage::Corrupt)? = symbol;
            count += 1;
            Ok(())
        };
        loop {
            push(state.symbol)?;
            // The stream ends when a state cannot be followed by another one.
            if state.bits() > bits.left() {
                push(other.symbol)?;
                return Ok(count);
            }
            state = self.weights.next(state, &mut bits)?;
            std::mem::swap(&mut state, &mut other);
        }
    }

    /// Builds the table from the weights of `count` symbols; that of the next symbol completes the code.
    fn build(&mut self, weights: &mut [u8; 256], count: usize) -> Result<(), Damage> {
        let sum: u32 =
            weights[..count].iter().map(|&weight| 1_u32.checked_shl(u32::from(weight)).unwrap_or(0) >> 1).sum();
        if sum == 0 || weights[..count].iter().any(|&weight| u32::from(weight) > MAX_BITS) {
            return Err(Damage::Corrupt);
        }
        let log = sum.ilog2() + 1;
        let rest = (1 << log) - sum;
        if log > MAX_BITS || !rest.is_power_of_two() {
            return Err(Damage::Corrupt);
        }
        *weights.get_mut(count).ok_or(Damage::Corrupt)? = rest.ilog2() as u8 + 1;
        self.log = log;
        self.entries.clear();
        for weight in 1..=log as u8 {
            for (symbol, _) in weights.iter().enumerate().filter(|(_, w)| **w == weight) {
                let entry = Entry { symbol: symbol as u8, bits: log as u8 + 1 - weight };
                self.entries.resize(self.entries.len() + (1 << (weight - 1)), entry);
            }
        }
        // The last weight makes the sum a power of two, so that the code is complete.
        if self.entries.len() == 1 << log { Ok(()) } else { Err(Damage::Corrupt) }
    }

    /// Appends `count` symbols, which must be all of the stream.
    pub(super) fn decode(&self, stream: &[u8], count: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        /// Symbols per word: a word has at least 57 bits, and a symbol takes at most eleven.
        const BATCH: usize = 5;
        let mut bits = BackwardBits::new(stream)?;
        let shift = 64 - self.log;
        let entry = |word: u64| self.entries.get((word >> shift) as usize).copied().ok_or(Damage::Corrupt);
        for _ in 0..count / BATCH {
            let (mut word, mut used) = (bits.word(), 0);
            let mut symbols = [0; BATCH];
            for symbol in &mut symbols {
                let entry = entry(word)?;
                *symbol = entry.symbol;
                word <<= entry.bits;
                used += usize::from(entry.bits);
            }
            bits.consume(used)?;
            out.extend_from_slice(&symbols);
        }
        for _ in 0..count % BATCH {
            let entry = entry(bits.word())?;
            bits.consume(usize::from(entry.bits))?;
            out.push(entry.symbol);
        }
        if bits.left() == 0 { Ok(()) } else { Err(Damage::Corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_weight_completes_the_code() {
        // The example of the specification (4.2.1): symbols 0 to 5 with weights 4, 3, 2, 0, 1 and, not stored, 1.
        let mut table = Table::default();
        assert_eq!(table.read(&[127 + 5, 0x43, 0x20, 0x10]).unwrap(), 4);
        let codes: Vec<_> = table.entries.iter().map(|entry| (entry.symbol, entry.bits)).collect();
        let mut expected = vec![(4, 4), (5, 4), (2, 3), (2, 3)];
        expected.extend([(1, 2); 4]);
        expected.extend([(0, 1); 8]);
        assert_eq!(codes, expected);
        // 0, 1, 2, 4, 5 are 1, 01, 001, 0000, 0001, and a marker is before them.
        let mut out = Vec::new();
        let stream = 0b110_1001_0000_0001_u16.to_le_bytes();
        table.decode(&stream, 5, &mut out).unwrap();
        assert_eq!(out, [0, 1, 2, 4, 5]);
        assert!(table.decode(&stream, 4, &mut out).is_err(), "a symbol is left");
        assert!(table.decode(&stream, 6, &mut out).is_err(), "a symbol is missing");
    }

    #[test]
    fn weights_that_are_not_those_of_a_code_are_damage() {
        let mut table = Table::default();
        for bad in [&[][..], &[128], &[128, 0x00], &[128, 0xc0], &[5, 1], &[127, 0]] {
            assert!(table.read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(table.read(&[128, 0x10]).unwrap(), 2);
    }
}
