//! The lab of a check: one booted guest, and the facts recorded so far.
//!
//! A step that prepares something ends the check with an `error` if the guest refuses it. An observation is returned as a
//! value and becomes a fact with [`Lab::expect`].

pub(crate) mod describe;
mod files;
mod guest;
mod jobs;
mod kernel;

pub use files::set_path_action;
pub use guest::{Guest, GuestError, LabError};
pub use kernel::shown_line;

use crate::check::fact::{Fact, Shown};
use crate::check::probes::Probes;
use agent::proto::{
    Action, ActionResult, Caller, Errno, Group, GuestMillis, JobEnd, JobId, Ran, Reply, Request, Value,
};
use describe::describe;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

/// The sysctl with the path of the helper.
pub const MODPROBE_SYSCTL: &[u8] = b"/proc/sys/kernel/modprobe";
/// The directory for the files of a check.
pub const SCRATCH: &str = "/run/lab";
/// The default limit of one action, in guest time.
const ACTION_LIMIT: GuestMillis = GuestMillis(60_000);

/// The kernel and the subject of a check.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The release of the kernel.
    pub release: String,
    /// The values of the probes on the kernel.
    pub probes: Probes,
    /// The host's copy of the guest's module directory (`…/lib/modules/RELEASE`).
    pub modules: Option<PathBuf>,
    /// The name of the subject.
    pub subject: String,
    /// The commands of the subject.
    pub commands: Vec<String>,
    /// The traits of the subject.
    pub traits: Vec<String>,
}

impl Pair {
    /// Returns whether the subject has this trait.
    #[must_use]
    pub fn has_trait(&self, name: &str) -> bool {
        self.traits.iter().any(|known| known == name)
    }
}

/// One guest that is used by one check.
pub struct Lab<'a> {
    guest: &'a mut dyn Guest,
    pair: &'a Pair,
    deadline: Instant,
    facts: Vec<Fact>,
    declared: &'static [&'static str],
    kmsg_from: u64,
}

impl<'a> Lab<'a> {
    /// Returns a lab with this guest. The check must end by `deadline`.
    pub fn new(guest: &'a mut dyn Guest, pair: &'a Pair, deadline: Instant) -> Self {
        Lab { guest, pair, deadline, facts: Vec::new(), declared: &[], kmsg_from: 0 }
    }

    /// Returns the facts.
    #[must_use]
    pub fn into_facts(self) -> Vec<Fact> {
        self.facts
    }

    /// Returns the kernel and the subject.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        self.pair
    }

    /// Sets the probes for which the check may ask: those that its entry lists.
    pub fn declare_probes(&mut self, names: &'static [&'static str]) {
        self.declared = names;
    }

    /// Returns the value of a probe on the kernel.
    ///
    /// # Errors
    /// [`LabError::Probe`] for a probe that the entry of the behaviour does not list.
    pub fn probe(&self, name: &str) -> Result<&'a str, LabError> {
        let declared = self.declared.contains(&name);
        let value = self.pair.probes.value(name).filter(|_| declared);
        value.ok_or_else(|| LabError::Probe(name.to_owned()))
    }

    /// Records an observed value together with the value that the statement promises.
    pub fn expect(&mut self, name: &str, got: impl Shown, expected: impl Shown) {
        self.facts.push(Fact::equal(name, &got, &expected));
    }

    /// Records a measured value that must be in a range.
    pub fn expect_within(&mut self, name: &str, got: u64, range: RangeInclusive<u64>, unit: &str) {
        self.facts.push(Fact::within(name, got, &range, unit));
    }

    /// Sends one request and returns the reply.
    ///
    /// # Errors
    /// [`LabError`] if there is no reply within the time limit of the behaviour.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, LabError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LabError::TimeUp("the wall-clock limit of the behaviour was reached".to_owned()));
        }
        Ok(self.guest.call(request, left)?)
    }

    /// Starts `count` jobs with these actions.
    ///
    /// # Errors
    /// [`LabError`] if they cannot be started.
    pub fn start(&mut self, caller: Caller, actions: Vec<Action>, count: u32) -> Result<Vec<JobId>, LabError> {
        match self.ask(&Request::Start { caller, actions, count })? {
            Reply::Started(jobs) => Ok(jobs),
            other => Err(unexpected("start a job", other)),
        }
    }

    /// Starts groups of jobs at the same moment. Guest time passes between two requests, so jobs that depend on each
    /// other's timing must be started by one request.
    ///
    /// # Errors
    /// [`LabError`] if they cannot be started.
    pub fn start_all(&mut self, groups: Vec<Group>) -> Result<Vec<JobId>, LabError> {
        match self.ask(&Request::StartAll(groups))? {
            Reply::Started(jobs) => Ok(jobs),
            other => Err(unexpected("start jobs", other)),
        }
    }

    /// Waits for a job. Returns `None` if it still runs after `limit` of guest time.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not reply.
    pub fn wait(&mut self, job: JobId, limit: GuestMillis) -> Result<Option<JobEnd>, LabError> {
        match self.ask(&Request::Wait { job, limit })? {
            Reply::Finished(end) => Ok(Some(end)),
            Reply::StillRunning => Ok(None),
            other => Err(unexpected("wait for a job", other)),
        }
    }

    /// Carries out one action as `caller` and returns its result and its duration.
    ///
    /// # Errors
    /// [`LabError::Hung`] if it does not end within a minute of guest time, which is also recorded as a fact.
    pub fn observe_as(&mut self, caller: Caller, action: Action) -> Result<Observed, LabError> {
        let what = describe(&action);
        let jobs = self.start(caller, vec![action], 1)?;
        let [job] = jobs[..] else {
            return Err(LabError::Unexpected(format!("{} jobs instead of one", jobs.len())));
        };
        let end = match self.wait(job, ACTION_LIMIT)? {
            Some(end) => end,
            None => return Err(self.hung(&what)),
        };
        match end.results.into_iter().next() {
            Some(result) => Ok(Observed::from(result)),
            None => {
                let end = end.killed_by.map_or("ended".to_owned(), |signal| format!("killed by signal {signal}"));
                Err(LabError::Unexpected(format!("{end} without a result: {what}")))
            }
        }
    }

    /// Records as a fact that something has not ended within [`ACTION_LIMIT`], and returns the error that ends the check.
    fn hung(&mut self, what: &str) -> LabError {
        self.expect(what, format!("no result after {} ms", ACTION_LIMIT.0), "a result");
        LabError::Hung
    }

    /// [`Lab::observe_as`] as root, with all capabilities.
    ///
    /// # Errors
    /// [`LabError`], likewise.
    pub fn observe(&mut self, action: Action) -> Result<Observed, LabError> {
        self.observe_as(Caller::default(), action)
    }

    /// Carries out a step of the set-up, which must succeed.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if it does not.
    pub fn arrange(&mut self, action: Action) -> Result<Value, LabError> {
        let what = describe(&action);
        self.observe(action)?.result.map_err(|errno| LabError::SetUp { what, errno })
    }

    /// Carries out a step of the set-up in PID 1, which must succeed.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if it does not.
    pub fn arrange_in_init(&mut self, action: Action) -> Result<Value, LabError> {
        let what = describe(&action);
        match self.ask(&Request::InInit(action))? {
            Reply::Finished(end) => match end.results.into_iter().next() {
                Some(result) => result.result.map_err(|errno| LabError::SetUp { what, errno }),
                None => Err(LabError::Unexpected(format!("no result: {what}"))),
            },
            other => Err(unexpected("act in PID 1", other)),
        }
    }

    /// Runs a program until it exits.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn run(&mut self, argv: &[&str]) -> Result<Ran, LabError> {
        match self.arrange(run_action(argv))? {
            Value::Ran(ran) => Ok(ran),
            _ => Err(LabError::Unexpected(format!("no exit status from {}", argv.join(" ")))),
        }
    }
}

/// The result of an action and its duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The result of the system call.
    pub result: Result<Value, Errno>,
    /// The duration in milliseconds of guest time.
    pub millis: u64,
}

impl From<ActionResult> for Observed {
    fn from(result: ActionResult) -> Self {
        Observed { millis: result.ended.millis_since(result.began), result: result.result }
    }
}

/// Returns the action that runs a program with the environment of a service.
pub(crate) fn run_action(argv: &[&str]) -> Action {
    let argv: Vec<Vec<u8>> = argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    Action::Run {
        program: argv.first().cloned().unwrap_or_default(),
        argv,
        env: vec![b"PATH=/sbin:/usr/sbin:/bin:/usr/bin".to_vec()],
        stdin: Vec::new(),
        limit: GuestMillis(30_000),
    }
}

/// Returns a caller without privileges.
#[must_use]
pub fn unprivileged() -> Caller {
    Caller { uid: Some(1000), ..Caller::default() }
}

/// Returns a caller that is uid 0 in new namespaces of these `CLONE_NEW*` flags, and in no other: uid 1000 outside.
#[must_use]
pub fn root_of(namespaces: libc::c_int) -> Caller {
    Caller { unshare: u64::from(namespaces.unsigned_abs()), map_uid: Some(0), ..unprivileged() }
}

fn unexpected(what: &'static str, reply: Reply) -> LabError {
    let why = match reply {
        Reply::Failed(why) => why,
        _ => "unexpected reply".to_owned(),
    };
    LabError::Agent { what, why }
}

#[cfg(test)]
mod tests;
