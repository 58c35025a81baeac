//! Safe wrappers of the system calls that need `unsafe`.
//!
//! Everything here relies on this program having a single thread. System calls that rustix offers safely are not
//! wrapped here.

use crate::time::Moment;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;
use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

/// Converts a result of `-1` to the errno.
fn check(result: impl Into<i64>) -> Result<i64> {
    match result.into() {
        -1 => Err(last_error()),
        value => Ok(value),
    }
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Returns the text of an errno without the number that Rust appends.
pub fn strerror(errno: Errno) -> String {
    let text = errno.to_string();
    text.rsplit_once(" (os ").map_or(&text[..], |(text, _)| text).to_owned()
}

/// Copies a NULL-terminated array of C strings, such as `main`'s arguments.
///
/// # Safety
/// `strings` is NULL or points to a NULL-terminated array of pointers to C strings.
pub unsafe fn copy_strings(strings: *const *const c_char) -> Vec<Vec<u8>> {
    let mut copies = Vec::new();
    if strings.is_null() {
        return copies;
    }
    for at in 0.. {
        // SAFETY: all previous entries are not NULL, so this one exists.
        let string = unsafe { *strings.add(at) };
        if string.is_null() {
            break;
        }
        // SAFETY: the caller guarantees C strings.
        copies.push(unsafe { CStr::from_ptr(string) }.to_bytes().to_vec());
    }
    copies
}

/// The process in which fork(2) returned.
pub enum Fork {
    /// The new process.
    Child,
    /// The old process, with the id of the new one.
    Parent(Pid),
}

/// fork(2).
pub fn fork() -> Result<Fork> {
    // SAFETY: the program has a single thread, so the child may do whatever the parent may.
    let pid = check(unsafe { libc::fork() })?;
    Ok(Pid::from_raw(pid as i32).map_or(Fork::Child, Fork::Parent))
}

/// `_exit(2)`: without atexit handlers and without flushing buffers.
pub fn exit(status: i32) -> ! {
    // SAFETY: takes a number and ends the process.
    unsafe { libc::_exit(status) }
}

/// execve(2); returns only if it failed.
pub fn execute(program: &CStr, argv: &[CString], envp: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both arrays are NULL-terminated and point to C strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_error()
}

/// kill(2) with any signal number.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: takes two numbers.
    check(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }).map(drop)
}

/// Ends this process by the default action of a signal; exits with 128 + signal if that action is not to terminate.
pub fn die_by(signal: i32) -> ! {
    default_signals();
    set_handler(signal, libc::SIG_DFL);
    let _ = kill(rustix::process::getpid(), signal);
    exit(128 + signal)
}

extern "C" fn nothing(_: c_int) {}

fn set_handler(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: an all-zero sigaction is valid: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is valid, and its handler does nothing or is SIG_DFL or SIG_IGN.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

fn mask(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: an all-zero sigset_t is the empty set on Linux; sigaddset adds to it.
    let mut set: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
    for &signal in signals {
        // SAFETY: `set` is valid; an invalid number is rejected.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

fn set_mask(signals: &[c_int]) {
    // SAFETY: the set is valid; the old set is not requested.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &mask(signals), ptr::null_mut()) };
}

/// Makes the end of a child interrupt [`wait_input`], and nothing else.
pub fn watch_children() {
    set_handler(libc::SIGCHLD, nothing as *const () as libc::sighandler_t);
    set_mask(&[libc::SIGCHLD]);
}

/// Undoes this program's changes to signals: no handler, nothing ignored, nothing blocked.
pub fn default_signals() {
    set_handler(libc::SIGCHLD, libc::SIG_DFL);
    set_handler(libc::SIGPIPE, libc::SIG_DFL);
    set_mask(&[]);
}

/// Makes a write to a pipe without a reader fail with EPIPE.
pub fn ignore_broken_pipes() {
    set_handler(libc::SIGPIPE, libc::SIG_IGN);
}

/// Waits until `fd` has input (true), or a child has ended or the deadline has passed (false). Together with
/// [`watch_children`] this does not miss a child that ended before the call.
pub fn wait_input(fd: BorrowedFd<'_>, deadline: Option<Moment>) -> Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let left = deadline.map(|deadline| {
        let left = deadline.left();
        libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
    });
    let left = left.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: one valid pollfd, a timespec that outlives the call or NULL, and a valid set.
    match check(unsafe { libc::ppoll(&mut poll, 1, left, &mask(&[])) }) {
        Ok(ready) => Ok(ready == 1),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Returns the open descriptors below `limit` without opening anything.
pub fn open_descriptors(limit: i32) -> Vec<i32> {
    let mut polls: Vec<libc::pollfd> = (0..limit).map(|fd| libc::pollfd { fd, events: 0, revents: 0 }).collect();
    // SAFETY: the array has the given length.
    if check(unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) }).is_ok() {
        return polls.iter().filter(|p| p.revents & libc::POLLNVAL == 0).map(|p| p.fd).collect();
    }
    // poll(2) refuses more descriptors than RLIMIT_NOFILE: check them one by one.
    // SAFETY: F_GETFD takes a number and changes nothing.
    (0..limit).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1).collect()
}

/// Duplicates `fd` to the number `target`, without close-on-exec; a descriptor with that number is closed. `fd` must
/// have another number.
pub fn install(fd: impl AsFd, target: i32) -> Result<()> {
    // SAFETY: in the calling process no object owns the target descriptors (0 to 2, and 3 of a job).
    check(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), target) }).map(drop)
}

/// Closes every descriptor from `first` to `last`, regardless of its owner. For a child that is about to call execve(2) or
/// that uses none of them.
pub fn close_range(first: u32, last: u32) {
    // SAFETY: the caller does not use these any more; an owner that is dropped later ignores EBADF.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == -1 {
        for fd in first..=last.min(4096) {
            // SAFETY: as above.
            unsafe { libc::close(fd as c_int) };
        }
    }
}

/// Takes ownership of a descriptor.
///
/// # Safety
/// The descriptor is open and has no other owner.
pub unsafe fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: guaranteed by the caller.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// ioctl(2) with a buffer.
pub fn ioctl(fd: impl AsFd, code: u32, buffer: &mut [u8]) -> Result<i64> {
    // SAFETY: the codes that tests use take a struct no longer than the buffer (see the callers). If the struct
    // contains a pointer, the kernel checks it; memory it could overwrite belongs to a child created for this call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), code as _, buffer.as_mut_ptr()) })
}

/// getsockopt(2) into a buffer; returns the length that the kernel reports, at most that of the buffer.
pub fn getsockopt(fd: impl AsFd, level: i32, name: i32, buffer: &mut [u8]) -> Result<usize> {
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes.
    check(unsafe { libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), &mut length) })?;
    Ok(buffer.len().min(length as usize))
}

/// setsockopt(2) with the bytes of a value.
pub fn setsockopt(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> Result<()> {
    let length = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads no more than `length` bytes.
    check(unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length) }).map(drop)
}

/// fsopen(2); close-on-exec.
pub fn fsopen(name: &CStr) -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: c_int = 1;
    // SAFETY: takes a C string and a number.
    let fd = check(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) })?;
    // SAFETY: fsopen(2) just created it.
    Ok(unsafe { adopt(fd as i32) })
}

/// prctl(2). An operation that takes a pointer gets a number, which the kernel checks; memory that it could overwrite
/// belongs to a child created for this call.
pub fn prctl(option: i32, arguments: [u64; 4]) -> Result<i64> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: see above.
    check(unsafe { libc::prctl(option, first, second, third, fourth) })
}

/// syscall(2). A word is a number, or the address of a buffer of the caller.
pub fn system_call(number: i64, words: [u64; 6]) -> Result<i64> {
    let [first, second, third, fourth, fifth, sixth] = words;
    // SAFETY: the kernel checks the addresses; memory that it could overwrite belongs to a child created for this call.
    check(unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) })
}

/// quotactl(2) without a buffer.
pub fn quotactl(command: i32, special: &CStr, id: i32) -> Result<()> {
    // SAFETY: takes a C string and numbers; a command that needs a buffer fails with EFAULT.
    check(unsafe { libc::quotactl(command, special.as_ptr(), id, ptr::null_mut()) }).map(drop)
}

/// socket(2) with any numbers; close-on-exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: takes three numbers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: socket(2) just created it.
    Ok(unsafe { adopt(fd as i32) })
}

/// bind(2) with the bytes of an address.
pub fn bind(fd: impl AsFd, address: &[u8]) -> Result<()> {
    // SAFETY: the kernel copies exactly the given length.
    check(unsafe { libc::bind(fd.as_fd().as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) })
        .map(drop)
}

/// unshare(2). `CLONE_FILES` and `CLONE_FS` are harmless in a program with a single thread.
pub fn unshare(flags: u64) -> Result<()> {
    let flags = c_int::try_from(flags).map_err(|_| Errno::INVAL)?;
    // SAFETY: nothing in this program relies on sharing with another task.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// getsid(2) of this process; 0 for a process that the kernel started.
pub fn session() -> i32 {
    // SAFETY: takes a number.
    unsafe { libc::getsid(0) }
}

/// getpgid(2) of this process; 0 for a process that the kernel started.
pub fn process_group() -> i32 {
    // SAFETY: takes a number.
    unsafe { libc::getpgid(0) }
}

/// Returns whether the kernel's random generator is ready (getrandom(2) of one byte). With `wait`, waits until it is.
pub fn random_ready(wait: bool) -> bool {
    let mut byte = 0_u8;
    let flags = if wait { 0 } else { libc::GRND_NONBLOCK };
    // SAFETY: the buffer has one byte.
    unsafe { libc::getrandom(ptr::from_mut(&mut byte).cast(), 1, flags) == 1 }
}

/// Adds `seed` to the kernel's random pool and reseeds its generator at once.
pub fn seed_random(urandom: impl AsFd, seed: &[u8]) -> Result<()> {
    // linux/random.h: `_IOW('R', 0x03, int[2])` and `_IO('R', 0x07)`.
    const RNDADDENTROPY: u32 = 0x4008_5203;
    const RNDRESEEDCRNG: u32 = 0x5207;
    let length = i32::try_from(seed.len()).map_err(|_| Errno::INVAL)?;
    // `struct rand_pool_info`: entropy in bits, number of bytes, the bytes.
    let mut info = Vec::with_capacity(8 + seed.len());
    info.extend(length.saturating_mul(8).to_ne_bytes());
    info.extend(length.to_ne_bytes());
    info.extend(seed);
    ioctl(&urandom, RNDADDENTROPY, &mut info)?;
    ioctl(&urandom, RNDRESEEDCRNG, &mut []).map(drop)
}
