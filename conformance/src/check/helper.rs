//! Recording helpers: programs that the kernel starts instead of modprobe, and the records they leave.

use crate::check::lab::SCRATCH;
use agent::frame::{self, Decoder};
use agent::plan::{Arg, End, HelperPlan, Record};
use agent::proto::Action;

/// A recording helper in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    path: String,
}

impl Helper {
    /// Returns the helper with this name in the scratch directory.
    #[must_use]
    pub fn named(name: &str) -> Helper {
        Helper { path: format!("{SCRATCH}/{name}") }
    }

    /// Returns the helper at this absolute path. It also finds its plan if it is started by a path relative to `/`.
    #[must_use]
    pub fn at(path: &str) -> Helper {
        Helper { path: path.to_owned() }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path of its plan.
    #[must_use]
    pub fn plan_path(&self) -> String {
        format!("{}.plan", self.path)
    }

    /// Returns the path of its records.
    #[must_use]
    pub fn log_path(&self) -> String {
        format!("{}.log", self.path)
    }

    /// Encodes a plan as the file that the helper reads.
    pub(crate) fn encode(&self, plan: &HelperPlan) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(plan).map_err(|error| format!("cannot encode the plan of {}: {error}", self.path))
    }

    /// Decodes the records of a log, sorted by start time.
    pub(crate) fn decode(log: &[u8]) -> Result<Vec<Record>, String> {
        let mut decoder = Decoder::new();
        decoder.push(log);
        let mut records = Vec::new();
        while let Some((_, payload)) = decoder.next_frame() {
            records.push(frame::decode::<Record>(&payload).map_err(|error| harness::error_chain(&error))?);
        }
        if decoder.noise() > 0 {
            return Err(format!("{} bytes of the helper log belong to no record", decoder.noise()));
        }
        records.sort_by_key(|record| record.time);
        Ok(records)
    }
}

/// Returns a plan that records and exits with `status`.
#[must_use]
pub fn exit_with(status: i32) -> HelperPlan {
    act_then_exit(Vec::new(), status)
}

/// Returns a plan that records, carries out `actions` and exits with `status`.
#[must_use]
pub fn act_then_exit(actions: Vec<Action>, status: i32) -> HelperPlan {
    HelperPlan { record: true, actions, end: End::Exit(status) }
}

/// Returns a plan that records and then executes `program` with the same arguments.
#[must_use]
pub fn exec(program: &str) -> HelperPlan {
    exec_with(program, vec![Arg::Literal(program.as_bytes().to_vec()), Arg::OwnFrom(1)])
}

/// Returns a plan that records and then executes `program` with `argv`.
#[must_use]
pub fn exec_with(program: &str, argv: Vec<Arg>) -> HelperPlan {
    HelperPlan { record: true, actions: Vec::new(), end: End::Exec { program: program.as_bytes().to_vec(), argv } }
}

/// Returns a plan that records, carries out `actions` and then executes `program` with the same arguments.
#[must_use]
pub fn act_then_exec(actions: Vec<Action>, program: &str) -> HelperPlan {
    HelperPlan { actions, ..exec(program) }
}

/// Returns the largest number of helpers that ran at the same moment. Each helper leaves one record when it starts and
/// one when it ends.
#[must_use]
pub fn most_at_once(started: &[Record], ended: &[Record]) -> usize {
    let ended_by = |time| ended.iter().filter(|record| record.time <= time).count();
    let running = |(number, record): (usize, &Record)| (number + 1).saturating_sub(ended_by(record.time));
    started.iter().enumerate().map(running).max().unwrap_or_default()
}

/// Returns the requested module names: the last argument of each record.
#[must_use]
pub fn requested_names(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.argv.last().cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::proto::GuestMicros;

    #[test]
    fn records_are_sorted_by_start_time_and_damage_is_an_error() {
        let record = |time: u64, name: &str| Record {
            time: GuestMicros(time),
            argv: vec![b"/p".to_vec(), name.as_bytes().to_vec()],
            ..Record::default()
        };
        let mut log = frame::encode(0, &record(20, "second")).unwrap();
        log.extend(frame::encode(0, &record(10, "first")).unwrap());
        assert_eq!(requested_names(&Helper::decode(&log).unwrap()), [b"first".to_vec(), b"second".to_vec()]);
        log.push(b'x');
        log.extend(frame::encode(0, &record(30, "third")).unwrap());
        assert!(Helper::decode(&log).is_err());
    }

    #[test]
    fn helpers_that_end_before_others_start_do_not_run_at_once() {
        let records = |times: &[u64]| -> Vec<Record> {
            times.iter().map(|time| Record { time: GuestMicros(*time), ..Record::default() }).collect()
        };
        assert_eq!(most_at_once(&records(&[1, 2, 10, 11, 12]), &records(&[5, 11, 20, 21, 22])), 3);
        assert_eq!(most_at_once(&records(&[1, 2]), &records(&[])), 2);
        assert_eq!(most_at_once(&[], &[]), 0);
    }
}
