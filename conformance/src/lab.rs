//! The lab of a check: one booted guest, and the facts recorded so far.
//!
//! A step that prepares something ends the check with an `error` if the guest refuses it. An observation is returned as a
//! value and becomes a fact with [`Lab::expect`].

use crate::era::Eras;
use crate::fact::{Fact, Shown};
use crate::helper::Helper;
use crate::lab::describe::describe;
use crate::{errno, text};
use agent::plan::{HelperPlan, Record};
use agent::proto::{
    Action, ActionResult, Caller, Errno, Group, GuestMillis, JobEnd, JobId, KmsgRecord, Ran, Reply, Request, Value,
};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

mod describe;

/// The sysctl with the path of the helper.
pub const MODPROBE_SYSCTL: &[u8] = b"/proc/sys/kernel/modprobe";
/// The directory for the files of a check.
pub const SCRATCH: &str = "/run/lab";
/// The default limit of one action, in guest time.
const ACTION_LIMIT: GuestMillis = GuestMillis(60_000);

/// A connection to a guest: a machine of the harness, or a script in unit tests.
pub trait Guest {
    /// Sends a request and waits for the reply, at most for `wall` of wall time.
    ///
    /// # Errors
    /// [`GuestError`] if there is no reply.
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError>;
}

/// The guest did not answer.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It crashed, with evidence on its console: a panic, an oops or a lockup.
    #[error("the guest crashed: {0}")]
    Crashed(String),
    /// It ended or stopped answering without such evidence.
    #[error("{0}")]
    Lost(String),
}

/// An error that ends a check.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The guest did not answer.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The agent reported a failure.
    #[error("the agent cannot {what}: {why}")]
    Agent {
        /// The request, as a verb phrase.
        what: &'static str,
        /// The agent's message.
        why: String,
    },
    /// The guest's kernel refused a step of the set-up.
    #[error("set-up failed: cannot {what}: {}", errno::name(*errno))]
    SetUp {
        /// The step, as a verb phrase.
        what: String,
        /// The errno.
        errno: Errno,
    },
    /// A step of the set-up had no usable result.
    #[error("set-up failed: {0}")]
    Unexpected(String),
    /// The kernel or the subject does not have something that the check needs.
    #[error("needs {0}")]
    Need(String),
    /// The wall-clock limit of the behaviour was reached.
    #[error("{0}")]
    TimeUp(String),
}

/// The kernel and the subject of a check.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The release of the kernel.
    pub release: String,
    /// The eras of the kernel.
    pub eras: Eras,
    /// The host's copy of the guest's module directory (`…/lib/modules/RELEASE`).
    pub modules: Option<PathBuf>,
    /// The name of the subject.
    pub subject: String,
    /// The commands of the subject.
    pub commands: Vec<String>,
}

/// One guest that is used by one check.
pub struct Lab<'a> {
    guest: &'a mut dyn Guest,
    pair: &'a Pair,
    deadline: Instant,
    facts: Vec<Fact>,
    known: Option<String>,
    kmsg_from: u64,
}

impl<'a> Lab<'a> {
    /// Returns a lab with this guest. The check must end by `deadline`.
    pub fn new(guest: &'a mut dyn Guest, pair: &'a Pair, deadline: Instant) -> Self {
        Lab { guest, pair, deadline, facts: Vec::new(), known: None, kmsg_from: 0 }
    }

    /// Returns the facts and the reason of a known deviation.
    #[must_use]
    pub fn into_facts(self) -> (Vec<Fact>, Option<String>) {
        (self.facts, self.known)
    }

    /// Returns the kernel and the subject.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        self.pair
    }

    /// Returns the eras of the kernel.
    #[must_use]
    pub fn eras(&self) -> Eras {
        self.pair.eras
    }

    // --- facts ---

    /// Records an observed value together with the value that the statement promises.
    pub fn expect(&mut self, name: &str, got: impl Shown, expected: impl Shown) {
        self.facts.push(Fact::equal(name, &got, &expected));
    }

    /// Records a measured value that must be in a range.
    pub fn expect_within(&mut self, name: &str, got: u64, range: RangeInclusive<u64>, unit: &str) {
        self.facts.push(Fact::within(name, got, &range, unit));
    }

    /// Declares that this kernel or subject is known to deviate from the statement, and why. The check then expects the
    /// deviating values.
    pub fn known(&mut self, reason: &str) {
        self.known = Some(reason.to_owned());
    }

    // --- requests to the agent ---

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

    // --- actions ---

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
    /// [`LabError`] if there is no reply.
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
    /// [`LabError`] if it does not end within a minute of guest time.
    pub fn observe_as(&mut self, caller: Caller, action: Action) -> Result<Observed, LabError> {
        let what = describe(&action);
        let jobs = self.start(caller, vec![action], 1)?;
        let [job] = jobs[..] else {
            return Err(LabError::Unexpected(format!("{} jobs instead of one", jobs.len())));
        };
        let end = self
            .wait(job, ACTION_LIMIT)?
            .ok_or_else(|| LabError::Unexpected(format!("no result after {} ms: {what}", ACTION_LIMIT.0)))?;
        match end.results.into_iter().next() {
            Some(result) => Ok(Observed::from(result)),
            None => {
                let end = end.killed_by.map_or("ended".to_owned(), |signal| format!("killed by signal {signal}"));
                Err(LabError::Unexpected(format!("{end} without a result: {what}")))
            }
        }
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

    // --- files ---

    /// Replaces the contents of a file. Creates the file and its directory if they do not exist.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn write(&mut self, path: &str, data: &[u8]) -> Result<(), LabError> {
        if let Some((directory, _)) = path.rsplit_once('/').filter(|(directory, _)| !directory.is_empty()) {
            self.arrange(Action::MkdirAll(directory.as_bytes().to_vec()))?;
        }
        let flags = libc::O_CREAT | libc::O_TRUNC;
        self.arrange(Action::Write { path: path.as_bytes().to_vec(), data: data.to_vec(), flags })?;
        Ok(())
    }

    /// Returns the contents of a file, at most 1 MiB.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, LabError> {
        match self.arrange(Action::Read { path: path.as_bytes().to_vec(), max: 1 << 20 })? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(LabError::Unexpected(format!("no contents of {path}"))),
        }
    }

    /// Renames a file or directory.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), LabError> {
        self.arrange(Action::Rename(from.as_bytes().to_vec(), to.as_bytes().to_vec()))?;
        Ok(())
    }

    /// Removes a file, or a directory with its contents.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn remove(&mut self, path: &str) -> Result<(), LabError> {
        self.arrange(Action::RemoveAll(path.as_bytes().to_vec()))?;
        Ok(())
    }

    // --- the path and its helper ---

    /// Writes to `/proc/sys/kernel/modprobe` and returns the result of write(2).
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn set_path(&mut self, path: &[u8]) -> Result<i64, LabError> {
        match self.arrange(Action::Write { path: MODPROBE_SYSCTL.to_vec(), data: path.to_vec(), flags: 0 })? {
            Value::Number(written) => Ok(written),
            _ => Err(LabError::Unexpected("no result of write(2)".to_owned())),
        }
    }

    /// Returns the contents of `/proc/sys/kernel/modprobe`.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn path(&mut self) -> Result<Vec<u8>, LabError> {
        self.read("/proc/sys/kernel/modprobe")
    }

    /// Installs a recording helper with this plan as [`SCRATCH`]`/name`.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper(&mut self, name: &str, plan: &HelperPlan) -> Result<Helper, LabError> {
        let helper = Helper::named(name);
        let plan = helper.encode(plan).map_err(LabError::Unexpected)?;
        self.write(&helper.plan_path(), &plan)?;
        self.arrange(Action::Symlink(b"/bin/agent".to_vec(), helper.path().as_bytes().to_vec()))?;
        Ok(helper)
    }

    /// Installs a helper like [`Lab::helper`] and sets the path to it.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper_as_path(&mut self, name: &str, plan: &HelperPlan) -> Result<Helper, LabError> {
        let helper = self.helper(name, plan)?;
        self.set_path(helper.path().as_bytes())?;
        Ok(helper)
    }

    /// Returns the records of a helper so far, sorted by start time.
    ///
    /// # Errors
    /// [`LabError`] if the log is damaged.
    pub fn records(&mut self, helper: &Helper) -> Result<Vec<Record>, LabError> {
        let log = self.observe(Action::Read { path: helper.log_path().into_bytes(), max: 8 << 20 })?;
        match log.result {
            Ok(Value::Bytes(bytes)) => Helper::decode(&bytes).map_err(LabError::Unexpected),
            Err(errno::ENOENT) => Ok(Vec::new()),
            Err(errno) => Err(LabError::SetUp { what: format!("read {}", helper.log_path()), errno }),
            Ok(_) => Err(LabError::Unexpected(format!("no contents of {}", helper.log_path()))),
        }
    }

    // --- the kernel log and trace ---

    /// Marks the end of the kernel log. [`Lab::kmsg`] returns only lines after the mark.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn mark_kmsg(&mut self) -> Result<(), LabError> {
        self.kmsg_from = self.kmsg_records(true)?.1;
        Ok(())
    }

    /// Returns the lines of the kernel since the mark, after flushing the log.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(true)?.0))
    }

    /// Returns the lines of the kernel since the mark, as a reader sees them without a flush.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg_unflushed(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(false)?.0))
    }

    /// Returns all records since the mark, those from user space included, and the end of the log.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read or records were lost.
    pub fn kmsg_records(&mut self, flush: bool) -> Result<(Vec<KmsgRecord>, u64), LabError> {
        match self.ask(&Request::Kmsg { since: self.kmsg_from, flush })? {
            Reply::Kmsg { lost: true, .. } => {
                Err(LabError::Unexpected("kernel log records were overwritten before they were read".to_owned()))
            }
            Reply::Kmsg { records, next, .. } => Ok((records, next)),
            other => Err(unexpected("read the kernel log", other)),
        }
    }

    /// Starts the trace of `module_request`.
    ///
    /// # Errors
    /// [`LabError::Need`] if the kernel does not have this event.
    pub fn trace_requests(&mut self) -> Result<(), LabError> {
        match self.ask(&Request::TraceOn(vec!["module/module_request".to_owned()]))? {
            Reply::Done => Ok(()),
            // Only a missing event is an unmet need. An event that cannot be enabled is an error.
            Reply::Failed(why) if why.starts_with("this kernel has no ") => {
                Err(LabError::Need(format!("the trace event module/module_request ({why})")))
            }
            other => Err(unexpected("trace requests", other)),
        }
    }

    /// Returns the names of the traced requests, in order.
    ///
    /// # Errors
    /// [`LabError`] if the trace cannot be read.
    pub fn traced_requests(&mut self) -> Result<Vec<Vec<u8>>, LabError> {
        match self.ask(&Request::Trace)? {
            Reply::Trace(lines) => Ok(lines.iter().filter_map(|line| traced_name(line)).collect()),
            other => Err(unexpected("read the trace", other)),
        }
    }

    // --- modules ---

    /// Returns the states of these modules from `/proc/modules`, `absent` for a module that is not listed.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn module_states(&mut self, names: &[&str]) -> Result<Vec<String>, LabError> {
        let table = self.read("/proc/modules")?;
        Ok(names.iter().map(|name| module_state(&table, name)).collect())
    }

    /// Loads a module and its dependencies with finit_module(2), without the subject.
    ///
    /// # Errors
    /// [`LabError::Need`] if it is not in the guest's module directory.
    pub fn load(&mut self, name: &str) -> Result<(), LabError> {
        for file in crate::modules::load_order(self.pair, name)? {
            let flags = crate::modules::finit_flags(&file);
            let load = Action::FinitModule { path: file.into_bytes(), params: Vec::new(), flags };
            match self.observe(load)?.result {
                Ok(_) | Err(errno::EEXIST) => {}
                Err(errno) => return Err(LabError::SetUp { what: format!("load {name}"), errno }),
            }
        }
        Ok(())
    }

    /// Returns the errno with which `request_module()` fails at the moment. `getsockopt(IPT_SO_GET_INFO)` passes it on
    /// (net/netfilter/x_tables.c, `xt_request_find_table_lock`). Loads `ip_tables` first.
    ///
    /// # Errors
    /// [`LabError`] if `ip_tables` cannot be loaded.
    pub fn request_result(&mut self) -> Result<Result<Value, Errno>, LabError> {
        self.load("ip_tables")?;
        Ok(self.observe(Action::IptGetInfo(b"zz".to_vec()))?.result)
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

fn unexpected(what: &'static str, reply: Reply) -> LabError {
    let why = match reply {
        Reply::Failed(why) => why,
        _ => "unexpected reply".to_owned(),
    };
    LabError::Agent { what, why }
}

fn kernel_lines(records: Vec<KmsgRecord>) -> Vec<KmsgRecord> {
    records.into_iter().filter(|record| record.facility == 0).collect()
}

/// Returns the name in a line such as `… module_request: fs-zz wait=1 call_site=get_fs_type+0x5/0x10`. A name can contain
/// any bytes, so the fixed text is searched from both ends.
fn traced_name(line: &[u8]) -> Option<Vec<u8>> {
    const EVENT: &[u8] = b"module_request: ";
    let start = line.windows(EVENT.len()).position(|window| window == EVENT)? + EVENT.len();
    let end = line.windows(6).rposition(|window| window == b" wait=")?;
    line.get(start..end).map(<[u8]>::to_vec)
}

fn module_state(table: &[u8], name: &str) -> String {
    String::from_utf8_lossy(table)
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
        .map_or_else(|| "absent".to_owned(), |fields| fields.get(4).map_or("?", |state| *state).to_owned())
}

/// Returns a record of the kernel log as one line: `<LEVEL> TEXT`.
#[must_use]
pub fn shown_line(record: &KmsgRecord) -> String {
    format!("<{}> {}", record.level, text::escape(&record.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traced_name_can_contain_spaces_and_equal_signs() {
        let line = b"  lab-77  [000] ..... 3.1: module_request: fs-a wait=b wait=1 call_site=get_fs_type";
        assert_eq!(traced_name(line), Some(b"fs-a wait=b".to_vec()));
        assert_eq!(traced_name(b"# tracer: nop"), None);
    }

    #[test]
    fn a_module_state_is_found_by_the_whole_name() {
        let table = b"mrp 16384 1 8021q, Live 0x0\n8021q 40960 0 - Loading 0x0\n";
        assert_eq!(module_state(table, "8021q"), "Loading");
        assert_eq!(module_state(table, "mr"), "absent");
    }
}
