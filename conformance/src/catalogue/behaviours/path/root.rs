//! Where the path is resolved: in the root and the working directory of PID 1, in no other namespace.

use crate::catalogue::entry::Check;
use crate::check::fact::List;
use crate::check::helper::{Helper, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, shown_line};
use crate::check::trigger::unknown_socket;
use agent::proto::{Action, Caller};

pub(super) fn relative(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exit_with(1))?;
    for (directory, path) in [("/", "run/lab/log"), ("/run", "lab/log")] {
        lab.arrange_in_init(Action::Chdir(directory.as_bytes().to_vec()))?;
        lab.set_path(path.as_bytes())?;
        lab.observe(unknown_socket())?;
        let argv0 = lab.records(&helper)?.pop().and_then(|record| record.argv.into_iter().next());
        lab.expect(&format!("argv[0] with PID 1 in {directory}"), argv0.unwrap_or_default(), path);
    }
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 2);
    Ok(())
}

pub(super) fn one_value(lab: &mut Lab<'_>) -> Check {
    let inside = "/mnt/sys/kernel/modprobe";
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    let caller = Caller { unshare: u64::from(namespaces.unsigned_abs()), map_uid: Some(0), ..Caller::default() };
    let (source, target, fstype) = (b"proc".to_vec(), b"/mnt".to_vec(), b"proc".to_vec());
    let data = b"/inside".to_vec();
    let actions = vec![
        Action::Mount { source, target, fstype, flags: 0, data: Vec::new() },
        Action::Read { path: inside.into(), max: 4096 },
        Action::Write { path: inside.into(), data, flags: 0 },
    ];
    lab.set_path(b"/outside")?;
    let results = lab.observe_all_as(caller, actions)?.into_iter().map(|observed| observed.result).collect();
    lab.expect("in new namespaces: mount(2), read(2), write(2)", List(results), List(vec!["0", "/outside\n", "7"]));
    let path = lab.path()?;
    lab.expect("value read back in the initial namespaces", path, "/inside\n");
    Ok(())
}

/// The new root of PID 1.
const JAIL: &str = "/jail";

/// Installs a helper under one path in two roots, and sets the path to it.
fn helper_in_two_roots(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    let helper = Helper::at("/helper");
    let plan = helper.encode(&exit_with(1)).map_err(LabError::Unexpected)?;
    for root in ["", JAIL] {
        lab.write(&format!("{root}{}", helper.plan_path()), &plan)?;
        let program = format!("{root}{}", helper.path()).into_bytes();
        // A symlink would not lead out of the new root.
        lab.arrange(Action::Link(b"/init".to_vec(), program))?;
    }
    lab.set_path(helper.path().as_bytes())?;
    Ok(helper)
}

/// Expects the names that were requested from the helpers in the old root, the working directory of PID 1, and in JAIL,
/// which is at `jail`.
fn expect_requests(lab: &mut Lab<'_>, what: &str, jail: &str, expected: [&[&str]; 2]) -> Check {
    let helpers = [("old", Helper::at("helper")), ("new", Helper::at(&format!("{jail}/helper")))];
    for ((root, helper), expected) in helpers.iter().zip(expected) {
        let names = requested_names(&lab.records(helper)?);
        lab.expect(&format!("{what}: requests to the helper in the {root} root"), List(names), List(expected.to_vec()));
    }
    Ok(())
}

pub(super) fn root_of_init(lab: &mut Lab<'_>) -> Check {
    helper_in_two_roots(lab)?;
    let caller = Caller { chroot: Some(JAIL.into()), ..Caller::default() };
    lab.observe_as(caller, unknown_socket())?;
    expect_requests(lab, "caller in the new root", JAIL, [&["net-pf-3"], &[]])?;
    lab.arrange_in_init(Action::Chroot(JAIL.into()))?;
    lab.observe(unknown_socket())?;
    expect_requests(lab, "PID 1 in the new root", "", [&["net-pf-3"], &["net-pf-3"]])
}

pub(super) fn unshared(lab: &mut Lab<'_>) -> Check {
    let follows = lab.probe("init-fs")? == "old-root";
    let requests = |count: usize| ["net-pf-3"; 3].into_iter().take(if follows { count } else { 1 }).collect::<Vec<_>>();
    helper_in_two_roots(lab)?;
    lab.observe(unknown_socket())?;
    expect_requests(lab, "shared", JAIL, [&requests(1), &[]])?;
    lab.mark_kmsg()?;
    lab.arrange_in_init(Action::Unshare(u64::from(libc::CLONE_FS.unsigned_abs())))?;
    lab.observe(unknown_socket())?;
    let lines: Vec<String> = lab.kmsg()?.iter().map(shown_line).collect();
    let warning = "<4> VFS: Pid 1 stopped sharing filesystem state";
    lab.expect("kernel log", List(lines), List(if follows { vec![] } else { vec![warning] }));
    expect_requests(lab, "unshared", JAIL, [&requests(2), &[]])?;
    lab.arrange_in_init(Action::Chroot(JAIL.into()))?;
    lab.observe(unknown_socket())?;
    expect_requests(lab, "PID 1 in the new root", "", [&requests(3), &[]])
}
