//! Behaviours of Linux module auto-loading: named, sourced statements with checks that run in a booted guest, their
//! verdicts, and the reports of a run. The `kmodlab` command is a thin layer on top of this library.
//!
//! ```text
//!   cli/         the arguments and commands of kmodlab
//!   bundle/      a machine that checks itself, without a host
//!   report/      consumes run::event: terminal, KTAP, JSON, JUnit, KCIDB, HTML; compares and merges reports
//!   run/         prepares kernels with subjects, runs the checks, judges them, emits events
//!   catalogue/   the behaviours: their entries and checks, one file per group, and how they are selected
//!   check/       what a check works with: lab, facts, helpers
//! ```
//!
//! Each room uses only rooms that are listed below it.

pub mod bundle;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod report;
pub mod run;
#[cfg(test)]
mod testing;
pub mod text;
