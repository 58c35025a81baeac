//! Observations of the guest's kernel: its log, its trace, its modules, and the result of a request.

use super::{Lab, LabError, unexpected};
use crate::check::fact::List;
use crate::check::{errno, modules};
use crate::text;
use agent::proto::{Action, Errno, KmsgRecord, Reply, Request, Value};

impl Lab<'_> {
    /// Marks the end of the kernel log. [`Lab::kmsg`] returns only lines after the mark.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn mark_kmsg(&mut self) -> Result<(), LabError> {
        // The mark follows all records, also those that were lost because many behaviours in one boot filled the log.
        match self.ask(&Request::Kmsg { since: self.kmsg_from, flush: true })? {
            Reply::Kmsg { next, .. } => {
                self.kmsg_from = next;
                Ok(())
            }
            other => Err(unexpected("read the kernel log", other)),
        }
    }

    /// Returns the lines of the kernel since the mark, after flushing the log.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(true)?.0))
    }

    /// Returns the lines of the kernel since the mark, after flushing the log, and marks the end of the log.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn take_kmsg(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        let (records, next) = self.kmsg_records(true)?;
        self.kmsg_from = next;
        Ok(kernel_lines(records))
    }

    /// Returns the lines of the kernel since the mark, as a reader sees them without a flush.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg_unflushed(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        Ok(kernel_lines(self.kmsg_records(false)?.0))
    }

    /// Returns the lines of programs since the mark.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn kmsg_of_programs(&mut self) -> Result<Vec<KmsgRecord>, LabError> {
        let (records, _) = self.kmsg_records(true)?;
        Ok(records.into_iter().filter(|record| record.facility != 0).collect())
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
            Reply::Kmsg { records, next, .. } => Ok((without_input_devices(records), next)),
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
            Reply::Missing(what) => {
                Err(LabError::Need(format!("the trace event module/module_request (the kernel does not have {what})")))
            }
            other => Err(unexpected("trace requests", other)),
        }
    }

    /// Returns the names of the traced requests, in order.
    ///
    /// # Errors
    /// [`LabError`] if the trace cannot be read.
    pub fn traced_requests(&mut self) -> Result<Vec<Vec<u8>>, LabError> {
        Ok(self.trace()?.iter().filter_map(|line| traced_name(line)).collect())
    }

    /// Returns the traced requests with all fields, in order: `NAME wait=1 call_site=FUNCTION`.
    ///
    /// # Errors
    /// [`LabError`] if the trace cannot be read.
    pub fn traced_calls(&mut self) -> Result<Vec<Vec<u8>>, LabError> {
        Ok(self.trace()?.iter().filter_map(|line| traced_event(line).map(<[u8]>::to_vec)).collect())
    }

    fn trace(&mut self) -> Result<Vec<Vec<u8>>, LabError> {
        match self.ask(&Request::Trace)? {
            Reply::Trace(lines) => Ok(lines),
            other => Err(unexpected("read the trace", other)),
        }
    }

    /// Returns the taint flags of the kernel as a bit mask.
    ///
    /// # Errors
    /// [`LabError`] if they cannot be read.
    pub fn taints(&mut self) -> Result<u64, LabError> {
        let taints = self.read("/proc/sys/kernel/tainted")?;
        let number = String::from_utf8_lossy(&taints).trim().parse();
        number.map_err(|_| LabError::Unexpected("/proc/sys/kernel/tainted is not a number".to_owned()))
    }

    /// Records the letters of the taint flags that are set now and were not in `before`.
    ///
    /// # Errors
    /// [`LabError`] if the flags cannot be read.
    pub fn expect_new_taints(&mut self, name: &str, before: u64, expected: &[&str]) -> Result<(), LabError> {
        let new = self.taints()? & !before;
        self.expect(name, List(taint_letters(new)), List(expected.to_vec()));
        Ok(())
    }

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
        self.load_files(name, modules::load_order(self.pair, name)?)
    }

    /// Loads the dependencies of a module like [`Lab::load`].
    ///
    /// # Errors
    /// [`LabError::Need`] if it is not in the guest's module directory.
    pub fn load_dependencies(&mut self, name: &str) -> Result<(), LabError> {
        let mut files = modules::load_order(self.pair, name)?;
        files.pop();
        self.load_files(name, files)
    }

    fn load_files(&mut self, name: &str, files: Vec<String>) -> Result<(), LabError> {
        for file in files {
            let flags = modules::finit_flags(&file);
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

fn kernel_lines(records: Vec<KmsgRecord>) -> Vec<KmsgRecord> {
    records.into_iter().filter(|record| record.facility == 0).collect()
}

/// Leaves out the lines about input devices, which the kernel finds at some moment after the boot (drivers/input/input.c,
/// `input_register_device`).
fn without_input_devices(records: Vec<KmsgRecord>) -> Vec<KmsgRecord> {
    let is_input = |record: &KmsgRecord| record.facility == 0 && record.text.starts_with(b"input: ");
    records.into_iter().filter(|record| !is_input(record)).collect()
}

/// Returns the name in a line such as `… module_request: fs-zz wait=1 call_site=get_fs_type+0x5/0x10`. A name can contain
/// any bytes, so the fixed text is searched from both ends.
fn traced_name(line: &[u8]) -> Option<Vec<u8>> {
    let event = traced_event(line)?;
    let end = event.windows(6).rposition(|window| window == b" wait=")?;
    event.get(..end).map(<[u8]>::to_vec)
}

fn traced_event(line: &[u8]) -> Option<&[u8]> {
    const EVENT: &[u8] = b"module_request: ";
    let start = line.windows(EVENT.len()).position(|window| window == EVENT)? + EVENT.len();
    line.get(start..)
}

/// Returns the letters of taint flags, as in an oops (kernel/panic.c).
fn taint_letters(taints: u64) -> Vec<String> {
    let letters = "PFSRMBUDAWCIOELKXTNJ".chars().enumerate();
    letters.filter(|(bit, _)| taints >> bit & 1 == 1).map(|(_, letter)| letter.to_string()).collect()
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
        assert_eq!(traced_event(line), Some(&b"fs-a wait=b wait=1 call_site=get_fs_type"[..]));
        assert_eq!(traced_name(b"# tracer: nop"), None);
    }

    #[test]
    fn lines_about_input_devices_do_not_count() {
        let record = |facility, text: &str| KmsgRecord {
            seq: 0,
            level: 6,
            facility,
            time: agent::proto::GuestMicros(0),
            text: text.as_bytes().to_vec(),
        };
        let mouse = "input: ImExPS/2 Generic Explorer Mouse as /devices/platform/i8042/serio1/input/input2";
        let records = vec![record(0, mouse), record(1, "input: of a program"), record(0, "of the kernel")];
        let shown = |records: Vec<KmsgRecord>| records.iter().map(shown_line).collect::<Vec<_>>();
        assert_eq!(shown(without_input_devices(records.clone())), ["<6> input: of a program", "<6> of the kernel"]);
        assert_eq!(shown(kernel_lines(records)), [format!("<6> {mouse}"), "<6> of the kernel".to_owned()]);
    }

    #[test]
    fn taint_flags_have_the_letters_of_an_oops() {
        assert_eq!(taint_letters(1 << 13 | 1 << 12 | 1), ["P", "O", "E"]);
        assert!(taint_letters(0).is_empty());
    }

    #[test]
    fn a_module_state_is_found_by_the_whole_name() {
        let table = b"mrp 16384 1 8021q, Live 0x0\n8021q 40960 0 - Loading 0x0\n";
        assert_eq!(module_state(table, "8021q"), "Loading");
        assert_eq!(module_state(table, "mr"), "absent");
    }
}
