//! The `kmodlab` command: parses its arguments and dispatches, nothing else.

use clap::Parser;
use conformance::cli::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Wrong arguments end here with status 2, `--help` and `--version` with 0.
    let args = Args::parse();
    ExitCode::from(cli::run(&args))
}
