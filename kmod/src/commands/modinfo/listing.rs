//! Formats modinfo's output for one module: its `.modinfo` strings and its signature. Pure: bytes in, text out.
//!
//! For programs (`-F`, `-0`) values are printed unchanged. The listing for people escapes control characters, so that a module
//! cannot send escape sequences to a terminal, and indents the further lines of a value like those of a signature, so that a
//! value cannot imitate a key.

use std::borrow::Cow;
use std::collections::{HashMap, TryReserveError};

use crate::hash::SeededState;
use crate::object::Signature;

/// The column in which values begin.
const COLUMN: usize = 16;
/// The separator of the lines of a value.
const NEXT_LINE: &[u8] = b"\n\t\t";
/// The number of signature bytes per line.
const BYTES_PER_LINE: usize = 20;

/// The keys of a signature.
const SIGNATURE_KEYS: [&[u8]; 5] = [b"sig_id", b"signer", b"sig_key", b"sig_hashalgo", b"signature"];

/// The selection and format of the output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Style {
    /// Print only the values of this key.
    pub field: Option<Vec<u8>>,
    /// End each entry with NUL instead of a newline.
    pub null: bool,
}

/// The text for one module, and its invalid strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The text for standard output.
    pub text: Vec<u8>,
    /// The `parm=…` and `parmtype=…` strings without a colon, which the text omits.
    pub invalid: Vec<Vec<u8>>,
    /// There is not enough memory for the text; the rest is empty.
    pub out_of_memory: bool,
}

impl Style {
    /// Reports whether only the file name is printed, which is not part of the module.
    #[must_use]
    pub fn is_filename(&self) -> bool {
        self.field.as_deref() == Some(b"filename")
    }

    /// Reports whether the output can include the signature.
    #[must_use]
    pub fn shows_signature(&self) -> bool {
        self.field.as_deref().is_none_or(|field| SIGNATURE_KEYS.contains(&field))
    }

    /// Returns the first lines: the file's path, or the name of a built-in module, which has no file.
    #[must_use]
    pub fn heading(&self, name: &[u8], path: Option<&[u8]>) -> Vec<u8> {
        let mut out = Printer { style: self, text: Text::default() };
        let place = path.unwrap_or(b"(builtin)");
        match self.field.as_deref() {
            Some(b"filename") => out.raw(&[place]),
            Some(b"name") if path.is_none() => out.raw(&[name]),
            Some(_) => {}
            None => {
                if path.is_none() {
                    out.column(b"name", name);
                }
                out.column(b"filename", place);
            }
        }
        out.text.bytes
    }

    /// Returns the module's strings in their order, then the signature, then the parameters in reverse order.
    #[must_use]
    pub fn list<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        signature: Option<&Signature<'_>>,
    ) -> Listing {
        // The text may be several times as long as the strings.
        let without_memory = |_| Listing { out_of_memory: true, ..Listing::default() };
        self.try_list(entries, signature).unwrap_or_else(without_memory)
    }

    fn try_list<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        signature: Option<&Signature<'_>>,
    ) -> Result<Listing, TryReserveError> {
        let mut out = Printer { style: self, text: Text::default() };
        let mut parameters = Parameters::default();
        let shows_parameters = self.field.as_deref().is_none_or(|field| field == b"parm");
        for (key, value) in entries {
            let is_parameter = matches!(key, b"parm" | b"parmtype") && shows_parameters;
            if is_parameter {
                parameters.add(key, value)?;
            } else {
                out.entry(key, value);
            }
        }
        if let Some(signature) = signature {
            let values: [&[u8]; 5] = [
                signature.id_type.as_str().as_bytes(),
                signature.signer,
                &hex(&signature.key)?,
                signature.hash.as_bytes(),
                &hex(signature.bytes)?,
            ];
            SIGNATURE_KEYS.iter().zip(values).for_each(|(key, value)| out.entry(key, value));
        }
        for parameter in parameters.all.iter().rev() {
            out.parameter(parameter);
        }
        Ok(Listing { text: out.text.finish()?, invalid: parameters.invalid, out_of_memory: false })
    }
}

/// A parameter with a description, a type or both.
#[derive(Debug)]
struct Parameter<'a> {
    name: &'a [u8],
    description: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Parameters<'a> {
    /// In the order of their first occurrence.
    all: Vec<Parameter<'a>>,
    at: HashMap<&'a [u8], usize, SeededState>,
    invalid: Vec<Vec<u8>>,
}

impl<'a> Parameters<'a> {
    fn add(&mut self, key: &'a [u8], value: &'a [u8]) -> Result<(), TryReserveError> {
        let Some(colon) = value.iter().position(|&byte| byte == b':') else {
            let mut invalid = Text::default();
            [key, b"=", value].iter().for_each(|part| invalid.put(part));
            self.invalid.try_reserve(1)?;
            self.invalid.push(invalid.finish()?);
            return Ok(());
        };
        self.all.try_reserve(1)?;
        self.at.try_reserve(1)?;
        let (name, text) = (&value[..colon], &value[colon + 1..]);
        let at = *self.at.entry(name).or_insert(self.all.len());
        if at == self.all.len() {
            self.all.push(Parameter { name, description: None, kind: None });
        }
        if let Some(parameter) = self.all.get_mut(at) {
            // The last occurrence wins.
            let part = if key == b"parm" { &mut parameter.description } else { &mut parameter.kind };
            *part = Some(text);
        }
        Ok(())
    }
}

/// A text that ends where there is not enough memory for more.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    error: Option<TryReserveError>,
}

impl Text {
    fn put(&mut self, bytes: &[u8]) {
        // A failed allocation costs a system call or two: there may be millions of them.
        if self.error.is_some() {
            return;
        }
        match self.bytes.try_reserve(bytes.len()) {
            Ok(()) => self.bytes.extend_from_slice(bytes),
            Err(error) => self.error = Some(error),
        }
    }

    /// Returns the text, if it is complete.
    fn finish(self) -> Result<Vec<u8>, TryReserveError> {
        self.error.map_or(Ok(self.bytes), Err)
    }

    /// Appends text for a terminal, see [`readable`].
    fn put_readable(&mut self, bytes: &[u8]) {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        if bytes.iter().all(is_plain) {
            return self.put(bytes);
        }
        for chunk in bytes.utf8_chunks() {
            for (at, character) in chunk.valid().char_indices() {
                let mut buffer = [0; 4];
                let encoded = character.encode_utf8(&mut buffer).as_bytes();
                match character {
                    '\n' if chunk.valid().as_bytes()[at..].starts_with(NEXT_LINE) => self.put(b"\n"),
                    '\n' => self.put(NEXT_LINE),
                    '\t' => self.put(b"\t"),
                    _ if character.is_control() => encoded.iter().for_each(|byte| self.escape(*byte)),
                    _ => self.put(encoded),
                }
            }
            for &byte in chunk.invalid() {
                // The C1 control characters of single-byte encodings.
                if matches!(byte, 0x80..=0x9f) { self.escape(byte) } else { self.put(&[byte]) }
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        self.put(format!("\\x{byte:02x}").as_bytes());
    }
}

struct Printer<'a> {
    style: &'a Style,
    text: Text,
}

impl Printer<'_> {
    /// Prints a key and its value if they are selected.
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        match self.style.field.as_deref() {
            Some(field) if field == key => self.raw(&[value]),
            Some(_) => {}
            None if self.style.null => self.raw(&[key, b"=", value]),
            None => self.column(key, value),
        }
    }

    fn parameter(&mut self, parameter: &Parameter<'_>) {
        let listed = self.style.field.is_none();
        let parts: &[&[u8]] = match (parameter.description, parameter.kind) {
            (Some(description), Some(kind)) => &[parameter.name, b":", description, b" (", kind, b")"],
            (Some(text), None) => &[parameter.name, b":", text],
            (None, Some(kind)) if listed => &[parameter.name, b":", kind],
            (None, kind) => &[parameter.name, b": (", kind.unwrap_or_default(), b")"],
        };
        if !listed {
            return self.raw(parts);
        }
        let mut value = Text::default();
        parts.iter().for_each(|part| value.put(part));
        match value.finish() {
            Ok(value) => self.column(b"parm", &value),
            Err(error) => self.text.error = Some(error),
        }
    }

    /// Prints a key and, in the value column, its value.
    fn column(&mut self, key: &[u8], value: &[u8]) {
        let start = self.text.bytes.len();
        self.text.put_readable(key);
        self.text.put(b":");
        let width = self.text.bytes.len() - start;
        // The value follows a long key without a space.
        self.text.put(&b"                "[..COLUMN.saturating_sub(width)]);
        // NUL-terminated values need no escaping.
        if self.style.null {
            self.text.put(value)
        } else {
            self.text.put_readable(value)
        }
        self.raw(&[]);
    }

    /// Prints text unchanged, and the end of the entry.
    fn raw(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.text.put(part));
        self.text.put(if self.style.null { b"\0" } else { b"\n" });
    }
}

/// Formats bytes as `AA:BB`, in lines.
fn hex(bytes: &[u8]) -> Result<Vec<u8>, TryReserveError> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::new();
    text.try_reserve_exact(bytes.len() * 3 + bytes.len() / BYTES_PER_LINE * NEXT_LINE.len())?;
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 {
            text.push(b':');
            if number % BYTES_PER_LINE == 0 {
                text.extend_from_slice(NEXT_LINE);
            }
        }
        text.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    Ok(text)
}

/// Escapes text for a terminal: control characters except tabs become `\xNN`, and each newline is followed by the indentation
/// of a continuation line. Other text is unchanged, whatever its encoding. The function is idempotent.
#[must_use]
pub fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Text::default();
    text.put_readable(bytes);
    Cow::Owned(text.bytes)
}

#[cfg(test)]
mod tests;
