//! Messages of the tools: their priorities and destinations. `TOOL: PRIORITY: text` is written to standard error, or to the
//! system log ([`system`]) with `-s` or if standard error was closed at startup. If the kernel started the tool, errors are
//! written to the kernel's log ([`request`]) even with `-q`. `kernel` reads that log.
//!
//! A message is one line. Bytes from files and arguments must be formatted with [`crate::name::Escaped`].

pub(crate) mod kernel;
pub mod request;
pub mod system;

use std::fmt::Display;

pub use request::RequestLog;
pub use system::SystemLog;

/// The priority of a message, numbered as in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// The tool cannot continue.
    Fatal = 2,
    /// Something failed.
    Error = 3,
    /// Something is suspicious.
    Warning = 4,
    /// Something is worth knowing.
    Notice = 5,
    /// Details for `-v`.
    Info = 6,
    /// Details for developers.
    Debug = 7,
}

impl Priority {
    /// Returns the name that a message shows.
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

/// A fatal message was printed: the tool exits with status 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// The destination of messages.
#[derive(Debug)]
pub enum Destination {
    /// Standard error, with one write(2) per message.
    Stderr,
    /// The system log.
    System(SystemLog),
    /// The kernel's log, for a tool that the kernel started.
    Request(RequestLog),
    /// Memory, for tests.
    Memory(Vec<String>),
}

/// The message log of a tool.
#[derive(Debug)]
pub struct Log {
    tool: &'static str,
    level: u8,
    library_level: u8,
    destination: Destination,
    hidden_errors: Option<Destination>,
}

impl Log {
    /// Creates a log that shows messages up to `level`.
    #[must_use]
    pub fn new(tool: &'static str, level: Priority, destination: Destination) -> Self {
        Self { tool, level: level as u8, library_level: Priority::Error as u8, destination, hidden_errors: None }
    }

    /// Applies `KMOD_LOG`, the level of the library's messages ([`Log::library_error`]): a number, `err`, `info` or `debug`.
    /// As in C kmod, anything else hides them all.
    #[must_use]
    pub fn with_variable(mut self, kmod_log: &[u8]) -> Self {
        self.library_level = level_of(kmod_log);
        self
    }

    /// Sets the destination of errors that the level hides. Without one they are lost.
    #[must_use]
    pub fn with_hidden_errors(mut self, destination: Option<Destination>) -> Self {
        self.hidden_errors = destination;
        self
    }

    /// Sets the destination of its messages.
    pub fn set_destination(&mut self, destination: Destination) {
        self.destination = destination;
    }

    /// Returns the destination of its messages.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Sets the number of the last priority that is shown; 0 hides all further messages, even fatal ones (`-q`).
    pub fn set_level(&mut self, level: u8) {
        self.level = level;
    }

    /// Reports whether messages of this priority are shown.
    #[must_use]
    pub fn shows(&self, priority: Priority) -> bool {
        priority as u8 <= self.level
    }

    /// Writes a message if its priority is shown. A message that cannot be written is lost.
    pub fn write(&mut self, priority: Priority, text: impl Display) {
        if self.shows(priority) {
            deliver(&mut self.destination, self.tool, priority, text);
        } else if let Some(hidden) = self.hidden_errors.as_mut().filter(|_| priority <= Priority::Error) {
            deliver(hidden, self.tool, priority, text);
        }
    }

    /// Writes a message about something that a request must not log: only if its priority is shown.
    pub fn write_if_shown(&mut self, priority: Priority, text: impl Display) {
        if self.shows(priority) {
            self.write(priority, text);
        }
    }

    /// Writes an error even if no messages are shown ([`Log::set_level`]).
    pub fn error_even_if_silent(&mut self, text: impl Display) {
        deliver(&mut self.destination, self.tool, Priority::Error, text);
    }

    /// Writes an error.
    pub fn error(&mut self, text: impl Display) {
        self.write(Priority::Error, text);
    }

    /// Writes an error from reading a file, whose effect on the tool is not known yet: a bad line of the configuration or a
    /// damaged module file. `KMOD_LOG` filters these messages in addition to the options of the tool.
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
    /// [`Stop`] if the message is shown. If it is filtered out (`-q`), the tool continues, as C kmod does.
    pub fn fatal(&mut self, text: impl Display) -> Result<(), Stop> {
        self.write(Priority::Fatal, text);
        self.stop_if_shown()
    }

    /// Writes a fatal message that a name was not found, which a request must not log ([`Log::write_if_shown`]).
    ///
    /// # Errors
    /// Like [`Log::fatal`].
    pub fn not_found(&mut self, text: impl Display) -> Result<(), Stop> {
        self.write_if_shown(Priority::Fatal, text);
        self.stop_if_shown()
    }

    fn stop_if_shown(&self) -> Result<(), Stop> {
        if self.shows(Priority::Fatal) { Err(Stop) } else { Ok(()) }
    }

    /// Returns the messages so far if the destination is [`Destination::Memory`], else nothing.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.destination.lines()
    }

    #[cfg(test)]
    pub(crate) fn hidden_lines(&self) -> &[String] {
        self.hidden_errors.as_ref().map_or(&[], Destination::lines)
    }
}

impl Destination {
    fn lines(&self) -> &[String] {
        match self {
            Self::Memory(lines) => lines,
            Self::Stderr | Self::System(_) | Self::Request(_) => &[],
        }
    }
}

fn deliver(destination: &mut Destination, tool: &str, priority: Priority, text: impl Display) {
    let word = priority.word();
    match destination {
        Destination::Stderr => write_all(format!("{tool}: {word}: {text}\n").as_bytes()),
        Destination::System(system) => system.send(priority, tool, &format!("{word}: {text}")),
        Destination::Request(request) => request.write(priority, text),
        Destination::Memory(lines) => lines.push(format!("{tool}: {word}: {text}")),
    }
}

/// Parses a value of `KMOD_LOG`: a number as strtol(3) does, at the end or before white space, or a name by its prefix.
fn level_of(value: &[u8]) -> u8 {
    let text = value.trim_ascii_start();
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(count);
    if count > 0 && rest.first().is_none_or(u8::is_ascii_whitespace) {
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u8::MAX);
        return if is_negative { 0 } else { number };
    }
    let names: [(&[u8], Priority); 3] =
        [(b"err", Priority::Error), (b"info", Priority::Info), (b"debug", Priority::Debug)];
    names.iter().find(|(name, _)| value.starts_with(name)).map_or(0, |(_, level)| *level as u8)
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
    fn messages_beyond_the_level_are_hidden() {
        let mut log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
        log.error("a");
        log.write(Priority::Notice, "b");
        assert_eq!(log.fatal("c"), Err(Stop));
        assert_eq!(log.lines(), ["modprobe: ERROR: a", "modprobe: FATAL: c"]);
    }

    #[test]
    fn kmod_log_is_parsed_as_c_kmod_does() {
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
    fn kmod_log_filters_library_messages_only() {
        let messages = |value: &str| {
            let log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
            let mut log = log.with_variable(value.as_bytes());
            log.library_error("a");
            log.error("b");
            log.set_level(0);
            log.library_error("c");
            log.lines().concat()
        };
        assert_eq!([messages("0"), messages("2")], ["modprobe: ERROR: b", "modprobe: ERROR: b"]);
        assert_eq!(
            [messages("3"), messages("debug")],
            ["modprobe: ERROR: amodprobe: ERROR: b", "modprobe: ERROR: amodprobe: ERROR: b"]
        );
    }

    #[test]
    fn hidden_errors_have_their_own_destination() {
        let memory = || Destination::Memory(Vec::new());
        let mut log = Log::new("modprobe", Priority::Warning, memory()).with_hidden_errors(Some(memory()));
        log.error("shown");
        log.set_level(0);
        log.error("a");
        log.warning("b");
        log.library_error("c");
        assert_eq!([log.fatal("d"), log.not_found("e")], [Ok(()), Ok(())]);
        log.write_if_shown(Priority::Error, "f");
        log.error_even_if_silent("g");
        assert_eq!(log.lines(), ["modprobe: ERROR: shown", "modprobe: ERROR: g"]);
        assert_eq!(log.hidden_lines(), ["modprobe: ERROR: a", "modprobe: ERROR: c", "modprobe: FATAL: d"]);
    }

    #[test]
    fn a_silenced_log_continues_after_a_fatal_message() {
        let mut log = Log::new("modprobe", Priority::Warning, Destination::Memory(Vec::new()));
        log.set_level(0);
        assert_eq!(log.fatal("c"), Ok(()));
        assert!(log.lines().is_empty());
    }
}
