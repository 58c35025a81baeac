//! A helper that runs until the check lets it exit, and its files in `/proc`.
//!
//! The helper waits for the writer of a FIFO and not for a time, because an idle guest with virtual time skips any duration.

use crate::check::helper::{Helper, act_then_exit};
use crate::check::lab::{Lab, LabError, SCRATCH};
use crate::check::trigger::unknown_socket;
use agent::plan::Record;
use agent::proto::{Action, Caller, Errno, JobEnd, JobId, Value};

/// A helper that waits. Only one of its processes may run at a time.
#[derive(Debug)]
pub struct Waiting {
    helper: Helper,
    seen: usize,
}

/// A process of the helper, and the job that requested it.
#[derive(Debug)]
pub struct Running {
    job: JobId,
    settings: usize,
    /// What the helper recorded at its start; empty if it did not start.
    pub record: Record,
}

/// The FIFO whose writer ends the wait.
const FIFO: &str = "/run/lab/fifo";

/// Returns the action that waits until the FIFO has a writer.
#[must_use]
pub fn wait_for_writer() -> Action {
    Action::Open { path: FIFO.as_bytes().to_vec(), flags: libc::O_RDONLY }
}

impl Running {
    /// Returns the job that requested the helper.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }
}

impl Waiting {
    /// Installs the helper and sets the path to it.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn install(lab: &mut Lab<'_>) -> Result<Waiting, LabError> {
        lab.create_fifo()?;
        let helper = lab.helper_as_path("waiting", &act_then_exit(vec![wait_for_writer()], 1))?;
        Ok(Waiting { helper, seen: 0 })
    }

    /// Starts a job that makes these settings for itself and then requests a module. Returns when the helper runs, and records
    /// as a fact whether it was started.
    ///
    /// # Errors
    /// [`LabError`] if the job cannot be started.
    pub fn start(&mut self, lab: &mut Lab<'_>, caller: Caller, settings: Vec<Action>) -> Result<Running, LabError> {
        let count = settings.len();
        let actions = settings.into_iter().chain([unknown_socket()]).collect();
        let job = lab.start(caller, actions, 1)?.pop();
        let job = job.ok_or_else(|| LabError::Unexpected("no job was started".to_owned()))?;
        let records = lab.wait_for_records(&self.helper, self.seen + 1)?;
        let record = records.into_iter().nth(self.seen).unwrap_or_default();
        self.seen += usize::from(record.pid != 0);
        Ok(Running { job, settings: count, record })
    }

    /// Lets the helper exit and waits for the job.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if a setting of the job failed.
    pub fn finish(&self, lab: &mut Lab<'_>, running: &Running) -> Result<(), LabError> {
        if running.record.pid != 0 {
            lab.release_helpers()?;
        }
        lab.settings_applied(running.job, running.settings)
    }
}

impl Lab<'_> {
    /// Creates the FIFO for [`wait_for_writer`].
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn create_fifo(&mut self) -> Result<(), LabError> {
        self.arrange(Action::MkdirAll(SCRATCH.as_bytes().to_vec()))?;
        let mode = libc::S_IFIFO | 0o600;
        self.arrange(Action::Mknod { path: FIFO.as_bytes().to_vec(), mode, major: 0, minor: 0 })?;
        Ok(())
    }

    /// Ends the wait of every helper that waits at the FIFO.
    ///
    /// # Errors
    /// [`LabError`] if none waits.
    pub fn release_helpers(&mut self) -> Result<(), LabError> {
        self.arrange(Action::Open { path: FIFO.as_bytes().to_vec(), flags: libc::O_WRONLY })?;
        Ok(())
    }

    /// Returns the records of a helper as soon as there are `count`, or after a second of guest time.
    ///
    /// # Errors
    /// [`LabError`] if the log is damaged.
    pub fn wait_for_records(&mut self, helper: &Helper, count: usize) -> Result<Vec<Record>, LabError> {
        for _ in 0..100 {
            let records = self.records(helper)?;
            if records.len() >= count {
                return Ok(records);
            }
            self.arrange(Action::Sleep(10))?;
        }
        self.records(helper)
    }

    /// Makes settings in a new job, and then requests a module. Returns what the helper recorded; an empty record if none
    /// was started.
    ///
    /// # Errors
    /// [`LabError::SetUp`] if a setting failed.
    pub fn record_of_request(
        &mut self,
        helper: &Helper,
        caller: Caller,
        settings: Vec<Action>,
    ) -> Result<Record, LabError> {
        let (seen, count) = (self.records(helper)?.len(), settings.len());
        let actions = settings.into_iter().chain([unknown_socket()]).collect();
        for job in self.start(caller, actions, 1)? {
            self.settings_applied(job, count)?;
        }
        Ok(self.records(helper)?.into_iter().nth(seen).unwrap_or_default())
    }

    /// Waits for a job and requires that its first `count` actions succeeded.
    fn settings_applied(&mut self, job: JobId, count: usize) -> Result<(), LabError> {
        check_settings(&self.wait_for(job)?, count)
    }

    /// Returns the contents of a file in `/proc/PID`; empty if the process does not exist.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not reply.
    pub fn process_file(&mut self, pid: i32, name: &str) -> Result<Vec<u8>, LabError> {
        let read = Action::Read { path: format!("/proc/{pid}/{name}").into_bytes(), max: 1 << 20 };
        match self.observe(read)?.result {
            Ok(Value::Bytes(bytes)) => Ok(bytes),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns `/proc/PID/status`.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not reply.
    pub fn process_status(&mut self, pid: i32) -> Result<Status, LabError> {
        Ok(Status(String::from_utf8_lossy(&self.process_file(pid, "status")?).into_owned()))
    }

    /// Returns `/proc/PID/stat`.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not reply.
    pub fn process_stat(&mut self, pid: i32) -> Result<Stat, LabError> {
        Ok(Stat(String::from_utf8_lossy(&self.process_file(pid, "stat")?).into_owned()))
    }
}

fn check_settings(end: &JobEnd, count: usize) -> Result<(), LabError> {
    if end.results.len() < count {
        return Err(LabError::Unexpected(format!("only {} of {count} settings were made", end.results.len())));
    }
    let failed = |(number, errno): (usize, Errno)| LabError::SetUp { what: format!("make setting {number}"), errno };
    let errors = end
        .results
        .iter()
        .take(count)
        .enumerate()
        .filter_map(|(at, result)| Some((at + 1, result.result.clone().err()?)));
    errors.map(failed).next().map_or(Ok(()), Err)
}

/// `/proc/PID/status`.
#[derive(Clone, Debug)]
pub struct Status(String);

impl Status {
    /// Returns the values after `NAME:`, separated by one space; empty if there is no such line.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        let rest = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        rest.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Returns these lines as `NAME VALUES`.
    #[must_use]
    pub fn fields(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("{name} {}", self.field(name)).trim_end().to_owned()).collect()
    }

    /// Returns a number in base 10, 0 if there is none.
    #[must_use]
    pub fn number(&self, name: &str) -> i32 {
        self.field(name).parse().unwrap_or_default()
    }
}

/// `/proc/PID/stat`.
#[derive(Clone, Debug)]
pub struct Stat(String);

impl Stat {
    /// Returns the field with this number in proc(5); empty if there is none. The name of the program, field 2, is not
    /// supported.
    #[must_use]
    pub fn field(&self, number: usize) -> &str {
        let after_name = self.0.rsplit_once(") ").map_or("", |(_, rest)| rest);
        number.checked_sub(3).and_then(|at| after_name.split_whitespace().nth(at)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::errno;
    use agent::proto::ActionResult;

    #[test]
    fn status_fields_are_found_by_their_whole_name() {
        let status = Status("Name:\tlog\nUid:\t0\t0\t0\t0\nGroups:\t \nPPid:\t12\n".to_owned());
        assert_eq!(status.fields(&["Uid", "Groups", "id"]), ["Uid 0 0 0 0", "Groups", "id"]);
        assert_eq!((status.number("PPid"), status.number("Pid")), (12, 0));
    }

    #[test]
    fn stat_fields_are_counted_after_the_last_parenthesis() {
        let stat = Stat("7 (a) b) S 2 0 0\n".to_owned());
        assert_eq!((stat.field(3), stat.field(4), stat.field(6), stat.field(9)), ("S", "2", "0", ""));
        assert_eq!(Stat(String::new()).field(3), "");
    }

    #[test]
    fn a_setting_that_failed_is_an_error_of_the_set_up() {
        let result = |result| ActionResult { result, began: Default::default(), ended: Default::default() };
        let end = JobEnd { results: vec![result(Ok(Value::Unit)), result(Err(errno::EPERM))], ..JobEnd::default() };
        assert!(check_settings(&end, 1).is_ok());
        assert_eq!(check_settings(&end, 2).unwrap_err().to_string(), "set-up failed: cannot make setting 2: EPERM");
        assert_eq!(check_settings(&end, 3).unwrap_err().to_string(), "set-up failed: only 2 of 3 settings were made");
    }
}
