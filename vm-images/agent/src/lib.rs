//! The guest protocol: what the host may ask of the agent, and what the agent answers.
//!
//! The agent is the guest's PID 1. The host talks to it over the second serial port in frames
//! ([`frame`]) that carry one [`proto::Request`] or one [`proto::Reply`] each, encoded with postcard.
//! Under another name the same program is the recording helper that the kernel starts in
//! modprobe's place ([`plan`]). This library holds the types alone, so that the host side and
//! the guest side cannot disagree; the guest's half of the work is in the program.
//!
//! ```text
//!   frame     length, checksum, resynchronisation after noise
//!   proto     Request, Reply, Action, Value: typed operations; values are bytes, not strings
//!   plan      what a recording helper does when it is started, and the record that it leaves
//! ```

pub mod frame;
pub mod plan;
pub mod proto;
