//! Recording helpers: programs that the kernel starts in modprobe's place, and what they wrote down.

use crate::lab::SCRATCH;
use agent::frame::{self, Decoder};
use agent::plan::{Arg, End, Plan, Record};
use agent::proto::Action;

/// A recording helper in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    path: String,
}

impl Helper {
    /// The helper of this name in the scratch directory.
    #[must_use]
    pub fn named(name: &str) -> Helper {
        Helper { path: format!("{SCRATCH}/{name}") }
    }

    /// The helper at this absolute path; it finds its plan also if it is started by a path that is relative to `/`.
    #[must_use]
    pub fn at(path: &str) -> Helper {
        Helper { path: path.to_owned() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where its plan lies.
    #[must_use]
    pub fn plan_path(&self) -> String {
        format!("{}.plan", self.path)
    }

    /// Where its records are.
    #[must_use]
    pub fn log_path(&self) -> String {
        format!("{}.log", self.path)
    }

    /// A plan as the file that the helper reads.
    pub(crate) fn encode(&self, plan: &Plan) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(plan).map_err(|error| format!("the plan of {} cannot be encoded: {error}", self.path))
    }

    /// Records from a log.
    pub(crate) fn decode(log: &[u8]) -> Result<Vec<Record>, String> {
        let mut decoder = Decoder::new();
        decoder.push(log);
        let mut records = Vec::new();
        while let Some((_, payload)) = decoder.next_frame() {
            records.push(frame::decode::<Record>(&payload).map_err(|error| error.to_string())?);
        }
        if decoder.noise() > 0 {
            return Err(format!("{} bytes of a helper's log belong to no record", decoder.noise()));
        }
        records.sort_by_key(|record| record.time);
        Ok(records)
    }
}

/// Records and exits with `status`.
#[must_use]
pub fn exits(status: i32) -> Plan {
    acts(Vec::new(), status)
}

/// Records, does `actions`, exits with `status`.
#[must_use]
pub fn acts(actions: Vec<Action>, status: i32) -> Plan {
    Plan { record: true, actions, end: End::Exit(status) }
}

/// Records, then becomes `program` with the same arguments.
#[must_use]
pub fn becomes(program: &str) -> Plan {
    becomes_with(program, vec![Arg::Literal(program.as_bytes().to_vec()), Arg::OwnFrom(1)])
}

/// Records, then becomes `program` with these arguments.
#[must_use]
pub fn becomes_with(program: &str, argv: Vec<Arg>) -> Plan {
    Plan { record: true, actions: Vec::new(), end: End::Exec { program: program.as_bytes().to_vec(), argv } }
}

/// The module names that were asked for: the last argument of each record.
#[must_use]
pub fn asked(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.argv.last().cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::proto::GuestMicros;

    #[test]
    fn records_come_in_the_order_of_their_starts_and_damage_is_told() {
        let record = |time: u64, name: &str| Record {
            time: GuestMicros(time),
            argv: vec![b"/p".to_vec(), name.as_bytes().to_vec()],
            ..Record::default()
        };
        let mut log = frame::encode(0, &record(20, "second")).unwrap();
        log.extend(frame::encode(0, &record(10, "first")).unwrap());
        assert_eq!(asked(&Helper::decode(&log).unwrap()), [b"first".to_vec(), b"second".to_vec()]);
        log.push(b'x');
        log.extend(frame::encode(0, &record(30, "third")).unwrap());
        assert!(Helper::decode(&log).is_err());
    }
}
