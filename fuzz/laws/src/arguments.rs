//! The body of the fuzz target `arguments`.

use crate::sys::{Found, LongOption, parse_options};
use kmod::commands::options::{Apply, Flag, Order, Parsed, parse};
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// The parsed flags in order, each with its value if it has one.
type Applied = Vec<(&'static str, Option<Vec<u8>>)>;

macro_rules! flag {
    ($short:expr, $long:literal, [$($old:literal),*], set) => {
        flag!($short, $long, [$($old),*], Apply::Set(|applied: &mut Applied| applied.push(($long, None))))
    };
    ($short:expr, $long:literal, [$($old:literal),*], take) => {
        flag!($short, $long, [$($old),*], Apply::Value("X", |applied: &mut Applied, value: OsString| {
            applied.push(($long, Some(value.into_vec())));
        }))
    };
    ($short:expr, $long:literal, [$($old:literal),*], $apply:expr) => {
        Flag { short: $short, long: $long, old: &[$($old),*], apply: $apply, help: "" }
    };
}

/// Flags of each kind: names that are a prefix of another, names with a common prefix, old names, with and without a letter.
static FLAGS: &[Flag<Applied>] = &[
    flag!(Some('a'), "all", [], set),
    flag!(Some('A'), "all-of-them", ["any"], set),
    flag!(Some('C'), "config", [], take),
    flag!(None, "config-check", [], set),
    flag!(Some('S'), "set-version", ["set"], take),
    flag!(None, "show", ["showing", "display"], set),
    flag!(None, "dirname", [], take),
    flag!(Some('h'), "help", [], Apply::Help),
    flag!(Some('V'), "version", [], Apply::Version),
];

/// The input is arguments separated by NULs; the first byte says whether the first operand ends the options.
///
/// # Panics
/// Panics if a promise about option parsing is broken.
pub fn arguments(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let order = if first % 2 == 0 { Order::Any } else { Order::OptionsFirst };
    let words: Vec<Vec<u8>> = rest.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let mut applied = Applied::new();
    let parsed = parse(FLAGS, owned(&words), order, &mut applied);
    let outcome = match &parsed {
        Ok(Parsed::Run(operands)) => {
            let operands: Vec<&[u8]> = operands.iter().map(|operand| operand.as_bytes()).collect();
            check_round_trip(&applied, &operands, order);
            format!("run {operands:?}")
        }
        Ok(Parsed::Help) => "help".to_owned(),
        Ok(Parsed::Version) => "version".to_owned(),
        Err(error) => {
            let text = error.to_string();
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?} is not printable");
            "wrong".to_owned()
        }
    };
    let mut naive = Naive { words: &words, applied: Applied::new() };
    assert_eq!((naive.read(order), naive.applied), (outcome.clone(), applied.clone()), "the naive parser differs");
    assert_eq!(by_libc(&words, order), Some((outcome, applied)), "the C library's getopt_long differs");
}

fn owned(words: &[Vec<u8>]) -> Vec<OsString> {
    words.iter().cloned().map(OsString::from_vec).collect()
}

/// The parsed flags and operands, written out plainly, parse the same.
fn check_round_trip(applied: &Applied, operands: &[&[u8]], order: Order) {
    let long = |(name, value): &(&str, Option<Vec<u8>>)| match value {
        Some(value) => [b"--", name.as_bytes(), b"=", value].concat(),
        None => [b"--", name.as_bytes()].concat(),
    };
    let mut words: Vec<Vec<u8>> = applied.iter().map(long).collect();
    words.push(b"--".to_vec());
    words.extend(operands.iter().map(|operand| operand.to_vec()));
    let mut again = Applied::new();
    let parsed = parse(FLAGS, owned(&words), order, &mut again);
    let operands = operands.iter().map(|operand| OsString::from_vec(operand.to_vec())).collect();
    assert_eq!(
        (parsed, &again),
        (Ok(Parsed::Run(operands)), applied),
        "the parsed options, written out, parse differently"
    );
}

/// The outcome and the flags according to the C library.
fn by_libc(words: &[Vec<u8>], order: Order) -> Option<(String, Applied)> {
    /// The numbers of flags without a letter start here.
    const FIRST: u8 = 128;
    const NAMES: &[(&CStr, usize)] = &[
        (c"all", 0),
        (c"all-of-them", 1),
        (c"any", 1),
        (c"config", 2),
        (c"config-check", 3),
        (c"set-version", 4),
        (c"set", 4),
        (c"show", 5),
        (c"showing", 5),
        (c"display", 5),
        (c"dirname", 6),
        (c"help", 7),
        (c"version", 8),
    ];
    let option = |&(name, flag): &(&'static CStr, usize)| {
        let has_value = matches!(FLAGS[flag].apply, Apply::Value(..));
        LongOption { name, has_value, number: FIRST + flag as u8 }
    };
    let options: Vec<LongOption> = NAMES.iter().map(option).collect();
    let letters = if order == Order::Any { c"aAC:S:hV" } else { c"+aAC:S:hV" };
    let flag = |option: u8| match option {
        FIRST.. => &FLAGS[usize::from(option - FIRST)],
        letter => FLAGS.iter().find(|flag| flag.short == Some(char::from(letter))).unwrap_or(&FLAGS[0]),
    };
    let ends = |option| matches!(flag(option).apply, Apply::Help | Apply::Version);
    let Found { mut options, operands, invalid } = parse_options(words, letters, &options, ends)?;
    let last = options.last().map(|(option, _)| *option).filter(|option| ends(*option));
    let outcome = match last {
        Some(option) => {
            options.pop();
            flag(option).long.to_owned()
        }
        None if invalid => "wrong".to_owned(),
        None => format!("run {:?}", operands.iter().map(Vec::as_slice).collect::<Vec<_>>()),
    };
    Some((outcome, options.into_iter().map(|(option, value)| (flag(option).long, value)).collect()))
}

/// A second parser, which reads the arguments by index.
struct Naive<'a> {
    words: &'a [Vec<u8>],
    applied: Applied,
}

impl Naive<'_> {
    fn read(&mut self, order: Order) -> String {
        let mut operands: Vec<&[u8]> = Vec::new();
        let mut place = 0;
        while place < self.words.len() {
            let word = &self.words[place];
            place += 1;
            let is_operand = !word.starts_with(b"-") || word == b"-";
            if word == b"--" || is_operand && order == Order::OptionsFirst {
                operands.extend(self.words[place - usize::from(is_operand)..].iter().map(Vec::as_slice));
                break;
            }
            let end = match word {
                _ if is_operand => {
                    operands.push(word);
                    None
                }
                word if word.starts_with(b"--") => self.long(&word[2..], &mut place),
                word => self.bundle(&word[1..], &mut place),
            };
            if let Some(end) = end {
                return end.to_owned();
            }
        }
        format!("run {operands:?}")
    }

    fn long(&mut self, word: &[u8], place: &mut usize) -> Option<&'static str> {
        let mut parts = word.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let is = |flag: &&Flag<Applied>, fits: &dyn Fn(&str) -> bool| {
            fits(flag.long) || flag.old.iter().any(|old| fits(old))
        };
        let exact = FLAGS.iter().find(|flag| is(flag, &|known| known.as_bytes() == name));
        let mut begun = FLAGS.iter().filter(|flag| is(flag, &|known| known.as_bytes().starts_with(name)));
        let flag = match (exact, begun.next(), begun.next()) {
            (Some(flag), ..) | (None, Some(flag), None) => flag,
            _ => return Some("wrong"),
        };
        if !matches!(flag.apply, Apply::Value(..)) && value.is_some() {
            return Some("wrong");
        }
        self.apply(flag, value, place)
    }

    fn bundle(&mut self, letters: &[u8], place: &mut usize) -> Option<&'static str> {
        for (at, letter) in letters.iter().enumerate() {
            let Some(flag) =
                FLAGS.iter().find(|flag| flag.short.is_some_and(|short| short as u32 == u32::from(*letter)))
            else {
                return Some("wrong");
            };
            let takes = matches!(flag.apply, Apply::Value(..));
            let value = Some(&letters[at + 1..]).filter(|value| takes && !value.is_empty());
            let end = self.apply(flag, value, place);
            if end.is_some() || takes {
                return end;
            }
        }
        None
    }

    fn apply(&mut self, flag: &Flag<Applied>, value: Option<&[u8]>, place: &mut usize) -> Option<&'static str> {
        match flag.apply {
            Apply::Help => return Some("help"),
            Apply::Version => return Some("version"),
            Apply::Set(_) => self.applied.push((flag.long, None)),
            Apply::Value(..) => {
                let value = match value {
                    Some(value) => value.to_vec(),
                    None => {
                        *place += 1;
                        let Some(next) = self.words.get(*place - 1) else { return Some("wrong") };
                        next.clone()
                    }
                };
                self.applied.push((flag.long, Some(value)));
            }
        }
        None
    }
}
