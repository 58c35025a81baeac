//! What a check works with: one booted guest, and the facts that it records.
//!
//! A [`Lab`] method that a check calls to arrange something fails the check with an `error` when the
//! guest refuses it; what a check observes comes back as a value and becomes a fact with [`Lab::expect`].

use crate::era::Eras;
use crate::fact::{Fact, Shown};
use crate::helper::Helper;
use crate::{errno, text};
use agent::plan::{Plan, Record};
use agent::proto::{
    Action, ActionResult, Caller, Errno, Group, GuestMillis, JobEnd, JobId, KmsgRecord, Ran, Reply, Request, Value,
};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The sysctl that names the helper.
pub const MODPROBE_SYSCTL: &[u8] = b"/proc/sys/kernel/modprobe";
/// Where a check puts its files.
pub const SCRATCH: &str = "/run/lab";
/// How long one action may take, in guest time, if nothing else is said.
const ACTION_LIMIT: GuestMillis = GuestMillis(60_000);

/// The way to a guest. The harness's machine in production, a script in unit tests.
pub trait Guest {
    /// Asks, and waits for the answer at most `wall`.
    ///
    /// # Errors
    /// [`GuestError`] if there is no answer.
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError>;
}

/// The guest gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It died with evidence on its console: a panic, an oops, a lock-up.
    #[error("the guest died: {0}")]
    Broke(String),
    /// It went away, or fell silent, without such evidence.
    #[error("{0}")]
    Lost(String),
}

/// A check cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No answer.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The agent could not do it.
    #[error("the agent could not {what}: {why}")]
    Agent {
        /// What was asked.
        what: &'static str,
        /// Its words.
        why: String,
    },
    /// A step that arranges something was refused by the guest's kernel.
    #[error("set-up step failed: {what}: {}", errno::name(*errno))]
    SetUp {
        /// The step.
        what: String,
        /// The errno.
        errno: Errno,
    },
    /// A set-up step's answer makes no sense.
    #[error("set-up step failed: {0}")]
    Unexpected(String),
    /// The kernel or subject lacks something.
    #[error("needs {0}")]
    Need(String),
    /// The behaviour's time is up, or the run was interrupted.
    #[error("{0}")]
    TimeUp(String),
}

/// What a check may know of the pair that it runs on.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Release of the kernel.
    pub release: String,
    /// Its eras.
    pub eras: Eras,
    /// The module directory that the guest has, as it lies on the host (`…/lib/modules/RELEASE`).
    pub modules: Option<PathBuf>,
    /// The subject's name.
    pub subject: String,
    /// The subject's commands.
    pub commands: Vec<String>,
}

/// One guest in the hands of one check.
pub struct Lab<'a> {
    guest: &'a mut dyn Guest,
    pair: &'a Pair,
    deadline: Instant,
    facts: Vec<Fact>,
    known: Option<String>,
    kmsg_from: u64,
}

impl<'a> Lab<'a> {
    /// A lab over this guest; everything in it must be done by `deadline`.
    pub fn new(guest: &'a mut dyn Guest, pair: &'a Pair, deadline: Instant) -> Self {
        Lab { guest, pair, deadline, facts: Vec::new(), known: None, kmsg_from: 0 }
    }

    /// The facts and the declared deviation.
    #[must_use]
    pub fn into_facts(self) -> (Vec<Fact>, Option<String>) {
        (self.facts, self.known)
    }

    /// What is known of kernel and subject.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        self.pair
    }

    /// The kernel's eras.
    #[must_use]
    pub fn eras(&self) -> Eras {
        self.pair.eras
    }

    // --- facts ---

    /// Records what was observed beside what the statement promises.
    pub fn expect(&mut self, name: &str, got: impl Shown, expected: impl Shown) {
        self.facts.push(Fact::equal(name, &got, &expected));
    }

    /// Records a measured value that must lie in a range.
    pub fn expect_within(&mut self, name: &str, got: u64, range: RangeInclusive<u64>, unit: &str) {
        self.facts.push(Fact::within(name, got, &range, unit));
    }

    /// Declares that this kernel or subject deviates from the statement, and why. The facts that the
    /// check expects are then the deviating ones.
    pub fn known(&mut self, reason: &str) {
        self.known = Some(reason.to_owned());
    }

    // --- the line to the agent ---

    /// One request, one reply, inside the behaviour's time.
    ///
    /// # Errors
    /// [`LabError`] if there is no answer in time.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, LabError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LabError::TimeUp("the behaviour's wall-clock limit passed (--timeout)".to_owned()));
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
            other => Err(misfit("start a job", other)),
        }
    }

    /// Starts groups of jobs at the same moment: what must happen so long after something else is asked for together
    /// with it, since guest time runs on while the host thinks.
    ///
    /// # Errors
    /// [`LabError`] if they cannot be started.
    pub fn start_all(&mut self, groups: Vec<Group>) -> Result<Vec<JobId>, LabError> {
        match self.ask(&Request::StartAll(groups))? {
            Reply::Started(jobs) => Ok(jobs),
            other => Err(misfit("start jobs", other)),
        }
    }

    /// Waits for a job; `None` if it still runs after `limit` of guest time.
    ///
    /// # Errors
    /// [`LabError`] if there is no answer.
    pub fn wait(&mut self, job: JobId, limit: GuestMillis) -> Result<Option<JobEnd>, LabError> {
        match self.ask(&Request::Wait { job, limit })? {
            Reply::Finished(end) => Ok(Some(end)),
            Reply::StillRunning => Ok(None),
            other => Err(misfit("wait for a job", other)),
        }
    }

    /// Carries out one action as `caller` and says how it went and how long it took.
    ///
    /// # Errors
    /// [`LabError`] if it did not end within a minute of guest time.
    pub fn observe_as(&mut self, caller: Caller, action: Action) -> Result<Observed, LabError> {
        let what = format!("{action:?}");
        let jobs = self.start(caller, vec![action], 1)?;
        let [job] = jobs[..] else {
            return Err(LabError::Unexpected(format!("{} jobs instead of one", jobs.len())));
        };
        let end = self
            .wait(job, ACTION_LIMIT)?
            .ok_or_else(|| LabError::Unexpected(format!("no end after {} ms: {}", ACTION_LIMIT.0, brief(&what))))?;
        match end.results.into_iter().next() {
            Some(result) => Ok(Observed::from(result)),
            None => Err(LabError::Unexpected(format!("killed by {:?}: {}", end.killed_by, brief(&what)))),
        }
    }

    /// [`Lab::observe_as`] as root, with all capabilities.
    ///
    /// # Errors
    /// [`LabError`], likewise.
    pub fn observe(&mut self, action: Action) -> Result<Observed, LabError> {
        self.observe_as(Caller::default(), action)
    }

    /// Carries out a step that arranges something: it must succeed.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if it does not.
    pub fn arrange(&mut self, action: Action) -> Result<Value, LabError> {
        let what = format!("{action:?}");
        self.observe(action)?.result.map_err(|errno| LabError::SetUp { what: brief(&what), errno })
    }

    /// A step that arranges something in PID 1 itself: it must succeed.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if it does not.
    pub fn arrange_in_init(&mut self, action: Action) -> Result<Value, LabError> {
        let what = brief(&format!("{action:?}"));
        match self.ask(&Request::InInit(action))? {
            Reply::Finished(end) => match end.results.into_iter().next() {
                Some(result) => result.result.map_err(|errno| LabError::SetUp { what, errno }),
                None => Err(LabError::Unexpected(what)),
            },
            other => Err(misfit("act in PID 1", other)),
        }
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn run(&mut self, argv: &[&str]) -> Result<Ran, LabError> {
        match self.arrange(run_action(argv))? {
            Value::Ran(ran) => Ok(ran),
            other => Err(LabError::Unexpected(format!("{other:?}"))),
        }
    }

    // --- files ---

    /// Replaces a file's contents; creates it and its directory.
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

    /// A file's contents, 1 MiB at most.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, LabError> {
        match self.arrange(Action::Read { path: path.as_bytes().to_vec(), max: 1 << 20 })? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(LabError::Unexpected(format!("{other:?}"))),
        }
    }

    /// Renames.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), LabError> {
        self.arrange(Action::Rename(from.as_bytes().to_vec(), to.as_bytes().to_vec()))?;
        Ok(())
    }

    /// Removes a file or a tree.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn remove(&mut self, path: &str) -> Result<(), LabError> {
        self.arrange(Action::RemoveAll(path.as_bytes().to_vec()))?;
        Ok(())
    }

    // --- the path and its helper ---

    /// Writes to `/proc/sys/kernel/modprobe` and returns what write(2) returned.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn set_path(&mut self, path: &[u8]) -> Result<i64, LabError> {
        match self.arrange(Action::Write { path: MODPROBE_SYSCTL.to_vec(), data: path.to_vec(), flags: 0 })? {
            Value::Number(written) => Ok(written),
            other => Err(LabError::Unexpected(format!("{other:?}"))),
        }
    }

    /// What `/proc/sys/kernel/modprobe` reads.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn path(&mut self) -> Result<Vec<u8>, LabError> {
        self.read("/proc/sys/kernel/modprobe")
    }

    /// Puts a recording helper with this plan at [`SCRATCH`]`/name`.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper(&mut self, name: &str, plan: &Plan) -> Result<Helper, LabError> {
        let helper = Helper::named(name);
        let plan = helper.encode(plan).map_err(LabError::Unexpected)?;
        self.write(&helper.plan_path(), &plan)?;
        self.arrange(Action::Symlink(b"/bin/agent".to_vec(), helper.path().as_bytes().to_vec()))?;
        Ok(helper)
    }

    /// [`Lab::helper`], and makes it the path.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper_as_path(&mut self, name: &str, plan: &Plan) -> Result<Helper, LabError> {
        let helper = self.helper(name, plan)?;
        self.set_path(helper.path().as_bytes())?;
        Ok(helper)
    }

    /// The records that a helper has left so far, in the order of their starts.
    ///
    /// # Errors
    /// [`LabError`] if the log is damaged.
    pub fn records(&mut self, helper: &Helper) -> Result<Vec<Record>, LabError> {
        let log = self.observe(Action::Read { path: helper.log_path().into_bytes(), max: 8 << 20 })?;
        match log.result {
            Ok(Value::Bytes(bytes)) => Helper::decode(&bytes).map_err(LabError::Unexpected),
            Err(errno::ENOENT) => Ok(Vec::new()),
            Err(errno) => Err(LabError::SetUp { what: format!("reading {}", helper.log_path()), errno }),
            Ok(other) => Err(LabError::Unexpected(format!("{other:?}"))),
        }
    }

    // --- the kernel's log and trace ---

    /// From now on [`Lab::kmsg`] tells only what comes later.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn mark_kmsg(&mut self) -> Result<(), LabError> {
        self.kmsg_from = self.kmsg_records(true)?.1;
        Ok(())
    }

    /// The kernel's own lines since the mark, flushed.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(true)?.0))
    }

    /// The kernel's own lines since the mark, as a reader sees them who does not flush.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg_unflushed(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(false)?.0))
    }

    /// All records since the mark, from user space too, and where the log ends.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read or records were lost.
    pub fn kmsg_records(&mut self, flush: bool) -> Result<(Vec<KmsgRecord>, u64), LabError> {
        match self.ask(&Request::Kmsg { since: self.kmsg_from, flush })? {
            Reply::Kmsg { lost: true, .. } => {
                Err(LabError::Unexpected("kernel log records were overwritten before they were read".to_owned()))
            }
            Reply::Kmsg { records, next, .. } => Ok((records, next)),
            other => Err(misfit("read the kernel log", other)),
        }
    }

    /// Starts tracing `module_request`.
    ///
    /// # Errors
    /// [`LabError::Need`] if the kernel has no such event.
    pub fn trace_requests(&mut self) -> Result<(), LabError> {
        match self.ask(&Request::TraceOn(vec!["module/module_request".to_owned()]))? {
            Reply::Done => Ok(()),
            // A trace that the kernel has and that does not work is no unmet need.
            Reply::Failed(why) if why.starts_with("this kernel has no ") => {
                Err(LabError::Need(format!("the trace event module/module_request ({why})")))
            }
            other => Err(misfit("trace", other)),
        }
    }

    /// Names of the requests that were traced, in order.
    ///
    /// # Errors
    /// [`LabError`] if the trace cannot be read.
    pub fn traced_requests(&mut self) -> Result<Vec<Vec<u8>>, LabError> {
        match self.ask(&Request::Trace)? {
            Reply::Trace(lines) => Ok(lines.iter().filter_map(|line| traced_name(line)).collect()),
            other => Err(misfit("read the trace", other)),
        }
    }

    // --- modules ---

    /// The states of these modules in `/proc/modules`, `absent` for one that is not there.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn module_states(&mut self, names: &[&str]) -> Result<Vec<String>, LabError> {
        let table = self.read("/proc/modules")?;
        Ok(names.iter().map(|name| module_state(&table, name)).collect())
    }

    /// Loads a module with its dependencies through the kernel's own system call, no subject involved.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest's module directory does not have it.
    pub fn load(&mut self, name: &str) -> Result<(), LabError> {
        for file in crate::modules::load_order(self.pair, name)? {
            let flags = crate::modules::finit_flags(&file);
            let load = Action::FinitModule { path: file.into_bytes(), params: Vec::new(), flags };
            match self.observe(load)?.result {
                Ok(_) | Err(errno::EEXIST) => {}
                Err(errno) => return Err(LabError::SetUp { what: format!("loading {name}"), errno }),
            }
        }
        Ok(())
    }

    /// The exact errno with which `request_module()` ends now: `getsockopt(IPT_SO_GET_INFO)` hands it back
    /// (net/netfilter/x_tables.c, `xt_request_find_table_lock`). Loads `ip_tables` first.
    ///
    /// # Errors
    /// [`LabError`] if the oracle cannot be set up.
    pub fn request_result(&mut self) -> Result<Result<Value, Errno>, LabError> {
        self.load("ip_tables")?;
        Ok(self.observe(Action::IptGetInfo(b"zz".to_vec()))?.result)
    }
}

/// A result and the guest time that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the system call gave.
    pub result: Result<Value, Errno>,
    /// Guest time from begin to end, in milliseconds.
    pub millis: u64,
}

impl From<ActionResult> for Observed {
    fn from(result: ActionResult) -> Self {
        Observed { millis: result.ended.millis_since(result.began), result: result.result }
    }
}

/// Runs a program to its end, with the environment that a service has.
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

/// A caller without any privilege.
#[must_use]
pub fn nobody() -> Caller {
    Caller { uid: Some(1000), ..Caller::default() }
}

fn misfit(what: &'static str, reply: Reply) -> LabError {
    match reply {
        Reply::Failed(why) => LabError::Agent { what, why },
        other => LabError::Agent { what, why: format!("unexpected reply {}", brief(&format!("{other:?}"))) },
    }
}

fn brief(text: &str) -> String {
    let mut short: String = text.chars().take(160).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn kernel_lines(records: Vec<KmsgRecord>) -> Vec<KmsgRecord> {
    records.into_iter().filter(|record| record.facility == 0).collect()
}

/// The name in a line such as `… module_request: fs-zz wait=1 call_site=get_fs_type+0x5/0x10`.
/// A name may hold anything, so the fixed text is looked for from both ends.
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

/// `bytes` as one line for a message.
#[must_use]
pub fn shown_line(record: &KmsgRecord) -> String {
    format!("<{}> {}", record.level, text::escape(&record.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traced_name_may_hold_blanks_and_equal_signs() {
        let line = b"  lab-77  [000] ..... 3.1: module_request: fs-a wait=b wait=1 call_site=get_fs_type";
        assert_eq!(traced_name(line), Some(b"fs-a wait=b".to_vec()));
        assert_eq!(traced_name(b"# tracer: nop"), None);
    }

    #[test]
    fn a_module_state_is_read_by_its_whole_name() {
        let table = b"mrp 16384 1 8021q, Live 0x0\n8021q 40960 0 - Loading 0x0\n";
        assert_eq!(module_state(table, "8021q"), "Loading");
        assert_eq!(module_state(table, "mr"), "absent");
    }
}
