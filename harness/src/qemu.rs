//! Finds QEMU and asks for its version. The version is part of every template's key: device state of one
//! version means nothing to another.

use crate::error::HarnessError;
use crate::machine;
use crate::spec::{Channels, Role, Spec, qemu_args};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The oldest QEMU whose options we use (`-chardev socket,fd=`, `x-ignore-shared`). 7.2 is what we test with.
const OLDEST: Version = Version { major: 5, minor: 2 };
/// How long QEMU may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);

/// A QEMU that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program, as it is started: a path, or a bare name that the system finds in `PATH`.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    /// The whole first line of `--version`, with the distribution's package version.
    pub banner: String,
}

/// A version, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Qemu {
    /// Looks for QEMU: `explicit`, or `qemu-system-x86_64` in `PATH`.
    ///
    /// # Errors
    /// [`HarnessError::QemuMissing`] says how to install it, [`HarnessError::QemuUnusable`] that it is too
    /// old, is another program, or does not answer.
    pub fn find(explicit: Option<&Path>) -> Result<Self, HarnessError> {
        let path = explicit.map_or_else(|| PathBuf::from(machine::QEMU), Path::to_owned);
        let unusable = |reason: String| HarnessError::QemuUnusable { path: path.clone(), reason };
        let output = version_output(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HarnessError::QemuMissing { path: path.clone() },
            _ => unusable(error.to_string()),
        })?;
        let banner = output.lines().next().unwrap_or_default().trim().to_owned();
        let version = parse(&banner).ok_or_else(|| unusable(format!("it is no QEMU; it says {banner:?}")))?;
        if version < OLDEST {
            return Err(unusable(format!("version {version} is older than {OLDEST}")));
        }
        Ok(Self { path, version, banner })
    }
}

impl Qemu {
    /// A command line that boots a machine by hand, its console on the terminal; for a shell.
    #[must_use]
    pub fn command_line(&self, spec: &Spec) -> String {
        let args = qemu_args(spec, Role::Cold, Channels::Terminal);
        let words = std::iter::once(self.path.as_os_str()).chain(args.iter().map(AsRef::as_ref));
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn version_output(path: &Path) -> io::Result<String> {
    // As a string: duct takes a bare name for a file of the current directory when it is a path.
    let handle =
        duct::cmd(path.as_os_str(), ["--version"]).stdin_null().stdout_capture().stderr_null().unchecked().start()?;
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(output) = handle.try_wait()? {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if Instant::now() > deadline {
            handle.kill()?;
            return Err(io::Error::other(format!("`--version` gave no answer within {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `QEMU emulator version 7.2.22 (Debian …)`
fn parse(banner: &str) -> Option<Version> {
    let mut numbers = banner.strip_prefix("QEMU emulator version ")?.split(|c: char| !c.is_ascii_digit());
    Some(Version { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_banner() {
        let version = |banner| parse(banner).map(|v| (v.major, v.minor));
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(version("GNU bash, version 5.2"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_command_line_is_words_for_a_shell() {
        assert_eq!(["-m", "a b", "it's", ""].map(quoted), ["-m", "'a b'", r"'it'\''s'", "''"]);
    }

    #[test]
    fn a_missing_qemu_says_how_to_get_it() {
        let message = Qemu::find(Some(Path::new("/nowhere/qemu"))).unwrap_err().to_string();
        assert!(message.contains("/nowhere/qemu") && message.contains(machine::QEMU_PACKAGE), "{message}");
    }

    #[test]
    fn another_program_is_no_qemu() {
        let message = Qemu::find(Some(Path::new("/bin/true"))).unwrap_err().to_string();
        assert!(message.contains("it is no QEMU"), "{message}");
    }
}
