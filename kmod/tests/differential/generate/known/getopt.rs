//! Reads the options of a modprobe command line, as far as rules need them.

use crate::case::Step;

const SHORT_WITH_VALUE: &[u8] = b"CdSw";
const LONG: [(&str, u8); 19] = [
    ("all", b'a'),
    ("remove", b'r'),
    ("ignore-install", b'i'),
    ("ignore-remove", b'i'),
    ("use-blacklist", b'b'),
    ("force", b'f'),
    ("resolve-alias", b'R'),
    ("show-depends", b'D'),
    ("showconfig", b'c'),
    ("show-config", b'c'),
    ("dry-run", b'n'),
    ("show", b'n'),
    ("config", b'C'),
    ("dirname", b'd'),
    ("set-version", b'S'),
    ("syslog", b's'),
    ("quiet", b'q'),
    ("verbose", b'v'),
    ("wait", b'w'),
];

/// The options, as letters, and the operands.
#[derive(Debug, Default)]
pub struct Arguments {
    pub letters: Vec<u8>,
    pub operands: Vec<Vec<u8>>,
}

impl Arguments {
    /// Parses the arguments of a modprobe command. Unknown options are ignored.
    pub fn of(step: &Step) -> Self {
        let mut arguments = Self::default();
        let mut words = step.words.iter().skip(1);
        while let Some(word) = words.next() {
            match &word[..] {
                b"--" => {
                    arguments.operands.extend(words.by_ref().cloned());
                }
                [b'-', b'-', name @ ..] => {
                    let end = name.iter().position(|&b| b == b'=').unwrap_or(name.len());
                    let exact = LONG.iter().find(|(long, _)| long.as_bytes() == &name[..end]);
                    let found =
                        exact.or_else(|| LONG.iter().find(|(long, _)| long.as_bytes().starts_with(&name[..end])));
                    if let Some((_, letter)) = found {
                        arguments.letters.push(*letter);
                        if SHORT_WITH_VALUE.contains(letter) && end == name.len() {
                            words.next();
                        }
                    }
                }
                [b'-', letters @ ..] if !letters.is_empty() => {
                    let value = letters.iter().position(|letter| SHORT_WITH_VALUE.contains(letter));
                    arguments.letters.extend(&letters[..value.map_or(letters.len(), |at| at + 1)]);
                    if value == Some(letters.len() - 1) {
                        words.next();
                    }
                }
                _ => arguments.operands.push(word.clone()),
            }
        }
        arguments
    }

    /// Returns the number of the last priority that modprobe shows.
    pub fn level(&self) -> usize {
        let (start, letters) = match self.letters.iter().rposition(|letter| *letter == b'q') {
            Some(at) => (0, &self.letters[at..]),
            None => (4, &self.letters[..]),
        };
        start + letters.iter().filter(|letter| **letter == b'v').count()
    }

    pub fn has(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }
}

/// Returns the name of the tool.
pub fn tool(step: &Step) -> &[u8] {
    step.words.first().map_or(&[], |word| word)
}
