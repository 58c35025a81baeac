//! The module tools as checks use them: a command with what must come of it, module files, a file that is held open, and
//! a recorder in the place of the shell that their configuration's commands go through.

use crate::fact::{Many, Shown as _};
use crate::helper::Helper;
use crate::lab::{Lab, LabError, run_action};
use crate::{errno, modules, text, xz};
use agent::plan::Plan;
use agent::proto::{Action, ExitKind, Group, GuestMillis, Ran, Value};
use kmod::object::{Limits, read_module};

/// `F` in the kernel's taint (`include/linux/panic.h`).
pub const TAINT_FORCED_MODULE: u32 = 1;
/// `R`.
pub const TAINT_FORCED_RMMOD: u32 = 3;
/// Longer than any check lasts.
pub const FOREVER: u64 = 1 << 40;
/// How long after a file was opened the command begins that is to find it open.
const HEAD_START: u64 = 100;

impl Lab<'_> {
    /// Runs one of the subject's tools by its name.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn tool(&mut self, argv: &[&str]) -> Result<Ran, LabError> {
        self.run(&in_sbin(argv).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a tool, and states as a fact that it ends with `status` and says `says` on standard error, in C kmod's words. Of
    /// a subject that has words of its own: whether it fails and whether it says anything. Gives what it printed, as
    /// [`Lab::plain`] text.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be started.
    pub fn expect_tool(&mut self, argv: &[&str], status: i32, says: &str) -> Result<String, LabError> {
        let ran = self.tool(argv)?;
        self.expect_ran(&argv.join(" "), &ran, status, says);
        Ok(self.plain(&ran.stdout))
    }

    /// The fact of [`Lab::expect_tool`] about a command that ran.
    pub fn expect_ran(&mut self, name: &str, ran: &Ran, status: i32, says: &str) {
        let said = self.plain(&ran.stderr);
        let has_our_words = self.has_words_of_kmod();
        let told = |exit: ExitKind, says: &str| match exit {
            ExitKind::Exited(0) if !has_our_words => {
                format!("exit 0{}", if says.is_empty() { "" } else { ", with a message" })
            }
            ExitKind::Exited(_) if !has_our_words => {
                format!("it fails, {}", if says.is_empty() { "silently" } else { "with a message" })
            }
            exit => format!("{}{}", exit.shown(), behind(says)),
        };
        let name = self.plain(name.as_bytes());
        self.expect(&name, told(ran.exit, &said), told(ExitKind::Exited(status), &self.plain(says.as_bytes())));
    }

    /// Whether the subject words its messages as C kmod does.
    #[must_use]
    pub fn has_words_of_kmod(&self) -> bool {
        self.pair().subject == "ours" || self.is_c_kmod()
    }

    /// Whether the subject is C kmod.
    #[must_use]
    pub fn is_c_kmod(&self) -> bool {
        self.pair().subject.starts_with("kmod-")
    }

    /// Whether the subject is busybox.
    #[must_use]
    pub fn is_busybox(&self) -> bool {
        self.pair().subject == "busybox"
    }

    /// Whether the subject is toybox.
    #[must_use]
    pub fn is_toybox(&self) -> bool {
        self.pair().subject == "toybox"
    }

    /// Output with what differs between kernels left out: the release, where a module lies, how its file is compressed.
    /// Lines are joined by ` | `.
    #[must_use]
    pub fn plain(&self, output: &[u8]) -> String {
        let release = &self.pair().release;
        let tree = format!("/lib/modules/{release}/");
        let word = |word: &str| match word.split_once(&tree) {
            Some((before, path)) => format!("{before}{}", path.rsplit('/').next().unwrap_or(path)),
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

    /// A need that only the command itself can tell: its help names this option.
    ///
    /// # Errors
    /// [`LabError::Need`] if it does not.
    pub fn needs_option(&mut self, command: &str, option: &str) -> Result<(), LabError> {
        let help = self.tool(&[command, "--help"])?;
        let names = |text: &[u8]| String::from_utf8_lossy(text).contains(option);
        if names(&help.stdout) || names(&help.stderr) {
            return Ok(());
        }
        Err(LabError::Need(format!("a subject with {command} {option}")))
    }

    /// A need that only the guest can tell: the subject has the program `kmod` itself, and its help names this command.
    ///
    /// # Errors
    /// [`LabError::Need`] if it does not.
    pub fn needs_kmod(&mut self, command: &str) -> Result<(), LabError> {
        let lacking = || LabError::Need(format!("a subject with kmod {command}"));
        self.observe(Action::Stat(b"/sbin/kmod".to_vec()))?.result.map_err(|_| lacking())?;
        let help = self.tool(&["kmod", "help"])?;
        if String::from_utf8_lossy(&help.stdout).contains(command) { Ok(()) } else { Err(lacking()) }
    }

    /// A message of C kmod with the reason that our tools add to it from the kernel's log.
    #[must_use]
    pub fn because(&self, message: &str, reason: &str) -> String {
        if self.is_c_kmod() { message.to_owned() } else { format!("{message}: {reason}") }
    }

    /// States the states of these modules.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_states(&mut self, name: &str, modules: &[&str], expected: &[&str]) -> Result<(), LabError> {
        let states = self.module_states(modules)?;
        self.expect(name, Many(states), Many(expected.to_vec()));
        Ok(())
    }

    /// States that all of these are Live.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_live(&mut self, modules: &[&str]) -> Result<(), LabError> {
        self.expect_states(&modules.join(", "), modules, &vec!["Live"; modules.len()])
    }

    /// States that none of these is there.
    ///
    /// # Errors
    /// [`LabError`] if `/proc/modules` cannot be read.
    pub fn expect_absent(&mut self, modules: &[&str]) -> Result<(), LabError> {
        self.expect_states(&modules.join(", "), modules, &vec!["absent"; modules.len()])
    }

    /// States the value of a module's parameter, as `/sys/module` shows it.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_parameter(&mut self, module: &str, parameter: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/sys/module/{module}/parameters/{parameter}");
        let got = self.observe(Action::Read { path: path.into_bytes(), max: 4096 })?.result;
        let got = got.map(|value| match value {
            Value::Bytes(bytes) => Value::Bytes(bytes.trim_ascii_end().to_vec()),
            other => other,
        });
        self.expect(&format!("{module}: {parameter}"), got, value);
        Ok(())
    }

    /// States that the kernel is tainted in this way.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_tainted(&mut self, bit: u32) -> Result<(), LabError> {
        let taint = self.read("/proc/sys/kernel/tainted")?;
        let taint = String::from_utf8_lossy(&taint).trim().parse::<u64>().unwrap_or_default();
        self.expect("the kernel is tainted", taint >> bit & 1 == 1, true);
        Ok(())
    }

    /// Where a module's file lies in the guest.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn module_file(&self, name: &str) -> Result<String, LabError> {
        let order = modules::load_order(self.pair(), name)?;
        order.into_iter().next_back().ok_or_else(|| LabError::Unexpected(format!("{name} has no file")))
    }

    /// A module as the kernel wants it, not compressed.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn module_image(&self, name: &str) -> Result<Vec<u8>, LabError> {
        let inside = self.module_file(name)?.replace(&format!("/lib/modules/{}/", self.pair().release), "");
        let tree = self.pair().modules.as_ref().ok_or_else(|| LabError::Need("a module directory".to_owned()))?;
        let image = read_module(&tree.join(inside), &Limits::default());
        Ok(image.map_err(|error| LabError::Unexpected(error.to_string()))?.bytes)
    }

    /// Writes a module into the scratch directory, as an xz file, and gives its path.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn stored(&mut self, name: &str, check: xz::Check) -> Result<String, LabError> {
        let path = format!("/run/lab/{name}.ko.xz");
        let image = self.module_image(name)?;
        self.write(&path, &xz::store(&image, check))?;
        Ok(path)
    }

    /// Writes a file of modprobe's configuration.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn configure(&mut self, text: &str) -> Result<(), LabError> {
        self.write("/etc/modprobe.d/lab.conf", text.as_bytes())
    }

    /// Puts a recorder with this plan in the place of `/bin/sh`, which the guest does not have. C's system(3) calls it `sh`.
    ///
    /// # Errors
    /// [`LabError::Need`] if the subject brought a shell that it needs itself.
    pub fn shell(&mut self, plan: &Plan) -> Result<Helper, LabError> {
        let helper = Helper::at("/sh");
        let plan = helper.encode(plan).map_err(LabError::Unexpected)?;
        self.write(&helper.plan_path(), &plan)?;
        let link = Action::Symlink(b"/bin/agent".to_vec(), b"/bin/sh".to_vec());
        match self.observe(link)?.result {
            Ok(_) => Ok(helper),
            Err(errno::EEXIST) => Err(LabError::Need("a guest without a shell of its own".to_owned())),
            Err(errno) => Err(LabError::SetUp { what: "a recorder at /bin/sh".to_owned(), errno }),
        }
    }

    /// Runs a tool while another process holds `path` open, for `held` milliseconds from 100 ms before the tool's start.
    ///
    /// # Errors
    /// [`LabError`] if the file cannot be held or the tool cannot be started.
    pub fn tool_while_held(&mut self, path: &str, held: u64, argv: &[&str]) -> Result<Ran, LabError> {
        let hold = Action::Hold { path: path.as_bytes().to_vec(), flags: libc::O_RDONLY, millis: held };
        let argv = in_sbin(argv);
        let run = run_action(&argv.iter().map(String::as_str).collect::<Vec<_>>());
        let jobs = self.start_all(vec![
            Group { actions: vec![hold], count: 1, ..Group::default() },
            Group { actions: vec![run], count: 1, after: GuestMillis(HEAD_START), ..Group::default() },
        ])?;
        let &[holder, tool] = &jobs[..] else { return Err(LabError::Unexpected(format!("{} jobs", jobs.len()))) };
        let end = self.wait(tool, GuestMillis(40_000))?;
        let ran = match end.and_then(|end| end.results.into_iter().next()).map(|result| result.result) {
            Some(Ok(Value::Ran(ran))) => ran,
            other => return Err(LabError::Unexpected(format!("{}: {other:?}", argv.join(" ")))),
        };
        // One that ended before its time could not open the file.
        if let Some(end) = self.wait(holder, GuestMillis(0))? {
            let early = end.results.iter().find_map(|result| result.result.as_ref().err().copied());
            if let Some(errno) = early {
                return Err(LabError::SetUp { what: format!("holding {path} open"), errno });
            }
        }
        Ok(ran)
    }
}

/// A message behind an exit status.
fn behind(says: &str) -> String {
    if says.is_empty() { String::new() } else { format!(": {says}") }
}

fn in_sbin(argv: &[&str]) -> Vec<String> {
    let mut argv: Vec<String> = argv.iter().map(|&argument| argument.to_owned()).collect();
    if let Some(program) = argv.first_mut() {
        program.insert_str(0, "/sbin/");
    }
    argv
}

/// A line without the position in its source that Debian's kmod 30 puts into the library's messages.
fn without_position(line: &str) -> String {
    match line.split_once("../libkmod/") {
        Some((before, after)) => format!("{before}{}", after.split_once("() ").map_or(after, |(_, text)| text)),
        None => line.to_owned(),
    }
}

/// The modules that `-v` or `-D` names in its lines, in order: `insmod …/X.ko`, `rmmod X`.
#[must_use]
pub fn told_modules(plain: &str) -> Vec<String> {
    let name = |line: &str| line.split(' ').nth(1).map(|file| file.trim_end_matches(".ko").replace('-', "_"));
    plain.split(" | ").filter_map(name).collect()
}
