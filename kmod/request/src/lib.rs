//! The decisions of the kernel's `request_module()`: whether a request starts a helper, waits or fails, and what the
//! kernel logs about it.
//!
//! The crate decides and does nothing else: it starts no process, reads no clock and prints nothing. The caller passes
//! the time, acts on the results, and writes each [`Message`] to its log. The same code can therefore predict what a
//! kernel does, and decide for one. It needs neither `std` nor an allocator, has no `unsafe` code and does not panic.
//!
//! A request goes through three steps (`__request_module()` in `kernel/kmod.c`, since 6.4 in `kernel/module/kmod.c`):
//!
//! 1. [`Requests::begin`] refuses it, gives it a place, or queues it. A queued request gets a place when another one
//!    ends, or [gives up](Requests::give_up).
//! 2. [`Requests::launch`] runs the helper, unless the kernel merges the request with an earlier one for the same name.
//! 3. [`Requests::end`] frees the place, and returns who gets it next.
//!
//! ```
//! use request::{Begin, HelperPath, Launch, Name, OverLimit, Policy, Requests};
//! use std::collections::VecDeque;
//!
//! let mut requests: Requests<VecDeque<u32>> = Requests::new(Policy::new(OverLimit::Wait));
//! let name = Name::new(b"net-pf-3").unwrap();
//! let caller = 1;
//! let begin = requests.begin(0, &HelperPath::default(), &name, caller, &mut |_| ());
//! let Begin::Start(request) = begin else { panic!("a new kernel has free places") };
//! assert_eq!(requests.launch(0, request, &name, true, &mut |_| ()), Launch::Run);
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod ancestry;
mod failure;
mod merge;
mod message;
mod name;
mod path;
mod policy;
mod queue;
mod rate;
mod requests;

pub use ancestry::{Ancestry, HelperId, Process};
pub use failure::Failure;
pub use merge::{MergeId, REMEMBERED};
pub use message::{Level, Message};
pub use name::{NAME_SIZE, Name, NameTooLong};
pub use path::{HelperPath, PATH_SIZE};
pub use policy::{CONCURRENT, OverLimit, Policy, WAIT};
pub use queue::Queue;
pub use rate::{BURST, INTERVAL, Rate, RateLimit};
pub use requests::{Begin, End, GaveUp, Launch, Next, Refusal, Request, Requests, Why};

/// A time of the kernel's clock in milliseconds.
pub type Millis = u64;

/// The arguments between the path and the name: the helper is started as `{path, "-q", "--", name}` (`call_modprobe()`).
pub const ARGUMENTS: [&str; 2] = ["-q", "--"];

/// The environment of the helper (`call_modprobe()`).
pub const ENVIRONMENT: [&str; 3] = ["HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"];
