//! Makes a job its caller: namespaces, root, identity, capabilities, in the order documented at [`Caller`].

use crate::{actions::files, sys};
use agent::proto::{Caller, Errno as Number, SetupFailure};
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};
use rustix::process::{DumpableBehavior, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, Gid, Uid};

/// Becomes the caller. Returns in the process that carries out the actions, which is a child if there is a new pid
/// namespace.
pub fn assume(caller: &Caller) -> std::result::Result<(), SetupFailure> {
    let flag = |flag: i32| caller.unshare & flag as u64 != 0;
    let user = flag(libc::CLONE_NEWUSER);
    if user {
        step("set uid", set_ids(caller))?;
    }
    if caller.unshare != 0 {
        step("unshare", sys::unshare(caller.unshare))?;
    }
    if user {
        if let Some(inside) = caller.map_uid {
            step("map uid", map(inside, caller.uid.unwrap_or(0)))?;
        }
    }
    if flag(libc::CLONE_NEWPID) {
        step("fork into the pid namespace", enter_pid_namespace())?;
    }
    if let Some(root) = &caller.chroot {
        step("chroot", rustix::process::chroot(root.as_slice()).and_then(|()| rustix::process::chdir(c"/")))?;
    }
    if let Some(caps) = caller.caps {
        step("cut the bounding set", cut_bounding_set(caps))?;
    }
    if !user {
        step("set uid", set_ids(caller))?;
    }
    if let Some(caps) = caller.caps {
        step("cut capabilities", cut_capabilities(caps))?;
    }
    if caller.no_new_privs {
        step("no_new_privs", rustix::thread::set_no_new_privs(true))?;
    }
    Ok(())
}

fn step(name: &str, done: Result<()>) -> std::result::Result<(), SetupFailure> {
    done.map_err(|errno| SetupFailure { step: name.to_owned(), errno: Number(errno.raw_os_error()) })
}

fn set_ids(caller: &Caller) -> Result<()> {
    let Some(id) = caller.uid else { return Ok(()) };
    // Requested capabilities stay permitted across the change of uid and become effective in cut_capabilities.
    rustix::thread::set_keep_capabilities(caller.caps.is_some())?;
    rustix::thread::set_thread_groups(&[])?;
    let gid = Gid::from_raw(id);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(id);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_keep_capabilities(false)
}

fn map(inside: u32, outside: u32) -> Result<()> {
    // After the change of uid, /proc/self belongs to root.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let line = format!("{inside} {outside} 1\n");
    files::write(b"/proc/self/setgroups", b"deny", OFlags::WRONLY)?;
    files::write(b"/proc/self/uid_map", line.as_bytes(), OFlags::WRONLY)?;
    files::write(b"/proc/self/gid_map", line.as_bytes(), OFlags::WRONLY)?;
    Ok(())
}

/// Only children enter a new pid namespace: a child continues, and this process waits for it and exits the same way.
fn enter_pid_namespace() -> Result<()> {
    match sys::fork()? {
        sys::Fork::Child => rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
        sys::Fork::Parent(pid) => loop {
            match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => match status.terminating_signal() {
                    Some(signal) => sys::die_by(signal),
                    None => sys::exit(status.exit_status().unwrap_or(0)),
                },
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        },
    }
}

fn cut_bounding_set(keep: u64) -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel has no capability with this number or above.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn cut_capabilities(keep: u64) -> Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    let keep = CapabilitySet::from_bits_retain(keep);
    sets.permitted &= keep;
    sets.effective = sets.permitted;
    sets.inheritable &= keep;
    rustix::thread::set_capabilities(None, sets)
}
