//! A [`Page`] as a manual page, in the macros of man(7).

use super::{Block, Entry, Page, Tool};

/// The page; `tool` has what its [`Block::Options`] stands for.
#[must_use]
pub fn page(page: &Page, tool: Option<&Tool>) -> String {
    let mut out = format!(
        ".\\\" Written by kmodlab from the tables of its tools.\n.TH {} {} \"\" \"kmodlab {}\" \"Linux module tools\"\n",
        escape(&page.name.to_uppercase()),
        page.section,
        env!("CARGO_PKG_VERSION")
    );
    out += &format!(".SH NAME\n{} \\- {}\n", escape(page.name), text(page.about));
    out += ".SH SYNOPSIS\n";
    for (at, line) in page.synopsis.iter().enumerate() {
        let (name, rest) = line.split_once(' ').map_or((*line, ""), |(name, rest)| (name, rest));
        let break_before = if at == 0 { "" } else { ".br\n" };
        out += &format!("{break_before}\\fB{}\\fR {}\n", escape(name), escape(rest)).replace(" \n", "\n");
    }
    for section in page.sections {
        out += &format!(".SH {}\n", escape(section.title));
        for (at, block) in section.blocks.iter().enumerate() {
            // A section begins with a paragraph by itself.
            let paragraph = if at == 0 { "" } else { ".PP\n" };
            match block {
                Block::Text(words) => out += &format!("{paragraph}{}\n", text(words)),
                Block::Item(term, meaning) => out += &format!(".TP\n{}\n{}\n", text(term), text(meaning)),
                Block::Example(lines) => {
                    out += &format!("{paragraph}.nf\n.RS\n{}\n.RE\n.fi\n", lines_as_they_are(lines))
                }
                Block::Options => {
                    for (entry, more) in tool.into_iter().flat_map(described) {
                        out += &option(&entry, more);
                    }
                }
            }
        }
    }
    let others: Vec<_> = page.see_also.iter().map(|(name, n)| format!("\\fB{}\\fR({n})", escape(name))).collect();
    if !others.is_empty() {
        out += &format!(".SH SEE ALSO\n{}\n", others.join(", "));
    }
    out
}

fn described(tool: &Tool) -> impl Iterator<Item = (Entry, &'static str)> {
    let more = tool.more;
    (tool.options)().into_iter().map(move |entry| {
        let text = more.iter().find(|(long, _)| *long == entry.long).map_or("", |(_, text)| text);
        (entry, text)
    })
}

fn option(entry: &Entry, more: &str) -> String {
    let short = entry.short.map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
    let value = entry.value.map(|value| format!(" \\fI{value}\\fR")).unwrap_or_default();
    let mut line = entry.line();
    if let Some(first) = line.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut out = format!(".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{}.\n", escape(entry.long), text(&line));
    if !more.is_empty() {
        out += &format!("{}\n", text(more));
    }
    if !entry.old.is_empty() {
        let names: Vec<_> = entry.old.iter().map(|old| format!("\\fB\\-\\-{}\\fR", escape(old))).collect();
        out += &format!("Another name: {}.\n", names.join(", "));
    }
    out
}

/// A paragraph, with what stands between back quotes in bold, each sentence on a line of its own.
fn text(paragraph: &str) -> String {
    let marked: String = paragraph
        .split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { format!("\\fB{}\\fR", escape(part)) } else { escape(part) })
        .collect();
    marked.replace(". ", ".\n").lines().map(guard).collect::<Vec<_>>().join("\n")
}

fn lines_as_they_are(lines: &str) -> String {
    lines.lines().map(|line| guard(&escape(line))).collect::<Vec<_>>().join("\n")
}

/// A line that does not begin as a request does.
fn guard(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out += "\\e",
            '-' => out += "\\-",
            '~' => out += "\\(ti",
            '^' => out += "\\(ha",
            '`' => out += "\\(ga",
            '\'' => out += "\\(aq",
            other => out.push(other),
        }
    }
    out
}
