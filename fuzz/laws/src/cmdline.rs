//! The body of the fuzz target `cmdline`.

use kmod::cmdline::{Item, items};
use kmod::name::normalise_alias;

/// An item, or the invalid module name in one.
type Found = Result<Item, Vec<u8>>;

/// The input is a kernel command line.
///
/// # Panics
/// Panics if a promise about the kernel command line is broken.
pub fn cmdline(data: &[u8]) {
    let found = items(data);
    assert_eq!(found, naive(data), "the naive parser differs");
    found.iter().for_each(check_form);
    let good: Vec<Item> = found.into_iter().flatten().collect();
    let again: Vec<Found> = items(&written(&good));
    assert_eq!(again, good.into_iter().map(Ok).collect::<Vec<_>>(), "the items, written out, parse differently");
    // Items do not depend on what surrounds them, unless a quote is open.
    let (first, second) = data.split_at(data.len() / 2);
    if first.iter().filter(|byte| **byte == b'"').count() % 2 == 0 {
        let both = [items(first), items(second)].concat();
        assert_eq!(items(&[first, b"\n", second].concat()), both, "two command lines joined parse differently");
    }
}

fn check_form(found: &Found) {
    match found {
        Ok(Item::Option { module, text }) => {
            check_name(module);
            let parameter = text.split(|byte| *byte == b'=').next().unwrap_or_default();
            assert!(!parameter.is_empty() && !parameter.contains(&b'.') && !parameter.iter().any(separates));
            assert!(!text.contains(&0) && text.iter().filter(|byte| **byte == b'"').count() % 2 == 0);
        }
        Ok(Item::Blacklist(name)) => check_name(name),
        Err(name) => assert!(normalise_alias(name).is_err(), "a valid name is rejected"),
    }
}

fn check_name(name: &[u8]) {
    assert_eq!(normalise_alias(name).as_deref(), Ok(name), "a name is not normalised");
    assert!(!name.is_empty() && !name.iter().any(|byte| separates(byte) || matches!(byte, b'"' | b'=')));
}

fn separates(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0)
}

/// The items as a kernel command line.
fn written(items: &[Item]) -> Vec<u8> {
    let item = |item: &Item| match item {
        Item::Option { module, text } => [module.as_slice(), b".", text].concat(),
        Item::Blacklist(name) => [b"modprobe.blacklist=", name.as_slice()].concat(),
    };
    items.iter().map(item).collect::<Vec<_>>().join(&b' ')
}

/// A second parser, written from the description of the syntax.
fn naive(line: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        // A word ends at the first separator with an even number of quotes before it.
        let outside = |at: usize| rest[..at].iter().filter(|byte| **byte == b'"').count() % 2 == 0;
        let ends: Vec<usize> = (0..rest.len()).filter(|at| separates(&rest[*at])).collect();
        let end = ends.into_iter().find(|at| outside(*at)).unwrap_or(rest.len());
        if outside(end) {
            found.extend(word(&rest[..end]));
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

fn word(word: &[u8]) -> Vec<Found> {
    let quotes = word.iter().filter(|byte| **byte == b'"').count();
    let around = word.len() >= 2 && quotes == 2 && word.starts_with(b"\"") && word.ends_with(b"\"");
    let word = if around { &word[1..word.len() - 1] } else { word };
    let mut halves = word.splitn(2, |byte| *byte == b'=');
    let (Some(key), value) = (halves.next(), halves.next()) else { return Vec::new() };
    // Quotes around an item without a value hide it, as in C kmod.
    if around && value.is_none() {
        return Vec::new();
    }
    let plain =
        |part: &[u8]| !part.is_empty() && !part.iter().any(|byte| separates(byte) || matches!(byte, b'"' | b'='));
    let key: Vec<&[u8]> = key.split(|byte| *byte == b'.').collect();
    let ([module, parameter], false) = (key.as_slice(), value.is_some_and(|value| value.contains(&0))) else {
        return Vec::new();
    };
    if !plain(module) || !plain(parameter) {
        return Vec::new();
    }
    match (*module, *parameter, value) {
        (b"modprobe", b"blacklist", Some(names)) => {
            let names = names.strip_prefix(b"\"").and_then(|names| names.strip_suffix(b"\"")).unwrap_or(names);
            let listed = names.split(|byte| *byte == b',').filter(|name| plain(name));
            listed.map(|name| normalise_alias(name).map(Item::Blacklist).map_err(|_| name.to_vec())).collect()
        }
        _ => {
            let quote: &[u8] = if around { b"\"" } else { b"" };
            let text = match value {
                Some(value) => [*parameter, b"=", quote, value, quote].concat(),
                None => parameter.to_vec(),
            };
            let option = normalise_alias(module).map(|module| Item::Option { module, text });
            vec![option.map_err(|_| module.to_vec())]
        }
    }
}
