//! The request core (`kmod/request`) against a kernel: generated sequences of requests, path switches and kills run in a
//! guest and in the core, and must give the same helpers, results, times and messages.
//!
//! By default 20 sequences run on the default kernel. `KMODLAB_MODEL_KERNELS=6.1,7.3` selects others,
//! `KMODLAB_MODEL_SEQUENCES=500` more, and `KMODLAB_MODEL_SEED=7` their seed.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod kernel;
mod predict;
mod sequence;
#[path = "../support/mod.rs"]
mod support;

use conformance::catalogue::entry::{Check, Entry};
use conformance::check::fact::List;
use conformance::check::lab::{Lab, LabError};
use conformance::run::verdict::Verdict;
use request::OverLimit;
use sequence::Sequence;
use std::time::Duration;
use support::lab::{Setup, entry, run};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// How many sequences run in one guest.
const IN_A_GUEST: u64 = 5;

const PART: Entry =
    entry("tool.model", "the request core and the kernel agree on generated sequences of requests", check);

/// The next guest takes the next sequences.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn check(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let release = lab.pair().release.clone();
    let first = NEXT.fetch_add(IN_A_GUEST, std::sync::atomic::Ordering::SeqCst);
    let seed = setting("KMODLAB_MODEL_SEED", 1);
    for number in first..first + IN_A_GUEST {
        let sequence = Sequence::generate(seed.wrapping_mul(1_000_000).wrapping_add(number));
        let mut found = differences(lab, &release, &sequence)?;
        let mut name = format!("sequence {number} of seed {seed}");
        if !found.is_empty() {
            let smaller = shrink(lab, &release, sequence)?;
            found = differences(lab, &release, &smaller)?;
            name = format!("{name}, reduced to {smaller:?}");
        }
        lab.expect(&name, List(found), List::<&str>(vec![]));
    }
    Ok(())
}

fn over_limit(release: &str) -> OverLimit {
    let mut numbers = release.split(['.', '-', '+']).map(|number| number.parse().unwrap_or_default());
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    request::Policy::of_kernel(major, minor).over_limit()
}

/// The differences between what the core predicts and what the kernel does.
fn differences(lab: &mut Lab<'_>, release: &str, sequence: &Sequence) -> Result<Vec<String>, LabError> {
    let predicted = predict::predict(sequence, over_limit(release));
    Ok(predicted.differences(&kernel::observe(lab, sequence)?, sequence))
}

/// Removes steps as long as the core and the kernel still disagree.
fn shrink(lab: &mut Lab<'_>, release: &str, sequence: Sequence) -> Result<Sequence, LabError> {
    let mut smallest = sequence;
    let mut at = 0;
    while at < smallest.steps.len() {
        let mut smaller = smallest.clone();
        smaller.steps.remove(at);
        if differences(lab, release, &smaller)?.is_empty() { at += 1 } else { smallest = smaller }
    }
    Ok(smallest)
}

#[test]
fn the_core_and_the_kernel_agree() {
    if !support::vm_or_skip() {
        return;
    }
    let count = setting("KMODLAB_MODEL_SEQUENCES", 20);
    let kernels = std::env::var("KMODLAB_MODEL_KERNELS").unwrap_or_else(|_| "default".to_owned());
    for kernel in kernels.split(',') {
        NEXT.store(0, std::sync::atomic::Ordering::SeqCst);
        let guests = count.div_ceil(IN_A_GUEST);
        let setup = Setup { kernel, mark: "kmodlab.model", limit: Duration::from_secs(1200), ..Setup::default() };
        let behaviours: Vec<&'static Entry> = (0..guests).map(|_| &PART).collect();
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
        assert_eq!(failed, 0, "{kernel}: the core and the kernel disagree");
        assert_eq!(compared as u64, guests * IN_A_GUEST);
        eprintln!("{kernel}: {compared} sequences");
    }
}
