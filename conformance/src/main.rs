//! The `kmodlab` command: parses its arguments and dispatches, nothing else.

use clap::Parser;
use conformance::cli::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => ExitCode::from(cli::run(&args)),
        // Wrong arguments end here with status 2, `--help` and `--version` with 0.
        Err(error) => {
            // Nobody to tell if there is no standard error.
            let _ = error.print();
            ExitCode::from(cli::parse_code(&error, std::env::args_os()))
        }
    }
}
