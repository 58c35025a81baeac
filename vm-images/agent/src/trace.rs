//! Kernel trace events, through tracefs.

use crate::actions::files;
use crate::sys::strerror;
use rustix::fs::OFlags;
use rustix::io::Errno;

const ROOT: &str = "/sys/kernel/tracing";

/// An event cannot be traced.
#[derive(Debug)]
pub enum TraceError {
    /// The kernel does not have this file, or no tracefs.
    Missing(String),
    /// It is there and cannot be used, for this reason.
    Failed(String),
}

/// The enabled events.
#[derive(Default)]
pub struct Trace {
    on: Vec<String>,
}

impl Trace {
    /// Enables these events, disables the previous ones, and clears the trace.
    pub fn turn_on(&mut self, events: Vec<String>) -> Result<(), TraceError> {
        mount()?;
        for event in self.on.drain(..) {
            switch(&event, b"0")?;
        }
        for event in events {
            switch(&event, b"1")?;
            self.on.push(event);
        }
        put("trace", b"", OFlags::TRUNC)
    }

    /// Returns the lines of the trace without comments.
    pub fn lines(&self) -> Result<Vec<Vec<u8>>, String> {
        let path = format!("{ROOT}/trace");
        let text = files::read(path.as_bytes(), usize::MAX)
            .map_err(|errno| format!("cannot read {path}: {}", strerror(errno)))?;
        Ok(lines(&text))
    }
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&b| b == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#'))).map(<[u8]>::to_vec).collect()
}

fn mount() -> Result<(), TraceError> {
    if files::stat(format!("{ROOT}/trace").as_bytes()).is_ok() {
        return Ok(());
    }
    // Mounting a file system that is not built in would make the kernel request a module.
    if !crate::init::has_filesystem("tracefs") {
        return Err(TraceError::Missing("tracefs".into()));
    }
    files::mount(b"tracefs", ROOT.as_bytes(), b"tracefs", 0, b"")
        .map_err(|errno| TraceError::Failed(format!("cannot mount tracefs: {}", strerror(errno))))
}

fn switch(event: &str, to: &[u8]) -> Result<(), TraceError> {
    put(&format!("events/{event}/enable"), to, OFlags::empty())
}

fn put(name: &str, data: &[u8], flags: OFlags) -> Result<(), TraceError> {
    let path = format!("{ROOT}/{name}");
    match files::write(path.as_bytes(), data, flags | OFlags::WRONLY) {
        Ok(_) => Ok(()),
        Err(Errno::NOENT) => Err(TraceError::Missing(path)),
        Err(errno) => Err(TraceError::Failed(format!("cannot write {path}: {}", strerror(errno)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_omitted() {
        let text = b"# tracer: nop\n#\n   modprobe-1 [000] 1.2: module_request: fs-x wait=1\n\n second\n";
        assert_eq!(
            lines(text),
            [b"   modprobe-1 [000] 1.2: module_request: fs-x wait=1".to_vec(), b" second".to_vec()]
        );
    }
}
