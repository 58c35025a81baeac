//! Faults in the kernel that the behaviours must catch: draws them, builds a kernel with each, runs the behaviours on it, and
//! records which of them fail. `ci/mutants-kernel` runs this; docs/guide/mutants.md describes the rule and the tables.
//!
//! ```text
//! sites.toml ─ draw ─▶ drawn/*.toml ┐
//!                    planted/*.toml ┴─ build ─▶ images ─ run ─▶ results ─ record ─▶ docs/records/mutants-kernel.md
//! ```

mod build;
mod draw;
mod edit;
mod quick;
mod record;
mod run;
mod source;
mod table;
mod work;

use build::Built;
use clap::{Args, Parser, Subcommand};
use run::{Extent, Outcome, Runner};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use table::{Entry, Fault, Origin};
use work::Kernel;

#[derive(Parser)]
#[command(name = "mutants-kernel")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the faults that the rule draws from a source tree, as a table
    Draw {
        /// Draw for this kernel
        #[arg(long)]
        kernel: String,
        /// Read the sources in this directory
        #[arg(long)]
        source: PathBuf,
        /// Compare with the table instead of printing
        #[arg(long)]
        check: bool,
    },
    /// Print the kernels that have a selected fault
    Kernels {
        #[command(flatten)]
        select: Select,
    },
    /// Build a kernel with each fault
    Build {
        #[command(flatten)]
        select: Select,
        /// Run N compiler processes in parallel
        #[arg(long, default_value = "1")]
        jobs: String,
    },
    /// Run the behaviours on each kernel
    Run {
        #[command(flatten)]
        select: Select,
        /// Run this kmodlab
        #[arg(long)]
        kmodlab: PathBuf,
        /// Run N guests in parallel
        #[arg(long, default_value = "2")]
        jobs: String,
        /// Keep the results of faults that an expected behaviour caught
        #[arg(long)]
        again: bool,
        /// Run all behaviours on each fault
        #[arg(long, conflicts_with = "again")]
        all: bool,
    },
    /// Print the record of the last runs
    Record {
        /// The directory of the runner
        #[arg(long)]
        work: PathBuf,
    },
}

/// Which faults.
#[derive(Args)]
struct Select {
    /// The directory of the runner
    #[arg(long)]
    work: PathBuf,
    /// Only this fault, such as linux-6.1#12, or this table; repeatable
    #[arg(long)]
    fault: Vec<String>,
    /// Only the faults of this kernel
    #[arg(long)]
    kernel: Option<String>,
    /// Only every N-th fault, from K; K counts from 0
    #[arg(long, default_value = "0/1")]
    shard: String,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            eprintln!("mutants-kernel: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out a command. The result is false if it found something to fix.
fn run(command: Command) -> Result<bool, Box<dyn Error>> {
    match command {
        Command::Draw { kernel, source, check } => {
            let faults = draw::draw(include_str!("sites.toml"), &kernel, &source)?;
            if check {
                return Ok(is_drawn(&kernel, &faults)?);
            }
            print!("{}", table::render(&faults));
            Ok(true)
        }
        Command::Kernels { select } => {
            for (name, _) in select.faults()? {
                println!("{name}");
            }
            Ok(true)
        }
        Command::Build { select, jobs } => {
            let mut compiles = true;
            for (kernel, entries) in select.entries()? {
                for entry in &entries {
                    let started = std::time::Instant::now();
                    let built = build::build(&kernel, entry, &jobs)?;
                    eprintln!("{}: {built:?}, {} s", entry.id, started.elapsed().as_secs());
                    compiles &= built != Built::Error;
                }
            }
            Ok(compiles)
        }
        Command::Run { select, kmodlab, jobs, again, all } => {
            let extent = match (again, all) {
                (true, _) => Extent::Again,
                (_, true) => Extent::All,
                _ => Extent::First,
            };
            let runner = Runner::new(kmodlab, &select.work, jobs)?;
            for (kernel, entries) in select.entries()? {
                let base = runner.base(&kernel)?;
                for entry in entries.iter().filter(|entry| entry.fault.struck.is_none()) {
                    eprintln!("{}: {:?}", entry.id, runner.fault(&kernel, &base, entry, extent)?);
                }
            }
            Ok(true)
        }
        Command::Record { work } => {
            let select = Select { work, fault: Vec::new(), kernel: None, shard: "0/1".to_owned() };
            let mut rows = Vec::new();
            let all = select.faults()?;
            for (name, entries) in &all {
                // A kernel that has not been built has no results.
                let kernel = Kernel::open(&select.work, name).ok();
                let base = kernel.as_ref().and_then(run::last_base).unwrap_or_default();
                for entry in entries {
                    let known = kernel.as_ref().map(|kernel| run::outcome(kernel, &base, entry)).transpose()?;
                    rows.push((entry, known.unwrap_or(Outcome::NotRun)));
                }
            }
            let (text, open) = record::record(&rows);
            print!("{text}");
            for id in &open.unexplained {
                eprintln!("{id}: neither caught by an expected behaviour nor explained");
            }
            eprintln!("{} faults have no result", open.not_run);
            Ok(open == record::Open::default())
        }
    }
}

/// Whether a table contains exactly the drawn faults. Prints the differences.
fn is_drawn(kernel: &str, drawn: &[Fault]) -> Result<bool, String> {
    let change = |fault: &Fault| {
        [&fault.file, &fault.function, fault.after.as_deref().unwrap_or(""), &fault.pattern, &fault.replacement]
            .map(str::to_owned)
    };
    let drawn: Vec<_> = drawn.iter().map(change).collect();
    let entries = table::read_all(&table::directory())?;
    let listed = entries.iter().filter(|entry| entry.origin == Origin::Drawn && entry.fault.kernel == kernel);
    let listed: Vec<_> = listed.map(|entry| change(&entry.fault)).collect();
    for missing in drawn.iter().filter(|fault| !listed.contains(fault)) {
        eprintln!("not in the table: {missing:?}");
    }
    for extra in listed.iter().filter(|fault| !drawn.contains(fault)) {
        eprintln!("not drawn by the rule: {extra:?}");
    }
    Ok(drawn == listed)
}

/// Faults by the name of their kernel.
type ByName = Vec<(&'static str, Vec<Entry>)>;

/// Faults by kernel.
type ByKernel = Vec<(Kernel, Vec<Entry>)>;

impl Select {
    /// Returns the selected faults by kernel.
    fn entries(&self) -> Result<ByKernel, Box<dyn Error>> {
        let opened = |(name, faults)| Ok((Kernel::open(&self.work, name)?, faults));
        self.faults()?.into_iter().map(opened).collect()
    }

    /// Returns the selected faults by the name of their kernel.
    fn faults(&self) -> Result<ByName, Box<dyn Error>> {
        let part = self.shard.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        let (part, of): (usize, usize) =
            part.filter(|(part, of)| part < of).ok_or("invalid --shard (expected K/N, e.g. 0/4)")?;
        let mut entries = table::read_all(&table::directory())?;
        let is_selected = |entry: &Entry| {
            let table = entry.id.split('#').next().unwrap_or_default();
            self.fault.is_empty() || self.fault.iter().any(|name| *name == entry.id || name == table)
        };
        entries.retain(is_selected);
        if entries.is_empty() {
            return Err("no such fault".into());
        }
        let mistakes = table::mistakes(&entries);
        if !mistakes.is_empty() {
            return Err(mistakes.join("\n").into());
        }
        let mut selected = Vec::new();
        for name in ["6.1", "7.3"] {
            let faults = entries.iter().filter(|entry| entry.fault.kernel == name).cloned();
            let faults: Vec<Entry> = faults.skip(part).step_by(of).collect();
            if !faults.is_empty() && self.kernel.as_ref().is_none_or(|kernel| kernel == name) {
                selected.push((name, faults));
            }
        }
        Ok(selected)
    }
}
