//! The body of the fuzz target `module_name`.

use kmod::name::{ModuleName, NAME_LIMIT, NameError, fnmatch, normalise_alias};
use kmod::request::{Event, NAME_SIZE, OverLimit, PATH_SIZE, Refusal, Requests};

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

/// The matches of a pattern follow from those of its rest, and an escaped name matches only itself.
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

/// The kernel passes a name of at most 55 bytes to the helper unchanged, after `--`, and refuses all others. The path is the
/// written text up to a newline, truncated to the size of the buffer; with an empty path no helper is started.
fn check_request(path: &[u8], name: &[u8]) {
    let text = name.split(|&byte| byte == 0).next().unwrap_or_default();
    for era in [OverLimit::Refuse, OverLimit::WaitKillable, OverLimit::WaitUnkillable] {
        let mut requests = Requests::new(era);
        assert_eq!(requests.path.write(path, &mut 0), path.len());
        let kept = requests.path.as_bytes();
        if !path.is_empty() {
            let line = path.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
            assert_eq!(kept, &line[..line.len().min(PATH_SIZE - 1)]);
        }
        let argv = [kept, b"-q", b"--", text].map(<[u8]>::to_vec);
        let (id, events) = requests.request(0, name);
        match events.as_slice() {
            [Event::Refuse(refused, Refusal::Disabled)] => assert!(*refused == id && argv[0].is_empty()),
            [Event::Refuse(refused, Refusal::NameTooLong)] => assert!(*refused == id && text.len() >= NAME_SIZE),
            [Event::Start(started, helper)] => {
                assert!(*started == id && text.len() < NAME_SIZE && !argv[0].is_empty());
                assert_eq!(helper.argv, argv);
            }
            other => panic!("unexpected events for a single request: {other:?}"),
        }
        assert_eq!(requests.running(), usize::from(matches!(events.as_slice(), [Event::Start(..)])));
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
