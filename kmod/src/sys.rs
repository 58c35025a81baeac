//! The edge to the operating system that needs `unsafe`, and the three standard descriptors. Nothing here knows modules.
//!
//! The kernel starts a helper with no descriptor open, perhaps before there is a `/dev`. What a program opens next would
//! then become its standard error, and a message would land in that file. So the first thing that happens is
//! [`StandardStreams::secure`].

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStringExt;

/// The arguments that the C runtime gave to `main`, as bytes. A null pointer ends the list, as does `argc`.
///
/// # Safety
/// `argv` is null, or points to `argc` pointers, each null or the start of a NUL-ended string that nobody writes to
/// during the call.
#[must_use]
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    let mut arguments = Vec::with_capacity(count);
    if argv.is_null() {
        return arguments;
    }
    for index in 0..count {
        // SAFETY: index < argc, so this element of the array exists (the caller's promise).
        let argument = unsafe { *argv.add(index) };
        if argument.is_null() {
            break;
        }
        // SAFETY: a non-null element is a NUL-ended string (the caller's promise).
        let argument = unsafe { CStr::from_ptr(argument) };
        arguments.push(OsString::from_vec(argument.to_bytes().to_vec()));
    }
    arguments
}

/// Whether the program has rights that who called it does not have (set-uid, file capabilities): then the environment is
/// not to be trusted.
#[must_use]
pub fn has_foreign_rights() -> bool {
    // SAFETY: reads a value that the kernel gave to this process at its start; takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A moment of local time, as syslog messages carry it.
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

/// Local time for seconds since 1970; none when the C library cannot tell.
#[must_use]
pub fn local_time(seconds: i64) -> Option<LocalTime> {
    // On some targets time_t is narrower than i64.
    #[allow(clippy::useless_conversion)]
    let time = libc::time_t::try_from(seconds).ok()?;
    // SAFETY: libc::tm holds integers and a pointer that may be null, for which all-zero bytes are valid.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right type, `tm` is ours alone.
    let done = unsafe { libc::localtime_r(&raw const time, &raw mut tm) };
    if done.is_null() {
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

/// Which of the standard descriptors were closed when the program started.
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
    /// Fills the closed ones of descriptors 0 to 2, so that no file opened later can get their numbers.
    ///
    /// They get `/dev/null` when that is the null device, else a descriptor of `/` that cannot be read or written
    /// (`O_PATH`): for this program and the commands it runs it behaves as a closed one, and it needs no device and no pipe.
    ///
    /// # Errors
    /// What open(2) said, when neither can be had. The program must then end: it cannot know where its output would go.
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
                let descriptor = nothing()?;
                // open(2) gives the lowest free number, and the lower ones are in use by now.
                if usize::try_from(descriptor.as_raw_fd()) != Ok(number) {
                    return Err(rustix::io::Errno::BADF);
                }
                let _kept_open_for_ever = descriptor.into_raw_fd();
            }
        }
        Ok(streams)
    }

    /// Whether all three were closed, as when the kernel starts its helper.
    #[must_use]
    pub fn all_closed(self) -> bool {
        self.input_closed && self.output_closed && self.error_closed
    }
}

fn is_closed(descriptor: BorrowedFd<'_>) -> bool {
    rustix::io::fcntl_getfd(descriptor) == Err(rustix::io::Errno::BADF)
}

fn nothing() -> Result<OwnedFd, rustix::io::Errno> {
    match open_device("/dev/null", (1, 3), OFlags::RDWR) {
        Ok(descriptor) => Ok(descriptor),
        Err(_) => rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()),
    }
}

/// Opens a character device only if it has this major and minor number: a file of that name, or a device whose driver is a
/// module (opening it would make the kernel ask for that module), is left alone.
///
/// # Errors
/// `ENODEV` when it is something else, or what open(2) said.
pub fn open_device(path: &str, (major, minor): (u32, u32), flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    let is_it = |stat: &rustix::fs::Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == (major, minor)
    };
    if !is_it(&rustix::fs::stat(path)?) {
        return Err(rustix::io::Errno::NODEV);
    }
    let descriptor = rustix::fs::open(path, flags | OFlags::NOCTTY, Mode::empty())?;
    // It may have been replaced in between.
    if !is_it(&rustix::fs::fstat(&descriptor)?) {
        return Err(rustix::io::Errno::NODEV);
    }
    Ok(descriptor)
}

/// What strerror(3) says.
#[must_use]
pub fn strerror(errno: rustix::io::Errno) -> String {
    strerror_io(&errno.into())
}

/// An error's text without Rust's "(os error N)".
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
    fn arguments_are_taken_as_bytes_up_to_a_null_pointer() {
        let strings = [c"kmod", c"a\xffb"];
        let pointers = [strings[0].as_ptr(), strings[1].as_ptr(), std::ptr::null(), strings[0].as_ptr()];
        // SAFETY: four pointers, strings or null.
        let arguments = unsafe { arguments(4, pointers.as_ptr()) };
        assert_eq!(arguments, [OsString::from("kmod"), OsString::from_vec(b"a\xffb".to_vec())]);
        // SAFETY: a null list.
        assert!(unsafe { super::arguments(4, std::ptr::null()) }.is_empty());
    }

    #[test]
    fn error_texts_are_those_of_strerror() {
        assert_eq!(strerror(rustix::io::Errno::NOENT), "No such file or directory");
        assert_eq!(strerror(rustix::io::Errno::NOSYS), "Function not implemented");
    }

    #[test]
    fn another_device_or_a_file_is_not_opened() {
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
