//! Formats modinfo's output for one module: its `.modinfo` strings and its signature. Pure: bytes in, text out.
//!
//! For programs (`-F`, `-0`) values are printed unchanged. The listing for people escapes control characters, so that a module
//! cannot send escape sequences to a terminal, and indents the further lines of a value like those of a signature, so that a
//! value cannot imitate a key.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
        let mut out = Printer { style: self, text: Vec::new() };
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
        out.text
    }

    /// Returns the module's strings in their order, then the signature, then the parameters in reverse order.
    #[must_use]
    pub fn list<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        signature: Option<&Signature<'_>>,
    ) -> Listing {
        let mut out = Printer { style: self, text: Vec::new() };
        let mut parameters = Parameters::default();
        let shows_parameters = self.field.as_deref().is_none_or(|field| field == b"parm");
        for (key, value) in entries {
            let is_parameter = matches!(key, b"parm" | b"parmtype") && shows_parameters;
            if is_parameter {
                parameters.add(key, value);
            } else {
                out.entry(key, value);
            }
        }
        if let Some(signature) = signature {
            let values: [&[u8]; 5] = [
                signature.id_type.as_str().as_bytes(),
                signature.signer,
                &hex(&signature.key),
                signature.hash.as_bytes(),
                &hex(signature.bytes),
            ];
            SIGNATURE_KEYS.iter().zip(values).for_each(|(key, value)| out.entry(key, value));
        }
        for parameter in parameters.all.iter().rev() {
            out.parameter(parameter);
        }
        Listing { text: out.text, invalid: parameters.invalid }
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
    at: BTreeMap<&'a [u8], usize>,
    invalid: Vec<Vec<u8>>,
}

impl<'a> Parameters<'a> {
    fn add(&mut self, key: &'a [u8], value: &'a [u8]) {
        let Some(colon) = value.iter().position(|&byte| byte == b':') else {
            self.invalid.push([key, b"=", value].concat());
            return;
        };
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
    }
}

struct Printer<'a> {
    style: &'a Style,
    text: Vec<u8>,
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
        let text: &[&[u8]] = match (parameter.description, parameter.kind) {
            (Some(description), Some(kind)) => &[parameter.name, b":", description, b" (", kind, b")"],
            (Some(text), None) => &[parameter.name, b":", text],
            (None, Some(kind)) if listed => &[parameter.name, b":", kind],
            (None, kind) => &[parameter.name, b": (", kind.unwrap_or_default(), b")"],
        };
        if listed { self.column(b"parm", &text.concat()) } else { self.raw(text) }
    }

    /// Prints a key and, in the value column, its value.
    fn column(&mut self, key: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(&readable(key));
        self.text.push(b':');
        let width = self.text.len() - start;
        // The value follows a long key without a space.
        self.text.extend(std::iter::repeat_n(b' ', COLUMN.saturating_sub(width)));
        // NUL-terminated values need no escaping.
        let value = if self.style.null { Cow::Borrowed(value) } else { readable(value) };
        self.raw(&[&value]);
    }

    fn raw(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        self.text.push(if self.style.null { 0 } else { b'\n' });
    }
}

/// Formats bytes as `AA:BB`, in lines.
fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(bytes.len() * 3 + bytes.len() / BYTES_PER_LINE * 2);
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 {
            text.push(b':');
            if number % BYTES_PER_LINE == 0 {
                text.extend_from_slice(NEXT_LINE);
            }
        }
        text.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    text
}

/// Escapes text for a terminal: control characters except tabs become `\xNN`, and each newline is followed by the indentation
/// of a continuation line. Other text is unchanged, whatever its encoding. The function is idempotent.
#[must_use]
pub fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    if bytes.iter().all(is_plain) {
        return Cow::Borrowed(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for (at, character) in chunk.valid().char_indices() {
            let mut buffer = [0; 4];
            let encoded = character.encode_utf8(&mut buffer).as_bytes();
            match character {
                '\n' if chunk.valid().as_bytes()[at..].starts_with(NEXT_LINE) => text.push(b'\n'),
                '\n' => text.extend_from_slice(NEXT_LINE),
                '\t' => text.push(b'\t'),
                _ if character.is_control() => encoded.iter().for_each(|byte| escape(&mut text, *byte)),
                _ => text.extend_from_slice(encoded),
            }
        }
        for &byte in chunk.invalid() {
            // The C1 control characters of single-byte encodings.
            if matches!(byte, 0x80..=0x9f) { escape(&mut text, byte) } else { text.push(byte) }
        }
    }
    Cow::Owned(text)
}

fn escape(text: &mut Vec<u8>, byte: u8) {
    text.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
}

#[cfg(test)]
mod tests;
