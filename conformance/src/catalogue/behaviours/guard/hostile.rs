//! What an unprivileged user can try in order to make the guard refuse a request.

use super::{SETTINGS, guard, messages, set_guard};
use crate::catalogue::entry::Check;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exit_with, requested_names};
use crate::check::lab::{Lab, SCRATCH, root_of, run_action, unprivileged};
use crate::check::settings::call;
use crate::check::trigger::{socket, unknown_socket};
use agent::plan::HelperPlan;
use agent::proto::{Action, Argument, Caller, GuestMillis};

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
        attempt("waiting processes with the arguments of a helper", user(), vec![imitation("requests")], 1),
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
    lab.helper("requests", &HelperPlan { record: false, ..act_then_exit(vec![unknown_socket()], 1) })?;
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
    let user = [1000; 3].map(Argument::Number);
    after(lab, "has become a process of the user", libc::SYS_setresuid, &user)?;
    let namespace = [Argument::Number(libc::CLONE_NEWNS.unsigned_abs().into())];
    after(lab, "has moved to another mount namespace", libc::SYS_unshare, &namespace)
}

/// A helper makes a system call and repeats its request, which is a loop if the helper counts.
fn after(lab: &mut Lab<'_>, what: &str, number: libc::c_long, arguments: &[Argument]) -> Check {
    let next = lab.helper(&format!("next-{number}"), &exit_with(1))?;
    let settings = Action::Write {
        path: SETTINGS.as_bytes().to_vec(),
        data: format!("helper {}\nchain 1\n", next.path()).into_bytes(),
        flags: libc::O_TRUNC,
    };
    let actions = vec![settings, call(number, arguments), unknown_socket()];
    let first = lab.helper(&format!("first-{number}"), &act_then_exit(actions, 1))?;
    set_guard(lab, &format!("helper {}\n", first.path()))?;
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&next)?);
    lab.expect(&format!("further requests of a helper that {what}"), List(names), List(vec!["net-pf-3"]));
    let got = messages(lab)?;
    lab.expect(&format!("messages about a helper that {what}"), List(got), List::<&str>(vec![]));
    Ok(())
}
