//! `kmodlab shell --at ID`: the behaviour runs in the shell's guest first, and the person finds what it left.

use crate::behaviour::Behaviour;
use crate::cli::error::CliError;
use crate::engine::check::run_check;
use crate::lab::Lab;
use crate::pair::ReadyPair;
use crate::report::terminal::fact_line;
use crate::select::select;
use crate::verdict::CheckEnd;
use anyhow::anyhow;
use harness::Vm;
use std::time::{Duration, Instant};

/// The one behaviour that a word names.
pub(super) fn selected(word: &str) -> Result<&'static Behaviour, CliError> {
    match select(&[word.to_owned()]).map_err(CliError::usage)?[..] {
        [one] => Ok(one),
        ref several => Err(CliError::usage(anyhow!("--at wants one behaviour; {word} is {} of them", several.len()))),
    }
}

/// Runs it, and says what it saw. Whatever came of it, the shell opens: that is what it is for.
pub(super) fn run(vm: &mut Vm, behaviour: &Behaviour, ready: &ReadyPair, limit: Duration, status: impl Fn(&str)) {
    status(&format!("running {}: {}", behaviour.id, behaviour.statement));
    let mut lab = Lab::new(vm, &ready.pair, Instant::now() + limit);
    let end = run_check(behaviour, &mut lab);
    let (facts, known) = lab.into_facts();
    facts.iter().for_each(|fact| status(&fact_line(fact)));
    if let Some(known) = known {
        status(&format!("  known      {known}"));
    }
    match end {
        CheckEnd::Finished => {}
        CheckEnd::NeedUnmet(why) | CheckEnd::GuestCrashed(why) | CheckEnd::LabFailed(why) => {
            status(&format!("  it ended early: {why}"));
        }
    }
}
