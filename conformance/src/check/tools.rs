//! The module tools in a check: commands with their expected results, module files, files held open, and a recorder that
//! replaces the shell for commands in the configuration.

use crate::check::fact::{List, Shown as _};
use crate::check::helper::Helper;
use crate::check::lab::{Lab, LabError, run_action};
use crate::check::{errno, modules, xz};
use crate::text;
use agent::plan::HelperPlan;
use agent::proto::{Action, Errno, ExitKind, Group, GuestMillis, Ran, Value};
use kmod::object::{Limits, read_module};

/// A taint flag of the kernel: its bit and its letter (`include/linux/panic.h`).
#[derive(Clone, Copy, Debug)]
pub struct TaintFlag {
    bit: u32,
    letter: char,
}

/// A module was loaded by force.
pub const TAINT_FORCED_MODULE: TaintFlag = TaintFlag { bit: 1, letter: 'F' };
/// A module was removed by force.
pub const TAINT_FORCED_RMMOD: TaintFlag = TaintFlag { bit: 3, letter: 'R' };
/// Milliseconds that outlast any check.
pub const INDEFINITELY: u64 = 1 << 40;
/// The trait of a subject whose messages are in C kmod's words.
pub const KMOD_MESSAGES: &str = "kmod messages";
/// The trait of a subject that adds the reason from the kernel log to its message about a refused module.
pub const KERNEL_REASONS: &str = "kernel reasons";
/// Milliseconds between the opening of a file and the start of the command that must find it open.
const HEAD_START: u64 = 100;

impl Lab<'_> {
    /// Runs one of the subject's tools by its name.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn tool(&mut self, argv: &[&str]) -> Result<Ran, LabError> {
        self.run(&in_sbin(argv).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a tool and records its exit status and its message on standard error as a fact, which is named after the command.
    /// `message` is in C kmod's words; of a subject without the trait [`KMOD_MESSAGES`], only failure and the presence of a
    /// message are compared. Returns standard output as [`Lab::normalize`]d text.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn expect_tool(&mut self, argv: &[&str], status: i32, message: &str) -> Result<String, LabError> {
        self.expect_tool_as(&argv.join(" "), argv, status, message)
    }

    /// [`Lab::expect_tool`] with another name for the fact, for a command that a check runs more than once.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn expect_tool_as(
        &mut self,
        name: &str,
        argv: &[&str],
        status: i32,
        message: &str,
    ) -> Result<String, LabError> {
        let ran = self.tool(argv)?;
        self.expect_ran(name, &ran, status, message);
        Ok(self.normalize(&ran.stdout))
    }

    /// Records the fact of [`Lab::expect_tool`] about a command that has run.
    pub fn expect_ran(&mut self, name: &str, ran: &Ran, status: i32, message: &str) {
        let wording_counts = self.pair().has_trait(KMOD_MESSAGES);
        let (got, expected) = (self.normalize(&ran.stderr), self.normalize(message.as_bytes()));
        let name = self.normalize(name.as_bytes());
        self.expect(
            &name,
            outcome(ran.exit, &got, wording_counts),
            outcome(ExitKind::Exited(status), &expected, wording_counts),
        );
    }

    /// Records, as two facts, the message about a module that the kernel refused: the words for the errno, and the reason
    /// that follows them. `reason` is what the kernel logged, which differs between kernels. A subject with the trait
    /// [`KERNEL_REASONS`] adds it to its message, others add nothing.
    pub fn expect_refused(&mut self, name: &str, mut ran: Ran, message: &str, reason: Option<&str>) {
        let stderr = String::from_utf8_lossy(&ran.stderr).trim_end().to_owned();
        let added = stderr.strip_prefix(message).and_then(|rest| rest.strip_prefix(": "));
        if added.is_some() {
            ran.stderr.truncate(message.len());
        }
        self.expect_ran(name, &ran, 1, message);
        let reason = reason.filter(|_| self.pair().has_trait(KERNEL_REASONS));
        let shown = |text: Option<&str>| match text {
            None => "none".to_owned(),
            Some(_) if text == reason => "as logged by the kernel".to_owned(),
            Some(other) => other.to_owned(),
        };
        let name = self.normalize(name.as_bytes());
        self.expect(&format!("{name}: reason in the message"), shown(added), shown(reason));
    }

    /// Returns a message with the reason that a subject with the trait [`KERNEL_REASONS`] adds from the kernel log.
    #[must_use]
    pub fn with_reason(&self, message: &str, reason: &str) -> String {
        if self.pair().has_trait(KERNEL_REASONS) { format!("{message}: {reason}") } else { message.to_owned() }
    }

    /// Removes from an output the parts that differ between kernels: the release, the directory of a module and the
    /// compression of its file. Lines are joined by ` | `.
    #[must_use]
    pub fn normalize(&self, output: &[u8]) -> String {
        let release = &self.pair().release;
        let tree = format!("/lib/modules/{release}/");
        let word = |word: &str| match word.split_once(&tree) {
            Some((prefix, path)) => format!("{prefix}{}", path.rsplit('/').next().unwrap_or(path)),
            None => word.to_owned(),
        };
        let line = |line: &str| {
            let line = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
            without_position(&line).replace(".ko.xz", ".ko").replace(release.as_str(), "RELEASE")
        };
        let lines: Vec<String> =
            output.split(|&b| b == b'\n').map(|bytes| line(&text::escape(bytes).replace("\\x09", " "))).collect();
        lines.join("\n").trim_end_matches('\n').replace('\n', " | ")
    }

    /// Records the states of these modules.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_states(&mut self, name: &str, modules: &[&str], expected: &[&str]) -> Result<(), LabError> {
        let states = self.module_states(modules)?;
        self.expect(name, List(states), List(expected.to_vec()));
        Ok(())
    }

    /// Expects all of these modules to be Live.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_live(&mut self, modules: &[&str]) -> Result<(), LabError> {
        self.expect_states(&modules.join(", "), modules, &vec!["Live"; modules.len()])
    }

    /// Expects none of these modules to be loaded.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_absent(&mut self, modules: &[&str]) -> Result<(), LabError> {
        self.expect_states(&modules.join(", "), modules, &vec!["absent"; modules.len()])
    }

    /// Records the reference counts of these modules, from `/sys/module`.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_reference_counts(&mut self, modules: &[&str], expected: &[&str]) -> Result<(), LabError> {
        let mut counts = Vec::new();
        for module in modules {
            counts.push(self.read_trimmed(&format!("/sys/module/{module}/refcnt"))?);
        }
        self.expect("reference counts", List(counts), List(expected.to_vec()));
        Ok(())
    }

    /// Records the value of a module parameter, from `/sys/module`.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_parameter(&mut self, module: &str, parameter: &str, value: &str) -> Result<(), LabError> {
        self.expect_parameter_as(&format!("{module}: {parameter}"), module, parameter, value)
    }

    /// [`Lab::expect_parameter`] with another name for the fact, for a parameter that a check reads more than once.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_parameter_as(
        &mut self,
        name: &str,
        module: &str,
        parameter: &str,
        value: &str,
    ) -> Result<(), LabError> {
        let got = self.read_trimmed(&format!("/sys/module/{module}/parameters/{parameter}"))?;
        self.expect(name, got, value);
        Ok(())
    }

    /// Reads a small file, without white space at its end.
    fn read_trimmed(&mut self, path: &str) -> Result<Result<Value, Errno>, LabError> {
        let got = self.observe(Action::Read { path: path.as_bytes().to_vec(), max: 4096 })?.result;
        Ok(got.map(|value| match value {
            Value::Bytes(bytes) => Value::Bytes(bytes.trim_ascii_end().to_vec()),
            other => other,
        }))
    }

    /// Expects this taint flag of the kernel to be set.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_tainted(&mut self, flag: TaintFlag) -> Result<(), LabError> {
        let taint = self.read("/proc/sys/kernel/tainted")?;
        let taint = String::from_utf8_lossy(&taint).trim().parse::<u64>().unwrap_or_default();
        self.expect(&format!("taint flag {}", flag.letter), taint >> flag.bit & 1 == 1, true);
        Ok(())
    }

    /// Returns the path of a module's file in the guest.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn module_file(&self, name: &str) -> Result<String, LabError> {
        let order = modules::load_order(self.pair(), name)?;
        order.into_iter().next_back().ok_or_else(|| LabError::Unexpected(format!("{name} has no file")))
    }

    /// Returns the uncompressed file of a module.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn module_image(&self, name: &str) -> Result<Vec<u8>, LabError> {
        let relative = self.module_file(name)?.replace(&format!("/lib/modules/{}/", self.pair().release), "");
        let tree = self.pair().modules.as_ref().ok_or_else(|| LabError::Need("a module directory".to_owned()))?;
        let image = read_module(&tree.join(relative), &Limits::default());
        Ok(image.map_err(|error| LabError::Unexpected(error.to_string()))?.bytes)
    }

    /// Writes a module as an xz file into the scratch directory and returns its path.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn write_xz(&mut self, name: &str, check: xz::Check) -> Result<String, LabError> {
        let path = format!("/run/lab/{name}.ko.xz");
        let image = self.module_image(name)?;
        self.write(&path, &xz::encode(&image, check))?;
        Ok(path)
    }

    /// Writes a configuration file for modprobe.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn configure(&mut self, text: &str) -> Result<(), LabError> {
        self.write("/etc/modprobe.d/lab.conf", text.as_bytes())
    }

    /// Installs a recorder with this plan as `/bin/sh`, which the guest does not have. system(3) starts it as `sh`.
    ///
    /// # Errors
    /// [`LabError::Need`] if the subject includes a shell.
    pub fn shell(&mut self, plan: &HelperPlan) -> Result<Helper, LabError> {
        let helper = Helper::at("/sh");
        let plan = helper.encode(plan).map_err(LabError::Unexpected)?;
        self.write(&helper.plan_path(), &plan)?;
        let link = Action::Symlink(b"/bin/agent".to_vec(), b"/bin/sh".to_vec());
        match self.observe(link)?.result {
            Ok(_) => Ok(helper),
            Err(errno::EEXIST) => Err(LabError::Need("a subject without its own shell".to_owned())),
            Err(errno) => Err(LabError::SetUp { what: "install a recorder as /bin/sh".to_owned(), errno }),
        }
    }

    /// Runs a tool while another process keeps `path` open, for `held` milliseconds. The file is opened 100 ms before the
    /// tool starts.
    ///
    /// # Errors
    /// [`LabError`] if the file cannot be opened or the tool cannot be started.
    pub fn tool_while_held(&mut self, path: &str, held: u64, argv: &[&str]) -> Result<Ran, LabError> {
        let hold = Action::Hold { path: path.as_bytes().to_vec(), flags: libc::O_RDONLY, millis: held };
        let argv = in_sbin(argv);
        let run = run_action(&argv.iter().map(String::as_str).collect::<Vec<_>>());
        let jobs = self.start_all(vec![
            Group { actions: vec![hold], count: 1, ..Group::default() },
            Group { actions: vec![run], count: 1, after: GuestMillis(HEAD_START), ..Group::default() },
        ])?;
        let &[holder, tool] = &jobs[..] else {
            return Err(LabError::Unexpected(format!("{} jobs instead of two", jobs.len())));
        };
        let end = self.wait(tool, GuestMillis(40_000))?;
        let ran = match end.and_then(|end| end.results.into_iter().next()).map(|result| result.result) {
            Some(Ok(Value::Ran(ran))) => ran,
            _ => return Err(LabError::Unexpected(format!("no exit status from {}", argv.join(" ")))),
        };
        // A holder that has already ended could not open the file.
        if let Some(end) = self.wait(holder, GuestMillis(0))? {
            let failed = end.results.iter().find_map(|result| result.result.as_ref().err().copied());
            if let Some(errno) = failed {
                return Err(LabError::SetUp { what: format!("hold {path} open"), errno });
            }
        }
        Ok(ran)
    }
}

fn in_sbin(argv: &[&str]) -> Vec<String> {
    let mut argv: Vec<String> = argv.iter().map(|&argument| argument.to_owned()).collect();
    if let Some(program) = argv.first_mut() {
        program.insert_str(0, "/sbin/");
    }
    argv
}

/// Returns an exit status and a message as text. If the wording does not count, only failure and the presence of a message
/// are shown.
fn outcome(exit: ExitKind, message: &str, wording_counts: bool) -> String {
    match exit {
        ExitKind::Exited(0) if !wording_counts && !message.is_empty() => "exit 0 with a message".to_owned(),
        ExitKind::Exited(status) if !wording_counts && status != 0 => {
            format!("failure {} a message", if message.is_empty() { "without" } else { "with" })
        }
        exit if message.is_empty() => exit.shown(),
        exit => format!("{}: {message}", exit.shown()),
    }
}

/// Removes the source position that some builds of C kmod add to the messages of its library.
fn without_position(line: &str) -> String {
    match line.split_once("../libkmod/") {
        Some((prefix, rest)) => format!("{prefix}{}", rest.split_once("() ").map_or(rest, |(_, text)| text)),
        None => line.to_owned(),
    }
}

/// Returns the modules in the lines of `-v` or `-D` (`insmod …/X.ko`, `rmmod X`), in order.
#[must_use]
pub fn listed_modules(output: &str) -> Vec<String> {
    let name = |line: &str| line.split(' ').nth(1).map(|file| file.trim_end_matches(".ko").replace('-', "_"));
    output.split(" | ").filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_result_is_the_same_text_for_every_subject() {
        for wording_counts in [true, false] {
            assert_eq!(outcome(ExitKind::Exited(0), "", wording_counts), "exit 0");
        }
        assert_eq!(outcome(ExitKind::TimedOut, "", false), "did not exit");
    }

    #[test]
    fn without_the_trait_only_failure_and_the_presence_of_a_message_are_shown() {
        assert_eq!(outcome(ExitKind::Exited(1), "modprobe: not found", false), "failure with a message");
        assert_eq!(outcome(ExitKind::Exited(2), "", false), "failure without a message");
        assert_eq!(outcome(ExitKind::Exited(0), "warning", false), "exit 0 with a message");
        assert_eq!(outcome(ExitKind::Exited(1), "modprobe: not found", true), "exit 1: modprobe: not found");
    }

    #[test]
    fn the_source_position_of_a_library_message_is_removed() {
        let line = "rmmod: ERROR: ../libkmod/libkmod-module.c:799 kmod_module_remove_module() could not remove 'llc'";
        assert_eq!(without_position(line), "rmmod: ERROR: could not remove 'llc'");
    }
}
