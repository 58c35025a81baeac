//! A QEMU guest as the guest of a check and as the machine of the engine.

use crate::check::lab::{Guest, GuestError};
use crate::run::machines::Machine;
use crate::text::error_chain;
use agent::proto::{Reply, Request};
use harness::{Ending, Finding, Vm, VmError};
use std::time::Duration;

impl Guest for Vm {
    fn call(&mut self, request: &Request, wall: Duration) -> Result<Reply, GuestError> {
        Vm::call(self, request, wall).or_else(|error| match error {
            VmError::Dead(death) if death.evidence => Err(GuestError::Crashed(death.to_string())),
            // The agent answered with a failure, which the lab judges.
            VmError::Agent(why) => Ok(Reply::Failed(why)),
            other => Err(GuestError::Lost(error_chain(&other))),
        })
    }
}

impl Machine for Vm {
    fn as_guest(&mut self) -> &mut dyn Guest {
        self
    }

    fn findings(&self) -> Vec<Finding> {
        Vm::findings(self)
    }

    fn end_as_planned(&mut self) -> Ending {
        Vm::end_as_planned(self)
    }

    fn console(&self) -> Vec<u8> {
        Vm::console(self)
    }
}
