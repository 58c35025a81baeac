//! The body of the fuzz target `kernel_reason`.

use kmod::execute::reason::{Reason, find};
use kmod::name::ModuleName;

/// The first line of the input is a module's name, the others are lines of the kernel's log.
///
/// # Panics
/// Panics if a promise about the reason for a refused module is broken.
pub fn kernel_reason(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Ok(module) = ModuleName::new(lines.next().unwrap_or_default()) else { return };
    let lines: Vec<&[u8]> = lines.collect();
    let found = find(&module, lines.iter().copied());
    assert_eq!(
        found,
        joined(lines.iter().filter_map(|line| find(&module, [*line]))),
        "lines are not read independently"
    );

    // A line about another module, or about no module, changes nothing.
    let foreign = [module.as_bytes(), b"x: Unknown symbol nosuch (err -2)"].concat();
    for line in [foreign.as_slice(), b"Unknown symbol nosuch (err -2)", b""] {
        let among = lines.iter().flat_map(|own| [line, own]).chain([line]);
        assert_eq!(find(&module, among), found, "a line about another module changes the reason");
    }
    let Some(reason) = found else { return };
    let log = kernel_lines(&module, &reason);
    assert_eq!(
        find(&module, log.iter().map(Vec::as_slice)).as_ref(),
        Some(&reason),
        "the kernel's lines read differently"
    );
    if let Reason::UnknownSymbols(names) | Reason::SymbolVersions(names) = &reason {
        assert!(!names.is_empty() && names.iter().all(|name| !name.is_empty() && !name.contains(&b' ')));
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "a symbol is reported twice");
    }
}

/// The first reason, with the symbols of all reasons of its kind.
fn joined(reasons: impl Iterator<Item = Reason>) -> Option<Reason> {
    reasons.reduce(|first, next| match (first, next) {
        (Reason::UnknownSymbols(a), Reason::UnknownSymbols(b)) => Reason::UnknownSymbols(union(a, b)),
        (Reason::SymbolVersions(a), Reason::SymbolVersions(b)) => Reason::SymbolVersions(union(a, b)),
        (first, _) => first,
    })
}

fn union(mut a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let new: Vec<_> = b.into_iter().filter(|name| !a.contains(name)).collect();
    a.extend(new);
    a
}

/// The lines that the kernel logs for a reason.
fn kernel_lines(module: &ModuleName, reason: &Reason) -> Vec<Vec<u8>> {
    let line = |parts: &[&[u8]]| [&[module.as_bytes(), b": "], parts].concat().concat();
    match reason {
        Reason::UnknownSymbols(names) => {
            names.iter().map(|name| line(&[b"Unknown symbol ", name, b" (err -2)"])).collect()
        }
        Reason::SymbolVersions(names) => {
            names.iter().map(|name| line(&[b"disagrees about version of symbol ", name])).collect()
        }
        Reason::UnknownParameter(name) => vec![line(&[b"Unknown parameter `", name, b"'"])],
        Reason::BadParameter { name, value } => vec![line(&[b"`", value, b"' invalid for parameter `", name, b"'"])],
        Reason::VersionMagic { module: built, kernel } => {
            vec![line(&[b"version magic '", built, b"' should be '", kernel, b"'"])]
        }
    }
}
