//! Draws faults by rule: lists the lines of the functions in `sites.toml`, and changes each in every way of the rule.
//! docs/guide/mutants.md describes the rule.

use crate::source::{Line, definition, is_word, lines};
use crate::table::{Fault, LONGEST};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Lines above and below a request that belong to its site.
const NEAR: usize = 4;

/// Code that is not drawn: allocation and creation of processes, locking, accounting, debugging, boot and suspend.
const NOT_DRAWN: &[&str] = &[
    "pid < 0",
    "usermodehelper_disabled",
    "EBUSY",
    "FREEZ",
    "kmalloc",
    "kzalloc",
    "kstrdup",
    "GFP_",
    "ENOMEM",
    "kfree",
    "spin_lock",
    "spin_unlock",
    "mutex_",
    "rcu_",
    "_lock(",
    "_unlock(",
    "down_read",
    "up_read",
    "module_put",
    "module_get",
    "WARN_ON",
    "BUG_ON",
    "BUILD_BUG",
    "pr_debug",
    "trace_",
    "kmod_dup_",
    "nospec",
    "NL_SET_ERR_MSG",
    "helper_lock",
    "helper_unlock",
    "DECLARE_",
];
/// Of these, code whose result the next condition tests: that condition is not drawn either.
const ALLOCATION: &[&str] =
    &["kmalloc", "kzalloc", "kstrdup", "GFP_", "prepare_kernel_cred", "call_usermodehelper_setup("];

/// A group of sites in `sites.toml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Site {
    /// The kernels whose sources are drawn from.
    kernels: Vec<String>,
    file: String,
    function: String,
    /// Every N-th candidate is drawn, counted through all sites with the same N.
    #[serde(default = "one")]
    every: usize,
    /// Only lines near one with this text are candidates.
    near: Option<String>,
    /// The behaviours that are about this code.
    caught_by: Vec<String>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sites {
    site: Vec<Site>,
}

/// Returns the drawn faults of a kernel.
///
/// # Errors
/// A message if a source file cannot be read, or a function is missing.
pub fn draw(sites: &str, kernel: &str, source: &Path) -> Result<Vec<Fault>, String> {
    let sites: Sites = toml::from_str(sites).map_err(|error| format!("invalid sites: {error}"))?;
    let mut faults = Vec::new();
    // Candidates so far, for each distance. On one of the kernels the first is drawn, on the other the second.
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let first = usize::from(kernel != "6.1");
    for site in sites.site.iter().filter(|site| site.kernels.iter().any(|listed| listed == kernel)) {
        let path = source.join(&site.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        for fault in candidates(kernel, site, &text)? {
            let count = counts.entry(site.every).or_default();
            if *count % site.every == first % site.every {
                faults.push(fault);
            }
            *count += 1;
        }
    }
    Ok(faults)
}

/// Returns every fault of a site, in the order of the lines.
fn candidates(kernel: &str, site: &Site, text: &str) -> Result<Vec<Fault>, String> {
    let all = lines(text);
    let range = definition(&all, &site.function)
        .ok_or_else(|| format!("{} has no definition of {}", site.file, site.function))?;
    let drawn = drawn_lines(&all, &range, site.near.as_deref());
    let mut faults: Vec<Fault> = Vec::new();
    for at in drawn {
        for (span, new) in changes(&all[at], is_last_statement(&all, &range, at)) {
            let Some(place) = Place::of(&all, &range, at, &span) else { continue };
            let replacement = [place.prefix, &new, place.suffix].concat();
            let fault = Fault {
                kernel: kernel.to_owned(),
                file: site.file.clone(),
                function: site.function.clone(),
                after: place.after,
                pattern: [place.prefix, &all[at].text[span], place.suffix].concat(),
                replacement,
                caught_by: site.caught_by.clone(),
                struck: None,
                missed: None,
            };
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    Ok(faults)
}

/// Returns the lines of a definition that are drawn from.
fn drawn_lines(all: &[Line], range: &Range<usize>, near: Option<&str>) -> Vec<usize> {
    let requests: Vec<usize> = match near {
        Some(near) => range.clone().filter(|&at| all[at].text.contains(near)).collect(),
        None => Vec::new(),
    };
    let is_near = |at: usize| near.is_none() || requests.iter().any(|request| request.abs_diff(at) <= NEAR);
    let is_macro = all[range.start].text.starts_with("#define");
    let mut excluded: Vec<usize> = Vec::new();
    let mut disabled = false;
    for at in range.clone() {
        let code = all[at].code.trim();
        if is_macro || code.is_empty() || excluded.contains(&at) {
            continue;
        }
        let is_condition = code.starts_with("if (");
        if code.starts_with('#') {
            // The only option that these functions depend on and no fragment enables.
            disabled = code.contains("STATIC_USERMODEHELPER");
            excluded.push(at);
        } else if disabled
            || NOT_DRAWN.iter().any(|word| code.contains(word))
            || (is_condition && (follows_allocation(all, at) || decides_about_such_code(all, range, at)))
        {
            excluded.push(at);
            if is_condition {
                excluded.extend(body_of(all, range, at));
            }
        }
    }
    let head = (range.start..range.end).find(|&at| all[at].code.trim_end().ends_with('{')).unwrap_or(range.start);
    range.clone().filter(|&at| (is_macro || at > head) && !excluded.contains(&at) && is_near(at)).collect()
}

/// Whether one of the two lines of code above allocates: the statement can span lines.
fn follows_allocation(all: &[Line], at: usize) -> bool {
    let above = all[..at].iter().rev().filter(|line| line.is_code()).take(2);
    above.into_iter().any(|line| ALLOCATION.iter().any(|word| line.code.contains(word)))
}

/// Whether a condition decides about one statement, which is not drawn.
fn decides_about_such_code(all: &[Line], range: &Range<usize>, condition: usize) -> bool {
    let body = body_of(all, range, condition);
    body.len() == 1 && NOT_DRAWN.iter().any(|word| all[body[0]].code.contains(word))
}

/// Returns the lines that a condition decides about.
fn body_of(all: &[Line], range: &Range<usize>, condition: usize) -> Vec<usize> {
    let mut end = condition;
    while end < range.end && !all[end].code.trim_end().ends_with([')', '{', ';']) {
        end += 1;
    }
    if all[end].code.trim_end().ends_with('{') {
        let close = format!("{}}}", &all[condition].text[..indent(&all[condition])]);
        let last = (end + 1..range.end).find(|&at| all[at].text.starts_with(&close)).unwrap_or(end);
        (end + 1..last).collect()
    } else {
        (end + 1..range.end).find(|&at| all[at].is_code()).into_iter().collect()
    }
}

fn indent(line: &Line) -> usize {
    line.text.len() - line.text.trim_start().len()
}

/// Whether a line is the last statement of a function: its removal is not an early return.
fn is_last_statement(all: &[Line], range: &Range<usize>, at: usize) -> bool {
    (at + 1..range.end).find(|&next| all[next].is_code()).is_none_or(|next| next + 1 == range.end)
}

/// Returns the changes of a line: what to replace, and by what.
fn changes(line: &Line, is_last: bool) -> Vec<(Range<usize>, String)> {
    let mut changes = Vec::new();
    let code = &line.code;
    let trimmed = code.trim();
    let condition = condition(code);
    if let Some(range) = &condition {
        let text = &line.text[range.clone()];
        let negated = match text.strip_prefix('!') {
            Some(rest) if is_operand(rest) => rest.to_owned(),
            _ if is_operand(text) => format!("!{text}"),
            _ => format!("!({text})"),
        };
        changes.push((range.clone(), negated));
    }
    for (operator, other) in [("&&", "||"), ("||", "&&")] {
        changes.extend(code.match_indices(operator).map(|(at, _)| (at..at + 2, other.to_owned())));
    }
    for (operator, other) in [(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > ")] {
        changes.extend(code.match_indices(operator).map(|(at, found)| (at..at + found.len(), other.to_owned())));
    }
    for (operator, other) in [(" == ", " != "), (" != ", " == ")] {
        for (at, found) in code.match_indices(operator) {
            // For a condition that is one comparison, this is its negation.
            let whole = condition.as_ref().is_some_and(|range| {
                let text = &code[range.clone()];
                range.contains(&at) && !text.contains("&&") && !text.contains("||")
            });
            if !whole {
                changes.push((at..at + found.len(), other.to_owned()));
            }
        }
    }
    changes.extend(constants(code));
    for (at, _) in code.match_indices(" | ") {
        let rest = &code[at + 3..];
        let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        if length > 0 {
            changes.push((at..at + 3 + length, String::new()));
        }
    }
    if let Some((question, colon, end)) = ternary(code) {
        let (yes, no) = (&line.text[question + 3..colon], &line.text[colon + 3..end]);
        changes.push((question..end, format!(" ? {no} : {yes}")));
    }
    let start = indent(line);
    let jump = trimmed.ends_with(';') && (trimmed.starts_with("return") || trimmed.starts_with("goto "));
    if jump && !is_last {
        changes.push((start..start + trimmed.len(), ";".to_owned()));
    }
    for (at, _) in code.match_indices("-E") {
        let length = code[at + 1..].find(|character| !is_word(character)).unwrap_or(0);
        let name = &code[at + 1..at + 1 + length];
        if length > 2 && name.chars().all(|character| character.is_ascii_uppercase()) {
            changes.push((at + 1..at + 1 + length, if name == "EIO" { "EPERM" } else { "EIO" }.to_owned()));
        }
    }
    for range in &line.strings {
        let end = if line.text[..range.end].ends_with("\\n") { range.end - 2 } else { range.end };
        if !range.is_empty() {
            changes.push((end..end, "x".to_owned()));
        }
    }
    changes
}

/// Returns the condition of an `if` that starts and ends on the line.
fn condition(code: &str) -> Option<Range<usize>> {
    let start = code.find("if (")? + 4;
    let mut depth = 1;
    for (at, character) in code[start..].char_indices() {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(start..start + at);
        }
    }
    None
}

/// Whether `!` applies to the whole text.
fn is_operand(text: &str) -> bool {
    let name = text.find(|character: char| !is_word(character) && !"->.[]".contains(character)).unwrap_or(text.len());
    if name == text.len() {
        return !text.is_empty() && !text.contains(" - ");
    }
    // One call, such as `f(a, b)`.
    name > 0
        && text[name..].starts_with('(')
        && text.ends_with(')')
        && text[name + 1..text.len() - 1]
            .find(')')
            .is_none_or(|at| text[name + 1..].find('(').is_some_and(|open| open < at))
}

/// Returns the changes of the integer constants: one more, but 0 for 1. In an octal constant, which is a file mode, the bit
/// 02 is flipped.
fn constants(code: &str) -> Vec<(Range<usize>, String)> {
    let bytes = code.as_bytes();
    let mut changes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(char::from(bytes[at])) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_word(char::from(bytes[at])) {
            at += 1;
        }
        let word = &code[start..at];
        // A boundary is changed by its operator.
        if [" < ", " <= ", " > ", " >= "].iter().any(|operator| code[..start].ends_with(operator)) {
            continue;
        }
        let new = if word.len() > 1 && word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit()) {
            u32::from_str_radix(word, 8).ok().map(|mode| format!("{:0width$o}", mode ^ 2, width = word.len()))
        } else {
            word.parse::<u32>().ok().map(|number| if number == 1 { 0 } else { number + 1 }.to_string())
        };
        changes.extend(new.map(|new| (start..at, new)));
    }
    changes
}

/// Returns the places of ` ? `, ` : ` and the end of a conditional expression on the line.
fn ternary(code: &str) -> Option<(usize, usize, usize)> {
    let question = code.find(" ? ")?;
    let colon = question + 3 + code[question + 3..].find(" : ")?;
    let rest = &code[colon + 3..];
    let mut depth = 0;
    for (at, character) in rest.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' | ';' | ',' if depth == 0 => return Some((question, colon, colon + 3 + at)),
            _ => {}
        }
    }
    None
}

/// Where a change is: the text around it on its line that makes it findable.
struct Place<'a> {
    prefix: &'a str,
    suffix: &'a str,
    after: Option<String>,
}

impl<'a> Place<'a> {
    /// Returns the whole line, or as much of it around the change as fits into a pattern. If that is not the only one in
    /// the definition, the nearest earlier line that is.
    fn of(all: &'a [Line], range: &Range<usize>, at: usize, span: &Range<usize>) -> Option<Place<'a>> {
        let text = &all[at].text;
        let (mut start, mut end) = (indent(&all[at]), text.trim_end().len());
        while end - start > LONGEST && (start < span.start || end > span.end) {
            // Cut the longer side, at the end of a word.
            if end - span.end >= span.start - start {
                end = cut(text, span.end, end);
            } else {
                start = start + 1 + text[start + 1..span.start].find(' ').unwrap_or(span.start - start - 1);
            }
        }
        if end - start > LONGEST || start == end {
            return None;
        }
        let pattern = &text[start..end];
        let count = |pattern: &str| range.clone().map(|line| all[line].text.matches(pattern).count()).sum::<usize>();
        let after = if count(pattern) == 1 {
            None
        } else {
            let first = |line: usize| -> Option<String> {
                let whole = all[line].text.trim();
                let whole = if whole.len() > LONGEST { &whole[..cut(whole, 0, LONGEST)] } else { whole };
                (whole.len() > 3 && all[line].is_code() && count(whole) == 1).then(|| whole.to_owned())
            };
            let found = (range.start..at).rev().find_map(|line| Some((line, first(line)?)))?;
            // The pattern must not occur between.
            if (found.0 + 1..at).any(|line| all[line].text.contains(pattern))
                || all[found.0].text.contains(pattern)
                || text.find(pattern) != Some(start)
            {
                return None;
            }
            Some(found.1)
        };
        Some(Place { prefix: &text[start..span.start], suffix: &text[span.end..end], after })
    }
}

/// Returns the end of a shorter text: at the last space, or one byte less.
fn cut(text: &str, from: usize, end: usize) -> usize {
    let inner = text[from..end - 1].trim_end();
    from + inner.rfind(' ').map_or(end - 1 - from, |at| at.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(line: &str) -> String {
        let all = lines(line);
        let changes = changes(&all[0], false);
        let apply = |(range, new): &(Range<usize>, String)| [&line[..range.start], new, &line[range.end..]].concat();
        changes.iter().map(apply).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_line_is_changed_in_every_way_of_the_rule() {
        let lines = [
            "if (!path[0])",
            "return -ENOENT;",
            "if (ret >= LEN && !dev) {",
            "flags = A | B;",
            "run(wait ? UMH_WAIT : UMH_EXEC);",
            "argv[1] = \"-q\"; /* quiet */",
            ".mode = 0644,",
            "pr_warn(\"no fs\\n\");",
            "else if (f(a) == 0)",
        ];
        insta::assert_snapshot!(lines.map(|line| format!("{line}\n{}\n", changed(line))).join("\n"));
    }

    #[test]
    fn allocation_locking_and_debugging_are_not_drawn() {
        let text = "int f(void)\n{\n\tp = kmalloc(1, GFP_KERNEL);\n\tif (!p)\n\t\treturn -1;\n\tspin_lock(&lock);\n\tg(2);\n\tif (trace_x()) {\n\t\tg(3);\n\t}\n\treturn 0;\n}\n";
        let site = Site {
            kernels: vec![],
            file: "x.c".to_owned(),
            function: "f".to_owned(),
            every: 1,
            near: None,
            caught_by: vec![],
        };
        let faults = candidates("6.1", &site, text).unwrap();
        let edits: Vec<String> =
            faults.iter().map(|fault| format!("{} -> {}", fault.pattern, fault.replacement)).collect();
        assert_eq!(edits, ["g(2); -> g(3);", "return 0; -> return 1;"]);
    }
}
