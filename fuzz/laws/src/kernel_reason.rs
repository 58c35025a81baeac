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
    let names = std::slice::from_ref(&module);
    let found = find(names, lines.iter().copied());
    assert_eq!(found, joined(&module, &lines), "lines are not read independently");

    // A line about another module, or about no module, changes nothing.
    let foreign = [module.as_bytes(), b"x: Unknown symbol nosuch (err -2)"].concat();
    for line in [foreign.as_slice(), b"Unknown symbol nosuch (err -2)", b""] {
        let among = lines.iter().flat_map(|own| [line, own]).chain([line]);
        assert_eq!(find(names, among), found, "a line about another module changes the reason");
    }
    let Some(reason) = found else { return };
    let log = kernel_lines(&module, &reason);
    assert_eq!(
        find(names, log.iter().map(Vec::as_slice)).as_ref(),
        Some(&reason),
        "the kernel's lines read differently"
    );
    if let Reason::UnknownSymbols(names) | Reason::SymbolVersions(names) = &reason {
        assert!(!names.is_empty() && names.iter().all(|name| !name.is_empty() && !name.contains(&b' ')));
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "a symbol is reported twice");
    }
}

/// The first reason of the lines that name the module, else of the others; with the symbols of all reasons of its kind, and the
/// last line about its parameter.
fn joined(module: &ModuleName, lines: &[&[u8]]) -> Option<Reason> {
    let names = std::slice::from_ref(module);
    let stranger = ModuleName::new(&[module.as_bytes(), b"_"].concat()).map_or_else(|_| Vec::new(), |name| vec![name]);
    // A line that does not name the module is read the same for another one.
    let is_named = |line: &&&[u8]| find(&stranger, [**line]).is_none();
    let reason = |line: &&[u8]| find(names, [*line]);
    let named: Vec<&&[u8]> = lines.iter().filter(is_named).collect();
    let first = named.iter().copied().filter_map(reason).reduce(|first, next| match (first, next) {
        (Reason::UnknownSymbols(a), Reason::UnknownSymbols(b)) => Reason::UnknownSymbols(union(a, b)),
        (Reason::SymbolVersions(a), Reason::SymbolVersions(b)) => Reason::SymbolVersions(union(a, b)),
        (first, _) => first,
    });
    let first = first.or_else(|| lines.iter().find_map(reason));
    let Some(Reason::BadParameter { name, value, .. }) = first else { return first };
    let at = lines.iter().position(|line| reason(line).is_some_and(|reason| is_about(&reason, &name, &value)));
    let detail = at.and_then(|at| {
        let both = |line: &&[u8]| find(names, [*line, lines[at]]);
        let detail = |line: &&[u8]| match both(line) {
            Some(Reason::BadParameter { detail, .. }) => detail,
            _ => None,
        };
        lines[..at].iter().rev().filter(|line| reason(line).is_none()).find_map(detail)
    });
    Some(Reason::BadParameter { name, value, detail })
}

fn is_about(reason: &Reason, parameter: &[u8], given: &[u8]) -> bool {
    matches!(reason, Reason::BadParameter { name, value, .. } if name == parameter && value == given)
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
        Reason::BadParameter { name, value, detail } => {
            let detail = detail.iter().map(|detail| [name, &b": "[..], detail].concat());
            detail.chain([line(&[b"`", value, b"' invalid for parameter `", name, b"'"])]).collect()
        }
        Reason::VersionMagic { module: built, kernel } => {
            vec![line(&[b"version magic '", built, b"' should be '", kernel, b"'"])]
        }
        Reason::Blacklisted => vec![[b"Module ", module.as_bytes(), b" is blacklisted"].concat()],
        Reason::Line(text) => {
            let lines = [text.clone(), line(&[text]), [b"module: ", text.as_slice()].concat()];
            let read = |line: &Vec<u8>| find(std::slice::from_ref(module), [line.as_slice()]);
            lines.into_iter().find(|line| read(line).as_ref() == Some(reason)).into_iter().collect()
        }
        other => panic!("the log does not contain this: {other:?}"),
    }
}
