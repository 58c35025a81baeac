//! Carries out a request: obtains its kernels and subjects, runs its rows, and sends the events to reporters.

use super::args::Common;
use super::error::CliError;
use super::lookup::UnavailableKernel;
use super::setup::Tools;
use super::{lookup, signals};
use crate::report::Reporter;
use crate::report::document::Report;
use crate::run::engine;
use crate::run::event::Event;
use crate::run::pair::{Host, PreparedKernel};
use crate::run::qemu::QemuMachines;
use crate::run::request::Request;
use crate::run::verdict::Outcome;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use vm_images::{Catalogue, Kernel, Progress, Subject};

/// A request whose events go to reporters.
pub(super) struct Session<'a> {
    common: &'a Common,
    request: &'a Request,
    catalogue: &'a Catalogue,
    tools: Tools,
    stop: Arc<AtomicBool>,
    reporters: Mutex<Reporters>,
}

/// The result of a session.
pub(super) struct Finished {
    pub outcome: Outcome,
    /// The complete report.
    pub report: Report,
    /// Why a reporter could not write its report.
    pub failed: Option<io::Error>,
}

/// What a request names.
struct Obtained {
    kernels: Vec<Result<Kernel, UnavailableKernel>>,
    subjects: Vec<Subject>,
    host: Host,
}

impl<'a> Session<'a> {
    /// Finds the tools on this machine. From now on, signals end the session in an orderly way.
    pub(super) fn open(
        common: &'a Common,
        request: &'a Request,
        catalogue: &'a Catalogue,
        reporters: Vec<Box<dyn Reporter + Send>>,
    ) -> Result<Session<'a>, CliError> {
        let tools = Tools::open(common)?;
        let spawner = tools.spawner.clone();
        let stop = signals::watch(move || spawner.kill_all())?;
        let reporters = Mutex::new(Reporters { all: reporters, report: Report::empty(), failed: None });
        Ok(Session { common, request, catalogue, tools, stop, reporters })
    }

    /// Runs the rows.
    pub(super) fn run(self) -> Result<Finished, CliError> {
        let Obtained { kernels, subjects, host } = self.obtain()?;
        let kernels = kernels.into_iter().map(|kernel| kernel.map_err(|kernel| kernel.skipped)).collect();
        let machines = QemuMachines::new(host, kernels, subjects);
        let outcome = engine::run(self.request, &machines, &self.stop, &|event| self.emit(&event));
        let Reporters { report, failed, .. } = self.reporters.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Finished { outcome, report, failed })
    }

    /// Returns one line per guest: the command that boots it with its console on the terminal.
    pub(super) fn commands(self) -> Result<String, CliError> {
        let Obtained { kernels, subjects, host } = self.obtain()?;
        let mut text = String::new();
        for kernel in kernels {
            let kernel = kernel.map_err(|kernel| kernel.error)?;
            let side = PreparedKernel::new(kernel, &host).map_err(CliError::inconclusive)?;
            for subject in &subjects {
                let spec = side.spec(subject, &[], &host).map_err(CliError::inconclusive)?.0;
                text.push_str(&host.qemu.command_line(&spec));
                text.push('\n');
            }
        }
        Ok(text)
    }

    fn obtain(&self) -> Result<Obtained, CliError> {
        let Session { common, request, catalogue, tools, .. } = self;
        let progress = |progress: Progress| {
            self.emit(&match progress {
                Progress::Note(text) => Event::Note(text),
                other => Event::Preparing(other.to_string()),
            });
        };
        let options = lookup::options(common, &tools.cache, &progress, &self.stop);
        let obtain = || {
            let subjects = lookup::subjects(common, &request.subjects, &options)?;
            let kernels = lookup::kernels(&request.kernels, catalogue, &options)?;
            let first = kernels.iter().find_map(|kernel| kernel.as_ref().ok());
            let host = tools.host(&request.guest, &request.judging.allowed, first, subjects.first())?;
            Ok(Obtained { kernels, subjects, host })
        };
        signals::or_interrupted(&self.stop, obtain())
    }

    fn emit(&self, event: &Event) {
        self.reporters.lock().unwrap_or_else(PoisonError::into_inner).emit(event);
    }
}

/// The consumers of events.
struct Reporters {
    all: Vec<Box<dyn Reporter + Send>>,
    report: Report,
    failed: Option<io::Error>,
}

impl Reporters {
    fn emit(&mut self, event: &Event) {
        self.report.record(event);
        for reporter in &mut self.all {
            match reporter.event(event) {
                // A reader such as `head` may close the pipe early; the run continues.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => self.failed = Some(error),
                _ => {}
            }
        }
    }
}
