//! The body of the fuzz target `protocol`: the frames between host and agent.

use crate::decompress::encode::crc32;
use agent::frame::{Decoder, HEADER, MAGIC, MAX_PAYLOAD, decode, encode};
use agent::proto::{Reply, Request};
use arbitrary::{Arbitrary, Unstructured};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// The first byte of a structured input; any other input is what a serial line carries.
const STRUCTURED: u8 = b'S';

/// The found frames, and the number of bytes that are not part of one.
type Found = (Vec<(u32, Vec<u8>)>, u64);

/// The input is the bytes of a serial line, after a byte that says how many arrive at once; or `S` and frames with noise between
/// them.
///
/// # Panics
/// Panics if a promise about frames is broken.
pub fn protocol(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            if let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) {
                recipe.check();
            }
        }
        Some((piece, line)) => {
            check_any_line(line, usize::from(*piece) + 1);
        }
        None => {}
    }
}

/// A naive decoder finds the same frames, in whatever pieces the bytes arrive, and messages are encoded in one way.
fn check_any_line(line: &[u8], piece: usize) -> Found {
    let found = naive(line);
    for piece in [piece, line.len().max(1)] {
        let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
        for bytes in line.chunks(piece) {
            decoder.push(bytes);
            frames.extend(std::iter::from_fn(|| decoder.next_frame()));
        }
        assert_eq!((&frames, decoder.noise()), (&found.0, found.1), "frames in pieces of {piece} bytes");
    }
    for (_, payload) in &found.0 {
        check_message::<Request>(payload);
        check_message::<Reply>(payload);
    }
    found
}

/// A message that can be decoded is encoded again as a frame from which it is decoded.
fn check_message<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) {
    let Ok(message) = decode::<T>(payload) else { return };
    let line = encode(7, &message).unwrap_or_else(|error| panic!("{message:?} cannot be encoded: {error}"));
    let (frames, noise) = naive(&line);
    let [(7, payload)] = frames.as_slice() else { panic!("{message:?} is not one frame") };
    assert_eq!(noise, 0);
    assert_eq!(decode::<T>(payload).ok(), Some(message), "a message changes on its way");
}

/// A second decoder, which has the whole line: at each place there is a frame or a byte of noise.
fn naive(line: &[u8]) -> Found {
    let (mut frames, mut noise, mut at) = (Vec::new(), 0, 0);
    let word = |at: usize| Some(u32::from_le_bytes(line.get(at..at + 4)?.try_into().ok()?));
    while line.len() - at >= MAGIC.len() {
        if line[at..at + MAGIC.len()] == MAGIC {
            let (Some(length), Some(number), Some(sum)) = (word(at + 4), word(at + 8), word(at + 12)) else { break };
            let end = at + HEADER + length as usize;
            if length as usize <= MAX_PAYLOAD {
                let Some(payload) = line.get(at + HEADER..end) else { break };
                if crc32(&[&line[at + 4..at + 12], payload].concat()) == sum {
                    frames.push((number, payload.to_vec()));
                    at = end;
                    continue;
                }
            }
        }
        at += 1;
        noise += 1;
    }
    (frames, noise)
}

/// A part of a line.
#[derive(Debug, Arbitrary)]
enum Part {
    Noise(Vec<u8>),
    Frame(u32, Vec<u8>),
    /// A frame whose checksum is wrong.
    Damaged(u32, Vec<u8>, u8),
    /// The beginning of a frame that is longer than allowed.
    Endless(u8),
}

#[derive(Debug, Arbitrary)]
struct Recipe {
    piece: u8,
    parts: Vec<Part>,
}

impl Recipe {
    /// The frames of a line are found, unless noise contains one.
    fn check(&self) {
        let (mut line, mut sent) = (Vec::new(), Vec::new());
        let mut noisy = false;
        for part in &self.parts {
            match part {
                Part::Noise(bytes) => {
                    noisy |= bytes.contains(&MAGIC[0]);
                    line.extend(bytes);
                }
                Part::Frame(number, payload) => {
                    line.extend(frame(*number, payload));
                    sent.push((*number, payload.clone()));
                }
                Part::Damaged(number, payload, change) => {
                    noisy |= payload.contains(&MAGIC[0]) || number.to_le_bytes().contains(&MAGIC[0]);
                    let mut damaged = frame(*number, payload);
                    damaged[HEADER - 1] ^= change.max(&1);
                    noisy |= damaged[HEADER - 4..HEADER].contains(&MAGIC[0]);
                    line.extend(damaged);
                }
                Part::Endless(more) => {
                    let length = MAX_PAYLOAD as u32 + 1 + u32::from(*more);
                    line.extend([&MAGIC[..], &length.to_le_bytes(), &[0; HEADER - 8]].concat());
                }
            }
        }
        let (frames, noise) = check_any_line(&line, usize::from(self.piece) + 1);
        if !noisy {
            assert_eq!(frames, sent, "the frames of the line");
            let size: usize = sent.iter().map(|(_, payload)| HEADER + payload.len()).sum();
            assert!(noise as usize + size <= line.len() && noise as usize + size + MAGIC.len() > line.len());
        }
    }
}

fn frame(number: u32, payload: &[u8]) -> Vec<u8> {
    let head = [(payload.len() as u32).to_le_bytes(), number.to_le_bytes()].concat();
    let sum = crc32(&[&head, payload].concat());
    [&MAGIC[..], &head, &sum.to_le_bytes(), payload].concat()
}
