//! SIGINT, SIGTERM and SIGHUP end a command in an orderly way: child processes are killed and reaped, partial files are
//! removed, and the reports of a run contain the verdicts so far.

use super::error::CliError;
use crate::run::verdict::exit;
use anyhow::{Context, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The limit for an orderly end, which reaps killed processes and writes reports. A file system that no longer responds
/// must not block it.
const ORDERLY: Duration = Duration::from_secs(10);

/// Handles the signals from now on: the first one sets the returned flag and calls `ended`, the second one ends the
/// program immediately.
pub(super) fn watch(ended: impl Fn() + Send + 'static) -> Result<Arc<AtomicBool>, CliError> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("cannot install signal handlers")
        .map_err(CliError::inconclusive)?;
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            note_signal(&set);
            ended();
        }
    });
    Ok(stop)
}

/// Sets the flag at the first signal and starts the time limit of the orderly end. Ends the program at the second one.
fn note_signal(stop: &AtomicBool) {
    let at_once = || std::process::exit(i32::from(exit::INCONCLUSIVE));
    if stop.swap(true, Ordering::SeqCst) {
        at_once();
    }
    std::thread::spawn(move || {
        std::thread::sleep(ORDERLY);
        at_once();
    });
}

/// Replaces an error after a signal by "interrupted": the signal caused it.
pub(super) fn or_interrupted<T>(stop: &AtomicBool, outcome: Result<T, CliError>) -> Result<T, CliError> {
    outcome.map_err(|failure| match stop.load(Ordering::SeqCst) {
        true => CliError::inconclusive(anyhow!("interrupted")),
        false => failure,
    })
}
