//! The body of the fuzz target `symbols`.

mod recipe;

use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::name::NAME_LIMIT;
use kmod::object::{ElfModule, Limits, Module, ObjectErrorKind};
use recipe::Recipe;

/// What a structured input begins with; everything else is a module file that is not compressed.
const STRUCTURED: u8 = b'S';

/// The input is an ELF file, or `S` and the making of one.
///
/// # Panics
/// When a promise about the symbols of modules is broken, or when no file can be made in memory.
pub fn symbols(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
            let mut file = recipe.file();
            let said =
                hostile(&file).unwrap_or_else(|error| panic!("a file as a compiler makes it is refused: {error}"));
            assert_eq!(said, recipe.expected(), "what was put in is not what comes out");
            recipe.damage(&mut file);
            let _whatever_is_left = hostile(&file);
        }
        _ => {
            let _whatever_it_is = hostile(data);
        }
    }
}

/// All that a module says of its symbols.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Names with their checksums.
    exports: Vec<(Vec<u8>, Option<u64>)>,
    /// Names, whether they are weak, checksums.
    imports: Vec<(Vec<u8>, bool, Option<u64>)>,
    versions: Vec<(Vec<u8>, u64)>,
}

/// Whatever the bytes are: what is said lies in the file, and is the same whether the file is read whole or piece by piece.
fn hostile(bytes: &[u8]) -> Result<Said, String> {
    let from_memory = ElfModule::parse(bytes).and_then(|elf| {
        names_are_the_files(&elf, bytes)?;
        all(&elf)
    });
    let from_memory = from_memory.map_err(|kind| kind.to_string());
    // What begins as a compressed file does would be decompressed.
    if bytes.starts_with(b"\x7fELF") {
        assert_eq!(from_file(bytes), from_memory, "the file in pieces says something else than the whole");
    }
    from_memory
}

fn all(elf: &ElfModule<'_>) -> Result<Said, ObjectErrorKind> {
    let said = Said {
        exports: elf.exports()?.iter().map(|export| (export.name.to_vec(), elf.crc(export))).collect(),
        imports: elf.imports()?.iter().map(|import| (import.name.to_vec(), import.weak, import.crc)).collect(),
        versions: elf.versions()?.iter().map(|version| (version.name.to_vec(), version.crc)).collect(),
    };
    for (name, _, crc) in &said.imports {
        let has_version = |crc: u64| said.versions.contains(&(name.clone(), crc));
        assert!(!name.is_empty() && crc.is_none_or(has_version), "an import has a checksum from nowhere");
    }
    let imported = |name: &Vec<u8>| name.is_empty() || said.imports.iter().any(|import| import.0 == *name);
    assert!(said.versions.iter().all(|(name, _)| imported(name)), "a symbol has a version and is not imported");
    Ok(said)
}

fn from_file(bytes: &[u8]) -> Result<Said, String> {
    let file = Unnamed::new(bytes);
    let module = Module::open(&file.path(), &Limits::default()).map_err(|error| error.kind.to_string())?;
    let elf = module.elf().map_err(|error| error.kind.to_string())?;
    all(&elf).map_err(|kind| kind.to_string())
}

/// Every name is a part of the file's bytes, ends where a name ends, and stands behind what makes it an export; no symbol is
/// told more often than the file has room for.
fn names_are_the_files(elf: &ElfModule<'_>, bytes: &[u8]) -> Result<(), ObjectErrorKind> {
    let place = |name: &[u8]| {
        assert!(name.len() <= NAME_LIMIT && !name.contains(&0));
        let at = (name.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let at = at.filter(|at| at + name.len() <= bytes.len());
        at.unwrap_or_else(|| panic!("a name of {} bytes is not in the file", name.len()))
    };
    let exports = elf.exports()?;
    for export in &exports {
        let at = place(export.name);
        let behind_mark = bytes[..at].ends_with(b"__crc_");
        assert!(behind_mark || (elf.crc(export).is_none() && !export.name.is_empty()), "an export without its mark");
    }
    let imports = elf.imports()?;
    imports.iter().filter(|import| !import.name.is_empty()).for_each(|import| {
        place(import.name);
    });
    elf.versions()?.iter().filter(|version| !version.name.is_empty()).for_each(|version| {
        place(version.name);
    });
    // The smallest symbol has 16 bytes, the smallest name in a list of strings 2.
    assert!(exports.len() <= bytes.len() / 2 && imports.len() <= bytes.len() / 16 + bytes.len() / 64);
    Ok(())
}
