//! `kmodlab shell --at ID`: runs a behaviour in the guest before the shell opens, so that the user can inspect what it
//! leaves.

use crate::catalogue::entry::Entry;
use crate::catalogue::select::select;
use crate::check::lab::Lab;
use crate::cli::error::CliError;
use crate::report::terminal::fact_line;
use crate::run::engine::row::run_check;
use crate::run::judge::CheckEnd;
use crate::run::pair::ReadyPair;
use anyhow::anyhow;
use harness::Vm;
use std::time::{Duration, Instant};

/// Returns the behaviour with this id or catalogue id.
pub(super) fn selected(id: &str) -> Result<&'static Entry, CliError> {
    match select(&[id.to_owned()]).map_err(CliError::usage)?[..] {
        [one] => Ok(one),
        ref several => {
            let error = anyhow!("--at requires one behaviour, but '{id}' selects {}", several.len());
            Err(CliError::usage(error).hint(format!("`kmodlab list {id}` lists them")))
        }
    }
}

/// Runs the behaviour and prints the observed facts. The shell opens whatever the result is.
pub(super) fn run(vm: &mut Vm, behaviour: &Entry, ready: &ReadyPair, limit: Duration, status: impl Fn(&str)) {
    status(&format!("running {}: {}", behaviour.id, behaviour.statement));
    let mut lab = Lab::new(vm, &ready.pair, Instant::now() + limit);
    let end = run_check(behaviour, &mut lab);
    lab.into_facts().iter().for_each(|fact| status(&fact_line(fact)));
    match end {
        CheckEnd::Finished => {}
        CheckEnd::NeedUnmet(why) | CheckEnd::GuestCrashed(why) | CheckEnd::LabFailed(why) => {
            status(&format!("  ended early: {why}"));
        }
    }
}
