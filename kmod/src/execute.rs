//! Executes plans through [`Kernel`]: with system calls ([`Linux`]) or in memory ([`ModelKernel`]).

mod error;
mod insert;
mod kernel;
pub mod linux;
mod load;
pub mod model;
pub mod reason;
mod remove;
#[cfg(test)]
mod testing;

pub use error::LoadError;
pub use insert::insert_file;
pub(crate) use kernel::SHELL;
pub use kernel::{CommandFailure, Force, Kernel, OpenError, State};
pub use linux::Linux;
pub use load::{LoadMode, load};
pub use model::ModelKernel;
pub use reason::Reason;
pub(crate) use remove::Disabled;
pub use remove::{RemovalError, RemovalMode, remove, unload};

/// Receives progress and warnings.
pub trait Report {
    /// An action that follows (or would follow, in a dry run), as the line that modprobe prints.
    fn action(&mut self, line: &[u8]);
    /// A failure that does not fail the request.
    fn ignored(&mut self, failure: &dyn std::fmt::Display);
    /// A module that is not removed, although that does not fail the request.
    fn not_removed(&mut self, failure: &RemovalError) {
        self.ignored(failure);
    }
    /// A masked module was skipped.
    fn masked(&mut self, text: &dyn std::fmt::Display);
}

/// Replaces every occurrence of a text.
fn replace(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + with.len());
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        if let Some(tail) = rest.strip_prefix(what) {
            out.extend_from_slice(with);
            rest = tail;
        } else {
            out.push(byte);
            rest = &rest[1..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_of_the_placeholder_is_replaced() {
        assert_eq!(replace(b"a $X $Xb", b"$X", b"1 2"), b"a 1 2 1 2b");
    }
}
