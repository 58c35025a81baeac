//! Runs a script with busybox's shell in a guest, for `shell` and `kselftest`.

use super::error::CliError;
use super::lookup;
use crate::text::error_chain;
use agent::proto::{Action, Caller, GuestMillis, JobEnd, JobId, Ran, Reply, Request, Value};
use anyhow::{Context as _, anyhow};
use harness::Vm;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vm_images::{Options, Source, Subject};

/// The path of busybox in the guest.
pub(super) const BUSYBOX: &str = "/bin/busybox";
/// The beginning of each script: adds busybox's tools to `PATH`, after the guest's own.
pub(super) const TOOLS: &str = "/bin/busybox mkdir -p /run/tools; /bin/busybox --install -s /run/tools; \
    export PATH=/sbin:/usr/sbin:/bin:/usr/bin:/run/tools HOME=/ TERM=linux; ";
const CALL: Duration = Duration::from_secs(10);
/// How long one poll for the end of a script waits, in guest time.
const POLL: GuestMillis = GuestMillis(1000);

/// Finds a static busybox: the one in the distribution's package, else the host's.
pub(super) fn busybox(options: &Options<'_>) -> Result<PathBuf, CliError> {
    let in_package = |subject: Subject| {
        subject.files().iter().find_map(|file| match &file.source {
            Source::Host(path) if path.ends_with("busybox") => Some(path.clone()),
            _ => None,
        })
    };
    let fetched = Subject::fetch("busybox", options);
    let reason = fetched.as_ref().err().map(|error| error_chain(error));
    fetched.ok().and_then(in_package).or_else(|| lookup::host_program("busybox")).ok_or_else(|| {
        let reason = reason.unwrap_or_else(|| "the package contains no program busybox".to_owned());
        CliError::inconclusive(anyhow!("cannot find busybox for the guest: {reason}"))
            .hint("install busybox-static on this machine")
    })
}

/// Starts a script after [`TOOLS`]; it is killed after `limit` of guest time.
pub(super) fn start(vm: &mut Vm, script: &str, limit: GuestMillis) -> Result<JobId, CliError> {
    let action = Action::Run {
        program: BUSYBOX.into(),
        argv: [b"sh".to_vec(), b"-c".to_vec(), format!("{TOOLS}{script}").into_bytes()].to_vec(),
        env: Vec::new(),
        stdin: Vec::new(),
        limit,
    };
    let request = Request::Start { caller: Caller::default(), actions: vec![action], count: 1 };
    match vm.call(&request, CALL).context("cannot start a script in the guest").map_err(CliError::inconclusive)? {
        Reply::Started(jobs) if jobs.len() == 1 => Ok(jobs[0]),
        _ => Err(CliError::inconclusive(anyhow!("cannot start a script in the guest: unexpected reply of the agent"))),
    }
}

/// Returns the end of the job if it ends within `limit` of guest time.
pub(super) fn ended(vm: &mut Vm, job: JobId, limit: GuestMillis) -> Result<Option<JobEnd>, CliError> {
    match vm.call(&Request::Wait { job, limit }, CALL) {
        Ok(Reply::Finished(end)) => Ok(Some(end)),
        Ok(_) => Ok(None),
        Err(error) => Err(CliError::inconclusive(error)),
    }
}

/// Returns the result of a job's script.
pub(super) fn ran(end: JobEnd) -> Result<Ran, CliError> {
    let reason = match end.results.into_iter().next().map(|result| result.result) {
        Some(Ok(Value::Ran(ran))) => return Ok(ran),
        Some(Ok(_)) => "unexpected reply of the agent".to_owned(),
        Some(Err(errno)) => crate::check::errno::name(errno),
        None => "the agent returned no result".to_owned(),
    };
    Err(CliError::inconclusive(anyhow!("cannot run a script in the guest: {reason}")))
}

/// Runs a script to its end, for at most `limit` of guest time; fails after `wall` of wall-clock time.
pub(super) fn run(vm: &mut Vm, script: &str, limit: GuestMillis, wall: Option<Duration>) -> Result<Ran, CliError> {
    let started = Instant::now();
    let job = start(vm, script, limit)?;
    loop {
        if let Some(end) = ended(vm, job, POLL)? {
            return ran(end);
        }
        if wall.is_some_and(|wall| started.elapsed() > wall) {
            return Err(CliError::inconclusive(anyhow!("the script exceeded its wall-clock limit")));
        }
    }
}
