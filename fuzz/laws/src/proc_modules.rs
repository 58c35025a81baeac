//! The body of the fuzz target `proc_modules`.

use kmod::execute::linux::{ListedModule, parse_proc_modules};

/// The input is the content of /proc/modules.
///
/// # Panics
/// Panics if a promise about the list of loaded modules is broken.
pub fn proc_modules(data: &[u8]) {
    let modules = parse_proc_modules(data);
    let again = parse_proc_modules(&printed(&modules));
    assert_eq!(again, modules, "the modules, printed, parse differently");
    let by_line: Vec<ListedModule> = data.split(|byte| *byte == b'\n').filter_map(naive).collect();
    assert_eq!(modules, by_line, "the naive parser differs");
    for module in &modules {
        let bad = |word: &[u8]| word.is_empty() || word.iter().any(|byte| matches!(byte, b' ' | b'\n'));
        assert!(!bad(&module.name) && !module.holders.iter().any(|holder| bad(holder) || holder.contains(&b',')));
    }
    // Truncation, as by a short read, affects only the last line.
    let truncated = parse_proc_modules(&data[..data.len() / 2]);
    let whole = &truncated[..truncated.len().saturating_sub(1)];
    assert_eq!(whole, &modules[..whole.len()], "truncation changes a line before it");
}

/// The modules in the kernel's format.
fn printed(modules: &[ListedModule]) -> Vec<u8> {
    let line = |module: &ListedModule| {
        let users = module.users.map_or("-".to_owned(), |users| users.to_string());
        let mut holders = module.holders.iter().flat_map(|holder| [holder, &b","[..]]).collect::<Vec<_>>().concat();
        if holders.is_empty() {
            holders.push(b'-');
        }
        let numbers = format!(" {} {users} ", module.size);
        [&module.name, numbers.as_bytes(), &holders, b" Live 0x0000000000000000\n"].concat()
    };
    modules.iter().flat_map(line).collect()
}

/// A second parser for `NAME SIZE USERS HOLDERS …`: USERS is a number, or anything else for "unknown"; each holder is
/// followed by a comma.
fn naive(line: &[u8]) -> Option<ListedModule> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [name, size, users, holders, ..] = fields.as_slice() else { return None };
    let size = number(size).filter(|size| *size >= 0)? as u64;
    let holders = holders.split(|byte| *byte == b',').filter(|holder| !matches!(*holder, [] | b"-" | [b'[', ..]));
    let module = ListedModule {
        name: name.to_vec(),
        size,
        users: number(users),
        holders: holders.map(<[u8]>::to_vec).collect(),
    };
    (!name.is_empty()).then_some(module)
}

/// A decimal number, with or without a sign, that fits into 64 bits.
fn number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let add = |sum: i128, digit: &u8| {
        let sum = sum * 10 + i128::from(char::from(*digit).to_digit(10)?);
        (sum <= 1 << 64).then_some(sum)
    };
    let sum = digits.iter().try_fold(0, add)?;
    i64::try_from(if negative { -sum } else { sum }).ok()
}
