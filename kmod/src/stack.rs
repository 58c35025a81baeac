//! A separate stack for decoders and regular expressions. The crates keep buffers on the stack, or recurse: up to 100 KiB without
//! optimisation, where RLIMIT_STACK may be 64 KiB.

use std::thread;

use rustix::process::{Resource, getrlimit};

/// The separate stack, in bytes.
const SIZE: usize = 512 << 10;

/// Runs a job, on a separate thread if the stack of the main thread is limited to less.
pub(crate) fn run_with_stack<T: Send>(job: impl FnOnce() -> T + Send) -> T {
    let is_limited = getrlimit(Resource::Stack).current.is_some_and(|limit| limit < SIZE as u64);
    if !is_limited {
        return job();
    }
    // The job moves into the thread; if none can be started, it has to run here.
    let job = std::sync::Mutex::new(Some(job));
    let run = || job.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().map(|job| job());
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(SIZE).spawn_scoped(scope, run).ok()?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    match result.or_else(run) {
        Some(result) => result,
        // The job is taken only by a call of `run` that returns its result.
        None => unreachable!("the job ran without a result"),
    }
}
