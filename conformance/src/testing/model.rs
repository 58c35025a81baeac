//! A model of a guest, on which checks run. Its small kernel has the path of modprobe, requests with their limit, helpers,
//! a log, files and modules. By default it is right; a test changes one property to make it wrong.

use super::tools::{Tools, Userland, modprobe};
use crate::check::errno;
use crate::check::lab::{Guest, GuestError, MODPROBE_SYSCTL};
use crate::run::machines::Machine;
use agent::frame;
use agent::plan::{Arg, End, HelperPlan, Record};
use agent::proto::{
    Action, ActionResult, Errno, ExitKind, GuestMicros, GuestMillis, JobEnd, JobId, KmsgRecord, Ran, Reply, Request,
    Value,
};
use harness::{Ending, Exit, Finding};
use std::collections::BTreeMap;
use std::time::Duration;

/// The exit status of a shell whose program does not exist, which the model also uses for helpers.
const NOT_FOUND: i32 = 127;

/// The properties of the model's kernel.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The maximum length of the path.
    pub path_length: usize,
    /// Whether a newline ends the path.
    pub newline_ends_path: bool,
    /// Whether a new path takes effect.
    pub path_changes: bool,
    /// The maximum number of concurrent helpers.
    pub limit: usize,
    /// The duration of a cut-off in milliseconds.
    pub cut_off: u64,
    /// Whether a cut-off is logged.
    pub warns: bool,
}

impl Default for Kernel {
    fn default() -> Self {
        Kernel { path_length: 255, newline_ends_path: true, path_changes: true, limit: 50, cut_off: 5000, warns: true }
    }
}

/// A guest with a small kernel and module tools.
pub struct Model {
    kernel: Kernel,
    user: Userland,
    path: Vec<u8>,
    running: usize,
    log: Vec<KmsgRecord>,
    results: Vec<Vec<ActionResult>>,
    micros: u64,
}

impl Model {
    /// Returns a guest with this kernel and these tools.
    #[must_use]
    pub fn new(kernel: Kernel, tools: Tools) -> Model {
        Model {
            kernel,
            user: Userland { tools, files: BTreeMap::new(), loaded: BTreeMap::new() },
            path: b"/sbin/modprobe".to_vec(),
            running: 0,
            log: Vec::new(),
            results: Vec::new(),
            micros: 0,
        }
    }

    /// Carries out an action and returns its result with its times.
    fn timed(&mut self, action: Action) -> ActionResult {
        let began = GuestMicros(self.micros);
        self.micros += 100;
        let result = self.act(action);
        ActionResult { result, began, ended: GuestMicros(self.micros) }
    }

    fn act(&mut self, action: Action) -> Result<Value, Errno> {
        match action {
            Action::Write { path, data, .. } if path == MODPROBE_SYSCTL => {
                self.set_path(&data);
                Ok(Value::Number(data.len().try_into().unwrap_or(i64::MAX)))
            }
            Action::Write { path, data, .. } => {
                self.user.files.insert(path, data);
                Ok(Value::Unit)
            }
            Action::Read { path, .. } => self.read(&path).map(Value::Bytes).ok_or(errno::ENOENT),
            Action::Symlink(target, link) => {
                self.user.files.insert(link, target);
                Ok(Value::Unit)
            }
            Action::RemoveAll(path) => {
                self.user.files.retain(|file, _| *file != path);
                Ok(Value::Unit)
            }
            Action::Rename(from, _) => {
                // Everything in the directory is gone, and so are the modules of the tools.
                self.user.files.retain(|file, _| !file.starts_with(&from));
                self.user.tools.directory = self.user.tools.directory && !from.starts_with(b"/lib/modules");
                Ok(Value::Unit)
            }
            Action::Socket { family, .. } => {
                self.request(&format!("net-pf-{family}"));
                Err(errno::EAFNOSUPPORT)
            }
            Action::SocketIoctl { .. } => {
                self.request("8021q");
                Ok(Value::Unit)
            }
            Action::Mount { fstype, .. } => {
                let name = String::from_utf8_lossy(&fstype).into_owned();
                if !self.user.loaded.contains_key(&name) {
                    self.request(&format!("fs-{name}"));
                }
                if self.user.loaded.contains_key(&name) { Ok(Value::Unit) } else { Err(errno::ENODEV) }
            }
            Action::FinitModule { path, .. } => {
                let file = String::from_utf8_lossy(&path).into_owned();
                let name = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".ko");
                self.user.loaded.insert(name.to_owned(), Vec::new());
                Ok(Value::Unit)
            }
            Action::Run { program, argv, .. } => {
                let began = self.micros;
                let (status, stdout, stderr) = self.execute(&program, &argv);
                let took = GuestMillis((self.micros - began) / 1000);
                let (stdout, stderr) = (stdout.into_bytes(), stderr.into_bytes());
                Ok(Value::Ran(Ran { exit: ExitKind::Exited(status), stdout, stderr, took }))
            }
            _ => Ok(Value::Unit),
        }
    }

    /// Stores the path like proc_dostring().
    fn set_path(&mut self, data: &[u8]) {
        let ends = |byte: &u8| *byte == 0 || (*byte == b'\n' && self.kernel.newline_ends_path);
        let end = data.iter().position(ends).unwrap_or(data.len()).min(self.kernel.path_length);
        if self.kernel.path_changes || self.path == b"/sbin/modprobe" {
            self.path = data[..end].to_vec();
        }
    }

    fn read(&self, path: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(path);
        if path == MODPROBE_SYSCTL {
            return Some([&self.path[..], b"\n"].concat());
        }
        if text == "/proc/modules" {
            let line = |name: &String| format!("{name} 16384 {} - Live 0x0\n", self.user.users(name));
            return Some(self.user.loaded.keys().map(line).collect::<String>().into_bytes());
        }
        if let Some((module, attribute)) = text.strip_prefix("/sys/module/").and_then(|rest| rest.split_once('/')) {
            let parameters = self.user.loaded.get(module)?;
            if attribute == "refcnt" {
                return Some(format!("{}\n", self.user.users(module)).into_bytes());
            }
            let prefix = format!("{}=", attribute.strip_prefix("parameters/")?);
            let value = parameters.iter().rev().find_map(|word| word.strip_prefix(&prefix))?;
            return Some(format!("{value}\n").into_bytes());
        }
        self.user.files.get(path).cloned()
    }

    /// Requests a module like request_module(): runs the helper unless too many are running.
    fn request(&mut self, name: &str) {
        if self.path.is_empty() {
            return;
        }
        if self.running >= self.kernel.limit {
            self.micros += self.kernel.cut_off * 1000;
            self.warn(&format!(
                "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: 50), for module {name}, throttling..."
            ));
            self.warn(&format!(
                "request_module: modprobe {name} cannot be processed, kmod busy with 50 threads for more than 5 seconds now"
            ));
            return;
        }
        self.running += 1;
        let path = self.path.clone();
        let argv = [&path[..], b"-q", b"--", name.as_bytes()].map(<[u8]>::to_vec);
        self.execute(&path, &argv);
        self.running -= 1;
    }

    fn warn(&mut self, text: &str) {
        if !self.kernel.warns {
            return;
        }
        let (seq, time, text) = (self.log.len() as u64, GuestMicros(self.micros), text.as_bytes().to_vec());
        self.log.push(KmsgRecord { seq, level: 4, facility: 0, time, text });
    }

    /// Runs a program. Returns its exit status, its output and its messages.
    fn execute(&mut self, program: &[u8], argv: &[Vec<u8>]) -> (i32, String, String) {
        self.micros += 1000;
        if program == b"/sbin/modprobe" {
            return modprobe(&mut self.user, argv);
        }
        if self.user.files.get(program).is_none_or(|target| target != b"/bin/agent") {
            return (NOT_FOUND, String::new(), String::new());
        }
        let plan = self.user.files.get(&[program, b".plan"].concat()).and_then(|plan| postcard::from_bytes(plan).ok());
        let HelperPlan { record, actions, end } =
            plan.unwrap_or(HelperPlan { record: true, actions: Vec::new(), end: End::Exit(1) });
        if record {
            let record = Record { time: GuestMicros(self.micros), argv: argv.to_vec(), ..Record::default() };
            let frame = frame::encode(0, &record).unwrap_or_default();
            self.user.files.entry([program, b".log"].concat()).or_default().extend(frame);
        }
        for action in actions {
            let _ = self.act(action);
        }
        match end {
            End::Exit(status) => (status, String::new(), String::new()),
            End::Signal(signal) => (128 + signal, String::new(), String::new()),
            End::Exec { program, argv: plan } => {
                let own = |arg: &Arg| match arg {
                    Arg::Literal(bytes) => vec![bytes.clone()],
                    Arg::Own(index) => argv.get(*index as usize).cloned().into_iter().collect(),
                    Arg::OwnFrom(index) => argv.get(*index as usize..).unwrap_or_default().to_vec(),
                };
                self.execute(&program, &plan.iter().flat_map(own).collect::<Vec<_>>())
            }
        }
    }
}

impl Guest for Model {
    fn call(&mut self, request: &Request, _: Duration) -> Result<Reply, GuestError> {
        Ok(match request.clone() {
            Request::Clock => Reply::Clock(GuestMicros(self.micros)),
            Request::Start { actions, .. } => {
                let results = actions.into_iter().map(|action| self.timed(action)).collect();
                self.results.push(results);
                Reply::Started(vec![JobId(u32::try_from(self.results.len() - 1).unwrap_or(u32::MAX))])
            }
            Request::Wait { job, .. } => {
                let results = self.results.get(job.0 as usize).cloned().unwrap_or_default();
                Reply::Finished(JobEnd { results, ..JobEnd::default() })
            }
            Request::InInit(action) => {
                Reply::Finished(JobEnd { results: vec![self.timed(action)], ..JobEnd::default() })
            }
            Request::Kmsg { since, .. } => Reply::Kmsg {
                records: self.log.iter().filter(|record| record.seq >= since).cloned().collect(),
                next: self.log.len() as u64,
                lost: false,
            },
            _ => Reply::Done,
        })
    }
}

impl Machine for Model {
    fn as_guest(&mut self) -> &mut dyn Guest {
        self
    }

    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn end_as_planned(&mut self) -> Ending {
        let reason = Some("guest-reset".to_owned());
        Ending { planned: true, reason, exit: Exit::Code(0), findings: Vec::new(), noise: 0 }
    }

    fn console(&self) -> Vec<u8> {
        Vec::new()
    }
}
