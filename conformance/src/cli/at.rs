//! `kmodlab shell --at ID`: the behaviour runs in the shell's guest first, and the person finds what it left.

use super::Failure;
use crate::behaviour::Behaviour;
use crate::lab::Lab;
use crate::pair::Ready;
use crate::select::select;
use anyhow::anyhow;
use harness::Vm;
use std::time::{Duration, Instant};

/// The one behaviour that a word names.
pub(super) fn named(word: &str) -> Result<&'static Behaviour, Failure> {
    match select(&[word.to_owned()]).map_err(Failure::usage)?[..] {
        [one] => Ok(one),
        ref several => Err(Failure::usage(anyhow!("--at wants one behaviour; {word} is {} of them", several.len()))),
    }
}

/// Runs it, and says what it saw. Whatever came of it, the shell opens: that is what it is for.
pub(super) fn run(vm: &mut Vm, behaviour: &Behaviour, ready: &Ready, limit: Duration, tell: impl Fn(&str)) {
    tell(&format!("running {}: {}", behaviour.id, behaviour.statement));
    let mut lab = Lab::new(vm, &ready.pair, Instant::now() + limit);
    let end = (behaviour.check)(&mut lab);
    let (facts, known) = lab.into_facts();
    for fact in &facts {
        if fact.holds {
            tell(&format!("  fact       {}: {}", fact.name, fact.got));
        } else {
            tell(&format!("  fact    !  {}: expected {}, got {}", fact.name, fact.expected, fact.got));
        }
    }
    if let Some(known) = known {
        tell(&format!("  known      {known}"));
    }
    if let Err(error) = end {
        tell(&format!("  it ended early: {error}"));
    }
}
