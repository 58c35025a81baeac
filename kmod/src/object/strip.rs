//! Removes from a module what the kernel checks before it loads it: for init_module(2), which has no flags to skip the checks.
//! Pure.

use super::elf::{ElfModule, Encoding, Header};
use super::{ObjectErrorKind, signature};
use std::ops::Range;

/// The flag of a section that is loaded into memory. The kernel does not find sections without it.
const SHF_ALLOC: u8 = 2;

/// The sections with the versions of imported symbols; the last two are those of extended versions, since Linux 6.14.
const VERSIONS: [&[u8]; 3] = [b"__versions", b"__version_ext_crcs", b"__version_ext_names"];

/// Removes the versions of imported symbols, the version magic, or both. A signature is removed too, since it does not match
/// the changed image: finit_module(2) with flags also ignores it.
///
/// # Errors
/// [`ObjectErrorKind`] if the image is not a valid ELF file.
pub(crate) fn strip(image: &mut Vec<u8>, versions: bool, vermagic: bool) -> Result<(), ObjectErrorKind> {
    let mut flags = Vec::new();
    let mut cleared = Vec::new();
    let elf = ElfModule::parse(image)?;
    if versions {
        flags = flags_of(&elf, image, &VERSIONS);
    }
    if vermagic {
        cleared = modinfo_entries(&elf, image, b"vermagic=");
    }
    for at in flags {
        image.get_mut(at).into_iter().for_each(|byte| *byte &= !SHF_ALLOC);
    }
    for range in cleared {
        image.get_mut(range).into_iter().for_each(|bytes| bytes.fill(0));
    }
    remove_signature(image);
    Ok(())
}

/// Returns the offsets of the lowest byte of the flags of these sections.
fn flags_of(elf: &ElfModule<'_>, image: &[u8], names: &[&[u8]]) -> Vec<usize> {
    let table = Header::read(elf.encoding, image).and_then(|header| usize::try_from(header.sections_at).ok());
    let Some(table) = table else { return Vec::new() };
    let entry = elf.encoding.section_size();
    // `sections` does not contain section 0.
    let named = elf.sections().enumerate().filter(|(_, section)| names.iter().any(|name| elf.is_named(section, name)));
    named
        .filter_map(|(index, _)| Some(table.checked_add((index + 1) * entry)? + low_byte_of_flags(elf.encoding)))
        .collect()
}

/// Returns the offset in a section header of the lowest byte of its flags.
fn low_byte_of_flags(encoding: Encoding) -> usize {
    match (encoding.is_big, encoding.is_64) {
        (false, _) => 8,
        (true, false) => 11,
        (true, true) => 15,
    }
}

/// Returns the ranges of the entries of .modinfo with this key.
fn modinfo_entries(elf: &ElfModule<'_>, image: &[u8], key: &[u8]) -> Vec<Range<usize>> {
    let section = elf.sections().find(|section| elf.is_named(section, b".modinfo"));
    let range = section.and_then(|section| {
        let start = usize::try_from(section.offset).ok()?;
        Some(start..start.checked_add(usize::try_from(section.size).ok()?)?)
    });
    let Some((start, bytes)) = range.and_then(|range| Some((range.start, image.get(range)?))) else {
        return Vec::new();
    };
    let mut ranges = Vec::new();
    let mut at = start;
    for entry in bytes.split(|&b| b == 0) {
        if entry.starts_with(key) {
            ranges.push(at..at + entry.len());
        }
        at += entry.len() + 1;
    }
    ranges
}

fn remove_signature(image: &mut Vec<u8>) {
    let end = image.len().saturating_sub(signature::TRAILER_LENGTH);
    let length = image.get(end..).and_then(signature::appended_length).and_then(|length| usize::try_from(length).ok());
    if let Some(rest) = length.and_then(|length| image.len().checked_sub(length)) {
        image.truncate(rest);
    } else if image.ends_with(signature::MARKER) {
        // A damaged signature: without the marker the kernel does not look for it.
        image.truncate(image.len() - signature::MARKER.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TinyModule;
    use super::*;

    fn modules() -> impl Iterator<Item = TinyModule> {
        [(false, false), (true, false), (false, true), (true, true)].into_iter().map(|(is_32, is_big)| TinyModule {
            is_32,
            is_big,
            versions: vec![("f".into(), 7)],
            ..TinyModule::named("m").info("vermagic=6.1 SMP").info("alias=x").info("vermagic=again")
        })
    }

    /// The name of each loaded section, and the entries of .modinfo.
    fn summary(image: &[u8]) -> String {
        let elf = ElfModule::parse(image).unwrap();
        let flags = flags_of(&elf, image, &VERSIONS);
        assert_eq!(flags.len(), 1);
        let loaded = if image[flags[0]] & SHF_ALLOC != 0 { "__versions" } else { "" };
        let modinfo = elf.modinfo().unwrap();
        let keys: Vec<_> = modinfo.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
        format!("{loaded} {}", keys.join(" "))
    }

    #[test]
    fn each_check_is_removed_alone_or_with_the_other() {
        for module in modules() {
            let stripped = |versions, vermagic| {
                let mut image = module.build();
                strip(&mut image, versions, vermagic).unwrap();
                assert_eq!(image.len(), module.build().len());
                summary(&image)
            };
            assert_eq!(stripped(false, false), "__versions name vermagic alias vermagic");
            assert_eq!(stripped(true, false), " name vermagic alias vermagic");
            assert_eq!(stripped(false, true), "__versions name alias");
            assert_eq!(stripped(true, true), " name alias");
        }
    }

    #[test]
    fn a_signature_is_removed_even_if_it_is_damaged() {
        let module = TinyModule::named("m").build();
        let trailer = |length: u32| [&[0, 0, 2, 0, 0, 0, 0, 0], &length.to_be_bytes()[..], signature::MARKER].concat();
        let mut image = [&module[..], b"signed", &trailer(6)].concat();
        strip(&mut image, true, true).unwrap();
        assert_eq!(image, module);
        let mut image = [&module[..], b"signed", &trailer(0)].concat();
        strip(&mut image, true, true).unwrap();
        assert!(!image.ends_with(signature::MARKER));
    }

    #[test]
    fn an_image_that_is_not_a_module_is_an_error() {
        assert!(strip(&mut b"text".to_vec(), true, true).is_err());
    }

    #[test]
    fn any_damaged_module_is_stripped_without_a_panic() {
        arbtest::arbtest(|u| {
            let mut image = modules().nth(u.int_in_range(0..=3)?).map(|module| module.build()).unwrap_or_default();
            for _ in 0..u.int_in_range(0..=4)? {
                let at = u.int_in_range(0..=image.len() - 1)?;
                image[at] = u.arbitrary()?;
            }
            image.truncate(u.int_in_range(0..=image.len())?);
            let _ = strip(&mut image, true, true);
            Ok(())
        });
    }
}
