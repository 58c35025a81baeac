//! The body of the fuzz target `symbols`.

mod recipe;

use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::name::NAME_LIMIT;
use kmod::object::{ElfModule, Limits, Module, ObjectErrorKind};
use recipe::Recipe;

/// The first byte of a structured input; any other input is an uncompressed module file.
const STRUCTURED: u8 = b'S';

/// The input is an ELF file, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about the symbols of modules is broken, or if a file in memory cannot be created.
pub fn symbols(data: &[u8]) {
    match data.split_first() {
        Some((&STRUCTURED, bytes)) => {
            let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
            let mut file = recipe.file();
            let symbols = check_any_file(&file).unwrap_or_else(|error| panic!("a valid module is rejected: {error}"));
            assert_eq!(symbols, recipe.expected(), "the symbols are not those of the module");
            recipe.damage(&mut file);
            let _damaged = check_any_file(&file);
        }
        _ => {
            let _any = check_any_file(data);
        }
    }
}

/// The symbols of a module.
#[derive(Debug, Default, PartialEq, Eq)]
struct Symbols {
    /// Names with their checksums.
    exports: Vec<(Vec<u8>, Option<u64>)>,
    /// Names, whether they are weak, checksums.
    imports: Vec<(Vec<u8>, bool, Option<u64>)>,
    versions: Vec<(Vec<u8>, u64)>,
}

/// For all files: names are part of the file, and reading the file in pieces gives the same as reading the whole.
fn check_any_file(bytes: &[u8]) -> Result<Symbols, String> {
    let from_memory = ElfModule::parse(bytes).and_then(|elf| {
        check_names(&elf, bytes)?;
        all(&elf)
    });
    let from_memory = from_memory.map_err(|kind| kind.to_string());
    // Only ELF files: one with the magic number of a compressed file would be decompressed.
    if bytes.starts_with(b"\x7fELF") {
        assert_eq!(from_file(bytes), from_memory, "the file in pieces differs from the whole");
    }
    from_memory
}

fn all(elf: &ElfModule<'_>) -> Result<Symbols, ObjectErrorKind> {
    let symbols = Symbols {
        exports: elf.exports()?.iter().map(|export| (export.name.to_vec(), elf.crc(export))).collect(),
        imports: elf.imports()?.iter().map(|import| (import.name.to_vec(), import.weak, import.crc)).collect(),
        versions: elf.versions()?.iter().map(|version| (version.name.to_vec(), version.crc)).collect(),
    };
    for (name, _, crc) in &symbols.imports {
        let has_version = |crc: u64| symbols.versions.contains(&(name.clone(), crc));
        assert!(
            !name.is_empty() && crc.is_none_or(has_version),
            "the checksum of an import is not one of the versions"
        );
    }
    let imported = |name: &Vec<u8>| name.is_empty() || symbols.imports.iter().any(|import| import.0 == *name);
    assert!(symbols.versions.iter().all(|(name, _)| imported(name)), "a symbol has a version but is not imported");
    Ok(symbols)
}

fn from_file(bytes: &[u8]) -> Result<Symbols, String> {
    let file = Unnamed::new(bytes);
    let module = Module::open(&file.path(), &Limits::default()).map_err(|error| error.kind.to_string())?;
    let elf = module.elf().map_err(|error| error.kind.to_string())?;
    all(&elf).map_err(|kind| kind.to_string())
}

/// Every name is part of the file, and the name of an export follows its marker. There are no more symbols than the file has
/// room for.
fn check_names(elf: &ElfModule<'_>, bytes: &[u8]) -> Result<(), ObjectErrorKind> {
    let place = |name: &[u8]| {
        assert!(name.len() <= NAME_LIMIT && !name.contains(&0));
        let at = (name.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
        let at = at.filter(|at| at + name.len() <= bytes.len());
        at.unwrap_or_else(|| panic!("a name of {} bytes is not in the file", name.len()))
    };
    let exports = elf.exports()?;
    for export in &exports {
        let at = place(export.name);
        let has_marker = bytes[..at].ends_with(b"__crc_");
        assert!(has_marker || (elf.crc(export).is_none() && !export.name.is_empty()), "an export has no marker");
    }
    let imports = elf.imports()?;
    imports.iter().filter(|import| !import.name.is_empty()).for_each(|import| {
        place(import.name);
    });
    elf.versions()?.iter().filter(|version| !version.name.is_empty()).for_each(|version| {
        place(version.name);
    });
    // The smallest symbol has 16 bytes, the smallest string 2.
    assert!(exports.len() <= bytes.len() / 2 && imports.len() <= bytes.len() / 16 + bytes.len() / 64);
    Ok(())
}
