//! Random cases: compares our tools with C kmod 34.2 on generated configuration, command lines and trees, and shrinks each
//! difference to a case to paste into `cases/`.
//!
//! ```text
//!   random    numbers from a seed
//!   plan      a case as a small value, and as Rust source
//!   trees, config, cmdline, operands, depmod, removal, options    the kinds of cases
//!   known     recognises the differences that docs/reference/compatibility.md lists
//!   judge     runs a plan with both tools and returns the other differences
//!   shrink    makes a plan smaller while the difference remains
//!   worker    runs cases in one root, one after the other
//! ```
//!
//! The number of a case and the seed determine the case, whatever the number of workers. `KMOD_DIFFERENTIAL_WHOLE=1` prints
//! differences without shrinking them.

mod cmdline;
mod config;
mod depmod;
mod judge;
mod known;
mod operands;
mod options;
mod plan;
mod random;
mod removal;
mod shrink;
mod trees;
pub mod worker;

use std::collections::BTreeMap;
use std::env;
use std::io::{BufReader, Read};
use std::process::{ChildStdout, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub use random::Random;

use crate::results;
use crate::setup::Setup;
use crate::unshare;
use plan::Plan;

/// The seed of the run that is part of every run of the suite, and the number of its cases.
const FIXED: Request = Request { seed: 1, limit: Limit::Cases(120), kind: None, first: false };

/// A kind of cases.
type Kind = (&'static str, fn(&mut Random) -> Plan);

const KINDS: [Kind; 6] = [
    ("config", config::generate),
    ("cmdline", cmdline::generate),
    ("operands", operands::generate),
    ("depmod", depmod::generate),
    ("removal", removal::generate),
    ("options", options::generate),
];

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Cases(u64),
    Time(Duration),
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    seed: u64,
    limit: Limit,
    /// Only cases of this kind.
    kind: Option<String>,
    /// Whether to end at the first difference, which is then printed without shrinking it.
    first: bool,
}

impl Request {
    /// Parses `--random MINUTES`, `--seed N`, `--kind KIND` and `--first`. Returns `None` without `--random`.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let value = |option: &str| {
            let at = arguments.iter().position(|argument| argument == option);
            at.map(|at| arguments.get(at + 1).ok_or(format!("{option} requires a value"))).transpose()
        };
        let Some(minutes) = value("--random")? else { return Ok(None) };
        let parsed = minutes.parse().ok().and_then(|minutes: f64| Duration::try_from_secs_f64(minutes * 60.0).ok());
        let limit = Limit::Time(parsed.ok_or(format!("invalid number of minutes '{minutes}'"))?);
        let seed = match value("--seed")? {
            Some(seed) => seed.parse().map_err(|_| format!("invalid seed '{seed}'"))?,
            None => std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u64 % 1_000_000_000),
        };
        let kind = value("--kind")?.cloned();
        let first = arguments.iter().any(|argument| argument == "--first");
        match &kind {
            Some(kind) if KINDS.iter().all(|(name, _)| name != kind) => {
                let names = KINDS.map(|(name, _)| name).join(", ");
                Err(format!("invalid kind '{kind}' (expected one of {names})"))
            }
            _ => Ok(Some(Self { seed, limit, kind, first })),
        }
    }
}

/// What the workers have done.
#[derive(Debug, Default)]
struct Total {
    cases: u64,
    commands: u64,
    /// The number of cases in which C kmod did not end.
    cut: u64,
    differences: u64,
    /// The number of cases in which each listed difference occurred.
    listed: BTreeMap<String, u64>,
    errors: Vec<String>,
}

/// Runs a fixed number of cases with a fixed seed.
pub fn check(setup: &Setup) -> ExitCode {
    run(&FIXED, setup)
}

/// Runs random cases and prints the differences that are not listed.
pub fn run(request: &Request, setup: &Setup) -> ExitCode {
    if !setup.oracles.iter().any(|(name, _)| name == "34") {
        eprintln!("differential: random cases are skipped: C kmod 34.2 is not available");
        return ExitCode::SUCCESS;
    }
    println!("differential: random cases with seed {}", request.seed);
    let began = Instant::now();
    let total = Mutex::new(Total::default());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let total = &total;
            scope.spawn(move || {
                if let Err(error) = follow(request, worker, workers, total) {
                    total.lock().unwrap().errors.push(format!("worker {worker}: {error}"));
                }
            });
        }
    });
    let mut total = total.into_inner().unwrap();
    total.errors.extend(crate::verdict::unexplained(known::reasons()));
    for error in &total.errors {
        println!("differential: {error}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "differential: seed {}: {} random cases, {} commands in {seconds:.0} s ({:.0} cases per minute); {} differences are not listed",
        request.seed,
        total.cases,
        total.commands,
        total.cases as f64 * 60.0 / seconds,
        total.differences,
    );
    if total.cut > 0 {
        println!("differential: C kmod did not end in {} cases, which were compared up to there", total.cut);
    }
    if request.limit != FIXED.limit {
        for (reason, cases) in &total.listed {
            println!("  {cases:6} cases: {reason}");
        }
    }
    if total.errors.is_empty() && total.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts a worker in its own namespaces and reads its messages.
fn follow(request: &Request, worker: usize, workers: usize, total: &Mutex<Total>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let began = Instant::now();
    let root = tempfile::tempdir().map_err(text)?;
    let mut command = unshare();
    command.arg(env::current_exe().map_err(text)?).arg("--random-worker").arg(root.path());
    let limit = match request.limit {
        Limit::Cases(cases) => format!("cases {cases}"),
        Limit::Time(time) => format!("milliseconds {}", time.as_millis()),
    };
    command.args([request.seed.to_string(), worker.to_string(), workers.to_string(), limit]);
    command.arg(request.kind.as_deref().unwrap_or_default());
    if request.first {
        command.env("KMOD_DIFFERENTIAL_WHOLE", "1");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(text)?;
    let mut messages = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let read = read_messages(&mut messages, total, |text| {
        if request.first {
            println!("{text}differential: seed {}: ended after {:.1} s", request.seed, began.elapsed().as_secs_f64());
            // The workers end with this process.
            std::process::exit(1);
        }
    });
    let mut errors = String::new();
    child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut errors)).transpose().map_err(text)?;
    match child.wait().map_err(text)?.success() {
        true => read.map_err(text),
        false => Err(errors.trim().to_owned()),
    }
}

fn read_messages(
    messages: &mut BufReader<ChildStdout>,
    total: &Mutex<Total>,
    at_difference: impl Fn(&str),
) -> std::io::Result<()> {
    loop {
        match results::take_number(messages)? {
            worker::DIFFERENCE => {
                let text = results::take_text(messages)?;
                let mut total = total.lock().unwrap();
                total.differences += 1;
                at_difference(&text);
                println!("{text}");
            }
            worker::LISTED => {
                let reason = results::take_text(messages)?;
                let cases = results::take_number(messages)? as u64;
                *total.lock().unwrap().listed.entry(reason).or_default() += cases;
            }
            _ => {
                let (cases, commands) = (results::take_number(messages)?, results::take_number(messages)?);
                let cut = results::take_number(messages)?;
                let mut total = total.lock().unwrap();
                total.cases += cases as u64;
                total.commands += commands as u64;
                total.cut += cut as u64;
                return Ok(());
            }
        }
    }
}
