//! The body of the fuzz target `modinfo`.

use super::elf::{Form, PROGBITS, Section};
use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::commands::modinfo::listing::{Style, readable};
use kmod::object::{ElfModule, Limits, Modinfo, Module, Signature};

/// The first byte of a structured input; any other input is a module file, or the bytes of its `.modinfo`.
const STRUCTURED: u8 = b'S';

/// The input is an uncompressed module file, the strings of one, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about modinfo's output is broken, or if a file in memory cannot be created.
pub fn modinfo(data: &[u8]) {
    if let Some((&STRUCTURED, bytes)) = data.split_first() {
        let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
        let file = recipe.file();
        let strings = strings(&file).unwrap_or_else(|| panic!("a valid module is rejected"));
        assert_eq!(strings, recipe.strings(), "the strings are not those of the module");
        check_listings(&strings, &recipe.appended);
        return;
    }
    let strings = strings(data);
    check_listings(strings.as_deref().unwrap_or(data), data);
}

/// A module with these strings and appended bytes.
#[derive(Debug, Arbitrary)]
struct Recipe {
    form: Form,
    entries: Vec<(Key, Vec<u8>)>,
    appended: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Key {
    Parm,
    Parmtype,
    Name,
    Filename,
    Alias,
    Signer,
    Any(Vec<u8>),
}

impl Recipe {
    fn strings(&self) -> Vec<u8> {
        let string = |(key, value): &(Key, Vec<u8>)| {
            let key: &[u8] = match key {
                Key::Parm => b"parm",
                Key::Parmtype => b"parmtype",
                Key::Name => b"name",
                Key::Filename => b"filename",
                Key::Alias => b"alias",
                Key::Signer => b"signer",
                Key::Any(key) => key,
            };
            [key, b"=", value, b"\0"].concat()
        };
        self.entries.iter().flat_map(string).collect()
    }

    fn file(&self) -> Vec<u8> {
        let section = Section { name: ".modinfo", kind: PROGBITS, link: 0, bytes: self.strings() };
        [self.form.file(&[section]), self.appended.clone()].concat()
    }
}

/// The bytes of `.modinfo`, read from memory and in pieces from a file, which must give the same.
fn strings(bytes: &[u8]) -> Option<Vec<u8>> {
    let whole = ElfModule::parse(bytes).and_then(|elf| elf.section(b".modinfo"));
    let whole = whole.map(|section| section.map(|bytes| bytes.to_vec())).map_err(|kind| kind.to_string());
    // Only ELF files: one with the magic number of a compressed file would be decompressed.
    if bytes.starts_with(b"\x7fELF") {
        let file = Unnamed::new(bytes);
        let opened = Module::open(&file.path(), &Limits::default());
        let module = opened.unwrap_or_else(|error| panic!("a file in memory is rejected: {error}"));
        let pieces = module.elf().map_err(|error| error.kind).and_then(|elf| elf.section(b".modinfo"));
        let pieces = pieces.map(|section| section.map(|bytes| bytes.to_vec())).map_err(|kind| kind.to_string());
        assert_eq!(pieces, whole, "the file in pieces differs from the whole");
        let appended =
            module.signature_bytes().unwrap_or_else(|error| panic!("the end of the file cannot be read: {error}"));
        let parsed = appended.as_deref().and_then(Signature::parse);
        assert_eq!(
            parsed,
            Signature::parse(bytes),
            "the signature at the end of the file differs from that of the whole"
        );
    }
    whole.ok().flatten()
}

type Entry<'a> = (&'a [u8], &'a [u8]);

/// A second parser for the strings.
fn naive(strings: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for string in strings.split(|byte| *byte == 0) {
        let mut parts = string.splitn(2, |byte| *byte == b'=');
        match (parts.next().unwrap_or_default(), parts.next()) {
            (b"", None) => {}
            (key, value) => entries.push((key, value.unwrap_or_default())),
        }
    }
    entries
}

/// Checks all listings of these strings and of the signature at the end of `signed`.
fn check_listings(strings: &[u8], signed: &[u8]) {
    let modinfo = Modinfo::new(strings);
    let entries = naive(strings);
    assert_eq!(modinfo.iter().collect::<Vec<_>>(), entries, "the naive parser differs");
    let signature = Signature::parse(signed);
    let list = |field: Option<&[u8]>, null: bool| {
        Style { field: field.map(<[u8]>::to_vec), null }.list(modinfo.iter(), signature.as_ref())
    };
    let (parameters, invalid) = parameters(&entries);

    // Everything, in the format for programs.
    let all = list(None, true);
    assert_eq!(all.invalid, invalid);
    let mut rest = split(&all.text).into_iter();
    for (key, value) in entries.iter().filter(|(key, _)| !matches!(*key, b"parm" | b"parmtype")) {
        assert_eq!(rest.next(), Some([key, &b"="[..], value].concat()), "an entry differs from that of the module");
    }
    let of_signature: Vec<Vec<u8>> = rest.by_ref().take(if signature.is_some() { 5 } else { 0 }).collect();
    let (column, listed): (&[u8], Vec<_>) = (b"parm:           ", rest.collect());
    let expected = parameters.iter().map(|parameter| [column, &parameter.text(true)].concat());
    assert_eq!(listed, expected.collect::<Vec<_>>(), "parameters are not listed once each, the last one first");

    // Each field.
    for (key, _) in entries.iter().take(64) {
        let values: Vec<Vec<u8>> = if *key == b"parm" {
            parameters.iter().map(|parameter| parameter.text(false)).collect()
        } else {
            let own = entries.iter().filter(|(other, _)| other == key).map(|(_, value)| value.to_vec());
            let begin = [key, &b"="[..]].concat();
            own.chain(of_signature.iter().filter_map(|entry| entry.strip_prefix(&begin[..]).map(<[u8]>::to_vec)))
                .collect()
        };
        assert_eq!(split(&list(Some(key), true).text), values, "a field's values are not those of the module");
        let lines = values.iter().flat_map(|value| [&value[..], b"\n"]).collect::<Vec<_>>().concat();
        assert_eq!(list(Some(key), false).text, lines, "a field is not printed unchanged");
    }
    assert!(list(Some(b"no such \0 field"), false).text.is_empty());
    check_readable(&list(None, false).text, &entries);
}

/// The listing for people contains no control character, and each line begins with a key or with tabs.
fn check_readable(text: &[u8], entries: &[Entry<'_>]) {
    assert_eq!(
        readable(text).iter().filter(|byte| **byte != b'\t').count(),
        text.iter().filter(|byte| **byte != b'\t').count()
    );
    let own: [&[u8]; 6] = [b"parm", b"sig_id", b"signer", b"sig_key", b"sig_hashalgo", b"signature"];
    let keys: std::collections::HashSet<Vec<u8>> = entries
        .iter()
        .map(|(key, _)| *key)
        .chain(own)
        .flat_map(|key| readable(key).split(|b| *b == b'\n').map(<[u8]>::to_vec).next())
        .collect();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"\t\t")) {
        let ends = line.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at).chain([line.len()]);
        assert!(
            ends.into_iter().any(|end| keys.contains(&line[..end])),
            "{:?} does not begin with a key",
            kmod::name::Escaped(line)
        );
    }
}

/// Splits text into entries, each of which ends in NUL.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(parts.pop(), Some(Vec::new()), "the last entry does not end in NUL");
    parts
}

/// A parameter, assembled from its strings.
struct Parameter<'a> {
    name: &'a [u8],
    description: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl Parameter<'_> {
    fn text(&self, in_listing: bool) -> Vec<u8> {
        let mut text = [self.name, b":", self.description.unwrap_or_default()].concat();
        match self.kind {
            Some(kind) if self.description.is_none() && in_listing => text.extend_from_slice(kind),
            Some(kind) => text.extend([b" (", kind, b")"].concat()),
            None => {}
        }
        text
    }
}

/// The parameters, the last one first, and the invalid entries.
fn parameters<'a>(entries: &[Entry<'a>]) -> (Vec<Parameter<'a>>, Vec<Vec<u8>>) {
    let (mut all, mut invalid): (Vec<Parameter<'_>>, _) = (Vec::new(), Vec::new());
    for (key, value) in entries.iter().filter(|(key, _)| matches!(*key, b"parm" | b"parmtype")) {
        let mut parts = value.splitn(2, |byte| *byte == b':');
        let (name, Some(text)) = (parts.next().unwrap_or_default(), parts.next()) else {
            invalid.push([key, &b"="[..], value].concat());
            continue;
        };
        let at = all.iter().position(|parameter| parameter.name == name).unwrap_or_else(|| {
            all.insert(0, Parameter { name, description: None, kind: None });
            0
        });
        let part = if *key == b"parm" { &mut all[at].description } else { &mut all[at].kind };
        *part = Some(text);
    }
    (all, invalid)
}
