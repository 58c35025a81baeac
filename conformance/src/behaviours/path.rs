//! The path in `/proc/sys/kernel/modprobe`: which bytes of a write count, and what the next request runs.

use crate::behaviour::{About, Behaviour, Check, Group, Need};
use crate::errno;
use crate::fact::Many;
use crate::helper::{asked, exits};
use crate::lab::{Lab, LabError, SCRATCH};
use crate::trigger::{absent_socket, mount};
use agent::proto::Action;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        id: "path.next-request",
        catalogue: "PATH-01",
        group: Group::Path,
        statement: "a path written to /proc/sys/kernel/modprobe is what the very next request runs",
        source: "call_modprobe() reads modprobe_path at each request (kernel/kmod.c; kernel/module/kmod.c since 6.4)",
        about: About::Kernel,
        needs: &[],
        check: next_request,
    },
    Behaviour {
        id: "path.newline",
        catalogue: "PATH-02",
        group: Group::Path,
        statement: "the newline that echo adds is not part of the path",
        source: "proc_dostring() ends at the first newline (kernel/sysctl.c)",
        about: About::Kernel,
        needs: &[],
        check: newline,
    },
    Behaviour {
        id: "path.no-splitting",
        catalogue: "PATH-03",
        group: Group::Path,
        statement: "the path is one file name: no words are split off and no shell sees it",
        source: "call_usermodehelper_setup() passes the path as it is to execve (kernel/umh.c)",
        about: About::Kernel,
        needs: &[Need::Module("ip_tables")],
        check: no_splitting,
    },
    Behaviour {
        id: "path.cut",
        catalogue: "PATH-04",
        group: Group::Path,
        statement: "the path ends before the first newline or NUL of a write, and the write counts as whole",
        source: "proc_dostring() (kernel/sysctl.c)",
        about: About::Kernel,
        needs: &[],
        check: cut,
    },
    Behaviour {
        id: "path.length",
        catalogue: "PATH-05",
        group: Group::Path,
        statement: "255 bytes of a path are kept; a longer one is cut there and its write reports success all the same",
        source: "KMOD_PATH_LEN is 256 (include/linux/kmod.h); proc_dostring() (kernel/sysctl.c)",
        about: About::Kernel,
        needs: &[],
        check: length,
    },
    Behaviour {
        id: "path.empty-disables",
        catalogue: "PATH-06",
        group: Group::Path,
        statement: "an empty path turns loading on demand off: requests end with ENOENT, without helper, log line or trace",
        source: "__request_module() (kernel/module/kmod.c); kernel commit d7d27cfc5cf0",
        about: About::Kernel,
        needs: &[Need::Module("ip_tables")],
        check: empty_disables,
    },
    Behaviour {
        id: "path.missing",
        catalogue: "PATH-07",
        group: Group::Path,
        statement: "a path at which there is no file ends the request with ENOENT; it is traced, and the kernel logs nothing",
        source: "__request_module() (kernel/module/kmod.c); selftests/kmod/kmod.sh test 0010",
        about: About::Kernel,
        needs: &[Need::Module("ip_tables")],
        check: missing,
    },
    Behaviour {
        id: "path.not-executable",
        catalogue: "PATH-08",
        group: Group::Path,
        statement: "a path that may not be executed (its mode, a directory, a noexec mount) ends the request with EACCES",
        source: "do_open_execat() (fs/exec.c), handed back by call_usermodehelper_exec() (kernel/umh.c)",
        about: About::Kernel,
        needs: &[Need::Module("ip_tables")],
        check: not_executable,
    },
    Behaviour {
        id: "path.relative",
        catalogue: "PATH-12",
        group: Group::Path,
        statement: "a relative path starts at the working directory of PID 1",
        source: "kernel threads share init's fs_struct (kernel/umh.c); observed on 5.10 to 7.3",
        about: About::Kernel,
        needs: &[],
        check: relative,
    },
];

fn next_request(lab: &mut Lab<'_>) -> Check {
    let first = lab.helper_as_path("first", &exits(1))?;
    lab.observe(absent_socket())?;
    let second = lab.helper_as_path("second", &exits(1))?;
    let socket = lab.observe(absent_socket())?;
    lab.expect("socket(2) of an absent family", socket.result, errno::EAFNOSUPPORT);
    let (first, second) = (lab.records(&first)?, lab.records(&second)?);
    lab.expect("asked of the first path", Many(asked(&first)), Many(vec!["net-pf-3"]));
    lab.expect("asked of the second path", Many(asked(&second)), Many(vec!["net-pf-3"]));
    let argv = second.into_iter().next().map(|record| record.argv).unwrap_or_default();
    lab.expect("argv", Many(argv), Many(vec!["/run/lab/second", "-q", "--", "net-pf-3"]));
    Ok(())
}

fn newline(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exits(1))?;
    let line = format!("{}\n", helper.path());
    let written = lab.set_path(line.as_bytes())?;
    lab.expect("write(2)", written, line.len());
    let path = lab.path()?;
    lab.expect("reads back", path, line);
    lab.observe(absent_socket())?;
    let records = lab.records(&helper)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["net-pf-3"]));
    Ok(())
}

fn no_splitting(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exits(1))?;
    lab.set_path(format!("{} extra", helper.path()).as_bytes())?;
    let result = lab.request_result()?;
    lab.expect("result of the request", result, errno::ENOENT);
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 0);
    // The same path does run what has that name: the request was made, and the name is the whole path.
    let whole = lab.helper_as_path("log extra", &exits(1))?;
    lab.observe(absent_socket())?;
    let argv = lab.records(&whole)?.pop().map(|record| record.argv).unwrap_or_default();
    lab.expect("argv of a file with this name", Many(argv), Many(vec![whole.path(), "-q", "--", "net-pf-3"]));
    Ok(())
}

fn cut(lab: &mut Lab<'_>) -> Check {
    for (name, bytes) in [("at a newline", b"/a\nb"), ("at a NUL", b"/a\0b")] {
        let written = lab.set_path(bytes)?;
        lab.expect(&format!("{name}: write(2)"), written, 4);
        let path = lab.path()?;
        lab.expect(&format!("{name}: reads back"), path, "/a\n");
    }
    Ok(())
}

fn length(lab: &mut Lab<'_>) -> Check {
    for length in [254_usize, 255, 256, 260] {
        let path = [b"/".as_slice(), &vec![b'x'; length - 1]].concat();
        let written = lab.set_path(&path)?;
        lab.expect(&format!("{length} bytes: write(2)"), written, length);
        let kept = lab.path()?.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or_default();
        lab.expect(&format!("{length} bytes: kept"), kept.len(), length.min(255));
        lab.expect(&format!("{length} bytes: is their beginning"), path.starts_with(&kept), true);
    }
    Ok(())
}

fn empty_disables(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    lab.trace_requests()?;
    lab.set_path(b"\n")?;
    let path = lab.path()?;
    lab.expect("reads back", path, "\n");
    let result = lab.request_result()?;
    lab.expect("result of the request", result, errno::ENOENT);
    let socket = lab.observe(absent_socket())?;
    lab.expect("socket(2) of an absent family", socket.result, errno::EAFNOSUPPORT);
    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) of an absent type", mount.result, errno::ENODEV);
    lab.expect_within("mount(2) takes", mount.millis, 0..=5, "ms");
    let traced = lab.traced_requests()?;
    lab.expect("traced", Many(traced), Many::<&str>(vec![]));
    logs_nothing(lab)?;
    // The same trace sees the same requests once there is a path.
    lab.set_path(b"/nonexistent")?;
    let result = lab.request_result()?;
    lab.expect("result with a path", result, errno::ENOENT);
    lab.observe(absent_socket())?;
    let traced = lab.traced_requests()?;
    lab.expect("traced with a path", Many(traced), Many(vec!["iptable_zz", "net-pf-3"]));
    Ok(())
}

fn missing(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    lab.mark_kmsg()?;
    lab.trace_requests()?;
    lab.set_path(b"/nonexistent")?;
    let result = lab.request_result()?;
    lab.expect("result of the request", result, errno::ENOENT);
    // ENOENT is also what the oracle gives for a request that succeeded; a mount would have it told in the log.
    let mount = lab.observe(mount("zz"))?;
    lab.expect("mount(2) of an absent type", mount.result, errno::ENODEV);
    let traced = lab.traced_requests()?;
    lab.expect("traced", Many(traced), Many(vec!["iptable_zz", "fs-zz"]));
    logs_nothing(lab)
}

fn not_executable(lab: &mut Lab<'_>) -> Check {
    let file = format!("{SCRATCH}/plain");
    lab.write(&file, b"#!/bin/agent\n")?;
    lab.arrange(Action::Chmod(file.clone().into_bytes(), 0o600))?;
    expect_eacces(lab, "mode 0600", &file)?;

    expect_eacces(lab, "a directory", SCRATCH)?;

    let mounted = format!("{SCRATCH}/noexec");
    lab.arrange(Action::MkdirAll(mounted.clone().into_bytes()))?;
    let target = mounted.clone().into_bytes();
    let (source, fstype) = (b"tmpfs".to_vec(), b"tmpfs".to_vec());
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: libc::MS_NOEXEC, data: Vec::new() })?;
    let program = format!("{mounted}/program");
    lab.write(&program, b"#!/bin/agent\n")?;
    lab.arrange(Action::Chmod(program.clone().into_bytes(), 0o755))?;
    expect_eacces(lab, "a noexec mount", &program)
}

fn relative(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper("log", &exits(1))?;
    for (directory, path) in [("/", "run/lab/log"), ("/run", "lab/log")] {
        lab.arrange_in_init(Action::Chdir(directory.as_bytes().to_vec()))?;
        lab.set_path(path.as_bytes())?;
        lab.observe(absent_socket())?;
        let argv0 = lab.records(&helper)?.pop().and_then(|record| record.argv.into_iter().next());
        lab.expect(&format!("from {directory}: argv[0]"), argv0.unwrap_or_default(), path);
    }
    let records = lab.records(&helper)?;
    lab.expect("helpers started", records.len(), 2);
    Ok(())
}

fn expect_eacces(lab: &mut Lab<'_>, name: &str, path: &str) -> Result<(), LabError> {
    lab.set_path(path.as_bytes())?;
    let result = lab.request_result()?;
    lab.expect(name, result, errno::EACCES);
    Ok(())
}

fn logs_nothing(lab: &mut Lab<'_>) -> Check {
    let lines = lab.kmsg()?;
    let lines = lines.into_iter().map(|record| record.text).collect();
    lab.expect("kernel log", Many(lines), Many::<&str>(vec![]));
    Ok(())
}
