//! The body of the fuzz target `module_name`.

use crate::pattern;
use kmod::name::{ModuleName, NAME_LIMIT, NameError, fnmatch, normalise_alias};
use request::{Begin, HelperPath, Launch, NAME_SIZE, Name, OverLimit, PATH_SIZE, Policy, Refusal, Requests};
use std::collections::VecDeque;

/// The maximum length of a name whose suffixes are all matched.
const SHORT: usize = 64;

/// The input is a pattern, a NUL, and a name (which may contain NULs); without a NUL it is both.
///
/// # Panics
/// Panics if a promise about names, aliases or patterns is broken.
pub fn module_name(data: &[u8]) {
    let (pattern, name) = match data.iter().position(|&byte| byte == 0) {
        Some(nul) => (&data[..nul], &data[nul + 1..]),
        None => (data, data),
    };
    check_name(name);
    check_alias(pattern);
    check_alias(name);
    if name.len() < 4 {
        check_limit(name);
    }
    check_with_libc(pattern, name);
    check_pattern(pattern, name);
    check_request(pattern, name);
}

/// `-` and `_` are the same letter, a suffix is not part of the name, and normalisation is idempotent.
fn check_name(name: &[u8]) {
    let module = ModuleName::new(name);
    assert_eq!(ModuleName::new(&dashes_swapped(name)).is_ok(), module.is_ok());
    let stem = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    match &module {
        Ok(module) => {
            let bytes = module.as_bytes();
            assert!(!bytes.is_empty() && bytes.len() <= NAME_LIMIT);
            assert!(bytes.iter().all(|byte| !matches!(byte, b'-' | b'.' | 0)));
            assert_eq!(ModuleName::new(bytes).as_ref(), Ok(module));
            assert_eq!(ModuleName::new(&dashes_swapped(name)).as_ref(), Ok(module));
            assert_eq!(ModuleName::new(&[stem, b".ko.xz"].concat()).as_ref(), Ok(module));
        }
        Err(NameError::Empty) => assert!(stem.is_empty()),
        Err(NameError::TooLong(length)) => assert!(*length == stem.len() && *length > NAME_LIMIT),
        Err(NameError::Nul(_)) => assert!(stem.contains(&0)),
        Err(other) => panic!("a name cannot cause this error: {other}"),
    }
    // The directory does not affect the name.
    let from_path = ModuleName::from_path(name);
    assert_eq!(ModuleName::from_path(&[b"kernel/a-b.c/", name].concat()), from_path);
    if !name.contains(&b'/') {
        assert_eq!(from_path, module);
    }
}

/// The normalisation of an alias changes dashes outside of brackets to underscores, and nothing else.
fn check_alias(alias: &[u8]) {
    match normalise_alias(alias) {
        Ok(normal) => {
            assert_eq!(normalise_alias(&normal).as_ref(), Ok(&normal));
            assert_eq!(normal.len(), alias.len());
            let mut inside = false;
            for (&before, &after) in alias.iter().zip(&normal) {
                inside = match before {
                    b'[' => true,
                    b']' => false,
                    _ => inside,
                };
                let expected = if before == b'-' && !inside { b'_' } else { before };
                assert_eq!(after, expected);
            }
            assert!(!inside);
        }
        Err(NameError::TooLong(length)) => assert!(length == alias.len() && length > NAME_LIMIT),
        Err(NameError::Nul(_)) => assert!(alias.contains(&0)),
        Err(NameError::Bracket(_)) => assert!(alias.iter().any(|byte| matches!(byte, b'[' | b']'))),
        Err(other) => panic!("an alias cannot cause this error: {other}"),
    }
}

/// A name or an alias may have 4095 bytes, and no more.
fn check_limit(start: &[u8]) {
    const LONGEST: usize = 4095;
    let padded = |length: usize| {
        let mut padded = start.to_vec();
        padded.resize(length, b'x');
        padded
    };
    assert_eq!(normalise_alias(&padded(LONGEST)).is_ok(), normalise_alias(start).is_ok(), "the longest alias");
    assert_eq!(normalise_alias(&padded(LONGEST + 1)), Err(NameError::TooLong(LONGEST + 1)));
    if !start.iter().any(|byte| matches!(byte, b'.' | 0)) {
        assert!(ModuleName::new(&padded(LONGEST)).is_ok(), "the longest name");
        assert_eq!(ModuleName::new(&padded(LONGEST + 1)), Err(NameError::TooLong(LONGEST + 1)));
    }
}

/// The C library agrees about a portable pattern. This also holds for every name of one byte if the pattern starts with a bracket,
/// and for a name that is made from the pattern.
fn check_with_libc(pattern: &[u8], name: &[u8]) {
    let check = |name: &[u8]| {
        if let Some(expected) = pattern::by_libc(pattern, name) {
            assert_eq!(fnmatch(pattern, name), expected, "{} on {}", pattern.escape_ascii(), name.escape_ascii());
        }
    };
    check(name);
    check(&pattern::name_for(pattern));
    if pattern.starts_with(b"[") {
        (1..=u8::MAX).for_each(|byte| check(&[byte]));
    }
}

/// The matches of a pattern follow from those of its rest, and an escaped name matches only itself. Most of this compares the
/// code with itself; [`check_with_libc`] does not.
fn check_pattern(pattern: &[u8], name: &[u8]) {
    let matched = fnmatch(pattern, name);
    let literal = escaped(name);
    assert!(fnmatch(&literal, name));
    assert!(!fnmatch(&literal, &[name, b"x"].concat()));
    assert_eq!(fnmatch(&literal, pattern), pattern == name);
    // A literal prefix matches exactly itself, `?` one byte.
    assert_eq!(fnmatch(&[&literal, pattern].concat(), &[name, name].concat()), matched);
    assert_eq!(fnmatch(&[b"?", pattern].concat(), &[b"\xff", name].concat()), matched);
    // A star matches any prefix; several stars are the same as one.
    if name.len() <= SHORT {
        let some_suffix = (0..=name.len()).any(|from| fnmatch(pattern, &name[from..]));
        assert_eq!(fnmatch(&[b"*", pattern].concat(), name), some_suffix);
        assert_eq!(fnmatch(&[b"***", pattern].concat(), name), some_suffix);
    }
    if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')) {
        assert_eq!(matched, pattern == name);
    }
}

/// The path is the written text up to a newline or NUL, truncated to the size of the buffer; with an empty path no helper
/// is started. A name is kept up to its NUL if it has at most 55 bytes, and refused otherwise.
fn check_request(written: &[u8], requested: &[u8]) {
    let up_to = |bytes: &'_ [u8], end: &[u8]| bytes.split(|byte| end.contains(byte)).next().map(<[u8]>::to_vec);
    let (mut path, mut offset) = (HelperPath::default(), 0);
    path.write(written, &mut offset);
    assert_eq!(offset, written.len() as u64);
    let mut line = up_to(written, b"\n\0").unwrap_or_default();
    line.truncate(PATH_SIZE - 1);
    let expected = if written.is_empty() { b"/sbin/modprobe" } else { &line[..] };
    assert_eq!(path.as_bytes(), expected);
    let text = up_to(requested, b"\0").unwrap_or_default();
    let Ok(name) = Name::new(requested) else {
        return assert!(text.len() >= NAME_SIZE);
    };
    assert_eq!(name.as_bytes(), text);
    for over in [OverLimit::Allow, OverLimit::Stop, OverLimit::Refuse, OverLimit::WaitKillable, OverLimit::Wait] {
        let mut requests: Requests<VecDeque<u8>> = Requests::new(Policy::new(over));
        let mut log = |message: request::Message<'_>| panic!("a single request is logged: {message:?}");
        match requests.begin(0, &path, &name, 0, &mut log) {
            Begin::Refuse(Refusal::Disabled) => assert!(path.as_bytes().is_empty()),
            Begin::Start(request) => {
                assert!(!path.as_bytes().is_empty());
                assert_eq!(requests.launch(0, request, &name, true, &mut log), Launch::Run);
                requests.end(0, request, &name, 0);
                assert_eq!(requests.running(), 0);
            }
            other => panic!("unexpected decision about a single request: {other:?}"),
        }
    }
}

fn escaped(name: &[u8]) -> Vec<u8> {
    name.iter().flat_map(|&byte| [b'\\', byte]).collect()
}

fn dashes_swapped(name: &[u8]) -> Vec<u8> {
    let swapped = |byte: &u8| match byte {
        b'-' => b'_',
        b'_' => b'-',
        other => *other,
    };
    name.iter().map(swapped).collect()
}
