//! The request core (`kmod/request`) against a kernel: generated sequences of requests, path switches and kills run in a
//! guest and in the core, and must give the same helpers, results, times and messages.
//!
//! By default 20 sequences run on the default kernel. `KMODLAB_MODEL_KERNELS=6.1,7.3` selects others,
//! `KMODLAB_MODEL_SEQUENCES=500` more, and `KMODLAB_MODEL_SEED=7` their seed.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod kept;
mod kernel;
mod predict;
mod sequence;
#[path = "../support/mod.rs"]
mod support;

use conformance::catalogue::entry::{Check, Entry};
use conformance::check::fact::List;
use conformance::check::lab::{Lab, LabError};
use conformance::run::verdict::Verdict;
use request::{OverLimit, Policy};
use sequence::Sequence;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::lab::{Setup, entry, run};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// How many sequences run in one guest.
const IN_A_GUEST: u64 = 5;

const PART: Entry =
    entry("tool.model", "the request core and the kernel agree on generated sequences of requests", check);

const KEPT: Entry =
    entry("tool.model-kept", "the request core and the kernel agree on the sequences that are kept", check_kept);

/// The next guest takes the next sequences.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The policy of the kernel under test.
static POLICY: Mutex<Policy> = Mutex::new(Policy::new(OverLimit::Wait));

fn policy() -> Policy {
    *POLICY.lock().unwrap()
}

fn check(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let first = NEXT.fetch_add(IN_A_GUEST, Ordering::SeqCst);
    let seed = setting("KMODLAB_MODEL_SEED", 1);
    for number in first..first + IN_A_GUEST {
        let sequence = Sequence::generate(seed.wrapping_mul(1_000_000).wrapping_add(number), policy());
        compare(lab, &format!("sequence {number} of seed {seed}"), sequence)?;
    }
    Ok(())
}

fn check_kept(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    for (about, sequence) in kept::kept() {
        compare(lab, about, sequence)?;
    }
    Ok(())
}

fn compare(lab: &mut Lab<'_>, name: &str, sequence: Sequence) -> Result<(), LabError> {
    let mut found = differences(lab, &sequence)?;
    let mut name = name.to_owned();
    if !found.is_empty() {
        let smaller = shrink(lab, sequence)?;
        found = differences(lab, &smaller)?;
        name = format!("{name}, reduced to {smaller:?}");
    }
    lab.expect(&name, List(found), List::<&str>(vec![]));
    Ok(())
}

/// The differences between what the core predicts and what the kernel does.
fn differences(lab: &mut Lab<'_>, sequence: &Sequence) -> Result<Vec<String>, LabError> {
    // A kernel that merges requests remembers the names of earlier sequences.
    static RUN: AtomicU64 = AtomicU64::new(0);
    let run = RUN.fetch_add(1, Ordering::SeqCst);
    let predicted = predict::predict(sequence, policy(), run);
    Ok(predicted.differences(&kernel::observe(lab, sequence, run)?, sequence))
}

/// Removes steps as long as the core and the kernel still disagree.
fn shrink(lab: &mut Lab<'_>, sequence: Sequence) -> Result<Sequence, LabError> {
    let mut smallest = sequence;
    let mut at = 0;
    while at < smallest.steps.len() {
        let mut smaller = smallest.clone();
        smaller.steps.remove(at);
        if smaller.is_certain(policy()) && !differences(lab, &smaller)?.is_empty() {
            smallest = smaller;
        } else {
            at += 1;
        }
    }
    Ok(smallest)
}

/// The policy of a kernel, by its release and its configuration.
fn policy_of(kernel: &str) -> Policy {
    let kernel = support::lab::kernel(kernel);
    let release = kernel.release.to_string();
    let mut numbers = release.split(['.', '-', '+']).map(|number| number.parse().unwrap_or_default());
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let policy = Policy::of_kernel(major, minor);
    let facts = kernel.facts(&support::lab::cache()).unwrap();
    let merges = facts.config("MODULE_DEBUG_AUTOLOAD_DUPS") == Some("y");
    if merges { policy.with_merging() } else { policy }
}

#[test]
fn the_core_and_the_kernel_agree() {
    if !support::vm_or_skip() {
        return;
    }
    let count = setting("KMODLAB_MODEL_SEQUENCES", 20);
    let kernels = std::env::var("KMODLAB_MODEL_KERNELS").unwrap_or_else(|_| "default".to_owned());
    for kernel in kernels.split(',') {
        NEXT.store(0, Ordering::SeqCst);
        *POLICY.lock().unwrap() = policy_of(kernel);
        let guests = count.div_ceil(IN_A_GUEST);
        let setup = Setup { kernel, mark: "kmodlab.model", limit: Duration::from_secs(1200), ..Setup::default() };
        let behaviours: Vec<&'static Entry> = [&KEPT].into_iter().chain((0..guests).map(|_| &PART)).collect();
        let rows = run(behaviours, &setup);
        let (mut compared, mut failed) = (0, 0);
        for row in &rows {
            for fact in row.facts.iter().filter(|fact| !fact.holds) {
                eprintln!("{kernel}: {}\n  {}", fact.name, fact.got);
            }
            assert!(matches!(row.verdict, Verdict::Pass | Verdict::Fail), "{kernel}: {:?}", row.reason);
            failed += usize::from(row.verdict == Verdict::Fail);
            compared += row.facts.len();
        }
        eprintln!("{kernel}: {compared} sequences");
        assert_eq!(failed, 0, "{kernel}: the core and the kernel disagree");
        assert_eq!(compared as u64, guests * IN_A_GUEST + kept::kept().len() as u64);
    }
}

#[test]
fn every_kept_sequence_has_one_outcome() {
    let waits = Policy::new(OverLimit::Wait);
    for policy in [Policy::new(OverLimit::WaitKillable), waits, waits.with_merging()] {
        for (about, sequence) in kept::kept() {
            assert!(sequence.is_certain(policy), "{about}, {policy:?}");
        }
    }
}

#[test]
fn generated_sequences_merge_requests_in_every_way() {
    let policy = Policy::new(OverLimit::Wait).with_merging();
    let outcomes: Vec<predict::Outcome> =
        (0..200).map(|seed| predict::predict(&Sequence::generate(seed, policy), policy, 0)).collect();
    let with = |found: fn(&predict::Outcome) -> bool| outcomes.iter().filter(|outcome| found(outcome)).count();
    let merged = with(|outcome| outcome.messages.iter().any(|message| message.contains("duplicate request")));
    let failed = with(|outcome| outcome.ends.iter().any(|end| end.fate == predict::Fate::Errno(512)));
    let refused = with(|outcome| outcome.ends.iter().any(|end| end.fate == predict::Fate::Errno(62)));
    assert!(merged >= 50 && failed >= 2 && refused >= 20, "{merged}, {failed}, {refused}");
}
