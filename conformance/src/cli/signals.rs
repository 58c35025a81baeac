//! SIGINT, SIGTERM and SIGHUP: they end a command in order, whatever it is doing. What was started is killed and waited for,
//! what was made by halves is removed, and a run's reports tell what was judged.

use super::error::CliError;
use crate::verdict::exit;
use anyhow::{Context, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An orderly end takes less than this: it waits for killed processes, and writes reports. A file system that no longer
/// answers must not keep us.
const ORDERLY: Duration = Duration::from_secs(10);

/// From now on the signals set what is returned, and then call `ended`. A second one ends the program at once.
pub(super) fn watch(ended: impl Fn() + Send + 'static) -> Result<Arc<AtomicBool>, CliError> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("watching for signals")
        .map_err(CliError::inconclusive)?;
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            ended_before(&set);
            ended();
        }
    });
    Ok(stop)
}

/// Notes the signal. After the first one the orderly end has its time; the second one ends the program.
fn ended_before(stop: &AtomicBool) {
    let at_once = || std::process::exit(i32::from(exit::INCONCLUSIVE));
    if stop.swap(true, Ordering::SeqCst) {
        at_once();
    }
    std::thread::spawn(move || {
        std::thread::sleep(ORDERLY);
        at_once();
    });
}

/// Whatever failed after a signal failed by it.
pub(super) fn or_interrupted<T>(stop: &AtomicBool, outcome: Result<T, CliError>) -> Result<T, CliError> {
    outcome.map_err(|failure| match stop.load(Ordering::SeqCst) {
        true => CliError::inconclusive(anyhow!("interrupted")),
        false => failure,
    })
}
