//! Removes differences without meaning from output: positions in the source of the C library, addresses, versions. Everything
//! else is compared literally.

use crate::case::{Case, Step, replace};
use crate::compare::escaped;
use crate::results::Done;

/// Returns the normalised lines of standard output or standard error.
pub fn lines(case: &Case, step: &Step, bytes: &[u8]) -> Vec<String> {
    let asks_help = step.words.iter().skip(1).any(|word| matches!(&word[..], b"-h" | b"--help" | b"help"));
    // Also printed after wrong use: the same options in other words.
    let is_help = bytes.windows(10).any(|window| window == b"-h, --help");
    if (asks_help && !bytes.is_empty()) || is_help {
        return vec!["(help)".to_owned()];
    }
    let tool = step.words.first().map(|tool| escaped(tool)).unwrap_or_default();
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| self::line(case, &tool, line)).collect()
}

/// Normalises a path. Names of C kmod's temporary files contain a number and two times.
pub fn path(case: &Case, bytes: &[u8]) -> String {
    let path = text(case, bytes);
    match path
        .find("/modules.")
        .map(|at| path[at + 1..].split('.').take_while(|part| !part.starts_with(|c: char| c.is_ascii_digit())))
    {
        Some(parts) if path.ends_with(|c: char| c.is_ascii_digit()) => {
            let parent = path.rfind('/').map_or("", |at| &path[..=at]);
            format!("{parent}{}.TEMPORARY", parts.collect::<Vec<_>>().join("."))
        }
        _ => path,
    }
}

/// Normalises a line.
pub fn text(case: &Case, bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    escaped(&replace(bytes, case.release.as_bytes(), b"REL"))
}

fn line(case: &Case, tool: &str, bytes: &[u8]) -> Option<String> {
    let mut line = text(case, bytes);
    // Until a tool has set up its log, the library prints messages itself, with the name of the function.
    if let Some(rest) = line
        .strip_prefix("libkmod: ")
        .and_then(|line| line.strip_prefix("ERROR").map(|rest| rest.trim_start_matches(':')))
    {
        let rest = match rest.find("../libkmod/") {
            Some(at) => rest[at..].split_once(' ').map_or("", |(_, rest)| rest),
            None => rest.trim_start(),
        };
        let rest = rest.split_once(": ").map_or(rest, |(_, rest)| rest);
        line = format!("{tool}: ERROR: {rest}");
    }
    if line.starts_with("kmod version ") {
        return Some("kmod version …".to_owned());
    }
    // The other lines of `-V`: the features, and our name.
    if line.starts_with(['+', '-']) && line.contains("ZSTD") || line.starts_with("kmodlab ") {
        return None;
    }
    if !bytes.ends_with(b"\n") {
        line.push_str(" (no newline)");
    }
    // kmod 30: `modprobe: ERROR: ../libkmod/FILE.c:123 function() text`, and before a tool's log is set up
    // `libkmod: ERROR ../libkmod/FILE.c:123 function: text`.
    if let Some(at) = line.find("../libkmod/") {
        let rest = &line[at..];
        let end = rest.find("() ").map(|end| end + 3).or_else(|| rest.find(' ').map(|end| end + 1));
        let start = line[..at].trim_end().trim_end_matches(':');
        line = format!("{start}: {}", &rest[end.unwrap_or(0)..]);
    }
    // `<27>Nov 22 18:53:16 modprobe: …`
    if let Some(rest) = line.strip_prefix('<').and_then(|line| line.split_once('>')).filter(|(_, rest)| rest.len() > 16)
    {
        line = format!("<{}>{}", rest.0, rest.1.get(16..).unwrap_or_default());
    }
    // Names of C kmod's temporary files contain times.
    if let Some((before, after)) = line.split_once("renameat(") {
        let reason = after.rsplit_once("): ").map_or("", |(_, reason)| reason);
        line = format!("{before}renameat(…): {reason}");
    }
    // The errors of a kernel without modules, and of one that denies loading modules.
    let line = line.replace("Function not implemented", "(refused)").replace("Operation not permitted", "(refused)");
    Some(addresses(&line))
}

/// Replaces `ctx=0x55d0c0ffee` by `ctx=…`.
fn addresses(line: &str) -> String {
    match line.split_once("ctx=0x") {
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("{before}ctx=…{rest}")
        }
        None => line.to_owned(),
    }
}

/// Our messages may append details to those of C kmod: ` (…)` or `: …`. Such a line is replaced by C kmod's.
pub fn without_detail(theirs: &[String], ours: Vec<String>) -> Vec<String> {
    // Our messages escape a backslash in a name as two.
    let theirs: Vec<String> = theirs.to_vec();
    let plain = |line: String| {
        let single = line.replace("\\\\", "\\");
        if let Some(c) = theirs.iter().find(|c| c.replace("\\\\", "\\") == single) {
            return c.clone();
        }
        let has_detail = |c: &&String| {
            line.strip_prefix(c.as_str()).is_some_and(|rest| rest.starts_with(" (") || rest.starts_with(": "))
        };
        theirs.iter().find(has_detail).cloned().unwrap_or(line)
    };
    ours.into_iter().map(plain).collect()
}

/// Removes modules.weakdep, which is new in kmod 33, from a result: for comparisons with older versions.
pub fn before_weakdep(done: &Done) -> Done {
    let mut done = done.clone();
    done.files.retain(|(path, ..)| !path.ends_with(b"/modules.weakdep"));
    done
}
