//! Messages of the tools: which are shown, and where they go. `TOOL: PRIO: text` on standard error, or the system log
//! ([`system`]) with `-s` and when standard error was closed at start. What the kernel itself has to say is read in `kernel`.
//!
//! A message is one line. Bytes that a file or a caller gave are put in through [`crate::name::Escaped`].

pub(crate) mod kernel;
pub mod system;

use std::fmt::Display;

pub use system::SystemLog;

/// How grave a message is, with the numbers of syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// The tool cannot go on.
    Fatal = 2,
    /// Something failed.
    Error = 3,
    /// Something is odd.
    Warning = 4,
    /// Worth knowing.
    Notice = 5,
    /// For who asked for more.
    Info = 6,
    /// For developers.
    Debug = 7,
}

impl Priority {
    /// The word in the message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// A fatal message was shown: the command ends now, with exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// Where messages go.
#[derive(Debug)]
pub enum Destination {
    /// Standard error, one write(2) a message.
    Stderr,
    /// The system log.
    System(SystemLog),
    /// Kept, for tests.
    Memory(Vec<String>),
}

/// The messages of one run of one tool.
#[derive(Debug)]
pub struct Log {
    tool: &'static str,
    level: u8,
    library_level: u8,
    destination: Destination,
}

impl Log {
    /// A log that shows messages up to `level`.
    #[must_use]
    pub fn new(tool: &'static str, level: Priority, destination: Destination) -> Self {
        Self { tool, level: level as u8, library_level: Priority::Error as u8, destination }
    }

    /// With `KMOD_LOG`: how grave the library's messages ([`Log::library_error`]) have to be. A number, or `err`, `info`, `debug`;
    /// anything else hides them all, as with C kmod.
    #[must_use]
    pub fn with_variable(mut self, kmod_log: &[u8]) -> Self {
        self.library_level = level_of(kmod_log);
        self
    }

    /// Where its messages go.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Nothing is shown any more, not even fatal messages (`-q`).
    pub fn silence(&mut self) {
        self.level = 0;
    }

    /// Whether messages of this priority are shown.
    #[must_use]
    pub fn shows(&self, priority: Priority) -> bool {
        priority as u8 <= self.level
    }

    /// Writes a message, if its priority is shown. A message that cannot be written is lost: there is nobody to tell.
    pub fn write(&mut self, priority: Priority, text: impl Display) {
        if !self.shows(priority) {
            return;
        }
        match &mut self.destination {
            Destination::Stderr => {
                let line = format!("{}: {}: {text}\n", self.tool, priority.word());
                write_all(line.as_bytes());
            }
            Destination::System(system) => system.send(priority, self.tool, &format!("{}: {text}", priority.word())),
            Destination::Memory(lines) => lines.push(format!("{}: {}: {text}", self.tool, priority.word())),
        }
    }

    /// Writes an error.
    pub fn error(&mut self, text: impl Display) {
        self.write(Priority::Error, text);
    }

    /// Writes an error that was found while files were read, before it is known what it means for the command: bad lines
    /// of the configuration, what is wrong with a module file. These are what `KMOD_LOG` is about; the options that make
    /// a tool silent hold as well.
    pub fn library_error(&mut self, text: impl Display) {
        if self.library_level >= Priority::Error as u8 {
            self.error(text);
        }
    }

    /// Writes a warning.
    pub fn warning(&mut self, text: impl Display) {
        self.write(Priority::Warning, text);
    }

    /// Writes a fatal message.
    ///
    /// # Errors
    /// [`Stop`] when it was shown. When it is filtered out (`-q`) the command goes on, as the C tools do.
    pub fn fatal(&mut self, text: impl Display) -> Result<(), Stop> {
        self.write(Priority::Fatal, text);
        if self.shows(Priority::Fatal) { Err(Stop) } else { Ok(()) }
    }

    /// The messages kept so far; empty unless the destination is [`Destination::Memory`].
    #[must_use]
    pub fn lines(&self) -> &[String] {
        match &self.destination {
            Destination::Memory(lines) => lines,
            Destination::Stderr | Destination::System(_) => &[],
        }
    }
}

/// The level that a value of `KMOD_LOG` gives. A number as strtol(3) takes it, with nothing behind it but what follows a
/// blank; or a word by its beginning.
fn level_of(value: &[u8]) -> u8 {
    let text = value.trim_ascii_start();
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = digits.split_at(count);
    if count > 0 && behind.first().is_none_or(u8::is_ascii_whitespace) {
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u8::MAX);
        return if is_negative { 0 } else { number };
    }
    let words: [(&[u8], Priority); 3] =
        [(b"err", Priority::Error), (b"info", Priority::Info), (b"debug", Priority::Debug)];
    words.iter().find(|(word, _)| value.starts_with(word)).map_or(0, |(_, level)| *level as u8)
}

fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stderr(), bytes) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_below_the_level_are_dropped() {
        let mut log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
        log.error("a");
        log.write(Priority::Notice, "b");
        assert_eq!(log.fatal("c"), Err(Stop));
        assert_eq!(log.lines(), ["modprobe: ERROR: a", "modprobe: FATAL: c"]);
    }

    #[test]
    fn the_variable_is_read_as_c_kmod_reads_it() {
        for (value, level) in [
            ("0", 0),
            ("3", 3),
            (" 6", 6),
            ("+7", 7),
            ("99", 99),
            ("999", 255),
            ("3 x", 3),
            ("3x", 0),
            ("-1", 0),
            ("", 0),
            ("-", 0),
            ("err", 3),
            ("error", 3),
            ("info", 6),
            ("debug", 7),
            ("ERR", 0),
            ("warning", 0),
            (" err", 0),
        ] {
            assert_eq!(level_of(value.as_bytes()), level, "{value:?}");
        }
    }

    #[test]
    fn the_variable_hides_what_the_library_says_and_nothing_else() {
        let said = |value: &str| {
            let log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
            let mut log = log.with_variable(value.as_bytes());
            log.library_error("a");
            log.error("b");
            log.silence();
            log.library_error("c");
            log.lines().concat()
        };
        assert_eq!([said("0"), said("2")], ["modprobe: ERROR: b", "modprobe: ERROR: b"]);
        assert_eq!(
            [said("3"), said("debug")],
            ["modprobe: ERROR: amodprobe: ERROR: b", "modprobe: ERROR: amodprobe: ERROR: b"]
        );
    }

    #[test]
    fn a_silent_log_goes_on_after_a_fatal_message() {
        let mut log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
        log.silence();
        assert_eq!(log.fatal("c"), Ok(()));
        assert!(log.lines().is_empty());
    }
}
