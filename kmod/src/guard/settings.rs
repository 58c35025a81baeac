//! The settings of the loop guard, `/etc/kmod-request.conf`.

use crate::name::Escaped;
use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// The file of the settings.
pub const FILE: &str = "/etc/kmod-request.conf";

/// The helper that runs unless the file names another one.
pub const HELPER: &str = "/sbin/modprobe";

/// When a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often the requested name may occur in the chain of helpers that wait for the request.
    pub chain: NonZeroUsize,
    /// How many helpers may run at a time; `None`: only the kernel limits them.
    pub total: Option<NonZeroUsize>,
}

impl Default for Limits {
    fn default() -> Self {
        const CHAIN: NonZeroUsize = NonZeroUsize::new(3).expect("not zero");
        Self { chain: CHAIN, total: None }
    }
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The program that handles a request that is not refused.
    pub helper: PathBuf,
    /// When a request is refused.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self { helper: HELPER.into(), limits: Limits::default() }
    }
}

/// A line that is ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{FILE}:{line}: {problem}")]
pub struct BadLine {
    line: usize,
    problem: String,
}

impl Settings {
    /// Parses the file. Lines that cannot be used are returned, and leave their setting as it is.
    #[must_use]
    pub fn parse(text: &[u8]) -> (Self, Vec<BadLine>) {
        let (mut settings, mut bad) = (Self::default(), Vec::new());
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            if let Err(problem) = settings.line(line) {
                bad.push(BadLine { line: number + 1, problem });
            }
        }
        (settings, bad)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (key, value) = match line.iter().position(u8::is_ascii_whitespace) {
            None if line.is_empty() => return Ok(()),
            None => (line, &b""[..]),
            Some(at) => (&line[..at], line[at..].trim_ascii()),
        };
        let number = || {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|text| text.parse::<usize>().ok())
        };
        match key {
            b"helper" if value.starts_with(b"/") => self.helper = OsStr::from_bytes(value).into(),
            b"helper" => return Err(format!("helper needs an absolute path, not '{}'", Escaped(value))),
            b"chain" => match number().and_then(NonZeroUsize::new) {
                Some(chain) => self.limits.chain = chain,
                None => return Err(format!("chain needs a number from 1 on, not '{}'", Escaped(value))),
            },
            b"total" => match number() {
                Some(total) => self.limits.total = NonZeroUsize::new(total),
                None => return Err(format!("total needs a number, or 0 for no limit, not '{}'", Escaped(value))),
            },
            _ => return Err(format!("unknown setting '{}'", Escaped(key))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_has_the_defaults() {
        assert_eq!(Settings::parse(b"\n  # a comment\n"), (Settings::default(), vec![]));
    }

    #[test]
    fn all_settings_are_read() {
        let (settings, bad) = Settings::parse(b"helper /opt/my modprobe # why\nchain 5\n\ttotal\t20\n");
        let limits = Limits { chain: NonZeroUsize::new(5).unwrap(), total: NonZeroUsize::new(20) };
        assert_eq!((settings, bad), (Settings { helper: "/opt/my modprobe".into(), limits }, vec![]));
        assert_eq!(Settings::parse(b"total 9\ntotal 0").0, Settings::default());
    }

    #[test]
    fn a_bad_line_is_named_and_leaves_the_setting_as_it_is() {
        let text = b"helper modprobe\nhelper\nchain 0\nchain x\ntotal -1\nchains 3\nchain \xff\nchain +3\n\0";
        let (settings, bad) = Settings::parse(text);
        assert_eq!(settings, Settings::default());
        let lines: Vec<String> = bad.iter().map(BadLine::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        /etc/kmod-request.conf:1: helper needs an absolute path, not 'modprobe'
        /etc/kmod-request.conf:2: helper needs an absolute path, not ''
        /etc/kmod-request.conf:3: chain needs a number from 1 on, not '0'
        /etc/kmod-request.conf:4: chain needs a number from 1 on, not 'x'
        /etc/kmod-request.conf:5: total needs a number, or 0 for no limit, not '-1'
        /etc/kmod-request.conf:6: unknown setting 'chains'
        /etc/kmod-request.conf:7: chain needs a number from 1 on, not '\xff'
        /etc/kmod-request.conf:8: chain needs a number from 1 on, not '+3'
        /etc/kmod-request.conf:9: unknown setting '\x00'
        ");
    }
}
