//! The results of a sandbox, and their form on its standard output: lengths and bytes.

use std::io::{self, Read, Write};

/// The result of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// `exit 0`, `signal 11`, `signal: endless`.
    pub end: String,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// The messages to /dev/log.
    pub syslog: Vec<u8>,
    /// The changed files: path, kind with permissions, contents. The kind of a removed file is `gone`.
    pub files: Vec<(Vec<u8>, String, Vec<u8>)>,
}

impl Done {
    /// Whether the command ended by itself within its limits.
    pub fn has_ended(&self) -> bool {
        !self.end.starts_with("signal: ")
    }
}

/// The number of a step, the tool that ran it, and the result.
pub type Row = (usize, String, Done);

pub fn write(rows: &[Row], to: &mut impl Write) -> io::Result<()> {
    number(rows.len(), to)?;
    for (step, by, done) in rows {
        number(*step, to)?;
        for part in [by.as_bytes(), done.end.as_bytes(), &done.out, &done.err, &done.syslog] {
            bytes(part, to)?;
        }
        number(done.files.len(), to)?;
        for (path, kind, contents) in &done.files {
            bytes(path, to)?;
            bytes(kind.as_bytes(), to)?;
            bytes(contents, to)?;
        }
    }
    to.flush()
}

pub fn read(from: &mut impl Read) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for _ in 0..take_number(from)? {
        let step = take_number(from)?;
        let by = take_text(from)?;
        let mut done =
            Done { end: take_text(from)?, out: take(from)?, err: take(from)?, syslog: take(from)?, files: Vec::new() };
        for _ in 0..take_number(from)? {
            done.files.push((take(from)?, take_text(from)?, take(from)?));
        }
        rows.push((step, by, done));
    }
    Ok(rows)
}

pub fn number(number: usize, to: &mut impl Write) -> io::Result<()> {
    to.write_all(&(number as u64).to_le_bytes())
}

pub fn bytes(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    number(bytes.len(), to)?;
    to.write_all(bytes)
}

pub fn take_number(from: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes) as usize)
}

fn take(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; take_number(from)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub fn take_text(from: &mut impl Read) -> io::Result<String> {
    take(from).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
