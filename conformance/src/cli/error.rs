//! A command that fails: the error, its exit code, and hints. The only place that prints an error.

use super::hint;
use crate::run::verdict::exit;
use crate::text::error_chain;
use std::io::{self, Write as _};

/// Why a command could not be carried out, and the exit code.
#[derive(Debug)]
pub struct CliError {
    pub(super) code: u8,
    pub(super) error: anyhow::Error,
    hints: Vec<String>,
}

impl CliError {
    /// Wrong usage, found before anything is built or booted.
    pub(super) fn usage(error: impl Into<anyhow::Error>) -> CliError {
        CliError::new(exit::USAGE, error)
    }

    /// A command that could not be carried out, or a result that is inconclusive.
    pub(super) fn inconclusive(error: impl Into<anyhow::Error>) -> CliError {
        CliError::new(exit::INCONCLUSIVE, error)
    }

    pub(super) fn new(code: u8, error: impl Into<anyhow::Error>) -> CliError {
        CliError { code, error: error.into(), hints: Vec::new() }
    }

    /// Changes the exit code.
    pub(super) fn with_code(self, code: u8) -> CliError {
        CliError { code, ..self }
    }

    /// Adds a line that says what to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    /// Returns the error and its causes on one line.
    pub(super) fn message(&self) -> String {
        error_chain(self.error.as_ref())
    }

    /// Returns what the user can do about it.
    pub(super) fn hints(&self, offline: bool) -> Vec<String> {
        self.hints.iter().cloned().chain(hint::of(self.error.as_ref(), offline)).collect()
    }

    /// Prints the error and its hints on standard error.
    pub(super) fn print(&self, offline: bool) {
        let hints: String = self.hints(offline).iter().map(|hint| format!("\nhint: {hint}")).collect();
        // If standard error is gone there is no other place for the message.
        let _ = writeln!(io::stderr(), "error: {}{hints}", self.message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_message_is_the_chain_of_causes() {
        let not_found = std::io::Error::from_raw_os_error(2);
        let error = Err::<(), _>(not_found).context("cannot read /x").context("cannot load the list").unwrap_err();
        let error = CliError::usage(error).hint("name another file");
        assert_eq!(error.message(), "cannot load the list: cannot read /x: No such file or directory");
        assert_eq!(error.hints(false), ["name another file"]);
    }
}
