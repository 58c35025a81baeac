//! Whether the kernel started this program as a usermode helper.
//!
//! A helper is a child of a kernel thread, without open descriptors. Only the kernel can start such a child, so no user can
//! pass a process off as a helper, or a helper as something else.
//!
//! Without `/proc` a kernel thread is recognised by less: it is in session 0, which its children inherit. The children of an init
//! process that never calls setsid(2) are in session 0 too, and in a PID namespace so is every process whose session leader is
//! outside. They then count as helpers, so that no error of a helper is lost. That is harmless: their errors are logged, which
//! takes permission to write to `/dev/kmsg`, and nothing else depends on it.

use crate::guard::processes::is_kernel_thread;
use crate::sys::{StandardStreams, session};
use rustix::process::{Pid, getppid};

/// Returns whether the kernel started this program. It costs nothing if a standard descriptor was open.
#[must_use]
pub fn is_kernel(streams: StandardStreams) -> bool {
    streams.all_closed() && is_kernel_thread_or_unknown(getppid(), session(), is_kernel_thread)
}

/// `known` returns whether a process is a kernel thread, if that can be read.
fn is_kernel_thread_or_unknown(parent: Option<Pid>, session: i32, known: impl Fn(i32) -> Option<bool>) -> bool {
    // A parent in another PID namespace has no id; helpers start in the namespace of the kernel threads.
    let Some(parent) = parent.filter(|&parent| parent != Pid::INIT) else { return false };
    known(parent.as_raw_nonzero().get()).unwrap_or(session == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_a_kernel_thread_is_a_helper() {
        let parent = Pid::from_raw(45);
        assert!(is_kernel_thread_or_unknown(parent, 0, |pid| Some(pid == 45)));
        assert!(is_kernel_thread_or_unknown(parent, 7, |pid| Some(pid == 45)));
        assert!(!is_kernel_thread_or_unknown(parent, 0, |_| Some(false)));
        assert!(!is_kernel_thread_or_unknown(Some(Pid::INIT), 0, |_| None));
        assert!(!is_kernel_thread_or_unknown(None, 0, |_| None));
    }

    #[test]
    fn without_proc_the_session_decides() {
        assert!(is_kernel_thread_or_unknown(Pid::from_raw(45), 0, |_| None));
        assert!(!is_kernel_thread_or_unknown(Pid::from_raw(45), 45, |_| None));
    }

    #[test]
    fn the_parent_of_a_test_is_not_a_kernel_thread() {
        let closed = StandardStreams { input_closed: true, output_closed: true, error_closed: true };
        assert!(!is_kernel(closed) && !is_kernel(StandardStreams::default()));
    }
}
