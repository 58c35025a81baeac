//! A script that busybox's shell runs in a guest: what `shell` and `kselftest` share.

use super::error::CliError;
use super::lookup;
use agent::proto::{Action, Caller, GuestMillis, JobEnd, JobId, Ran, Reply, Request, Value};
use anyhow::anyhow;
use harness::Vm;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vm_images::{Options, Source, Subject};

/// Where it lies in the guest.
pub(super) const BUSYBOX: &str = "/bin/busybox";
/// What a script begins with: busybox's tools, behind the guest's own in `PATH`.
pub(super) const TOOLS: &str = "/bin/busybox mkdir -p /run/tools; /bin/busybox --install -s /run/tools; \
    export PATH=/sbin:/usr/sbin:/bin:/usr/bin:/run/tools HOME=/ TERM=linux; ";
const CALL: Duration = Duration::from_secs(10);
/// How long one question for the end waits, in guest time.
const TURN: GuestMillis = GuestMillis(1000);

/// A static busybox: the distribution's package, else the host's.
pub(super) fn busybox(options: &Options<'_>) -> Result<PathBuf, CliError> {
    let from_package = |subject: Subject| {
        subject.files().iter().find_map(|file| match &file.source {
            Source::Host(path) if path.ends_with("busybox") => Some(path.clone()),
            _ => None,
        })
    };
    let fetched = Subject::fetch("busybox", options);
    let reason = fetched.as_ref().err().map_or_else(String::new, |error| format!(" ({})", harness::error_chain(error)));
    fetched.ok().and_then(from_package).or_else(|| lookup::host_program("busybox")).ok_or_else(|| {
        CliError::inconclusive(anyhow!("a script wants busybox, which can neither be fetched nor found here{reason}"))
    })
}

/// Starts a script behind [`TOOLS`]; it is killed after `limit` of guest time.
pub(super) fn start(vm: &mut Vm, script: &str, limit: GuestMillis) -> Result<JobId, CliError> {
    let action = Action::Run {
        program: BUSYBOX.into(),
        argv: [b"sh".to_vec(), b"-c".to_vec(), format!("{TOOLS}{script}").into_bytes()].to_vec(),
        env: Vec::new(),
        stdin: Vec::new(),
        limit,
    };
    match vm.call(&Request::Start { caller: Caller::default(), actions: vec![action], count: 1 }, CALL) {
        Ok(Reply::Started(jobs)) if jobs.len() == 1 => Ok(jobs[0]),
        Ok(other) => Err(CliError::inconclusive(anyhow!("the agent could not start a script: {other:?}"))),
        Err(error) => Err(CliError::inconclusive(error)),
    }
}

/// The end of the job, if it comes within `limit` of guest time.
pub(super) fn ended(vm: &mut Vm, job: JobId, limit: GuestMillis) -> Result<Option<JobEnd>, CliError> {
    match vm.call(&Request::Wait { job, limit }, CALL) {
        Ok(Reply::Finished(end)) => Ok(Some(end)),
        Ok(_) => Ok(None),
        Err(error) => Err(CliError::inconclusive(error)),
    }
}

/// What a job's one script did.
pub(super) fn ran(end: JobEnd) -> Result<Ran, CliError> {
    match end.results.into_iter().next().map(|result| result.result) {
        Some(Ok(Value::Ran(ran))) => Ok(ran),
        other => Err(CliError::inconclusive(anyhow!("the script did not run: {other:?}"))),
    }
}

/// Runs a script to its end, for at most `limit` of guest time; none after `wall` of ours.
pub(super) fn run(vm: &mut Vm, script: &str, limit: GuestMillis, wall: Option<Duration>) -> Result<Ran, CliError> {
    let begun = Instant::now();
    let job = start(vm, script, limit)?;
    loop {
        if let Some(end) = ended(vm, job, TURN)? {
            return ran(end);
        }
        if wall.is_some_and(|wall| begun.elapsed() > wall) {
            return Err(CliError::inconclusive(anyhow!("the script did not end within its wall-clock limit")));
        }
    }
}
