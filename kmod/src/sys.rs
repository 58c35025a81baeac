//! Operating system interfaces that need `unsafe`, and the standard descriptors. Nothing here is specific to modules.
//!
//! The kernel starts a usermode helper without open descriptors, possibly before `/dev` exists. A file that the program opens
//! would then become its standard error and receive its messages. Therefore [`StandardStreams::secure`] runs first.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Returns the arguments that the C runtime passed to `main`. The list ends after `argc` entries or at a null pointer.
///
/// # Safety
/// `argv` must be null or point to `argc` pointers, each null or the start of a NUL-terminated string that is not modified
/// during the call.
#[must_use]
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    let mut arguments = Vec::with_capacity(count);
    if argv.is_null() {
        return arguments;
    }
    for index in 0..count {
        // SAFETY: index < argc, so the caller guarantees that this element exists.
        let argument = unsafe { *argv.add(index) };
        if argument.is_null() {
            break;
        }
        // SAFETY: the caller guarantees that a non-null element is a NUL-terminated string.
        let argument = unsafe { CStr::from_ptr(argument) };
        arguments.push(OsString::from_vec(argument.to_bytes().to_vec()));
    }
    arguments
}

/// Reports whether the program has more privileges than its caller (set-user-ID, file capabilities), in which case the
/// environment is not trustworthy.
#[must_use]
pub fn has_elevated_privileges() -> bool {
    // SAFETY: getauxval(3) only reads the auxiliary vector of this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Replaces this program by another one, with this program's environment in its order and one more variable, which replaces
/// one of the same name. Returns the error if that fails.
///
/// [`std::process::Command`] would sort the environment.
pub fn execute<'a>(program: &Path, arguments: impl Iterator<Item = &'a OsStr>, variable: (&OsStr, &OsStr)) -> Errno {
    let set = [variable.0.as_bytes(), b"=", variable.1.as_bytes()].concat();
    let kept = std::env::vars_os().filter(|(name, _)| name != variable.0);
    let environment = kept.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).chain([set]);
    let strings = |all: Vec<Vec<u8>>| all.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let arguments = strings(arguments.map(|argument| argument.as_bytes().to_vec()).collect());
    let (Ok(program), Ok(arguments), Ok(environment)) =
        (CString::new(program.as_os_str().as_bytes()), arguments, strings(environment.collect()))
    else {
        return Errno::INVAL;
    };
    let pointers = |all: &[CString]| -> Vec<*const c_char> {
        all.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    // SAFETY: the program and all arguments are NUL-terminated strings that outlive the call, and both arrays end with null.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The local time in a syslog message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 is January.
    pub month: usize,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
}

/// Converts seconds since 1970 to local time. Returns `None` if the C library cannot convert them.
#[must_use]
pub fn local_time(seconds: i64) -> Option<LocalTime> {
    // On some targets time_t is narrower than i64.
    #[allow(clippy::useless_conversion)]
    let time = libc::time_t::try_from(seconds).ok()?;
    // SAFETY: libc::tm consists of integers and a nullable pointer, for which all-zero bytes are valid.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers refer to live values of the right type, and nothing else accesses `tm`.
    let result = unsafe { libc::localtime_r(&raw const time, &raw mut tm) };
    if result.is_null() {
        return None;
    }
    Some(LocalTime {
        month: usize::try_from(tm.tm_mon).ok()?,
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
    })
}

/// Records which standard descriptors were closed when the program started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StandardStreams {
    /// Descriptor 0.
    pub input_closed: bool,
    /// Descriptor 1.
    pub output_closed: bool,
    /// Descriptor 2.
    pub error_closed: bool,
}

impl StandardStreams {
    /// Opens the closed ones among descriptors 0 to 2, so that no file opened later gets their numbers.
    ///
    /// Each becomes `/dev/null` if that is the null device, else an `O_PATH` descriptor of `/`, which cannot be read or written.
    /// For this program and its children the latter behaves like a closed descriptor, and it needs neither a device nor a pipe.
    ///
    /// # Errors
    /// The error of open(2) if neither is available. The program must then exit, since its output could end up anywhere.
    pub fn secure() -> Result<Self, rustix::io::Errno> {
        let streams = Self {
            input_closed: is_closed(rustix::stdio::stdin()),
            output_closed: is_closed(rustix::stdio::stdout()),
            error_closed: is_closed(rustix::stdio::stderr()),
        };
        for (number, closed) in
            [streams.input_closed, streams.output_closed, streams.error_closed].into_iter().enumerate()
        {
            if closed {
                let descriptor = placeholder()?;
                // open(2) returns the lowest free number, and the lower ones are in use by now.
                if usize::try_from(descriptor.as_raw_fd()) != Ok(number) {
                    return Err(rustix::io::Errno::BADF);
                }
                let _stays_open = descriptor.into_raw_fd();
            }
        }
        Ok(streams)
    }

    /// Makes those that were closed when the program started closed again for a program that replaces it.
    pub fn close_on_exec(self) {
        let closed = [
            (rustix::stdio::stdin(), self.input_closed),
            (rustix::stdio::stdout(), self.output_closed),
            (rustix::stdio::stderr(), self.error_closed),
        ];
        for (descriptor, _) in closed.into_iter().filter(|(_, closed)| *closed) {
            let _stays_open = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
        }
    }

    /// Reports whether all three were closed, as in a usermode helper that the kernel starts.
    #[must_use]
    pub fn all_closed(self) -> bool {
        self.input_closed && self.output_closed && self.error_closed
    }
}

/// Makes a write to a pipe without readers, or beyond RLIMIT_FSIZE, fail with an error instead of killing the program by SIGPIPE or
/// SIGXFSZ.
///
/// The handlers do nothing. Unlike ignored signals they are not inherited by the commands that the program runs.
pub fn survive_failed_writes() {
    extern "C" fn do_nothing(_: c_int) {}
    install(libc::SIGPIPE, do_nothing);
    install(libc::SIGXFSZ, do_nothing);
}

/// Whether an allocation has failed.
static OUT_OF_MEMORY: AtomicBool = AtomicBool::new(false);

/// The allocator of the program: the system's, which also records that an allocation failed.
#[derive(Debug)]
pub struct RecordingAllocator;

fn record(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        OUT_OF_MEMORY.store(true, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every method calls that of the system's allocator with the same arguments and returns its result.
unsafe impl GlobalAlloc for RecordingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's guarantees.
        record(unsafe { System.alloc(layout) })
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's guarantees.
        record(unsafe { System.alloc_zeroed(layout) })
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's guarantees.
        record(unsafe { System.realloc(pointer, layout, size) })
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's guarantees.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Makes the program exit with status 1 if memory runs out where the code cannot handle that. The standard library then prints the
/// size of the allocation and calls abort(3). An abort for any other reason still ends the program by SIGABRT.
pub fn exit_when_out_of_memory() {
    extern "C" fn exit(_: c_int) {
        if OUT_OF_MEMORY.load(Ordering::Relaxed) {
            // SAFETY: _exit(2) is async-signal-safe.
            unsafe { libc::_exit(1) }
        }
    }
    install(libc::SIGABRT, exit);
}

fn install(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: libc::sigaction consists of integers and nullable pointers, for which all-zero bytes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handlers of this module are async-signal-safe and live as long as the program. The old action is not requested.
    let _cannot_fail = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
}

/// Points standard output to the null device. Commands that the program runs then do not fail because of a pipe without readers.
///
/// # Errors
/// The error of open(2) or dup2(2).
pub fn discard_standard_output() -> Result<(), rustix::io::Errno> {
    rustix::stdio::dup2_stdout(placeholder()?)
}

fn is_closed(descriptor: BorrowedFd<'_>) -> bool {
    rustix::io::fcntl_getfd(descriptor) == Err(rustix::io::Errno::BADF)
}

fn placeholder() -> Result<OwnedFd, rustix::io::Errno> {
    match open_device("/dev/null", (1, 3), OFlags::RDWR) {
        Ok(descriptor) => Ok(descriptor),
        Err(_) => rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()),
    }
}

/// Opens a character device if it has this major and minor number. Anything else is not opened: it could be a plain file, or a
/// device whose driver is a module that the kernel would then request.
///
/// # Errors
/// `ENODEV` if it is something else, or the error of open(2).
pub fn open_device(path: &str, (major, minor): (u32, u32), flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    let matches = |stat: &rustix::fs::Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (major, minor)
    };
    if !matches(&rustix::fs::stat(path)?) {
        return Err(rustix::io::Errno::NODEV);
    }
    let descriptor = rustix::fs::open(path, flags | OFlags::NOCTTY, Mode::empty())?;
    // It may have been replaced meanwhile.
    if !matches(&rustix::fs::fstat(&descriptor)?) {
        return Err(rustix::io::Errno::NODEV);
    }
    Ok(descriptor)
}

/// Returns the id of this process's session; 0 is the session of the kernel threads.
#[must_use]
pub fn session() -> i32 {
    // SAFETY: getsid(2) has no memory effects. rustix cannot represent session 0.
    unsafe { libc::getsid(0) }
}

/// Returns at most the last `size` bytes of the kernel's log, in the form of syslog(2); nothing if it cannot be read.
#[must_use]
pub fn end_of_kernel_log(size: usize) -> Vec<u8> {
    const SYSLOG_ACTION_READ_ALL: c_int = 3;
    let mut text = vec![0_u8; size];
    let length = c_int::try_from(size).unwrap_or(c_int::MAX);
    // SAFETY: the kernel writes at most `length` bytes, and the buffer has that many.
    let read = unsafe { libc::klogctl(SYSLOG_ACTION_READ_ALL, text.as_mut_ptr().cast(), length) };
    text.truncate(usize::try_from(read).unwrap_or(0));
    text
}

/// Returns the message of strerror(3).
#[must_use]
pub fn strerror(errno: rustix::io::Errno) -> String {
    strerror_io(&errno.into())
}

/// Returns the text of an error without the number that Rust appends.
#[must_use]
pub fn strerror_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_bytes_and_end_at_a_null_pointer() {
        let strings = [c"kmod", c"a\xffb"];
        let pointers = [strings[0].as_ptr(), strings[1].as_ptr(), std::ptr::null(), strings[0].as_ptr()];
        // SAFETY: four pointers to strings or null.
        let arguments = unsafe { arguments(4, pointers.as_ptr()) };
        assert_eq!(arguments, [OsString::from("kmod"), OsString::from_vec(b"a\xffb".to_vec())]);
        // SAFETY: a null list.
        assert!(unsafe { super::arguments(4, std::ptr::null()) }.is_empty());
    }

    #[test]
    fn errno_texts_are_those_of_strerror() {
        assert_eq!(strerror(rustix::io::Errno::NOENT), "No such file or directory");
        assert_eq!(strerror(rustix::io::Errno::NOSYS), "Function not implemented");
    }

    #[test]
    fn only_the_expected_device_is_opened() {
        assert_eq!(open_device("/dev/null", (1, 11), OFlags::WRONLY).unwrap_err(), rustix::io::Errno::NODEV);
        assert_eq!(open_device("/proc/version", (1, 3), OFlags::RDONLY).unwrap_err(), rustix::io::Errno::NODEV);
        assert!(open_device("/dev/null", (1, 3), OFlags::RDWR | OFlags::CLOEXEC).is_ok());
    }

    #[test]
    fn local_time_is_in_range() {
        let time = local_time(1_700_000_000).unwrap();
        assert_eq!(time.month, 10);
        assert!((14..=15).contains(&time.day) && (0..24).contains(&time.hour) && (0..61).contains(&time.second));
    }
}
