//! Jobs: children of PID 1 that carry out actions, so that one that hangs or is killed disturbs nobody.
//!
//! A job appends each result to an unlinked file of its own. PID 1 reads the file when the host asks
//! for the job, so it never waits for a child's output, and a killed job's finished results are kept.

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

/// What a job writes, one after the other.
#[derive(Serialize, Deserialize)]
pub enum Entry {
    /// It could not become its caller; nothing follows.
    Setup(SetupFailure),
    /// One action is over.
    Action(ActionResult),
}

struct Job {
    pid: Pid,
    results: OwnedFd,
    ended: Option<(WaitStatus, GuestMicros)>,
}

/// All jobs that the host has not fetched yet.
pub struct Jobs {
    /// Where result files are made; held open, so that no mount can hide it.
    directory: OwnedFd,
    /// Soft limit that PID 1 was started with, given back to the children.
    nofile: Rlimit,
    last: u32,
    table: BTreeMap<JobId, Job>,
    running: BTreeMap<i32, JobId>,
    /// Signals to be sent, the next one on top.
    signals: BinaryHeap<Reverse<(Moment, JobId, i32)>>,
}

impl Jobs {
    /// No jobs; result files will be made in `directory`.
    pub fn new(directory: OwnedFd) -> Self {
        let nofile = rustix::process::getrlimit(Resource::Nofile);
        // One descriptor a job.
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

    /// Starts all jobs of all groups; if one of them cannot be started, none is.
    pub fn start(&mut self, groups: &[Group]) -> Result<Vec<JobId>, String> {
        let asked = groups.iter().map(|group| u64::from(group.count)).sum::<u64>();
        if asked + self.table.len() as u64 > MOST {
            return Err(format!("{asked} more jobs are over the limit of {MOST}"));
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
                        return Err(format!("cannot start job {number} of {}: {what}: {errno}", group.count));
                    }
                }
            }
        }
        Ok(started)
    }

    fn start_one(&mut self, group: &Group) -> Result<JobId, (&'static str, Errno)> {
        let results = self.result_file().map_err(|errno| ("its result file", errno))?;
        match sys::fork().map_err(|errno| ("fork", errno))? {
            sys::Fork::Child => {
                // The copy that stays has the number 3, the others go: the port, the log, other jobs' results.
                let done = rustix::io::fcntl_dupfd_cloexec(&results, 4).and_then(|results| {
                    sys::install(&results, 3)?;
                    sys::close_range(4, u32::MAX);
                    std::mem::forget(results);
                    // SAFETY: it was just made, and what had the number before is not used in this process any more.
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

    /// Notes which children have ended, jobs and orphans alike.
    pub fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(id) = self.running.remove(&pid.as_raw_nonzero().get()) {
                if let Some(job) = self.table.get_mut(&id) {
                    job.ended = Some((status, time::now()));
                }
            }
        }
    }

    /// Whether the job has ended; `None` if there is no such job.
    pub fn has_ended(&self, id: JobId) -> Option<bool> {
        self.table.get(&id).map(|job| job.ended.is_some())
    }

    /// How an ended job ended; it is forgotten.
    pub fn take(&mut self, id: JobId) -> Result<JobEnd, String> {
        let job = self.table.remove(&id).ok_or_else(|| format!("there is no job {}", id.0))?;
        let (status, ended) = job.ended.ok_or_else(|| format!("job {} still runs", id.0))?;
        let written = actions::files::read_whole(&job.results, 0)
            .map_err(|errno| format!("the results of job {} cannot be read: {errno}", id.0))?;
        let (setup, results) = decode(&written);
        if status.exit_status() == Some(LOST) {
            return Err(format!("job {} could not write its results after {} of them", id.0, results.len()));
        }
        Ok(JobEnd { setup, results, killed_by: status.terminating_signal(), ended })
    }

    /// Sends a signal, if the job still runs.
    pub fn signal(&self, id: JobId, signal: i32) -> Result<(), String> {
        let job = self.table.get(&id).ok_or_else(|| format!("there is no job {}", id.0))?;
        if job.ended.is_none() {
            sys::kill(job.pid, signal).map_err(|errno| format!("signal {signal} to job {}: {errno}", id.0))?;
        }
        Ok(())
    }

    /// Sends the signals that are due; says when the next one is.
    pub fn send_due(&mut self) -> Option<Moment> {
        while let Some(Reverse((moment, id, signal))) = self.signals.peek().copied() {
            if !moment.passed() {
                return Some(moment);
            }
            self.signals.pop();
            // A job that was fetched needs none.
            let _ = self.signal(id, signal);
        }
        None
    }

    /// Process ids of the jobs that run.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.running.keys().copied()
    }

    fn abandon(&mut self, id: JobId) {
        let _ = self.signal(id, libc::SIGKILL);
        self.table.remove(&id);
    }
}

/// So many jobs at once: some 1,600 fill a guest of 256 MiB, and the kernel then ends what it likes.
const MOST: u64 = 1000;

/// Exit status of a job whose results could not be written.
const LOST: i32 = 113;

/// The child's life: become the caller, act, end.
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

/// A file of entries. What a killed job left half written is not believed.
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
    fn a_result_that_was_half_written_when_the_job_was_killed_is_left_out() {
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
    fn a_failed_setup_is_told_and_nothing_behind_it_is_read() {
        let failure = SetupFailure { step: "unshare".into(), errno: agent::proto::Errno(1) };
        let mut file = postcard::to_stdvec(&Entry::Setup(failure.clone())).unwrap();
        file.extend(postcard::to_stdvec(&Entry::Action(result(0))).unwrap());
        assert_eq!(decode(&file), (Some(failure), vec![]));
    }
}
