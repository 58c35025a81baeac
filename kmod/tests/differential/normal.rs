//! What two tools may say differently with the same meaning: where the C library stands in its own source, addresses, a
//! version. Nothing else is touched.

use crate::case::{Case, Step, replace};
use crate::compare::escaped;
use crate::wire::Done;

/// Standard output or error as lines.
pub fn lines(case: &Case, step: &Step, bytes: &[u8]) -> Vec<String> {
    let asks_help = step.words.iter().skip(1).any(|word| matches!(&word[..], b"-h" | b"--help" | b"help"));
    // After wrong use, too: it tells the same options in other words.
    let is_help = bytes.windows(10).any(|window| window == b"-h, --help");
    if (asks_help && !bytes.is_empty()) || is_help {
        return vec!["(help)".to_owned()];
    }
    let tool = step.words.first().map(|tool| escaped(tool)).unwrap_or_default();
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| self::line(case, &tool, line)).collect()
}

/// A path as text. C's temporary files have a number, a time and another time in their names.
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

/// One line of text.
pub fn text(case: &Case, bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    escaped(&replace(bytes, case.release.as_bytes(), b"REL"))
}

fn line(case: &Case, tool: &str, bytes: &[u8]) -> Option<String> {
    let mut line = text(case, bytes);
    // Before a tool has set up its log the library prints by itself, and names its function.
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
    // The second line of `-V`: what was compiled in.
    if line.starts_with(['+', '-']) && line.contains("ZSTD") {
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
    // C's temporary files have times in their names.
    if let Some((before, after)) = line.split_once("renameat(") {
        let reason = after.rsplit_once("): ").map_or("", |(_, reason)| reason);
        line = format!("{before}renameat(…): {reason}");
    }
    // What a kernel answers whom it gives no right to load modules, or one without modules.
    let line = line.replace("Function not implemented", "(refused)").replace("Operation not permitted", "(refused)");
    Some(addresses(&line))
}

/// `0x55d0c0ffee` in a message, as `ctx=…`.
fn addresses(line: &str) -> String {
    match line.split_once("ctx=0x") {
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("{before}ctx=…{rest}")
        }
        None => line.to_owned(),
    }
}

/// Our messages may say more than C's, behind its text: ` (…)` or `: …`. Such a line counts as C's.
pub fn without_detail(theirs: &[String], ours: Vec<String>) -> Vec<String> {
    // A backslash in a name is doubled in ours, since other bytes are told by one.
    let theirs: Vec<String> = theirs.to_vec();
    let plain = |line: String| {
        let single = line.replace("\\\\", "\\");
        if let Some(c) = theirs.iter().find(|c| c.replace("\\\\", "\\") == single) {
            return c.clone();
        }
        let tells_more = |c: &&String| {
            line.strip_prefix(c.as_str()).is_some_and(|rest| rest.starts_with(" (") || rest.starts_with(": "))
        };
        theirs.iter().find(tells_more).cloned().unwrap_or(line)
    };
    ours.into_iter().map(plain).collect()
}

/// A result without modules.weakdep, which kmod 33 brought: for comparisons with an older one.
pub fn before_weakdep(done: &Done) -> Done {
    let mut done = done.clone();
    done.files.retain(|(path, ..)| !path.ends_with(b"/modules.weakdep"));
    done
}
