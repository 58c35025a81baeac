//! A guest that replies what a test says.

use crate::check::lab::{Guest, GuestError};
use crate::run::machines::Machine;
use agent::proto::{Action, ActionResult, GuestMicros, JobEnd, JobId, Reply, Request, Value};
use harness::{Ending, Exit, Finding, Kind};
use std::time::Duration;

/// A reply to a request.
type Answer = dyn FnMut(&Request) -> Result<Reply, GuestError>;

/// A guest that replies what a test says.
pub struct ScriptedGuest {
    answer: Box<Answer>,
    /// The console output.
    console: Vec<u8>,
    /// The findings on its own console while it booted.
    booting: Vec<Finding>,
    /// The findings after that.
    later: Vec<Finding>,
    planned: bool,
    silent: bool,
    clock: u64,
}

impl ScriptedGuest {
    /// Returns a guest whose every file contains `text`.
    #[must_use]
    pub fn with_files(text: &'static str) -> ScriptedGuest {
        let read = move |action: &Action| match action {
            Action::Read { .. } => Value::Bytes(text.as_bytes().to_vec()),
            _ => Value::Unit,
        };
        let mut value = Value::Unit;
        Self::answering(move |request| match request {
            Request::Start { actions, .. } => {
                value = actions.first().map_or(Value::Unit, read);
                Ok(Reply::Started(vec![JobId(0)]))
            }
            Request::Wait { .. } => Ok(Reply::Finished(JobEnd {
                results: vec![ActionResult { result: Ok(value.clone()), began: GuestMicros(0), ended: GuestMicros(0) }],
                ..JobEnd::default()
            })),
            _ => Ok(Reply::Done),
        })
    }

    /// Returns a guest that answers requests, other than those for its clock, like this.
    #[must_use]
    pub fn answering(answer: impl FnMut(&Request) -> Result<Reply, GuestError> + 'static) -> ScriptedGuest {
        ScriptedGuest {
            answer: Box::new(answer),
            console: b"a line of the console\n".to_vec(),
            booting: Vec::new(),
            later: Vec::new(),
            planned: true,
            silent: false,
            clock: 0,
        }
    }

    /// Returns a guest that answers nothing.
    #[must_use]
    pub fn silent() -> ScriptedGuest {
        ScriptedGuest { silent: true, planned: false, ..Self::with_files("") }
    }

    /// Adds a finding to its console, after it has booted.
    #[must_use]
    pub fn with_finding(mut self, title: &str) -> ScriptedGuest {
        self.later.push(finding(title));
        self
    }

    /// Adds a finding to its console, while it booted.
    #[must_use]
    pub fn with_boot_finding(mut self, title: &str) -> ScriptedGuest {
        self.booting.push(finding(title));
        self
    }

    /// Lets the guest end in another way than requested.
    #[must_use]
    pub fn ending_unplanned(mut self) -> ScriptedGuest {
        self.planned = false;
        self
    }
}

/// Returns a warning on a console.
#[must_use]
pub fn finding(title: &str) -> Finding {
    Finding { kind: Kind::Warning, title: title.to_owned(), lines: vec![title.to_owned()] }
}

impl Guest for ScriptedGuest {
    fn call(&mut self, request: &Request, _: Duration) -> Result<Reply, GuestError> {
        if self.silent {
            return Err(GuestError::Lost("the agent did not answer".to_owned()));
        }
        if *request == Request::Clock {
            self.clock += 7000;
            return Ok(Reply::Clock(GuestMicros(self.clock)));
        }
        (self.answer)(request)
    }
}

impl Machine for ScriptedGuest {
    fn as_guest(&mut self) -> &mut dyn Guest {
        self
    }

    fn findings(&self) -> Vec<Finding> {
        self.booting.clone()
    }

    fn end_as_planned(&mut self) -> Ending {
        Ending {
            planned: self.planned,
            reason: Some(if self.planned { "guest-reset" } else { "guest-shutdown" }.to_owned()),
            exit: Exit::Code(0),
            findings: self.booting.iter().chain(&self.later).cloned().collect(),
            noise: 0,
        }
    }

    fn console(&self) -> Vec<u8> {
        self.console.clone()
    }
}
