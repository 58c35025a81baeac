//! The body of the fuzz target `module_name`.

use kmod::name::{ModuleName, NAME_LIMIT, NameError, fnmatch, normalise_alias};
use kmod::request::{Event, NAME_SIZE, OverLimit, PATH_SIZE, Refusal, Requests};

/// How long a name may be where all its ends are tried one by one.
const SHORT: usize = 64;

/// The input is a pattern, a NUL, and a name (which may hold NULs); without a NUL it is both.
///
/// # Panics
/// When a promise about names, aliases or patterns is broken.
pub fn module_name(data: &[u8]) {
    let (pattern, name) = match data.iter().position(|&byte| byte == 0) {
        Some(nul) => (&data[..nul], &data[nul + 1..]),
        None => (data, data),
    };
    names(name);
    aliases(pattern);
    aliases(name);
    patterns(pattern, name);
    requests(pattern, name);
}

/// `-` and `_` are one letter, a suffix is none of the name, and normalising twice is normalising once.
fn names(name: &[u8]) {
    let made = ModuleName::new(name);
    assert_eq!(ModuleName::new(&dashes_swapped(name)).is_ok(), made.is_ok());
    let stem = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    match &made {
        Ok(made) => {
            let bytes = made.as_bytes();
            assert!(!bytes.is_empty() && bytes.len() <= NAME_LIMIT);
            assert!(bytes.iter().all(|byte| !matches!(byte, b'-' | b'.' | 0)));
            assert_eq!(ModuleName::new(bytes).as_ref(), Ok(made));
            assert_eq!(ModuleName::new(&dashes_swapped(name)).as_ref(), Ok(made));
            assert_eq!(ModuleName::new(&[stem, b".ko.xz"].concat()).as_ref(), Ok(made));
        }
        Err(NameError::Empty) => assert!(stem.is_empty()),
        Err(NameError::TooLong(length)) => assert!(*length == stem.len() && *length > NAME_LIMIT),
        Err(NameError::Nul(_)) => assert!(stem.contains(&0)),
        Err(other) => panic!("a name has no reason to be refused with: {other}"),
    }
    // The directory says nothing about the name.
    let from_path = ModuleName::from_path(name);
    assert_eq!(ModuleName::from_path(&[b"kernel/a-b.c/", name].concat()), from_path);
    if !name.contains(&b'/') {
        assert_eq!(from_path, made);
    }
}

/// Normalising an alias changes dashes outside brackets to underscores, and nothing else.
fn aliases(alias: &[u8]) {
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
        Err(other) => panic!("an alias has no reason to be refused with: {other}"),
    }
}

/// What a pattern matches follows from what its rest matches, and an escaped name matches itself alone.
fn patterns(pattern: &[u8], name: &[u8]) {
    let matched = fnmatch(pattern, name);
    let literal = escaped(name);
    assert!(fnmatch(&literal, name));
    assert!(!fnmatch(&literal, &[name, b"x"].concat()));
    assert_eq!(fnmatch(&literal, pattern), pattern == name);
    // A literal beginning takes exactly itself, `?` one byte.
    assert_eq!(fnmatch(&[&literal, pattern].concat(), &[name, name].concat()), matched);
    assert_eq!(fnmatch(&[b"?", pattern].concat(), &[b"\xff", name].concat()), matched);
    // A star takes any beginning; many stars are one.
    if name.len() <= SHORT {
        let some_end = (0..=name.len()).any(|from| fnmatch(pattern, &name[from..]));
        assert_eq!(fnmatch(&[b"*", pattern].concat(), name), some_end);
        assert_eq!(fnmatch(&[b"***", pattern].concat(), name), some_end);
    }
    if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')) {
        assert_eq!(matched, pattern == name);
    }
}

/// The kernel hands a name of at most 55 bytes to the helper as it is, behind `--`, and refuses every other; the path is
/// what was written, up to a newline and no longer than fits; without one nothing is started.
fn requests(path: &[u8], name: &[u8]) {
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
            other => panic!("a request alone must not give {other:?}"),
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
