//! The guest protocol: the host's requests and the agent's replies.
//!
//! The agent is PID 1 of the guest. The host talks to it over the second serial port in frames
//! ([`frame`]) that carry one [`proto::Request`] or one [`proto::Reply`] each, encoded with postcard.
//! Under another name the same program is the recording helper, which the kernel starts instead of
//! modprobe ([`plan`]). This library contains only the types, so that host and guest cannot disagree;
//! the guest's implementation is in the program.
//!
//! ```text
//!   frame     length, checksum, resynchronisation after noise
//!   proto     Request, Reply, Action, Value: typed operations; values are bytes, not strings
//!   plan      the plan of a recording helper, and the record it leaves
//!   insert_list  the modules that the agent inserts before it answers
//! ```

pub mod frame;
pub mod insert_list;
pub mod plan;
pub mod proto;
