//! The loop guard: finds out, when the kernel starts a helper for a module, whether that request is part of a runaway loop.
//!
//! A helper that makes a system call for which the kernel needs a module waits for another helper. If that one does the
//! same, and so on, helpers pile up until the kernel's limit. The kernel does not say which process waits for which helper.
//! But a helper is younger than the process that waits for it. So if a process of the second youngest helper waits, it waits
//! for the youngest, and so on to older helpers: see [`chain`].
//!
//! ```text
//!   processes   the processes in /proc, and which of them wait in a request
//!   settings    /etc/kmod-request.conf
//! ```

pub mod processes;
pub mod settings;

use processes::{Helper, Snapshot};

/// A helper in the chain of requests that led to a new request.
pub type Chain<'a> = Vec<&'a Helper>;

/// Returns the helpers that wait, directly or through others, for the youngest helper, oldest first.
///
/// Only certain knowledge counts. Let T be the youngest of the other helpers, and let one process of T wait in a request. The
/// helper of that request is younger than T, so it is the youngest one. The same holds for the next older helper, as only
/// one helper is younger and not yet accounted for. At the first helper of which no process waits, or more than one does,
/// nothing more is certain.
///
/// Unrelated requests can hide a loop for as long as they continue. They do not form a chain once their helpers exist: each
/// helper that waits is followed by the helper that it waits for, which does not wait. The kernel may have queued a helper
/// without having started it. [`Proc::unchanged`](processes::Proc::unchanged) finds out; and with many other helpers, which
/// could fill the kernel's workqueue, nothing is certain.
#[must_use]
pub fn chain(snapshot: &Snapshot) -> Chain<'_> {
    if !snapshot.youngest {
        return Vec::new();
    }
    let mut chain: Chain<'_> =
        snapshot.others.iter().rev().take_while(|helper| helper.waiting.len() == 1 && helper.trusted).collect();
    chain.reverse();
    chain
}

/// How many other helpers may run. Their workqueue runs at least 512 works at a time (`WQ_UNBOUND_MAX_ACTIVE` in 6.1; 2048 in
/// 7.3), or since 6.9 that share of them which a NUMA node has of the processors. So these do not keep another helper from
/// starting.
const HELPERS: usize = 64;

/// The decision about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Run the helper.
    Run,
    /// The request is part of a loop.
    Loop(Vec<&'a Helper>),
    /// This many helpers are running, including this one.
    Total(usize),
}

/// Decides about a request for `name`.
#[must_use]
pub fn decide<'a>(snapshot: &'a Snapshot, name: &[u8], limits: settings::Limits) -> Decision<'a> {
    let total = snapshot.others.len() + 1;
    if limits.total.is_some_and(|limit| total > limit.get()) {
        return Decision::Total(total);
    }
    let chain = chain(snapshot);
    let same = chain.iter().filter(|helper| helper.name.as_deref() == Some(name)).count();
    let certain = snapshot.others.len() <= HELPERS;
    if same >= limits.chain.get() && certain { Decision::Loop(chain) } else { Decision::Run }
}

#[cfg(test)]
mod tests {
    use super::*;
    use processes::Waiting;
    use settings::Limits;

    fn helper(pid: i32, name: &str, waiting: usize) -> Helper {
        let waiting = (0..waiting).map(|nth| Waiting { pid: pid * 100 + nth as i32, started: 1, waits: 1 }).collect();
        Helper { pid, started: u64::from(pid.unsigned_abs()), name: Some(name.into()), trusted: true, waiting }
    }

    fn snapshot(helpers: &[(&str, usize)]) -> Snapshot {
        let others = (10..).zip(helpers).map(|(pid, (name, waiting))| helper(pid, name, *waiting)).collect();
        Snapshot { others, youngest: true, ..Snapshot::default() }
    }

    fn chain_length(helpers: &[(&str, usize)]) -> usize {
        chain(&snapshot(helpers)).len()
    }

    fn is_loop(helpers: &[(&str, usize)], name: &str) -> bool {
        matches!(decide(&snapshot(helpers), name.as_bytes(), Limits::default()), Decision::Loop(_))
    }

    #[test]
    fn helpers_that_wait_one_after_another_are_a_chain() {
        assert_eq!(chain_length(&[]), 0);
        assert_eq!(chain_length(&[("a", 1), ("b", 1), ("a", 1)]), 3);
    }

    #[test]
    fn a_helper_that_does_not_wait_ends_the_chain() {
        assert_eq!(chain_length(&[("a", 1), ("b", 0), ("a", 1)]), 1);
        assert_eq!(chain_length(&[("a", 1), ("b", 1), ("a", 0)]), 0);
    }

    #[test]
    fn a_helper_of_which_two_processes_wait_ends_the_chain() {
        assert_eq!(chain_length(&[("a", 1), ("b", 2), ("a", 1)]), 1);
    }

    #[test]
    fn nested_requests_of_several_callers_do_not_form_a_chain() {
        // Three callers request a, whose helpers need b: each waiting helper is followed by the helper of b.
        assert!(!is_loop(&[("a", 1), ("b", 0), ("a", 1), ("b", 0), ("a", 1), ("b", 0)], "a"));
        assert!(!is_loop(&[("a", 1), ("a", 1), ("a", 1), ("b", 0), ("b", 0), ("b", 0)], "a"));
    }

    #[test]
    fn an_untrusted_helper_ends_the_chain() {
        let mut snapshot = snapshot(&[("a", 1), ("a", 1), ("a", 1), ("a", 1)]);
        snapshot.others[1].trusted = false;
        assert_eq!(chain(&snapshot).len(), 2);
    }

    #[test]
    fn a_younger_helper_makes_a_chain_uncertain() {
        let snapshot = Snapshot { youngest: false, ..snapshot(&[("a", 1), ("a", 1), ("a", 1)]) };
        assert_eq!(decide(&snapshot, b"a", Limits::default()), Decision::Run);
    }

    #[test]
    fn the_same_name_three_times_is_a_loop() {
        assert!(!is_loop(&[("a", 1), ("a", 1)], "a"));
        assert!(is_loop(&[("a", 1), ("a", 1), ("a", 1)], "a"));
        assert!(!is_loop(&[("a", 1), ("a", 1), ("a", 1)], "b"));
    }

    #[test]
    fn alternating_names_are_a_loop() {
        assert!(is_loop(&[("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 1), ("b", 1)], "a"));
    }

    #[test]
    fn a_chain_of_different_names_is_not_a_loop() {
        assert!(!is_loop(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)], "f"));
    }

    #[test]
    fn among_many_helpers_nothing_is_certain() {
        let with = |unrelated: usize| {
            let mut helpers = vec![("u", 0); unrelated];
            helpers.extend([("a", 1); 3]);
            is_loop(&helpers, "a")
        };
        assert_eq!([with(61), with(62)], [true, false]);
    }

    #[test]
    fn the_total_is_off_unless_set() {
        let many = [("a", 0); 60];
        assert_eq!(decide(&snapshot(&many), b"b", Limits::default()), Decision::Run);
        let limits = Limits { total: std::num::NonZeroUsize::new(60), ..Limits::default() };
        assert_eq!(decide(&snapshot(&many), b"b", limits), Decision::Total(61));
        assert_eq!(decide(&snapshot(&many[1..]), b"b", limits), Decision::Run);
    }
}
