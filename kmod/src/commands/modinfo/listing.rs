//! What modinfo prints of one module: the strings that it says of itself, and its signature. Pure: bytes in, text out.
//!
//! For programs (`-F`, `-0`) values are printed as they are. In the listing for people control characters are escaped, so
//! that no module can bring an escape sequence to a terminal, and further lines of a value are indented, as those
//! of a signature are, so that no value can begin a line that looks like a key.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::object::Signature;

/// Where values begin.
const COLUMN: usize = 16;
/// What the next line of a value begins with.
const NEXT_LINE: &[u8] = b"\n\t\t";
/// A signature has so many bytes in a line.
const BYTES_IN_LINE: usize = 20;

/// What a signature has to say.
const SIGNATURE: [&[u8]; 5] = [b"sig_id", b"signer", b"sig_key", b"sig_hashalgo", b"signature"];

/// What is printed, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Style {
    /// The values of this key only.
    pub field: Option<Vec<u8>>,
    /// NUL ends each entry, not a newline.
    pub null: bool,
}

/// The text for one module, and what was wrong with its strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// For standard output.
    pub text: Vec<u8>,
    /// `parm=…` and `parmtype=…` without a colon, as they stand in the module. They are left out.
    pub invalid: Vec<Vec<u8>>,
}

impl Style {
    /// Whether what is asked for does not stand in the module: its file's name.
    #[must_use]
    pub fn is_filename(&self) -> bool {
        self.field.as_deref() == Some(b"filename")
    }

    /// Whether the signature has to be looked at.
    #[must_use]
    pub fn wants_signature(&self) -> bool {
        self.field.as_deref().is_none_or(|field| SIGNATURE.contains(&field))
    }

    /// What comes first: the file's path, or for a built-in module, which has none, its name.
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

    /// What the module says of itself, in its order; then its signature; then its parameters, the last one first.
    #[must_use]
    pub fn list<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        signature: Option<&Signature<'_>>,
    ) -> Listing {
        let mut out = Printer { style: self, text: Vec::new() };
        let mut parameters = Parameters::default();
        let wants_parameters = self.field.as_deref().is_none_or(|field| field == b"parm");
        for (key, value) in entries {
            let is_parameter = matches!(key, b"parm" | b"parmtype") && wants_parameters;
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
            SIGNATURE.iter().zip(values).for_each(|(key, value)| out.entry(key, value));
        }
        for parameter in parameters.all.iter().rev() {
            out.parameter(parameter);
        }
        Listing { text: out.text, invalid: parameters.invalid }
    }
}

/// A parameter, of which a description, a type or both are given.
#[derive(Debug)]
struct Parameter<'a> {
    name: &'a [u8],
    description: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Parameters<'a> {
    /// In the order in which they are first named.
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
            // The last one counts.
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
    /// A key with its value, when it is asked for.
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

    /// A key in its column, and its value.
    fn column(&mut self, key: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(&readable(key));
        self.text.push(b':');
        let width = self.text.len() - start;
        // A key that does not fit has its value at once behind it.
        self.text.extend(std::iter::repeat_n(b' ', COLUMN.saturating_sub(width)));
        // Between NULs nothing has to be kept apart by lines.
        let value = if self.style.null { Cow::Borrowed(value) } else { readable(value) };
        self.raw(&[&value]);
    }

    fn raw(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        self.text.push(if self.style.null { 0 } else { b'\n' });
    }
}

/// `AA:BB`, in lines.
fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(bytes.len() * 3 + bytes.len() / BYTES_IN_LINE * 2);
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 {
            text.push(b':');
            if number % BYTES_IN_LINE == 0 {
                text.extend_from_slice(NEXT_LINE);
            }
        }
        text.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    text
}

/// Text for a terminal: control characters as `\xNN`, but tabs as they are, and each newline with the indent of a
/// further line (once: what is readable stays so). Everything else stays, whatever its encoding.
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
            // Where text is not UTF-8 these are control characters, too.
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
