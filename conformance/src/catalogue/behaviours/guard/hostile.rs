//! What an unprivileged user can try in order to make the guard refuse a request.

use super::{guard, messages};
use crate::catalogue::entry::Check;
use crate::check::fact::List;
use crate::check::helper::act_then_exit;
use crate::check::lab::{Lab, SCRATCH, root_of, run_action, unprivileged};
use crate::check::trigger::{socket, unknown_socket};
use agent::proto::{Action, Caller, GuestMillis};

/// How long the processes of an attempt last, in milliseconds.
const LASTING: u64 = 400;

/// Something that several processes of the user do at the same time.
struct Attempt {
    name: &'static str,
    caller: Caller,
    actions: Vec<Action>,
    processes: u32,
    /// How many requests each process makes.
    requests: u32,
}

/// Another protocol family without a module (4, `AF_IPX`).
fn other_socket() -> Action {
    socket(4, libc::SOCK_STREAM)
}

/// Runs a program of the scratch directory, which sleeps, with the arguments of a helper for net-pf-3.
fn imitation(program: &str) -> Action {
    run_action(&[&format!("{SCRATCH}/{program}"), "-q", "--", "net-pf-3"])
}

fn attempts() -> Vec<Attempt> {
    let attempt =
        |name, caller, actions: Vec<Action>, requests| Attempt { name, caller, actions, processes: 5, requests };
    let user = unprivileged;
    vec![
        attempt("the arguments of a helper", user(), vec![imitation("modprobe")], 0),
        attempt("the name of a kernel thread", user(), vec![imitation("kworker")], 0),
        attempt("a helper in a user namespace", root_of(libc::CLONE_NEWUSER), vec![imitation("modprobe")], 0),
        attempt(
            "a helper in a PID namespace",
            root_of(libc::CLONE_NEWUSER | libc::CLONE_NEWPID),
            vec![imitation("modprobe")],
            0,
        ),
        attempt("the guard itself", user(), vec![run_action(&["/sbin/kmod-request", "-q", "--", "net-pf-3"])], 0),
        attempt("requests for the same name", user(), vec![unknown_socket()], 1),
        attempt("requests for another name", user(), vec![other_socket()], 1),
        attempt("requests for both names", user(), vec![unknown_socket(), other_socket()], 2),
        attempt(
            "requests from a mount namespace",
            root_of(libc::CLONE_NEWUSER | libc::CLONE_NEWNS),
            vec![unknown_socket()],
            1,
        ),
        attempt(
            "a requested name that looks like arguments",
            user(),
            vec![Action::GenlGetFamily(b"-q -- net-pf-3".to_vec())],
            1,
        ),
        attempt("processes that request and imitate", user(), vec![unknown_socket(), imitation("modprobe")], 1),
    ]
}

/// While the processes of an attempt last, root requests net-pf-3. No request may be refused.
pub(super) fn unprivileged_processes(lab: &mut Lab<'_>) -> Check {
    for program in ["modprobe", "kworker"] {
        lab.helper(program, &act_then_exit(vec![Action::Sleep(LASTING)], 1))?;
    }
    let helper = guard(lab, &act_then_exit(vec![Action::Sleep(LASTING / 4)], 1))?;
    let mut before = 0;
    for Attempt { name, caller, actions, processes, requests } in attempts() {
        let jobs = lab.start(caller, actions, processes)?;
        lab.arrange(Action::Sleep(LASTING / 8))?;
        lab.observe(unknown_socket())?;
        for job in jobs {
            lab.wait(job, GuestMillis(10_000))?;
        }
        let helpers = lab.records(&helper)?.len();
        lab.expect(&format!("helpers started despite {name}"), helpers - before, (processes * requests + 1) as usize);
        before = helpers;
    }
    let got = messages(lab)?;
    lab.expect("messages", List(got), List::<&str>(vec![]));
    Ok(())
}
