//! Finds QEMU and reads its version. The version is part of every template's key, because one version of QEMU
//! cannot load the device state of another.

use crate::error::HarnessError;
use crate::machine;
use crate::spec::{Channels, Role, Spec, qemu_args};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The oldest QEMU with the options used here (`-chardev socket,fd=`, `x-ignore-shared`). 7.2 is the tested version.
const OLDEST: Version = Version { major: 5, minor: 2 };
/// How long QEMU may take to print its version.
const LIMIT: Duration = Duration::from_secs(10);

/// A usable QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The program as it is started: a path, or a bare name that the system finds in `PATH`.
    pub path: PathBuf,
    /// The version.
    pub version: Version,
    /// The whole first line of `--version`, with the distribution's package version.
    pub banner: String,
}

/// A QEMU version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Qemu {
    /// Finds QEMU: `explicit`, or `qemu-system-x86_64` in `PATH`.
    ///
    /// # Errors
    /// [`HarnessError::QemuMissing`] if there is none, [`HarnessError::QemuUnusable`] if it is too old or is
    /// another program, [`HarnessError::Io`] if it cannot be run or does not answer.
    pub fn find(explicit: Option<&Path>) -> Result<Self, HarnessError> {
        let path = explicit.map_or_else(|| PathBuf::from(machine::QEMU), Path::to_owned);
        let unusable = |reason: String| HarnessError::QemuUnusable { path: path.clone(), reason };
        let output = version_output(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HarnessError::QemuMissing { path: path.clone() },
            _ if path.is_dir() => unusable("it is a directory".to_owned()),
            _ => HarnessError::io("run", &path)(error),
        })?;
        let banner = output.lines().next().unwrap_or_default().trim().to_owned();
        let version = parse(&banner).ok_or_else(|| unusable(not_qemu(&banner)))?;
        if version < OLDEST {
            return Err(unusable(format!("version {version} is too old ({OLDEST} or later is required)")));
        }
        Ok(Self { path, version, banner })
    }
}

impl Qemu {
    /// Returns a shell command that boots the machine by hand, with its console on the terminal.
    #[must_use]
    pub fn command_line(&self, spec: &Spec) -> String {
        let args = qemu_args(spec, Role::Cold, Channels::Terminal);
        let arguments = std::iter::once(self.path.as_os_str()).chain(args.iter().map(AsRef::as_ref));
        arguments.map(|argument| quoted(&argument.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

fn not_qemu(banner: &str) -> String {
    match banner {
        "" => "`--version` prints nothing".to_owned(),
        banner => format!("`--version` prints '{banner}'"),
    }
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

fn version_output(path: &Path) -> io::Result<String> {
    // As an OsStr: given a path, duct looks for a bare name in the current directory.
    let handle =
        duct::cmd(path.as_os_str(), ["--version"]).stdin_null().stdout_capture().stderr_null().unchecked().start()?;
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(output) = handle.try_wait()? {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if Instant::now() > deadline {
            handle.kill()?;
            return Err(io::Error::other(format!("no answer to `--version` within {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Parses `QEMU emulator version 7.2.22 (Debian …)`.
fn parse(banner: &str) -> Option<Version> {
    let mut numbers = banner.strip_prefix("QEMU emulator version ")?.split(|c: char| !c.is_ascii_digit());
    Some(Version { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain;

    #[test]
    fn the_version_is_parsed_from_the_banner() {
        let version = |banner| parse(banner).map(|v| (v.major, v.minor));
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(version("GNU bash, version 5.2"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(["-m", "a b", "it's", ""].map(quoted), ["-m", "'a b'", r"'it'\''s'", "''"]);
    }

    #[test]
    fn a_missing_qemu_is_an_error() {
        let error = Qemu::find(Some(Path::new("/nowhere/qemu"))).unwrap_err();
        assert!(matches!(error, HarnessError::QemuMissing { .. }));
        assert_eq!(error_chain(&error), "QEMU not found: /nowhere/qemu");
    }

    #[test]
    fn a_program_other_than_qemu_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let message = |script: &str| {
            let path = dir.path().join("qemu");
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let error = Qemu::find(Some(&path)).unwrap_err();
            error_chain(&error).replace(&path.display().to_string(), "/bin/qemu")
        };
        insta::assert_snapshot!(message("echo GNU bash, version 5.2"), @"cannot use /bin/qemu as QEMU: `--version` prints 'GNU bash, version 5.2'");
        insta::assert_snapshot!(message("exit 0"), @"cannot use /bin/qemu as QEMU: `--version` prints nothing");
        insta::assert_snapshot!(message("echo QEMU emulator version 4.2.1"), @"cannot use /bin/qemu as QEMU: version 4.2 is too old (5.2 or later is required)");
    }

    #[test]
    fn a_qemu_that_is_not_executable_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        std::fs::write(&path, "").unwrap();
        let message = error_chain(&Qemu::find(Some(&path)).unwrap_err());
        assert_eq!(message, format!("cannot run {}: Permission denied", path.display()));
    }
}
