//! Finite State Entropy codes (4.1): tables and their descriptions.

use super::super::compress::Damage;
use super::bits::{BackwardBits, ForwardBits};

/// The state of a decoder: what it emits, and how it gets its next state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) symbol: u8,
    bits: u8,
    base: u16,
}

/// A decoding table: an entry for each state.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    log: u32,
}

/// How many symbols any table has at most (Huffman weights have 13, match lengths 53).
const SYMBOLS: usize = 256;

impl Table {
    /// Builds the table of a code with one symbol, which takes no bits.
    pub(super) fn set_single(&mut self, symbol: u8) {
        self.entries.clear();
        self.entries.push(Entry { symbol, bits: 0, base: 0 });
        self.log = 0;
    }

    /// Returns whether a table was built.
    pub(super) fn is_set(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Reads the description of a table (4.1.1) and builds the table. Returns the length of the description.
    pub(super) fn read(&mut self, bytes: &[u8], max_log: u32, max_symbol: u8) -> Result<usize, Damage> {
        let mut bits = ForwardBits::new(bytes);
        let log = bits.peek(4) + 5;
        bits.consume(4)?;
        if log > max_log {
            return Err(Damage::Corrupt);
        }
        let mut counts = [0_i16; SYMBOLS];
        let mut symbol = 0;
        let mut left = 1_i32 << log;
        while left > 0 {
            // A value is 0 to left + 1. Those that need one bit less than the others come first.
            let width = (left as u32 + 1).ilog2() + 1;
            let short = (1 << width) - 1 - (left as u32 + 1);
            let low = bits.peek(width - 1);
            let value = if low < short {
                bits.consume(width - 1)?;
                low
            } else {
                let value = bits.peek(width);
                bits.consume(width)?;
                if value >= 1 << (width - 1) { value - short } else { value }
            };
            let count = value as i16 - 1;
            *counts.get_mut(symbol).filter(|_| symbol <= usize::from(max_symbol)).ok_or(Damage::Corrupt)? = count;
            symbol += 1;
            left -= i32::from(count.unsigned_abs());
            if count == 0 {
                // The number of further zeros, in parts of at most three.
                loop {
                    let zeros = bits.peek(2);
                    bits.consume(2)?;
                    symbol += zeros as usize;
                    if zeros < 3 {
                        break;
                    }
                }
            }
        }
        if left != 0 || symbol > usize::from(max_symbol) + 1 {
            return Err(Damage::Corrupt);
        }
        self.build(&counts[..symbol], log)?;
        Ok(bits.bytes_read())
    }

    /// Builds the table from the number of states of each symbol; -1 is a symbol with less than one.
    pub(super) fn build(&mut self, counts: &[i16], log: u32) -> Result<(), Damage> {
        let size = 1_usize << log;
        self.log = log;
        self.entries.clear();
        self.entries.resize(size, Entry::default());
        let mut next = [0_u16; SYMBOLS];
        // Symbols with less than one state are at the end; the others are spread over the rest.
        let mut end = size;
        for (symbol, &count) in counts.iter().enumerate() {
            if count == -1 {
                end = end.checked_sub(1).ok_or(Damage::Corrupt)?;
                self.entries[end].symbol = symbol as u8;
            }
            next[symbol] = count.unsigned_abs();
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, &count) in counts.iter().enumerate() {
            for _ in 0..count.max(0) {
                self.entries[at].symbol = symbol as u8;
                loop {
                    at = (at + step) & (size - 1);
                    if at < end {
                        break;
                    }
                }
            }
        }
        for entry in &mut self.entries {
            let state = &mut next[usize::from(entry.symbol)];
            let bits = log.checked_sub(u32::from((*state).max(1)).ilog2()).ok_or(Damage::Corrupt)?;
            entry.bits = bits as u8;
            entry.base = (*state << bits).wrapping_sub(size as u16);
            *state += 1;
        }
        Ok(())
    }

    /// Reads the first state.
    pub(super) fn start(&self, bits: &mut BackwardBits<'_>) -> Result<Entry, Damage> {
        let state = bits.read(self.log)?;
        self.entries.get(state as usize).copied().ok_or(Damage::Corrupt)
    }

    /// Reads the state that follows another one.
    pub(super) fn next(&self, entry: Entry, bits: &mut BackwardBits<'_>) -> Result<Entry, Damage> {
        let state = u32::from(entry.base) + bits.read(u32::from(entry.bits))?;
        self.entries.get(state as usize).copied().ok_or(Damage::Corrupt)
    }
}

impl Entry {
    /// Returns how many bits the next state takes.
    pub(super) fn bits(self) -> usize {
        usize::from(self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(table: &Table) -> Vec<u8> {
        table.entries.iter().map(|entry| entry.symbol).collect()
    }

    #[test]
    fn symbols_are_spread_and_rare_ones_at_the_end() {
        let mut table = Table::default();
        table.build(&[20, 11, -1], 5).unwrap();
        let of = |symbol| symbols(&table).iter().filter(|found| **found == symbol).count();
        assert_eq!(([0, 1, 2].map(of), symbols(&table)[31]), ([20, 11, 1], 2));
        // Every state is reached from a state of each symbol exactly once.
        for symbol in 0..3 {
            let mut reached = Vec::new();
            for entry in table.entries.iter().filter(|entry| entry.symbol == symbol) {
                reached.extend(entry.base..entry.base + (1 << entry.bits));
            }
            reached.sort_unstable();
            assert_eq!(reached, (0..32).collect::<Vec<_>>(), "{symbol}");
        }
    }

    #[test]
    fn a_description_has_exactly_the_states_of_its_table() {
        // Log 5; one symbol with all 32 states: the value 33 of 0 to 33 in 6 bits, less the 30 short ones.
        let mut table = Table::default();
        let value: u32 = 33 + 30;
        let bytes = (value << 4).to_le_bytes();
        assert_eq!(table.read(&bytes, 9, 35).unwrap(), 2);
        assert_eq!((table.log, symbols(&table)), (5, vec![0; 32]));
        // Larger than allowed, truncated, and with more symbols than allowed.
        assert!(table.read(&bytes, 4, 35).is_err());
        assert!(table.read(&bytes[..1], 9, 35).is_err());
        let zeros = [0x10, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(table.read(&zeros, 9, 35).is_err());
    }

    #[test]
    fn a_single_symbol_takes_no_bits() {
        let mut table = Table::default();
        assert!(!table.is_set());
        table.set_single(7);
        let mut bits = BackwardBits::new(&[1]).unwrap();
        let entry = table.start(&mut bits).unwrap();
        assert_eq!((entry.symbol, table.next(entry, &mut bits).unwrap().symbol), (7, 7));
        table.clear();
        assert!(!table.is_set());
    }
}
