//! The path in `/proc/sys/kernel/modprobe`: how a write is parsed, and which program the next request runs.

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{exit_with, requested_names};
use crate::check::lab::{Lab, LabError, MODPROBE_SYSCTL, SCRATCH, unprivileged};
use crate::check::trigger::{mount, unknown_socket};
use agent::proto::{Action, Caller};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "path.next-request",
        catalogue: "PATH-01",
        group: Group::Path,
        statement: "a path written to /proc/sys/kernel/modprobe takes effect at the next request",
        source: "call_modprobe() reads modprobe_path at each request (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: By(next_request),
    },
    Entry {
        id: "path.newline",
        catalogue: "PATH-02",
        group: Group::Path,
        statement: "the newline that echo appends is not part of the path",
        source: "proc_dostring() stops at the first newline (kernel/sysctl.c)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: By(newline),
    },
    Entry {
        id: "path.no-splitting",
        catalogue: "PATH-03",
        group: Group::Path,
        statement: "the path is a single file name: it is not split at spaces and not passed to a shell",
        source: "call_usermodehelper_setup() passes the path to execve unchanged (kernel/umh.c)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[Need::Module("ip_tables")],
        probes: &[],
        check: By(no_splitting),
    },
    Entry {
        id: "path.terminator",
        catalogue: "PATH-04",
        group: Group::Path,
        statement: "the path ends at the first newline or NUL of a write, and write(2) returns the full length",
        source: "proc_dostring() (kernel/sysctl.c)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: By(terminator),
    },
    Entry {
        id: "path.length",
        catalogue: "PATH-05",
        group: Group::Path,
        statement: "a path longer than 255 bytes is truncated to 255, and write(2) still returns the full length",
        source: "KMOD_PATH_LEN is 256 (include/linux/kmod.h); proc_dostring() (kernel/sysctl.c)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: By(length),
    },
    Entry {
        id: "path.empty-disables",
        catalogue: "PATH-06",
        group: Group::Path,
        statement: "an empty path disables auto-loading: requests fail with ENOENT, without a helper, a log line or a trace event",
        source: "__request_module() (kernel/module/kmod.c); kernel commit d7d27cfc5cf0",
        about: About::Kernel,
        cost: Cost::Slow,
        needs: &[Need::Module("ip_tables")],
        probes: &[],
        check: By(empty_disables),
    },
    Entry {
        id: "path.missing",
        catalogue: "PATH-07",
        group: Group::Path,
        statement: "a request with a nonexistent path fails with ENOENT; it is traced, and the kernel logs nothing",
        source: "__request_module() (kernel/module/kmod.c); selftests/kmod/kmod.sh test 0010",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[Need::Module("ip_tables")],
        probes: &[],
        check: By(missing),
    },
    Entry {
        id: "path.not-executable",
        catalogue: "PATH-08",
        group: Group::Path,
        statement: "a request fails with EACCES if the path cannot be executed (file mode, directory, noexec mount)",
        source: "do_open_execat() (fs/exec.c), returned by call_usermodehelper_exec() (kernel/umh.c)",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[Need::Module("ip_tables")],
        probes: &[],
        check: By(not_executable),
    },
    Entry {
        id: "path.relative",
        catalogue: "PATH-12",
        group: Group::Path,
        statement: "a relative path is resolved from the working directory of PID 1",
        source: "kernel threads share init's fs_struct (kernel/umh.c); observed on 5.10 to 7.3",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: By(relative),
    },
    Entry {
        id: "path.who-may-write",
        catalogue: "PATH-13",
        group: Group::Path,
        statement: "only uid 0 of the initial user namespace may write the path; capabilities do not matter",
        source: "test_perm() (fs/proc/proc_sysctl.c); docs/facts/kernel.md#path-permission",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[Need::Config("CONFIG_USER_NS=y")],
        probes: &[],
        check: By(who_may_write),
    },
];

fn next_request(lab: &mut Lab<'_>) -> Check {
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

fn newline(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exit_with(1))?;
    let line = format!("{}\n", helper.path());
    let written = lab.set_path(line.as_bytes())?;
    lab.expect("write(2)", written, line.len());
    let path = lab.path()?;
    lab.expect("value read back", path, line);
    lab.observe(unknown_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["net-pf-3"]));
    Ok(())
}

fn no_splitting(lab: &mut Lab<'_>) -> Check {
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

fn terminator(lab: &mut Lab<'_>) -> Check {
    for (name, bytes) in [("newline", b"/a\nb"), ("NUL", b"/a\0b")] {
        let written = lab.set_path(bytes)?;
        lab.expect(&format!("{name}: write(2)"), written, 4);
        let path = lab.path()?;
        lab.expect(&format!("{name}: value read back"), path, "/a\n");
    }
    Ok(())
}

fn length(lab: &mut Lab<'_>) -> Check {
    for length in [254_usize, 255, 256, 260] {
        let path = [b"/".as_slice(), &vec![b'x'; length - 1]].concat();
        let written = lab.set_path(&path)?;
        lab.expect(&format!("{length} bytes: write(2)"), written, length);
        let stored = lab.path()?.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or_default();
        lab.expect(&format!("{length} bytes: stored length"), stored.len(), length.min(255));
        lab.expect(&format!("{length} bytes: stored as a prefix"), path.starts_with(&stored), true);
    }
    Ok(())
}

fn empty_disables(lab: &mut Lab<'_>) -> Check {
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

fn missing(lab: &mut Lab<'_>) -> Check {
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

fn not_executable(lab: &mut Lab<'_>) -> Check {
    let file = format!("{SCRATCH}/plain");
    lab.write(&file, b"#!/bin/agent\n")?;
    lab.arrange(Action::Chmod(file.clone().into_bytes(), 0o600))?;
    expect_eacces(lab, "mode 0600", &file)?;

    expect_eacces(lab, "directory", SCRATCH)?;

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

fn relative(lab: &mut Lab<'_>) -> Check {
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

fn who_may_write(lab: &mut Lab<'_>) -> Check {
    let user = libc::CLONE_NEWUSER as u64;
    let root = Caller::default();
    let callers = [
        ("root without capabilities", Caller { caps: Some(0), ..root.clone() }, true),
        ("root in its own user namespace", Caller { unshare: user, map_uid: Some(0), ..root }, true),
        ("uid 1000", unprivileged(), false),
        ("uid 1000 with all capabilities", Caller { caps: Some(u64::MAX), ..unprivileged() }, false),
        ("uid 1000 as root of a user namespace", Caller { unshare: user, map_uid: Some(0), ..unprivileged() }, false),
    ];
    let mut path = b"/initial".to_vec();
    lab.set_path(&path)?;
    for (name, caller, may) in callers {
        let data = format!("/{}", name.replace(' ', "-")).into_bytes();
        let written = lab.observe_as(caller, write_path(&data))?.result;
        if may {
            lab.expect(&format!("{name}: write(2)"), written, data.len());
            path = data;
        } else {
            lab.expect(&format!("{name}: write(2)"), written, errno::EACCES);
        }
        let stored = lab.path()?;
        lab.expect(&format!("{name}: value read back"), stored, [path.as_slice(), b"\n"].concat());
    }
    Ok(())
}

fn write_path(data: &[u8]) -> Action {
    Action::Write { path: MODPROBE_SYSCTL.to_vec(), data: data.to_vec(), flags: 0 }
}

fn expect_eacces(lab: &mut Lab<'_>, name: &str, path: &str) -> Result<(), LabError> {
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
