//! Reads from ELF headers what an x86-64 program needs: interpreter, libraries, library search path, and libraries that
//! it may open at run time (the `.note.dlopen` of the UAPI group's specification). Pure.

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadRef as _};

/// The needs of a program or library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The path of the dynamic loader.
    pub interpreter: Option<String>,
    /// The names of required libraries.
    pub libraries: Vec<String>,
    /// The names of libraries that it opens at run time if they exist.
    pub optional: Vec<String>,
    /// RPATH or RUNPATH, split at colons; may contain `$ORIGIN`.
    pub search: Vec<String>,
}

/// The file is not a usable program or library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It is not an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// It is for another machine.
    #[error("not for x86-64")]
    OtherMachine,
    /// Its headers are damaged.
    #[error("damaged ELF headers: {0}")]
    Broken(String),
}

/// The note's owner and type.
const DLOPEN_OWNER: &[u8] = b"FDO";
const DLOPEN_TYPE: u32 = 0x407c_0c0a;

/// Reads the headers of a program or a shared library.
pub(crate) fn needs(data: &[u8]) -> Result<Needs, ElfError> {
    if !data.starts_with(&elf::ELFMAG) {
        return Err(ElfError::NotElf);
    }
    if data.get(4) != Some(&elf::ELFCLASS64.0) {
        return Err(ElfError::OtherMachine);
    }
    let broken = |error: object::Error| ElfError::Broken(error.to_string());
    let header = FileHeader64::<Endianness>::parse(data).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err(ElfError::OtherMachine);
    }
    let segments = header.program_headers(endian, data).map_err(broken)?;
    let mut needs = Needs::default();
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, data).map_err(broken)? {
            needs.interpreter = Some(text(path)?);
        }
        if let Ok(Some(mut notes)) = segment.notes(endian, data) {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == DLOPEN_OWNER && note.n_type(endian).0 == DLOPEN_TYPE {
                    needs.optional.extend(dlopen_names(note.desc()));
                }
            }
        }
    }
    // The load segments map virtual addresses to file offsets.
    let at_address = |address: u64, size: u64| {
        segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
            .find_map(|segment| segment.data_range(endian, data, address, size).ok().flatten())
            .ok_or_else(|| ElfError::Broken("the dynamic string table is outside the file".to_owned()))
    };
    for segment in segments {
        let Some(dynamic) = segment.dynamic(endian, data).map_err(broken)? else { continue };
        let entries = || dynamic.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL);
        let value = |tag| entries().find(|entry| entry.tag(endian) == tag).map(|entry| entry.d_val(endian));
        let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { continue };
        let strings = at_address(address, size)?;
        let string = |entry: &elf::Dyn64<Endianness>| {
            let bytes = strings
                .read_bytes_at_until(entry.d_val(endian)..strings.len() as u64, 0)
                .map_err(|()| ElfError::Broken("a dynamic string is outside its table".to_owned()))?;
            text(bytes)
        };
        // RPATH counts only if there is no RUNPATH.
        let search = if value(elf::DT_RUNPATH).is_some() { elf::DT_RUNPATH } else { elf::DT_RPATH };
        for entry in entries() {
            if entry.tag(endian) == elf::DT_NEEDED {
                needs.libraries.push(string(entry)?);
            } else if entry.tag(endian) == search {
                needs.search.extend(string(entry)?.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(needs)
}

fn text(bytes: &[u8]) -> Result<String, ElfError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ElfError::Broken("a path is not valid UTF-8".to_owned()))
}

#[derive(serde::Deserialize)]
struct Dlopen {
    soname: Vec<String>,
}

/// Returns the names in a dlopen note: a JSON array of features, each with the libraries that provide it.
fn dlopen_names(json: &[u8]) -> Vec<String> {
    let json = json.split(|&byte| byte == 0).next().unwrap_or_default();
    let features: Vec<Dlopen> = serde_json::from_slice(json).unwrap_or_default();
    features.into_iter().flat_map(|feature| feature.soname).collect()
}

/// Builds a program for tests.
#[cfg(test)]
pub(crate) fn sample_program(interpreter: Option<&str>, libraries: &[&str], runpath: Option<&str>) -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut intern = |text: &str| {
        let at = strings.len() as u64;
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    let mut dynamic: Vec<(u64, u64)> = libraries.iter().map(|name| (1, intern(name))).collect();
    dynamic.extend(runpath.map(|path| (29, intern(path))));
    let interp_at = interpreter.map(|path| (intern(path), path.len() as u64 + 1));
    const HEADERS: u64 = 64 + 3 * 56;
    let dynamic_at = HEADERS + strings.len().next_multiple_of(8) as u64;
    dynamic.extend([(5, HEADERS), (10, strings.len() as u64), (0, 0)]);
    let dynamic_size = dynamic.len() as u64 * 16;
    let total = dynamic_at + dynamic_size;

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [3_u16, 62] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 3, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    // Without an interpreter the segment is PT_NULL.
    let (interp, interp_type) = match interp_at {
        Some((at, size)) => ((HEADERS + at, size), 3),
        None => ((0, 0), 0),
    };
    for (kind, at, size) in [(1_u32, 0, total), (interp_type, interp.0, interp.1), (2, dynamic_at, dynamic_size)] {
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&4_u32.to_le_bytes());
        for word in [at, at, at, size, size, 8] {
            file.extend_from_slice(&word.to_le_bytes());
        }
    }
    file.extend_from_slice(&strings);
    file.resize(dynamic_at as usize, 0);
    for (tag, value) in dynamic {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_libraries_and_search_path_are_read() {
        let file =
            sample_program(Some("/lib64/ld.so"), &["libkmod.so.2", "libc.so.6"], Some("$ORIGIN/../lib::/opt/lib"));
        assert_eq!(
            needs(&file).unwrap(),
            Needs {
                interpreter: Some("/lib64/ld.so".to_owned()),
                libraries: vec!["libkmod.so.2".to_owned(), "libc.so.6".to_owned()],
                optional: Vec::new(),
                search: vec!["$ORIGIN/../lib".to_owned(), "/opt/lib".to_owned()],
            }
        );
        assert_eq!(needs(&sample_program(None, &[], None)).unwrap(), Needs::default());
    }

    #[test]
    fn a_file_that_is_not_a_program_for_x86_64_is_an_error() {
        assert_eq!(needs(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        let mut file = sample_program(None, &[], None);
        file[4] = 1;
        assert_eq!(needs(&file), Err(ElfError::OtherMachine));
        file[4] = 2;
        file[18] = 183;
        assert_eq!(needs(&file), Err(ElfError::OtherMachine));
    }

    #[test]
    fn a_truncated_or_damaged_file_does_not_panic() {
        let file = sample_program(Some("/lib64/ld.so"), &["libc.so.6"], Some("/x"));
        for end in 0..file.len() {
            let _ = needs(&file[..end]);
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0xff;
            let _ = needs(&damaged);
        }
    }

    #[test]
    fn libraries_in_a_dlopen_note_are_optional() {
        let json = br#"[{"feature":"xz","priority":"suggested","soname":["liblzma.so.5"]},{"soname":["libz.so.1"]}]"#;
        assert_eq!(dlopen_names(&[&json[..], b"\0"].concat()), ["liblzma.so.5", "libz.so.1"]);
        assert!(dlopen_names(b"nonsense").is_empty());
    }
}
