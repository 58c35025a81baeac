//! Console findings that are not failures: known problems of certain kernels, each with a reason. Pure.
//!
//! ```toml
//! [[finding]]
//! releases = "6.1.*"                  # a glob on `uname -r`
//! kind = "warning"                    # as in reports
//! title = "WARNING: CPU: * at drivers/base/*"
//! reason = "why it is ignored, and where that is discussed"
//! ```
//!
//! Each report shows the entries that were used. An unused entry is not an error.

use harness::Kind;
use kmod::name::fnmatch;
use serde::Deserialize;

/// A list of allowed findings, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedFindings {
    #[serde(default, rename = "finding")]
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    releases: String,
    kind: Kind,
    title: String,
    reason: String,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AllowedFindingsError {
    /// The file is not TOML, or has unknown fields.
    #[error("invalid list of allowed findings in {file}")]
    Toml {
        /// The file.
        file: String,
        /// The error, with the line.
        source: Box<toml::de::Error>,
    },
    /// An entry has no reason, or matches every finding.
    #[error("invalid entry '{title}' in {file}: {what}")]
    Entry {
        /// The file.
        file: String,
        /// The title of the entry.
        title: String,
        /// The error.
        what: &'static str,
    },
}

impl AllowedFindings {
    /// Returns the built-in list.
    ///
    /// # Errors
    /// [`AllowedFindingsError`] if it is invalid, which a test excludes.
    pub fn builtin() -> Result<AllowedFindings, AllowedFindingsError> {
        Self::parse("allowed-findings.toml", include_str!("../../allowed-findings.toml"))
    }

    /// Parses a list; `file` is for messages.
    ///
    /// # Errors
    /// [`AllowedFindingsError`] for an invalid list.
    pub fn parse(file: &str, text: &str) -> Result<AllowedFindings, AllowedFindingsError> {
        let list: AllowedFindings = toml::from_str(text)
            .map_err(|source| AllowedFindingsError::Toml { file: file.to_owned(), source: Box::new(source) })?;
        for entry in &list.entries {
            let what = match entry {
                entry if entry.reason.trim().is_empty() => "it has no reason",
                entry if entry.title.trim_matches('*').is_empty() => "its title matches everything",
                _ => continue,
            };
            return Err(AllowedFindingsError::Entry { file: file.to_owned(), title: entry.title.clone(), what });
        }
        Ok(list)
    }

    /// Joins two lists; the first entry that matches a finding gives the reason.
    #[must_use]
    pub fn and(mut self, other: AllowedFindings) -> AllowedFindings {
        self.entries.extend(other.entries);
        self
    }

    /// Returns why a finding is ignored on this kernel; `None` if it counts.
    #[must_use]
    pub fn reason(&self, release: &str, kind: Kind, title: &str) -> Option<&str> {
        let matches = |entry: &&Entry| {
            entry.kind == kind
                && fnmatch(entry.releases.as_bytes(), release.as_bytes())
                && fnmatch(entry.title.as_bytes(), title.as_bytes())
        };
        self.entries.iter().find(matches).map(|entry| entry.reason.as_str())
    }
}

impl AllowedFindings {
    /// Returns the reason why a finding of the console monitor does not count on this kernel.
    #[must_use]
    pub fn reason_for(&self, release: &str, finding: &harness::Finding) -> Option<&str> {
        self.reason(release, finding.kind, &finding.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::error_chain;

    const LIST: &str = r#"
[[finding]]
releases = "6.1.*"
kind = "warning"
title = "WARNING: CPU: * at drivers/base/*"
reason = "seen since 6.0, harmless"
"#;

    #[test]
    fn an_entry_matches_its_releases_kind_and_title_only() {
        let list = AllowedFindings::builtin().unwrap().and(AllowedFindings::parse("x", LIST).unwrap());
        let title = "WARNING: CPU: 0 PID: 1 at drivers/base/core.c:10 device_del+0x1/0x2";
        let reason = |release, kind, title| list.reason(release, kind, title);
        assert_eq!(reason("6.1.0-56-amd64", Kind::Warning, title), Some("seen since 6.0, harmless"));
        assert_eq!(reason("6.12.1", Kind::Warning, title), None);
        assert_eq!(reason("6.1.0-56-amd64", Kind::Oops, title), None);
        assert_eq!(reason("6.1.0-56-amd64", Kind::Warning, "WARNING: CPU: 0 PID: 1 at kernel/fork.c:1"), None);
    }

    #[test]
    fn an_entry_without_a_reason_or_for_every_finding_is_invalid() {
        let error = |text: &str| error_chain(&AllowedFindings::parse("a.toml", text).unwrap_err());
        assert_eq!(
            error(&LIST.replace("seen since 6.0, harmless", " ")),
            "invalid entry 'WARNING: CPU: * at drivers/base/*' in a.toml: it has no reason"
        );
        assert!(
            error(&LIST.replace("WARNING: CPU: * at drivers/base/*", "*")).contains("its title matches everything")
        );
        let unknown = error(&LIST.replace("\"warning\"", "\"lockup\""));
        assert!(unknown.contains("line 4") && unknown.contains("unknown variant `lockup`"), "{unknown}");
        assert!(error("[[finding]]\nkind = 1\n").contains("line 2"), "{}", error("[[finding]]\nkind = 1\n"));
    }
}
