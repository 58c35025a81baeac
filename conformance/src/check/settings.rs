//! System calls with which a process changes what its children inherit, and others without an action of the agent.

use agent::proto::{Action, Argument};

/// Returns the action that makes a system call.
#[must_use]
pub fn call(number: i64, arguments: &[Argument]) -> Action {
    Action::SystemCall { number, arguments: arguments.to_vec() }
}

/// Returns a number as an argument; a negative one is sign-extended.
#[must_use]
pub fn number(number: i64) -> Argument {
    Argument::Number(number as u64)
}

/// Returns a C string as an argument.
#[must_use]
pub fn string(text: &str) -> Argument {
    Argument::Bytes([text.as_bytes(), b"\0"].concat())
}

/// Returns the words of a struct as an argument.
fn words(words: &[u64]) -> Argument {
    Argument::Bytes(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

/// `umask(2)`.
#[must_use]
pub fn umask(mask: i64) -> Action {
    call(libc::SYS_umask, &[number(mask)])
}

/// `setpriority(2)` of this process.
#[must_use]
pub fn own_nice(nice: i64) -> Action {
    call(libc::SYS_setpriority, &[number(libc::PRIO_PROCESS.into()), number(0), number(nice)])
}

/// `setpriority(2)` of every process and kernel thread of root.
#[must_use]
pub fn nice_of_root(nice: i64) -> Action {
    call(libc::SYS_setpriority, &[number(libc::PRIO_USER.into()), number(0), number(nice)])
}

/// `sched_setscheduler(2)` of this process to `SCHED_BATCH`.
#[must_use]
pub fn batch() -> Action {
    call(libc::SYS_sched_setscheduler, &[number(0), number(libc::SCHED_BATCH.into()), words(&[0])])
}

/// `setsid(2)`.
#[must_use]
pub fn new_session() -> Action {
    call(libc::SYS_setsid, &[])
}

/// `setgroups(2)`.
#[must_use]
pub fn groups(groups: &[u32]) -> Action {
    let bytes = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    call(libc::SYS_setgroups, &[number(groups.len() as i64), Argument::Bytes(bytes)])
}

/// `prlimit(2)` of this process: the soft and the hard limit.
#[must_use]
pub fn limit(resource: u32, soft: u64, hard: u64) -> Action {
    call(libc::SYS_prlimit64, &[number(0), number(resource.into()), words(&[soft, hard]), number(0)])
}

/// `sigprocmask(2)`: blocks this signal.
#[must_use]
pub fn block(signal: i32) -> Action {
    let set = words(&[1 << (signal - 1)]);
    call(libc::SYS_rt_sigprocmask, &[number(libc::SIG_BLOCK.into()), set, number(0), number(8)])
}

/// `sigaction(2)`: ignores this signal.
#[must_use]
pub fn ignore(signal: i32) -> Action {
    // The kernel's `struct sigaction`: handler, flags, restorer, mask.
    let action = words(&[libc::SIG_IGN as u64, 0, 0, 0]);
    call(libc::SYS_rt_sigaction, &[number(signal.into()), action, number(0), number(8)])
}

/// `seccomp(2)`: installs a filter that allows every system call.
#[must_use]
pub fn seccomp_filter() -> Action {
    const SET_MODE_FILTER: i64 = 1;
    // One `struct sock_filter`: BPF_RET | BPF_K with SECCOMP_RET_ALLOW.
    let filter = Argument::Bytes(vec![6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
    let program = Argument::Array(vec![number(1), filter]);
    call(libc::SYS_seccomp, &[number(SET_MODE_FILTER), number(0), program])
}

/// `personality(2)`.
#[must_use]
pub fn personality(persona: i64) -> Action {
    call(libc::SYS_personality, &[number(persona)])
}

/// `request_key(2)` for a key of type `user`, with callout information, so that the kernel starts request-key.
#[must_use]
pub fn request_key(description: &str) -> Action {
    call(libc::SYS_request_key, &[string("user"), string(description), string("callout"), number(0)])
}

/// `ptrace(PTRACE_SEIZE)`.
#[must_use]
pub fn trace(pid: i32) -> Action {
    const PTRACE_SEIZE: i64 = 0x4206;
    call(libc::SYS_ptrace, &[number(PTRACE_SEIZE), number(pid.into()), number(0), number(0)])
}
