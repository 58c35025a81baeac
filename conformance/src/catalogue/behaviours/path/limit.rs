//! A path that changes while a request waits at the limit.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, set_path_action, shown_line};
use crate::check::trigger::{mount, unknown_socket};
use agent::proto::{Action, Group, GuestMillis};

/// Fills the limit with 50 requests whose helpers take five seconds, lets a mount(2) wait for a place, and meanwhile
/// writes `path`.
fn change_path_at_limit(lab: &mut Lab<'_>, path: &str) -> Check {
    let slow = lab.helper_as_path("slow", &act_then_exit(vec![Action::Sleep(5000)], 1))?;
    lab.mark_kmsg()?;
    let write = set_path_action(path.as_bytes());
    let group =
        |action, count, after| Group { actions: vec![action], count, after: GuestMillis(after), ..Group::default() };
    let groups = vec![group(unknown_socket(), 50, 0), group(mount("zz"), 1, 2500), group(write, 1, 3500)];
    let ends = lab.run_all(groups)?;
    let mounted = ends.into_iter().nth(50).and_then(|end| end.results.into_iter().next());
    let mounted = mounted.ok_or_else(|| LabError::Unexpected("no result of mount(2)".to_owned()))?;
    lab.expect("mount(2)", mounted.result, errno::ENODEV);
    let names = requested_names(&lab.records(&slow)?);
    let others: Vec<Vec<u8>> = names.iter().filter(|name| name.as_slice() != b"net-pf-3").cloned().collect();
    lab.expect("requests for net-pf-3 to the first path", names.len() - others.len(), 50);
    lab.expect("other requests to the first path", List(others), List::<&str>(vec![]));
    Ok(())
}

pub(super) fn switched(lab: &mut Lab<'_>) -> Check {
    let second = lab.helper("second", &exit_with(1))?;
    change_path_at_limit(lab, second.path())?;
    let argv = lab.records(&second)?.pop().map(|record| record.argv).unwrap_or_default();
    lab.expect("argv of the second path", List(argv), List(vec![second.path(), "-q", "--", "fs-zz"]));
    Ok(())
}

/// get_fs_type() logs a request that was successful and brought no file system.
pub(super) fn emptied(lab: &mut Lab<'_>) -> Check {
    change_path_at_limit(lab, "\n")?;
    let lines = lab.kmsg()?.iter().map(shown_line).filter(|line| line.contains("fs-zz succeeded")).collect();
    lab.expect(
        "log of a successful request",
        List(lines),
        List(vec!["<4> request_module fs-zz succeeded, but still no fs?"]),
    );
    Ok(())
}
