//! A self-contained HTML page: a matrix of behaviours and pairs, with filters, facts, and differences side by side.
//!
//! The page contains the JSON report and a script that displays it. Foreign text is embedded as JSON that cannot end its
//! element, and the script inserts it as text nodes only. The page's content security policy allows its own script and
//! style, by their hashes, and no requests.

use super::document::Report;
use super::format::{Format, InRuns};
use sha2::{Digest, Sha256};
use std::io;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/style.css");
const MODEL: &str = include_str!("html/model.js");
const VIEW: &str = include_str!("html/view.js");

/// The format.
pub(super) const HTML: Html = Html;

/// A self-contained HTML page.
pub(super) struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn in_runs(&self) -> InRuns {
        InRuns::File { help: "Write a self-contained HTML page", stdout: false }
    }

    fn conversion(&self) -> Option<&'static str> {
        Some("Convert a report to a self-contained HTML page")
    }

    fn render(&self, report: &Report, _parameter: Option<&str>) -> io::Result<Vec<u8>> {
        page(report)
    }
}

/// Returns the page for a report.
///
/// # Errors
/// An error from serialization.
fn page(report: &Report) -> io::Result<Vec<u8>> {
    let data = embedded(&serde_json::to_string(report)?);
    let script = format!("{MODEL}{VIEW}");
    let (style_hash, script_hash) = (source_hash(STYLE), source_hash(&script));
    let mut text = String::with_capacity(PAGE.len() + STYLE.len() + script.len() + data.len());
    // A single pass, so that inserted text is not searched for placeholders.
    let mut rest = PAGE;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, from)| Some((before, from.split_once("}}")?)))
    {
        text.push_str(before);
        text.push_str(match name {
            "style" => STYLE,
            "script" => &script,
            "style hash" => &style_hash,
            "script hash" => &script_hash,
            "data" => &data,
            other => return Err(io::Error::other(format!("unknown placeholder {other} in the page"))),
        });
        rest = after;
    }
    text.push_str(rest);
    Ok(text.into_bytes())
}

/// Escapes JSON so that it cannot end its HTML element, begin a comment, or contain characters that an editor hides. These
/// characters occur only in strings, where JSON allows escapes for them.
fn embedded(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && !matches!(c, '<' | '>' | '&' | '\x7f') {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Returns the name of a script or style in a content security policy: `sha256-` and the hash in base64.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::run::event::Event;

    fn sample_page(change: impl Fn(&mut crate::run::event::Row)) -> String {
        let mut report = Report::empty();
        for mut event in sample::events() {
            if let Event::Judged(row) = &mut event {
                change(row);
            }
            report.record(&event);
        }
        String::from_utf8(page(&report).unwrap()).unwrap()
    }

    fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
        text.split_once(from).unwrap().1.split_once(to).unwrap().0
    }

    #[test]
    fn hostile_text_stays_inside_the_data() {
        let hostile = "</script><script>alert(1)</script><!-- {{data}} {{script}} \u{202e}\u{2028}\u{1f600}\x01\"'&";
        let text = sample_page(|row| {
            row.subject = hostile.to_owned();
            row.kernel.name = hostile.to_owned();
            row.reason = Some(hostile.to_owned());
            row.console = vec![hostile.to_owned()];
        });
        assert_eq!(text.matches("<script").count(), 2);
        assert_eq!(text.matches("</script>").count(), 2);
        assert!(!text.contains("<!--"));
        let data = between(&text, "id=\"data\">", "</script>");
        assert!(data.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let again: Report = serde_json::from_str(data).unwrap();
        assert_eq!(again.results[0].subject, hostile);
    }

    #[test]
    fn the_policy_allows_exactly_the_script_and_the_style_of_the_page() {
        let text = sample_page(|_| ());
        let script = text.rsplit_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
        let style = between(&text, "<style>", "</style>");
        assert!(text.contains(&format!("script-src '{}'", source_hash(script))));
        assert!(text.contains(&format!("style-src '{}'", source_hash(style))));
    }

    #[test]
    fn the_page_makes_no_requests() {
        let text = sample_page(|_| ());
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "XMLHttp"] {
            assert!(!text.contains(word), "{word}");
        }
    }

    #[test]
    fn the_script_inserts_text_only_as_text() {
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "style="] {
            assert!(!MODEL.contains(word) && !VIEW.contains(word) && !PAGE.contains(word), "{word}");
        }
    }

    #[test]
    fn base64_matches_the_test_vectors_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
