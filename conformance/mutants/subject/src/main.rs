//! Faults in our own tools that the behaviours must catch: builds the tools with each, runs the behaviours that are expected
//! to fail, and prints which of them do. `ci/mutants-subject` runs this; docs/guide/mutants.md describes the tables.
//!
//! ```text
//! *.toml ─ edit ─▶ a copy of the sources ─ ci/setup ─▶ guest programs ─ kmodlab run ─▶ verdicts ─▶ the record
//! ```

mod edit;
mod record;
mod run;
mod table;

use clap::Parser;
use run::Runner;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "mutants-subject")]
struct Arguments {
    /// The directory of the runner
    #[arg(long)]
    work: PathBuf,
    /// Run this kmodlab
    #[arg(long)]
    kmodlab: PathBuf,
    /// Only this fault, such as guard#2, or this table, such as guard; repeatable
    #[arg(long)]
    fault: Vec<String>,
    /// Run N guests in parallel
    #[arg(long, default_value = "2")]
    jobs: String,
    /// Print the record of the last runs, and run nothing; faults that were not run here keep their results in this record
    #[arg(long)]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            eprintln!("mutants-subject: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out a command. The result is false if an expected behaviour did not fail.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let mut entries = table::read_all(&table::directory())?;
    let mistakes = table::mistakes(&entries);
    if !mistakes.is_empty() {
        return Err(mistakes.join("\n").into());
    }
    let runner = Runner::new(&arguments.work, &arguments.kmodlab, &arguments.jobs);
    if let Some(earlier) = &arguments.record {
        let earlier = std::fs::read_to_string(earlier).unwrap_or_default();
        let mut rows = Vec::new();
        for entry in &entries {
            rows.push((entry, runner.last(entry).or_else(|| record::earlier(&earlier, entry))));
        }
        print!("{}", record::record(&rows));
        return Ok(rows.iter().all(|(_, outcome)| outcome.as_ref().is_some_and(|outcome| outcome.is_caught())));
    }
    entries.retain(|entry| arguments.fault.is_empty() || arguments.fault.iter().any(|name| entry.is(name)));
    if entries.is_empty() {
        return Err("no such fault".into());
    }
    runner.prepare(&entries)?;
    let mut caught = true;
    for entry in &entries {
        let outcome = runner.fault(entry)?;
        eprintln!("{}: {outcome}", entry.id);
        caught &= outcome.is_caught();
    }
    Ok(caught)
}
