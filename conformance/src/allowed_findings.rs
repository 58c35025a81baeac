//! Findings on a console that are no failure: known troubles of certain kernels, each with its reason. Pure.
//!
//! ```toml
//! [[finding]]
//! releases = "6.1.*"                  # a glob on `uname -r`
//! kind = "warning"                    # as reports call it
//! title = "WARNING: CPU: * at drivers/base/*"
//! reason = "why it does not count, and where that is discussed"
//! ```
//!
//! An entry that is used is told in every report; one that is not is no error.

use kmod::name::fnmatch;
use serde::Deserialize;

/// The entries of a list, in their order.
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
    kind: String,
    title: String,
    reason: String,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AllowedFindingsError {
    /// It is no TOML, or has other fields.
    #[error("{file}: {source}")]
    Toml {
        /// The file.
        file: String,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// An exception that gives no reason, or holds for every finding of every kernel.
    #[error("{file}: the finding '{title}': {what}")]
    Entry {
        /// The file.
        file: String,
        /// Its title.
        title: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl AllowedFindings {
    /// The list that comes with kmodlab.
    ///
    /// # Errors
    /// [`AllowedFindingsError`] if it is broken; a test holds that it is not.
    pub fn builtin() -> Result<AllowedFindings, AllowedFindingsError> {
        Self::parse("allowed-findings.toml", include_str!("../allowed-findings.toml"))
    }

    /// A list's text; `file` is for messages.
    ///
    /// # Errors
    /// [`AllowedFindingsError`] for what is no list.
    pub fn parse(file: &str, text: &str) -> Result<AllowedFindings, AllowedFindingsError> {
        let list: AllowedFindings = toml::from_str(text)
            .map_err(|source| AllowedFindingsError::Toml { file: file.to_owned(), source: Box::new(source) })?;
        for entry in &list.entries {
            let what = match entry {
                entry if entry.reason.trim().is_empty() => "it gives no reason",
                entry if entry.title.trim_matches('*').is_empty() => "its title matches everything",
                _ => continue,
            };
            return Err(AllowedFindingsError::Entry { file: file.to_owned(), title: entry.title.clone(), what });
        }
        Ok(list)
    }

    /// Both lists; the first entry that matches gives the reason.
    #[must_use]
    pub fn and(mut self, other: AllowedFindings) -> AllowedFindings {
        self.entries.extend(other.entries);
        self
    }

    /// Why a finding does not count on this kernel, if it does not.
    #[must_use]
    pub fn reason(&self, release: &str, kind: &str, title: &str) -> Option<&str> {
        let fits = |entry: &&Entry| {
            entry.kind == kind
                && fnmatch(entry.releases.as_bytes(), release.as_bytes())
                && fnmatch(entry.title.as_bytes(), title.as_bytes())
        };
        self.entries.iter().find(fits).map(|entry| entry.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
[[finding]]
releases = "6.1.*"
kind = "warning"
title = "WARNING: CPU: * at drivers/base/*"
reason = "seen since 6.0, harmless"
"#;

    #[test]
    fn an_entry_holds_for_its_kernels_its_kind_and_its_title_alone() {
        let list = AllowedFindings::builtin().unwrap().and(AllowedFindings::parse("x", LIST).unwrap());
        let title = "WARNING: CPU: 0 PID: 1 at drivers/base/core.c:10 device_del+0x1/0x2";
        let reason = |release, kind, title| list.reason(release, kind, title);
        assert_eq!(reason("6.1.0-56-amd64", "warning", title), Some("seen since 6.0, harmless"));
        assert_eq!(reason("6.12.1", "warning", title), None);
        assert_eq!(reason("6.1.0-56-amd64", "oops", title), None);
        assert_eq!(reason("6.1.0-56-amd64", "warning", "WARNING: CPU: 0 PID: 1 at kernel/fork.c:1"), None);
    }

    #[test]
    fn an_entry_without_a_reason_or_for_everything_is_refused() {
        let error = |text: &str| AllowedFindings::parse("a.toml", text).unwrap_err().to_string();
        assert_eq!(
            error(&LIST.replace("seen since 6.0, harmless", " ")),
            "a.toml: the finding 'WARNING: CPU: * at drivers/base/*': it gives no reason"
        );
        assert!(
            error(&LIST.replace("WARNING: CPU: * at drivers/base/*", "*")).contains("its title matches everything")
        );
        assert!(error("[[finding]]\nkind = 1\n").contains("line 2"), "{}", error("[[finding]]\nkind = 1\n"));
    }
}
