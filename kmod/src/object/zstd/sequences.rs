//! Sequences (3.1.1.3.2): each appends literals and then repeats earlier output.

use super::super::compress::Damage;
use super::BLOCK_LIMIT;
use super::bits::BackwardBits;
use super::fse::Table;

/// The tables of the three parts of a sequence, and the last three offsets. They last for a frame.
#[derive(Debug, Default)]
pub(super) struct SequenceDecoder {
    literal_lengths: Table,
    offsets: Table,
    match_lengths: Table,
    last_offsets: [usize; 3],
}

/// The predefined number of states of each code, the largest code and the size limit of a table: literal lengths, offsets, match
/// lengths (3.1.1.3.2.2).
struct Kind {
    predefined: &'static [i16],
    predefined_log: u32,
    max_log: u32,
    max_symbol: u8,
}

const LITERAL_LENGTH: Kind = Kind {
    predefined: &[
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
    ],
    predefined_log: 6,
    max_log: 9,
    max_symbol: 35,
};

const OFFSET: Kind = Kind {
    predefined: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
    predefined_log: 5,
    max_log: 8,
    max_symbol: 31,
};

const MATCH_LENGTH: Kind = Kind {
    predefined: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
    predefined_log: 6,
    max_log: 9,
    max_symbol: 52,
};

/// For each code of a literal length the shortest length and the number of additional bits.
const LITERAL_LENGTHS: [(u32, u8); 36] =
    lengths(0, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
/// The same for match lengths.
const MATCH_LENGTHS: [(u32, u8); 53] =
    lengths(3, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/// Computes a table of lengths: the first codes are one length each, the last ones have additional bits.
const fn lengths<const CODES: usize, const LAST: usize>(shortest: u32, bits: [u8; LAST]) -> [(u32, u8); CODES] {
    let mut table = [(0, 0); CODES];
    let (mut code, mut length) = (0, shortest);
    while code < CODES {
        let extra = if code < CODES - LAST { 0 } else { bits[code - (CODES - LAST)] };
        table[code] = (length, extra);
        length += 1 << extra;
        code += 1;
    }
    table
}

impl SequenceDecoder {
    /// Starts a frame.
    pub(super) fn reset(&mut self) {
        for table in [&mut self.literal_lengths, &mut self.offsets, &mut self.match_lengths] {
            table.clear();
        }
        self.last_offsets = [1, 4, 8];
    }

    /// Decodes the sequences section of a block and appends the content of the block, which is not in `out` yet. `start` is where the
    /// frame starts there.
    pub(super) fn decode(
        &mut self,
        section: &[u8],
        literals: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        let (count, rest) = sequence_count(section)?;
        if count == 0 {
            out.extend_from_slice(literals);
            return if rest.is_empty() { Ok(()) } else { Err(Damage::Corrupt) };
        }
        let (&modes, mut rest) = rest.split_first().ok_or(Damage::Corrupt)?;
        if modes & 3 != 0 {
            return Err(Damage::Corrupt);
        }
        set_table(&mut self.literal_lengths, modes >> 6, &LITERAL_LENGTH, &mut rest)?;
        set_table(&mut self.offsets, modes >> 4 & 3, &OFFSET, &mut rest)?;
        set_table(&mut self.match_lengths, modes >> 2 & 3, &MATCH_LENGTH, &mut rest)?;
        self.execute(count, BackwardBits::new(rest)?, literals, start, out)
    }

    fn execute(
        &mut self,
        count: usize,
        mut bits: BackwardBits<'_>,
        mut literals: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        let end = out.len() + BLOCK_LIMIT;
        let mut literal_length = self.literal_lengths.start(&mut bits)?;
        let mut offset = self.offsets.start(&mut bits)?;
        let mut match_length = self.match_lengths.start(&mut bits)?;
        for number in 1..=count {
            let code = u32::from(offset.symbol);
            let value = (1_u64 << code) + u64::from(bits.read(code)?);
            let (shortest, extra) = MATCH_LENGTHS.get(usize::from(match_length.symbol)).ok_or(Damage::Corrupt)?;
            let length = (shortest + bits.read(u32::from(*extra))?) as usize;
            let (shortest, extra) = LITERAL_LENGTHS.get(usize::from(literal_length.symbol)).ok_or(Damage::Corrupt)?;
            let literal_count = (shortest + bits.read(u32::from(*extra))?) as usize;

            let (head, tail) = literals.split_at_checked(literal_count).ok_or(Damage::Corrupt)?;
            literals = tail;
            if out.len() + head.len() + length > end {
                return Err(Damage::Corrupt);
            }
            out.extend_from_slice(head);
            let distance = self.distance(value, literal_count == 0)?;
            repeat(out, start, distance, length)?;

            if number < count {
                literal_length = self.literal_lengths.next(literal_length, &mut bits)?;
                match_length = self.match_lengths.next(match_length, &mut bits)?;
                offset = self.offsets.next(offset, &mut bits)?;
            }
        }
        if bits.left() != 0 || out.len() + literals.len() > end {
            return Err(Damage::Corrupt);
        }
        out.extend_from_slice(literals);
        Ok(())
    }

    /// Returns the distance of a match from its offset value, which can mean one of the last offsets (3.1.1.5).
    fn distance(&mut self, value: u64, is_without_literals: bool) -> Result<usize, Damage> {
        let [first, second, third] = self.last_offsets;
        let place = value + u64::from(is_without_literals);
        let distance = match value {
            4.. => usize::try_from(value - 3).map_err(|_| Damage::Corrupt)?,
            _ => match place {
                1 => return Ok(first),
                2 => second,
                3 => third,
                _ => first - 1,
            },
        };
        if distance == 0 {
            return Err(Damage::Corrupt);
        }
        self.last_offsets = if value <= 3 && place == 2 { [distance, first, third] } else { [distance, first, second] };
        Ok(distance)
    }
}

/// Appends `length` bytes from `distance` before the end of the output, which may reach into the appended bytes.
fn repeat(out: &mut Vec<u8>, start: usize, distance: usize, length: usize) -> Result<(), Damage> {
    let from = out.len().checked_sub(distance).filter(|from| *from >= start).ok_or(Damage::Corrupt)?;
    if distance >= length {
        out.extend_from_within(from..from + length);
        return Ok(());
    }
    let end = out.len() + length;
    while out.len() < end {
        // Whole repetitions of the pattern: each step can copy all that was appended before.
        let part = (out.len() - from).min(end - out.len());
        out.extend_from_within(from..from + part);
    }
    Ok(())
}

fn set_table(table: &mut Table, mode: u8, kind: &Kind, rest: &mut &[u8]) -> Result<(), Damage> {
    match mode & 3 {
        0 => table.build(kind.predefined, kind.predefined_log),
        1 => {
            let (&symbol, after) = rest.split_first().filter(|(s, _)| **s <= kind.max_symbol).ok_or(Damage::Corrupt)?;
            table.set_single(symbol);
            *rest = after;
            Ok(())
        }
        2 => {
            let length = table.read(rest, kind.max_log, kind.max_symbol)?;
            *rest = rest.get(length..).ok_or(Damage::Corrupt)?;
            Ok(())
        }
        // The table of the block before.
        _ if table.is_set() => Ok(()),
        _ => Err(Damage::Corrupt),
    }
}

/// Reads the number of sequences, and returns it with the rest of the section.
fn sequence_count(section: &[u8]) -> Result<(usize, &[u8]), Damage> {
    match *section {
        [short @ 0..128, ref rest @ ..] => Ok((usize::from(short), rest)),
        [255, low, high, ref rest @ ..] => Ok((usize::from(u16::from_le_bytes([low, high])) + 0x7f00, rest)),
        [high @ 128..=254, low, ref rest @ ..] => Ok((usize::from(high - 128) << 8 | usize::from(low), rest)),
        _ => Err(Damage::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_lengths_end_as_specified() {
        let ends = |table: &[(u32, u8)]| (table[0], table[16], table[table.len() - 1]);
        assert_eq!(ends(&LITERAL_LENGTHS), ((0, 0), (16, 1), (65536, 16)));
        assert_eq!(ends(&MATCH_LENGTHS), ((3, 0), (19, 0), (65539, 16)));
        assert_eq!([LITERAL_LENGTHS[25], MATCH_LENGTHS[43]], [(64, 6), (131, 7)]);
    }

    #[test]
    fn the_last_offsets_are_used_and_rotated() {
        let mut decoder = SequenceDecoder::default();
        decoder.reset();
        let mut distance = |value, without| decoder.distance(value, without).ok().map(|d| (d, decoder.last_offsets));
        assert_eq!(distance(1, false), Some((1, [1, 4, 8])));
        assert_eq!(distance(2, false), Some((4, [4, 1, 8])));
        assert_eq!(distance(3, false), Some((8, [8, 4, 1])));
        assert_eq!(distance(13, false), Some((10, [10, 8, 4])));
        assert_eq!(distance(1, true), Some((8, [8, 10, 4])));
        assert_eq!(distance(2, true), Some((4, [4, 8, 10])));
        assert_eq!(distance(3, true), Some((3, [3, 4, 8])));
        assert_eq!(distance(4, true), Some((1, [1, 3, 4])));
        assert_eq!(distance(3, true), None, "a distance of zero");
    }

    #[test]
    fn a_match_can_reach_into_itself_but_not_before_the_frame() {
        let repeated = |distance, length| {
            let mut out = b"__abc".to_vec();
            repeat(&mut out, 2, distance, length).ok().map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(repeated(3, 2).as_deref(), Some("__abcab"));
        assert_eq!(repeated(3, 8).as_deref(), Some("__abcabcabcab"));
        assert_eq!(repeated(1, 4).as_deref(), Some("__abccccc"));
        assert_eq!(repeated(4, 1), None);
    }

    #[test]
    fn the_number_of_sequences_has_one_two_or_three_bytes() {
        let count = |bytes: &[u8]| sequence_count(bytes).ok().map(|(count, rest)| (count, rest.len()));
        assert_eq!(count(&[127, 9]), Some((127, 1)));
        assert_eq!(count(&[128, 5, 9]), Some((5, 1)));
        assert_eq!(count(&[254, 255]), Some((126 << 8 | 255, 0)));
        assert_eq!(count(&[255, 1, 2]), Some((0x7f00 + 0x201, 0)));
        assert_eq!([count(&[]), count(&[128]), count(&[255, 1])], [None; 3]);
    }
}
