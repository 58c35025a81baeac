//! A worker: generates, runs and judges cases in one root, and writes what it found to standard output.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::judge::Judge;
use super::plan::Plan;
use super::random::Random;
use super::shrink::shrink;
use super::{KINDS, Kind};
use crate::compare::Difference;
use crate::results;
use crate::sandbox::Sandbox;
use crate::setup::{OURS, Setup};

/// The messages: a difference as text; a reason and the number of its cases; at the end the numbers of cases, of commands, and
/// of cases in which C kmod did not end.
pub const DIFFERENCE: usize = 1;
pub const LISTED: usize = 2;
pub const END: usize = 3;

/// The most differences that a worker reports before it ends.
const ENOUGH: usize = 5;

/// Runs every case whose number modulo `workers` is `worker`. The arguments are those of `super::follow`.
pub fn main(root: &Path, arguments: &[String], setup: &Setup) -> Result<(), String> {
    let [seed, worker, workers, limit, kind] = arguments else { return Err("expected six arguments".into()) };
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let (seed, worker, workers) = (number(seed)?, number(worker)?, number(workers)?);
    let (cases, time) = match limit.split_once(' ') {
        Some(("cases", cases)) => (number(cases)?, Duration::MAX),
        Some((_, milliseconds)) => (u64::MAX, Duration::from_millis(number(milliseconds)?)),
        None => return Err(format!("invalid limit '{limit}'")),
    };
    let mut setup = setup.clone();
    // The parent may end at the first difference.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| error.to_string())?;
    setup.oracles.retain(|(name, _)| name == "34");
    let sandbox = Sandbox::reusable(&setup, root).map_err(|error| error.to_string())?;
    let kinds: Vec<&Kind> = KINDS.iter().filter(|(name, _)| kind.is_empty() || name == kind).collect();
    let began = Instant::now();
    let mut judge = Judge::new(&sandbox);
    let mut listed: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut run, mut commands, mut cut, mut differences) = (0, 0, 0, 0);
    let text = |error: io::Error| error.to_string();
    let mut out = io::stdout().lock();
    for case in (worker..cases).step_by(workers as usize) {
        if began.elapsed() >= time || differences == ENOUGH {
            break;
        }
        let (name, generate) = kinds[case as usize % kinds.len()];
        let plan = generate(&mut Random::of_number(seed, case));
        let verdict = judge.judge(&plan).map_err(|error| format!("case {case}: {error}\n{plan}"))?;
        run += 1;
        commands += plan.steps.len();
        cut += usize::from(verdict.is_cut);
        for reason in verdict.reasons {
            *listed.entry(reason).or_default() += 1;
        }
        if verdict.differences.is_empty() {
            continue;
        }
        differences += 1;
        let wanted = kind_of(&plan, &verdict.differences[0]);
        let differs = |plan: &Plan| {
            let verdict = judge.judge(plan);
            verdict
                .is_ok_and(|verdict| verdict.differences.iter().any(|difference| kind_of(plan, difference) == wanted))
        };
        let whole = std::env::var_os("KMOD_DIFFERENTIAL_WHOLE").is_some();
        let small = if whole { plan } else { shrink(plan, differs) };
        let report = report(&mut judge, &small).map_err(text)?;
        let text_of = format!("differential: case {case} ({name}) of seed {seed} differs; reduced:\n{small}{report}");
        results::number(DIFFERENCE, &mut out)
            .and_then(|()| results::bytes(text_of.as_bytes(), &mut out))
            .map_err(text)?;
        io::Write::flush(&mut out).map_err(text)?;
    }
    for (reason, cases) in listed {
        results::number(LISTED, &mut out).map_err(text)?;
        results::bytes(reason.as_bytes(), &mut out).map_err(text)?;
        results::number(cases as usize, &mut out).map_err(text)?;
    }
    [END, run, commands, cut].into_iter().try_for_each(|number| results::number(number, &mut out)).map_err(text)?;
    io::Write::flush(&mut out).map_err(text)
}

/// Returns the tool and the part of a difference, which are kept while a plan is reduced.
fn kind_of(plan: &Plan, (step, (part, _)): &(usize, Difference)) -> (Vec<u8>, String) {
    (plan.steps[*step].words.first().cloned().unwrap_or_default(), part.clone())
}

/// Returns the differences of a plan, and everything that both tools printed in the steps that differ.
fn report(judge: &mut Judge<'_>, plan: &Plan) -> io::Result<String> {
    let verdict = judge.judge(plan)?;
    let mut text = String::new();
    let mut shown = None;
    for (step, (part, lines)) in &verdict.differences {
        let label = plan.steps[*step].label();
        if shown != Some(step) {
            let _ = writeln!(text, "  {label}");
            for (tool, done) in [("34.2", &verdict.theirs[*step]), (OURS, &verdict.ours[*step])] {
                let _ = writeln!(text, "    {tool}: {}", done.end);
                for (name, bytes) in [("out", &done.out), ("err", &done.err), ("log", &done.syslog)] {
                    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                        let _ = writeln!(text, "      {name} {}", crate::compare::escaped(line));
                    }
                }
            }
            shown = Some(step);
        }
        let _ = writeln!(text, "    {part}:");
        for line in lines {
            let _ = writeln!(text, "      {line}");
        }
    }
    Ok(text)
}
