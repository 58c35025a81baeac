//! Which program a request runs, and the errno of the request if it cannot be run.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{exit_with, requested_names};
use crate::check::lab::{Lab, SCRATCH, shown_line};
use crate::check::modules;
use crate::check::trigger::{mount, unknown_socket};
use agent::proto::{Action, Group, GuestMillis};

pub(super) fn next_request(lab: &mut Lab<'_>) -> Check {
    let first = lab.helper_as_path("first", &exit_with(1))?;
    lab.observe(unknown_socket())?;
    let second = lab.helper_as_path("second", &exit_with(1))?;
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    let (first, second) = (lab.records(&first)?, lab.records(&second)?);
    lab.expect("requests to the first path", List(requested_names(&first)), List(vec!["net-pf-3"]));
    lab.expect("requests to the second path", List(requested_names(&second)), List(vec!["net-pf-3"]));
    let argv = second.into_iter().next().map(|record| record.argv).unwrap_or_default();
    lab.expect("argv of the second helper", List(argv), List(vec!["/run/lab/second", "-q", "--", "net-pf-3"]));
    Ok(())
}

pub(super) fn no_splitting(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exit_with(1))?;
    lab.set_path(format!("{} extra", helper.path()).as_bytes())?;
    let result = lab.request_result()?;
    lab.expect("request result", result, errno::ENOENT);
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 0);
    // A file with exactly that name does run: the request was made, and the whole path is the file name.
    let whole = lab.helper_as_path("log extra", &exit_with(1))?;
    lab.observe(unknown_socket())?;
    let argv = lab.records(&whole)?.pop().map(|record| record.argv).unwrap_or_default();
    lab.expect("argv when a file has that name", List(argv), List(vec![whole.path(), "-q", "--", "net-pf-3"]));
    Ok(())
}

pub(super) fn empty_disables(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    lab.trace_requests()?;
    lab.set_path(b"\n")?;
    let path = lab.path()?;
    lab.expect("value read back", path, "\n");
    let result = lab.request_result()?;
    lab.expect("request result", result, errno::ENOENT);
    let socket = lab.observe(unknown_socket())?;
    lab.expect("socket(2) with an unknown family", socket.result, errno::EAFNOSUPPORT);
    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) with an unknown type", mount.result, errno::ENODEV);
    lab.expect_within("mount(2) duration", mount.millis, 0..=5, "ms");
    let traced = lab.traced_requests()?;
    lab.expect("traced requests", List(traced), List::<&str>(vec![]));
    expect_no_log(lab)?;
    // With a path the same requests do appear in the trace.
    lab.set_path(b"/nonexistent")?;
    let result = lab.request_result()?;
    lab.expect("request result with a path", result, errno::ENOENT);
    lab.observe(unknown_socket())?;
    let traced = lab.traced_requests()?;
    lab.expect("traced requests with a path", List(traced), List(vec!["iptable_zz", "net-pf-3"]));
    Ok(())
}

pub(super) fn missing(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    lab.trace_requests()?;
    lab.set_path(b"/nonexistent")?;
    let result = lab.request_result()?;
    lab.expect("request result", result, errno::ENOENT);
    // The oracle also returns ENOENT for a request that succeeded; a mount would then leave a line in the log.
    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) with an unknown type", mount.result, errno::ENODEV);
    let traced = lab.traced_requests()?;
    lab.expect("traced requests", List(traced), List(vec!["iptable_zz", "fs-zz"]));
    expect_no_log(lab)
}

pub(super) fn not_executable(lab: &mut Lab<'_>) -> Check {
    let file = format!("{SCRATCH}/plain");
    lab.write(&file, b"#!/bin/agent\n")?;
    lab.arrange(Action::Chmod(file.clone().into_bytes(), 0o600))?;
    expect_eacces(lab, "mode 0600", &file)?;

    expect_eacces(lab, "directory", SCRATCH)?;
    expect_eacces(lab, "path of one byte", "/")?;

    let mounted = format!("{SCRATCH}/noexec");
    lab.arrange(Action::MkdirAll(mounted.clone().into_bytes()))?;
    let target = mounted.clone().into_bytes();
    let (source, fstype) = (b"tmpfs".to_vec(), b"tmpfs".to_vec());
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: libc::MS_NOEXEC, data: Vec::new() })?;
    let program = format!("{mounted}/program");
    lab.write(&program, b"#!/bin/agent\n")?;
    lab.arrange(Action::Chmod(program.clone().into_bytes(), 0o755))?;
    expect_eacces(lab, "noexec mount", &program)
}

pub(super) fn exec_errors(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    let [own, file] = ["loop", "script"].map(|name| format!("{SCRATCH}/{name}"));
    script(lab, &file, "/bin/agent")?;
    lab.arrange(Action::Symlink(own.clone().into_bytes(), own.clone().into_bytes()))?;
    for (what, path, errno) in
        [("symlink loop", own, errno::ELOOP), ("file as a directory", format!("{file}/x"), errno::ENOTDIR)]
    {
        lab.set_path(path.as_bytes())?;
        let result = lab.request_result()?;
        lab.expect(what, result, errno);
    }
    lab.set_path(file.as_bytes())?;
    let hold = Action::Hold { path: file.into_bytes(), flags: libc::O_WRONLY, millis: 1000 };
    let request = Action::IptGetInfo(b"zz".to_vec());
    let group =
        |action, after| Group { actions: vec![action], count: 1, after: GuestMillis(after), ..Group::default() };
    let ends = lab.run_all(vec![group(hold, 0), group(request, 300)])?;
    let results = ends.into_iter().flat_map(|end| end.results).map(|result| result.result).collect();
    lab.expect("open for writing elsewhere: the other process, the request", List(results), List(vec!["0", "ETXTBSY"]));
    expect_no_log(lab)
}

pub(super) fn missing_interpreter(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    let file = format!("{SCRATCH}/script");
    script(lab, &file, "/no/such")?;
    lab.set_path(file.as_bytes())?;
    let observed = lab.observe(Action::IptGetInfo(b"zz".to_vec()))?;
    lab.expect("interpreter /no/such", observed.result, errno::ENOENT);
    lab.expect_within("duration of the request", observed.millis, 0..=1000, "ms");
    expect_no_log(lab)?;
    // The same script runs with an interpreter that exists.
    let interpreter = lab.helper("interpreter", &exit_with(1))?;
    script(lab, &file, interpreter.path())?;
    lab.observe(unknown_socket())?;
    let argv = lab.records(&interpreter)?.pop().map(|record| record.argv).unwrap_or_default();
    let expected = vec![interpreter.path(), &file, "-q", "--", "net-pf-3"];
    lab.expect("argv of an interpreter that exists", List(argv), List(expected));
    Ok(())
}

pub(super) fn not_a_program(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    lab.trace_requests()?;
    let recursion = lab.probe("binfmt-requests")? == "yes";
    let file = format!("{SCRATCH}/bytes");
    executable(lab, &file, b"\x01\x02\x03\x04")?;
    lab.set_path(file.as_bytes())?;
    let observed = lab.observe(Action::IptGetInfo(b"zz".to_vec()))?;
    lab.expect("request result", observed.result, errno::ENOEXEC);
    let range = if recursion { 5000..=8000 } else { 0..=1000 };
    lab.expect_within("duration of the request", observed.millis, range, "ms");
    let traced = lab.traced_requests()?;
    let nested = traced.iter().filter(|name| name.as_slice() == b"binfmt-0403").count();
    lab.expect("traced requests for binfmt-0403", nested, if recursion { 49 } else { 0 });
    let others = traced.into_iter().filter(|name| name != b"binfmt-0403").collect();
    lab.expect("other traced requests", List(others), List(vec!["iptable_zz"]));
    let rejection = "modprobe binfmt-0403 cannot be processed";
    let rejected = lab.kmsg()?.iter().map(shown_line).filter(|line| line.contains(rejection)).count();
    lab.expect("requests rejected at the limit", rejected, usize::from(recursion));
    Ok(())
}

pub(super) fn modules_disabled(lab: &mut Lab<'_>) -> Check {
    lab.write("/proc/sys/kernel/modules_disabled", b"1")?;
    let file = modules::load_order(lab.pair(), "dummy")?.pop().unwrap_or_default();
    let flags = modules::finit_flags(&file);
    let load = Action::FinitModule { path: file.into_bytes(), params: Vec::new(), flags };
    let load = lab.observe(load)?;
    lab.expect("finit_module(2)", load.result, errno::EPERM);
    let helper = lab.helper("log", &exit_with(1))?;
    let written = lab.set_path(helper.path().as_bytes())?;
    lab.expect("write(2) of the path", written, helper.path().len());
    lab.observe(unknown_socket())?;
    let names = requested_names(&lab.records(&helper)?);
    lab.expect("requested names", List(names), List(vec!["net-pf-3"]));
    Ok(())
}

/// The interpreter of a script gets the name of the file that the kernel executes, and not argv[0], which the caller of
/// the usermode helper chooses.
pub(super) fn is_what_runs(lab: &mut Lab<'_>) -> Check {
    let interpreter = lab.helper("interpreter", &exit_with(1))?;
    let file = format!("{SCRATCH}/script");
    script(lab, &file, interpreter.path())?;
    lab.set_path(file.as_bytes())?;
    let shown = lab.path()?;
    lab.expect("value read back", shown, format!("{file}\n"));
    lab.observe(unknown_socket())?;
    let executed =
        lab.records(&interpreter)?.into_iter().map(|record| record.argv.into_iter().nth(1).unwrap_or_default());
    lab.expect("executed files", List(executed.collect()), List(vec![file]));
    Ok(())
}

/// Writes an executable file.
fn executable(lab: &mut Lab<'_>, path: &str, bytes: &[u8]) -> Check {
    lab.write(path, bytes)?;
    lab.arrange(Action::Chmod(path.as_bytes().to_vec(), 0o755))?;
    Ok(())
}

/// Writes an executable script with this interpreter.
fn script(lab: &mut Lab<'_>, path: &str, interpreter: &str) -> Check {
    executable(lab, path, format!("#!{interpreter}\n").as_bytes())
}

fn expect_eacces(lab: &mut Lab<'_>, name: &str, path: &str) -> Check {
    lab.set_path(path.as_bytes())?;
    let result = lab.request_result()?;
    lab.expect(name, result, errno::EACCES);
    Ok(())
}

fn expect_no_log(lab: &mut Lab<'_>) -> Check {
    let lines = lab.kmsg()?;
    let lines = lines.into_iter().map(|record| record.text).collect();
    lab.expect("kernel log", List(lines), List::<&str>(vec![]));
    Ok(())
}
