//! `kmod-request`: the program to name in `/proc/sys/kernel/modprobe` instead of modprobe. It ends a runaway loop of requests at
//! once. Otherwise it becomes the modprobe that its settings name, with the same arguments. See [`crate::guard`].

use super::options::About;
use super::output::print_error;
use super::{Failed, Invocation, help_flag, version_flag};
use crate::guard::processes::{Helper, Proc, ProcError};
use crate::guard::settings::{FILE, HELPER, Limits, Settings};
use crate::guard::{Decision, decide};
use crate::log::Priority;
use crate::log::request::RequestLog;
use crate::log::system::write_kernel_log;
use crate::name::Escaped;
use crate::sys::{execute, strerror};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// The name of the tool.
pub const NAME: &str = "kmod-request";

/// The environment variable with the number of guards that have run for this request.
const MARKER: &str = "KMOD_REQUEST";

/// How long the helpers of a suspected loop are observed. They are stuck only if nothing changes in that time.
const PAUSE: Duration = Duration::from_millis(3);

/// How often they are observed. Other work of the kernel can make a loop uncertain.
const LOOKS: usize = 4;

/// The maximum size of the settings in bytes.
const SIZE: usize = 64 * 1024;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> =
    About { usage: "kmod-request -q -- name\nkmod-request [options]", flags: &[version_flag(), help_flag()] };

/// Runs the tool.
///
/// # Errors
/// The request is refused, or no helper can be started, after a line in the kernel's log; or wrong use, after a message on
/// standard error.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let [.., separator, name] = invocation.operands() else { return usage(invocation) };
    if separator != "--" {
        return usage(invocation);
    }
    let name = name.as_bytes();
    let log = RequestLog::new(NAME, name);
    let guards = guards_before();
    let settings = read_settings(&log);
    if guards == 0 && refuses(&log, name, settings.limits) {
        return Err(Failed);
    }
    Err(run_helper(invocation, &log, &settings, guards))
}

fn usage(invocation: &Invocation) -> Result<(), Failed> {
    let Some(_) = invocation.parse(&ABOUT, invocation.operands().to_vec(), &mut Arguments::default())? else {
        return Ok(());
    };
    print_error(&format!("{NAME}: ERROR: expected the arguments that the kernel passes: -q -- name\n"));
    Err(Failed)
}

/// The line that kernels 2.3 to 2.5 wrote when they stopped a loop, followed by the chain of requests. It is not limited: the
/// caller waits meanwhile, and counting earlier lines takes the kernel as long as its log is.
fn log_stopped(chain: &[&Helper], name: &[u8]) {
    let helpers = chain.iter().map(|helper| (helper.name.as_deref().unwrap_or(b"?"), helper.pid));
    let this = (name, i32::try_from(std::process::id()).unwrap_or_default());
    let requests: Vec<String> = helpers.chain([this]).map(|(name, pid)| format!("{}[{pid}]", Escaped(name))).collect();
    let text = format!("runaway modprobe loop assumed and stopped: {}", requests.join(" > "));
    write_kernel_log(Priority::Error, "kmod", &text);
}

fn guards_before() -> u32 {
    std::env::var(MARKER).map_or(0, |value| value.parse().unwrap_or(1))
}

/// Reads the settings. A file that cannot be read, or a bad line, never keeps a helper from running.
fn read_settings(log: &RequestLog) -> Settings {
    let text = match read_bounded(FILE) {
        Ok(text) => text,
        Err(Errno::NOENT) => return Settings::default(),
        Err(errno) => {
            log.write(Priority::Warning, format_args!("cannot read {FILE}: {}; using the defaults", strerror(errno)));
            return Settings::default();
        }
    };
    let (settings, bad) = Settings::parse(&text);
    for line in bad {
        log.write(Priority::Warning, format_args!("ignoring {line}"));
    }
    settings
}

/// Reads a regular file of at most [`SIZE`] bytes.
fn read_bounded(path: &str) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Errno::INVAL);
    }
    let mut text = vec![0; SIZE + 1];
    let mut length = 0;
    loop {
        match rustix::io::read(&file, &mut text[length..])? {
            0 => break,
            more => length += more,
        }
        if length > SIZE {
            return Err(Errno::FBIG);
        }
    }
    text.truncate(length);
    Ok(text)
}

/// Whether the request is part of a loop, or over the limit; after a line in the log. In doubt it is not.
fn refuses(log: &RequestLog, name: &[u8], limits: Limits) -> bool {
    refusal(log, name, limits).unwrap_or_else(|error| {
        log.write(Priority::Warning, format_args!("cannot look for a loop: {error}; running the helper"));
        false
    })
}

fn refusal(log: &RequestLog, name: &[u8], limits: Limits) -> Result<bool, ProcError> {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let proc = Proc::open()?;
    if limits.total.is_none() && !proc.may_be_a_loop(me, name, limits.chain.get())? {
        return Ok(false);
    }
    for _ in 0..LOOKS {
        let snapshot = proc.snapshot(me)?;
        match decide(&snapshot, name, limits) {
            Decision::Run => return Ok(false),
            Decision::Total(total) => {
                log.write(Priority::Error, format_args!("refused: {total} helpers are running"));
                return Ok(true);
            }
            Decision::Loop(chain) => {
                std::thread::sleep(PAUSE);
                if proc.unchanged(&snapshot, &chain)? {
                    log_stopped(&chain, name);
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Replaces this process by the helper. Returns if no helper can be started, after a line in the log.
fn run_helper(invocation: &Invocation, log: &RequestLog, settings: &Settings, guards: u32) -> Failed {
    let itself = settings.helper.file_name() == Some(OsStr::new(NAME));
    let helper = match guards {
        0 if !itself => settings.helper.as_path(),
        0 => {
            log.write(Priority::Warning, format_args!("the helper in {FILE} is {NAME} itself; running {HELPER}"));
            Path::new(HELPER)
        }
        1 => {
            log.write(Priority::Warning, format_args!("started by another {NAME}; running {HELPER}"));
            Path::new(HELPER)
        }
        _ => {
            log.write(Priority::Error, format_args!("{HELPER} starts {NAME}; no helper is running"));
            return Failed;
        }
    };
    invocation.streams.close_on_exec();
    let arguments = std::iter::once(helper.as_os_str()).chain(invocation.operands().iter().map(OsString::as_os_str));
    let errno = execute(helper, arguments, (OsStr::new(MARKER), (guards + 1).to_string().as_ref()));
    let helper = Escaped(helper.as_os_str().as_bytes());
    log.write(Priority::Error, format_args!("cannot run {helper}: {}", strerror(errno)));
    Failed
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
