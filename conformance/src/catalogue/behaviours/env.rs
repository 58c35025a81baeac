//! The environment in which a helper starts: its arguments, its environment variables, and what it does not inherit from the
//! process that caused the request.

mod capabilities;
mod inherited;
mod others;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exec_with, exit_with};
use crate::check::lab::{Lab, LabError, run_action};
use crate::check::settings::{self, number, string};
use crate::check::trigger::{mount, unknown_socket, vlan_ioctl};
use agent::plan::Arg;
use agent::proto::{Action, Caller, Value};
use std::collections::BTreeMap;

const ENV: Entry = Entry { group: Group::Env, ..BEHAVIOUR };

const CALL_MODPROBE: &str =
    "call_modprobe() (kernel/kmod.c; kernel/module/kmod.c since 6.4); docs/facts/kernel.md#helper-argv";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "env.arguments",
        catalogue: "ENV-01",
        statement: "the helper's arguments are the path, -q, -- and the requested name",
        source: CALL_MODPROBE,
        check: By(arguments),
        ..ENV
    },
    Entry {
        id: "env.variables",
        catalogue: "ENV-02",
        statement: "the helper's environment is HOME=/, TERM=linux and PATH=/sbin:/usr/sbin:/bin:/usr/bin, whatever that of the caller is",
        source: CALL_MODPROBE,
        check: By(variables),
        ..ENV
    },
    Entry {
        id: "env.descriptors",
        catalogue: "ENV-03",
        statement: "the helper starts without open file descriptors",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread; docs/facts/kernel.md#helper-fds",
        check: By(descriptors),
        ..ENV
    },
    Entry {
        id: "env.output",
        catalogue: "ENV-04",
        statement: "modprobe never writes a message into a file that it has opened",
        source: "docs/facts/kernel.md#helper-fds; docs/facts/kernel.md#env-04",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("8021q")],
        check: By(output),
        ..ENV
    },
    Entry {
        id: "env.credentials",
        catalogue: "ENV-05",
        statement: "the helper runs with uid and gid 0, without supplementary groups, no_new_privs or a seccomp filter, whatever the caller is",
        source: "call_usermodehelper_exec_async() (kernel/umh.c), prepare_kernel_cred() (kernel/cred.c); docs/facts/kernel.md#helper-identity",
        needs: &[Need::Config("CONFIG_USER_NS=y"), Need::Config("CONFIG_SECCOMP_FILTER=y")],
        check: By(inherited::credentials),
        ..ENV
    },
    Entry {
        id: "env.namespaces",
        catalogue: "ENV-06",
        statement: "the helper runs in the namespaces of PID 1, even if the caller is in others",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread; docs/facts/kernel.md#helper-identity",
        needs: NAMESPACES,
        check: By(inherited::namespaces),
        ..ENV
    },
    Entry {
        id: "env.limits",
        catalogue: "ENV-07",
        statement: "the helper has the resource limits of kthreadd, not those of the caller or of PID 1",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread, INIT_RLIMITS (include/asm-generic/resource.h); docs/facts/kernel.md#helper-identity",
        check: By(inherited::limits),
        ..ENV
    },
    Entry {
        id: "env.signals",
        catalogue: "ENV-08",
        statement: "the helper starts with no signal blocked, ignored or pending",
        source: "flush_signal_handlers() in call_usermodehelper_exec_async() (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: By(inherited::signals),
        ..ENV
    },
    Entry {
        id: "env.capabilities",
        catalogue: "ENV-09",
        statement: "the sets in /proc/sys/kernel/usermodehelper can only shrink, and limit the capabilities of the helper",
        source: "proc_cap_handler() (kernel/umh.c); docs/facts/kernel.md#helper-caps",
        check: By(capabilities::limited),
        ..ENV
    },
    Entry {
        id: "env.ptrace",
        catalogue: "ENV-10",
        statement: "the process that causes a request can neither trace its helper nor send it a signal",
        source: "__ptrace_may_access() (kernel/ptrace.c), kill_ok_by_cred() (kernel/signal.c); CVE-2003-0127; docs/facts/kernel.md#env-10",
        needs: &[Need::Config("CONFIG_USER_NS=y")],
        check: By(inherited::ptrace),
        ..ENV
    },
    Entry {
        id: "env.capability-sets",
        catalogue: "ENV-11",
        statement: "the helper has all capabilities and an empty inheritable and ambient set, whatever those of the caller are",
        source: "call_usermodehelper_exec_async() (kernel/umh.c), prepare_kernel_cred() (kernel/cred.c); docs/facts/kernel.md#helper-identity",
        check: By(capabilities::sets),
        ..ENV
    },
    Entry {
        id: "env.umask",
        catalogue: "ENV-12",
        statement: "the helper has umask 022, whatever that of the caller and of PID 1 is",
        source: "call_usermodehelper_exec_async() (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: By(inherited::umask),
        ..ENV
    },
    Entry {
        id: "env.nice",
        catalogue: "ENV-13",
        statement: "the helper has nice 0 and SCHED_OTHER, whatever its parent and the caller have",
        source: "set_user_nice() in call_usermodehelper_exec_async() (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: By(inherited::nice),
        ..ENV
    },
    Entry {
        id: "env.session",
        catalogue: "ENV-14",
        statement: "the helper belongs to no session and no process group, and has no terminal",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread; docs/facts/kernel.md#helper-identity",
        check: By(inherited::session),
        ..ENV
    },
    Entry {
        id: "env.parent",
        catalogue: "ENV-15",
        statement: "the helper's parent is an unbound kernel worker, which waits for its exit and reaps it before the request ends",
        source: "call_usermodehelper_exec_sync() (kernel/umh.c); docs/facts/kernel.md#helper-identity",
        check: By(inherited::parent),
        ..ENV
    },
    Entry {
        id: "env.directory",
        catalogue: "ENV-16",
        statement: "the helper starts in the working directory of PID 1, not in that of the caller",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) has the fs_struct of init; docs/facts/kernel.md#path-pid1",
        check: By(inherited::directory),
        ..ENV
    },
    Entry {
        id: "env.cgroup",
        catalogue: "ENV-17",
        statement: "the helper runs in the root control group, even if the caller is in another",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread; docs/facts/kernel.md#env-17",
        needs: &[Need::Config("CONFIG_CGROUPS=y")],
        check: By(inherited::cgroup),
        ..ENV
    },
    Entry {
        id: "env.personality",
        catalogue: "ENV-18",
        statement: "the helper inherits neither the execution domain nor the OOM score adjustment of the caller",
        source: "call_usermodehelper_exec_async() (kernel/umh.c) runs in a kernel thread; docs/facts/kernel.md#env-18",
        check: By(inherited::personality),
        ..ENV
    },
    Entry {
        id: "env.capability-writers",
        catalogue: "ENV-19",
        statement: "the sets in /proc/sys/kernel/usermodehelper can be written only by root with CAP_SETPCAP and CAP_SYS_MODULE",
        source: "proc_cap_handler() (kernel/umh.c), test_perm() (fs/proc/proc_sysctl.c); docs/facts/kernel.md#helper-caps",
        check: By(capabilities::writers),
        ..ENV
    },
    Entry {
        id: "env.no-module-capability",
        catalogue: "ENV-20",
        statement: "a helper without CAP_SYS_MODULE in its bounding set cannot load a module",
        source: "may_init_module() (kernel/module/main.c); docs/facts/kernel.md#helper-caps",
        needs: &[Need::Module("nls_utf8")],
        check: By(capabilities::no_module_capability),
        ..ENV
    },
    Entry {
        id: "env.other-helpers",
        catalogue: "RTE-01",
        statement: "while 50 module requests wait for their helpers, request_key(2) and a core dump still start theirs at once",
        source: "call_usermodehelper_exec() (kernel/umh.c) has no limit, __request_module() has one; docs/facts/kernel.md#rte-01",
        cost: Cost::Storm,
        needs: &[Need::Config("CONFIG_KEYS=y"), Need::Config("CONFIG_COREDUMP=y")],
        check: By(others::no_limit),
        ..ENV
    },
    Entry {
        id: "env.no-route-helper",
        catalogue: "RTE-02",
        statement: "a missing route starts no helper",
        source: "inet_rtm_getroute() (net/ipv4/route.c); the kernel's historic kmod text; docs/facts/kernel.md#rte-02",
        check: By(others::no_route),
        ..ENV
    },
    Entry {
        id: "env.request-key",
        catalogue: "RTE-04",
        statement: "request_key(2) starts /sbin/request-key like modprobe, with the key, the caller's ids and its keyrings as arguments, and without TERM",
        source: "call_sbin_request_key() (security/keys/request_key.c); docs/facts/kernel.md#rte-04",
        needs: &[Need::Config("CONFIG_KEYS=y")],
        check: By(others::request_key),
        ..ENV
    },
    Entry {
        id: "env.core-pattern",
        catalogue: "RTE-05",
        statement: "a core dump starts the program in core_pattern like modprobe, but with the dump as descriptor 0, a core limit of 1 and an empty environment",
        source: "umh_coredump_setup() (fs/coredump.c); docs/facts/kernel.md#rte-05",
        needs: &[Need::Config("CONFIG_COREDUMP=y")],
        check: By(others::core_pattern),
        ..ENV
    },
    Entry {
        id: "env.release-agent",
        catalogue: "RTE-06",
        statement: "the release agent of a control group is started like modprobe when the group becomes empty, with the group as argument and kthreadd as parent",
        source: "cgroup1_release_agent() (kernel/cgroup/cgroup-v1.c); docs/facts/kernel.md#rte-06",
        needs: &[Need::Config("CONFIG_CGROUPS=y")],
        check: By(others::release_agent),
        ..ENV
    },
    Entry {
        id: "env.uevent-helper",
        catalogue: "RTE-07",
        statement: "a uevent starts the program in /sys/kernel/uevent_helper like modprobe, with the subsystem as argument and the event in the environment",
        source: "init_uevent_argv(), kobject_uevent_env() (lib/kobject_uevent.c); docs/facts/kernel.md#rte-07",
        needs: &[Need::Config("CONFIG_UEVENT_HELPER=y")],
        check: By(others::uevent_helper),
        ..ENV
    },
];

const NAMESPACES: &[Need] = &[
    Need::Config("CONFIG_UTS_NS=y"),
    Need::Config("CONFIG_IPC_NS=y"),
    Need::Config("CONFIG_USER_NS=y"),
    Need::Config("CONFIG_PID_NS=y"),
    Need::Config("CONFIG_NET_NS=y"),
    Need::Config("CONFIG_TIME_NS=y"),
    Need::Config("CONFIG_CGROUPS=y"),
];

fn arguments(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let path = helper.path().to_owned();
    for (trigger, name) in [(unknown_socket(), "net-pf-3"), (mount("zz"), "fs-zz"), (mount("-v x"), "fs--v x")] {
        lab.observe(trigger)?;
        let argv = lab.records(&helper)?.pop().unwrap_or_default().argv;
        lab.expect(&format!("arguments for {name}"), List(argv), List(vec![path.as_str(), "-q", "--", name]));
    }
    let started = lab.records(&helper)?.len();
    lab.expect("helpers started", started, 3);
    Ok(())
}

fn variables(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let program = lab.helper("program", &act_then_exit(vec![unknown_socket()], 0))?;
    lab.run(&[program.path()])?;
    let own = lab.records(&program)?.pop().unwrap_or_default().envp;
    lab.expect("environment of the caller", List(own), List(vec!["PATH=/sbin:/usr/sbin:/bin:/usr/bin"]));
    let envp = lab.records(&helper)?.pop().unwrap_or_default().envp;
    let expected = vec!["HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"];
    lab.expect("environment of the helper", List(envp), List(expected));
    Ok(())
}

fn descriptors(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let open = settings::call(libc::SYS_open, &[string("/dev/null"), number(libc::O_RDWR.into())]);
    for (name, settings) in [("a caller", Vec::new()), ("a caller with open files", vec![open; 3])] {
        let record = lab.record_of_request(&helper, Caller::default(), settings)?;
        lab.expect(&format!("{name}: helper started"), record.pid != 0, true);
        lab.expect(&format!("{name}: descriptors of the helper"), List(record.fds), List::<i32>(vec![]));
    }
    Ok(())
}

/// The first file that modprobe opens gets descriptor 0, the next ones 1 and 2, unless it opens these first. Without -q it
/// has something to say.
fn output(lab: &mut Lab<'_>) -> Check {
    let modprobe = "/sbin/modprobe";
    let literal = |text: &str| Arg::Literal(text.as_bytes().to_vec());
    let plan = exec_with(modprobe, vec![literal(modprobe), literal("-v"), literal("--"), Arg::Own(3)]);
    lab.configure("options loop max_loop=1\nno_such_directive\n")?;
    let before = files_of_modprobe(lab)?;
    lab.expect("files read by modprobe", before.len() > 5, true);

    let Value::Ran(ran) = lab.arrange(run_action(&[modprobe, "-v", "--", "fs-zz"]))? else {
        return Err(LabError::Unexpected("no exit status of modprobe".to_owned()));
    };
    lab.expect("modprobe -v with a standard error: silent", ran.stderr.is_empty(), false);
    let wrapper = lab.helper_as_path("wrapper", &plan)?;
    lab.observe(mount("zz"))?;
    lab.observe(vlan_ioctl())?;
    lab.expect_live(&["8021q"])?;
    let started = lab.records(&wrapper)?.len();
    lab.expect("helpers started", started, 2);
    let after = files_of_modprobe(lab)?;
    let changed = before.iter().filter(|(name, contents)| after.get(*name) != Some(contents));
    let changed = changed.map(|(name, _)| name.clone()).collect();
    lab.expect("files changed", List(changed), List::<&str>(vec![]));
    Ok(())
}

/// Returns the contents of the configuration and of every file in the module directory.
fn files_of_modprobe(lab: &mut Lab<'_>) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
    let directory = format!("/lib/modules/{}", lab.pair().release);
    let Value::Names(names) = lab.arrange(Action::List(directory.clone().into_bytes()))? else {
        return Err(LabError::Unexpected(format!("no names in {directory}")));
    };
    let names = names.into_iter().filter(|name| name.starts_with(b"modules."));
    let indexes = names.map(|name| format!("{directory}/{}", String::from_utf8_lossy(&name)));
    let files: Vec<String> = indexes.chain(["/etc/modprobe.d/lab.conf".to_owned()]).collect();
    files.into_iter().map(|file| Ok((file.clone(), lab.read(&file)?))).collect()
}
