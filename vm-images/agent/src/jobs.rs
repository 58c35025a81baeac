//! Jobs: children of PID 1 that carry out actions, so that one that hangs or is killed does not affect others.
//!
//! A job appends each result to its own unlinked file. PID 1 reads the file when the host asks for the job, so it
//! never waits for a child's output, and the finished results of a killed job are kept.

use crate::sys::strerror;
use crate::time::Moment;
use crate::{actions, caller, sys, time};
use agent::proto::{ActionResult, Group, GuestMicros, JobEnd, JobId, SetupFailure};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// An entry of a result file.
#[derive(Serialize, Deserialize)]
pub enum Entry {
    /// The job could not become its caller; nothing follows.
    Setup(SetupFailure),
    /// The result of one action.
    Action(ActionResult),
}

struct Job {
    pid: Pid,
    results: OwnedFd,
    ended: Option<(WaitStatus, GuestMicros)>,
}

/// All jobs that the host has not fetched yet.
pub struct Jobs {
    /// The directory of result files; kept open, so that no mount can hide it.
    directory: OwnedFd,
    /// The limit with which PID 1 was started; children get it back.
    nofile: Rlimit,
    last: u32,
    table: BTreeMap<JobId, Job>,
    running: BTreeMap<i32, JobId>,
    /// Pending signals, the next one on top.
    signals: BinaryHeap<Reverse<(Moment, JobId, i32)>>,
}

impl Jobs {
    /// Creates an empty table; result files are created in `directory`.
    pub fn new(directory: OwnedFd) -> Self {
        let nofile = rustix::process::getrlimit(Resource::Nofile);
        // Each job needs a descriptor.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: nofile.maximum, ..nofile });
        Self {
            directory,
            nofile,
            last: 0,
            table: BTreeMap::new(),
            running: BTreeMap::new(),
            signals: BinaryHeap::new(),
        }
    }

    /// Starts all jobs of all groups. If one cannot be started, those already started are killed.
    pub fn start(&mut self, groups: &[Group]) -> Result<Vec<JobId>, String> {
        let asked = groups.iter().map(|group| u64::from(group.count)).sum::<u64>();
        if asked + self.table.len() as u64 > MOST {
            return Err(format!("too many jobs: {} exist, {asked} requested, at most {MOST}", self.table.len()));
        }
        let mut started = Vec::new();
        for group in groups {
            for number in 1..=group.count {
                match self.start_one(group) {
                    Ok(job) => started.push(job),
                    Err((what, errno)) => {
                        for job in started {
                            self.abandon(job);
                        }
                        let errno = strerror(errno);
                        return Err(format!("cannot start job {number} of {}: {what}: {errno}", group.count));
                    }
                }
            }
        }
        Ok(started)
    }

    fn start_one(&mut self, group: &Group) -> Result<JobId, (&'static str, Errno)> {
        let results = self.result_file().map_err(|errno| ("result file", errno))?;
        match sys::fork().map_err(|errno| ("fork", errno))? {
            sys::Fork::Child => {
                // Descriptor 3 becomes the result file; all others are closed: the port, the log, other jobs' results.
                let done = rustix::io::fcntl_dupfd_cloexec(&results, 4).and_then(|results| {
                    sys::install(&results, 3)?;
                    sys::close_range(4, u32::MAX);
                    std::mem::forget(results);
                    // SAFETY: it was just created, and the previous owner of the number is not used in this process
                    // any more.
                    let results = unsafe { sys::adopt(3) };
                    rustix::io::fcntl_setfd(&results, rustix::io::FdFlags::CLOEXEC)?;
                    Ok(results)
                });
                let _ = rustix::process::setrlimit(Resource::Nofile, self.nofile);
                sys::default_signals();
                match done {
                    Ok(results) => carry_out(&results, group),
                    Err(_) => sys::exit(LOST),
                }
            }
            sys::Fork::Parent(pid) => {
                self.last += 1;
                let id = JobId(self.last);
                self.table.insert(id, Job { pid, results, ended: None });
                self.running.insert(pid.as_raw_nonzero().get(), id);
                if let Some((after, signal)) = group.signal {
                    self.signals.push(Reverse((Moment::after(after), id, signal)));
                }
                Ok(id)
            }
        }
    }

    fn result_file(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::APPEND;
        let mode = Mode::RUSR | Mode::WUSR;
        match rustix::fs::openat(&self.directory, c".", flags | OFlags::TMPFILE, mode) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
            done => return done,
        }
        let name = c".agent-result";
        let file = rustix::fs::openat(&self.directory, name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
        rustix::fs::unlinkat(&self.directory, name, rustix::fs::AtFlags::empty())?;
        Ok(file)
    }

    /// Reaps all children that have ended, jobs and orphans alike.
    pub fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(id) = self.running.remove(&pid.as_raw_nonzero().get()) {
                if let Some(job) = self.table.get_mut(&id) {
                    job.ended = Some((status, time::now()));
                }
            }
        }
    }

    /// Returns whether the job has ended; `None` if there is no such job.
    pub fn has_ended(&self, id: JobId) -> Option<bool> {
        self.table.get(&id).map(|job| job.ended.is_some())
    }

    /// Removes an ended job and returns its results.
    pub fn take(&mut self, id: JobId) -> Result<JobEnd, String> {
        let job = self.table.remove(&id).ok_or_else(|| no_such_job(id))?;
        let (status, ended) = job.ended.ok_or_else(|| format!("job {} is still running", id.0))?;
        let written = actions::files::read_whole(&job.results, 0)
            .map_err(|errno| format!("cannot read the results of job {}: {}", id.0, strerror(errno)))?;
        let (setup, results) = decode(&written);
        if status.exit_status() == Some(LOST) {
            return Err(format!("job {} could write only {} of its results", id.0, results.len()));
        }
        Ok(JobEnd { setup, results, killed_by: status.terminating_signal(), ended })
    }

    /// Sends a signal if the job is still running.
    pub fn signal(&self, id: JobId, signal: i32) -> Result<(), String> {
        let job = self.table.get(&id).ok_or_else(|| no_such_job(id))?;
        if job.ended.is_none() {
            let failed = |errno| format!("cannot send signal {signal} to job {}: {}", id.0, strerror(errno));
            sys::kill(job.pid, signal).map_err(failed)?;
        }
        Ok(())
    }

    /// Sends the signals that are due, and returns the time of the next one.
    pub fn send_due(&mut self) -> Option<Moment> {
        while let Some(Reverse((moment, id, signal))) = self.signals.peek().copied() {
            if !moment.passed() {
                return Some(moment);
            }
            self.signals.pop();
            // The job may have ended and been fetched.
            let _ = self.signal(id, signal);
        }
        None
    }

    /// Returns the process ids of the running jobs.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.running.keys().copied()
    }

    fn abandon(&mut self, id: JobId) {
        let _ = self.signal(id, libc::SIGKILL);
        self.table.remove(&id);
    }
}

fn no_such_job(id: JobId) -> String {
    format!("no job with id {}", id.0)
}

/// Maximum number of jobs. About 1,600 fill a guest of 256 MiB, and the OOM killer then kills at random.
const MOST: u64 = 1000;

/// Exit status of a job whose results could not be written.
const LOST: i32 = 113;

/// Runs the child: become the caller, act, exit.
fn carry_out(results: &OwnedFd, group: &Group) -> ! {
    if let Err(failure) = caller::assume(&group.caller) {
        append(results, &Entry::Setup(failure));
        sys::exit(0);
    }
    std::thread::sleep(Duration::from_millis(group.after.0));
    for action in &group.actions {
        append(results, &Entry::Action(actions::timed(action)));
    }
    sys::exit(0)
}

fn append(results: &OwnedFd, entry: &Entry) {
    let written = postcard::to_stdvec(entry)
        .map_err(|_| Errno::INVAL)
        .and_then(|bytes| actions::files::write_whole(results, &bytes));
    if written.is_err() {
        sys::exit(LOST);
    }
}

/// Decodes a result file. An entry that a killed job wrote only partially is ignored.
fn decode(mut bytes: &[u8]) -> (Option<SetupFailure>, Vec<ActionResult>) {
    let mut results = Vec::new();
    while !bytes.is_empty() {
        match postcard::take_from_bytes(bytes) {
            Ok((Entry::Action(result), rest)) => {
                results.push(result);
                bytes = rest;
            }
            Ok((Entry::Setup(failure), _)) => return (Some(failure), results),
            Err(_) => break,
        }
    }
    (None, results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::proto::Value;

    fn result(n: u64) -> ActionResult {
        ActionResult { result: Ok(Value::Bytes(vec![n as u8; 300])), began: GuestMicros(n), ended: GuestMicros(n + 1) }
    }

    #[test]
    fn a_partially_written_result_of_a_killed_job_is_ignored() {
        let mut file = Vec::new();
        for n in 0..3 {
            file.extend(postcard::to_stdvec(&Entry::Action(result(n))).unwrap());
        }
        assert_eq!(decode(&file).1, [result(0), result(1), result(2)]);
        file.truncate(file.len() - 1);
        assert_eq!(decode(&file).1, [result(0), result(1)]);
        assert_eq!(decode(&[]).1, []);
    }

    #[test]
    fn nothing_is_read_after_a_failed_setup() {
        let failure = SetupFailure { step: "unshare".into(), errno: agent::proto::Errno(1) };
        let mut file = postcard::to_stdvec(&Entry::Setup(failure.clone())).unwrap();
        file.extend(postcard::to_stdvec(&Entry::Action(result(0))).unwrap());
        assert_eq!(decode(&file), (Some(failure), vec![]));
    }
}
