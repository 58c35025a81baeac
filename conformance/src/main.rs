//! The `kmodlab` command: parses the arguments and calls the library.

use clap::Parser;
use conformance::cli::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => ExitCode::from(cli::run(&args)),
        // Also `--help` and `--version`.
        Err(error) => {
            // If the standard streams are gone there is no other place for the message.
            let _ = error.print();
            ExitCode::from(cli::parse_code(&error, std::env::args_os()))
        }
    }
}
