//! The names that a module file has for itself. The file name may be another one.

use super::elf::ElfModule;
use super::{Limits, Module, ObjectError, ObjectErrorKind};
use crate::name::ModuleName;
use std::path::Path;

/// The length of a name in `struct module`, in bytes: 64 less the size of a pointer.
const NAME_FIELD: u64 = 64;

/// Returns the names in a module file, normalised.
///
/// # Errors
/// [`ObjectError`] if the file cannot be read.
pub(crate) fn own_names(file: &Path) -> Result<Vec<ModuleName>, ObjectError> {
    let module = Module::open(file, &Limits::default())?;
    let names = module.elf()?.own_names().map_err(|kind| ObjectError { path: file.to_owned(), kind })?;
    let mut names: Vec<ModuleName> = names.iter().filter_map(|name| ModuleName::new(name).ok()).collect();
    names.dedup();
    Ok(names)
}

impl ElfModule<'_> {
    /// Returns the name in .modinfo and the one in `struct module`, which are the same unless somebody changed the file. The
    /// kernel lists the module under the second one.
    ///
    /// # Errors
    /// [`ObjectErrorKind`] if a section is damaged.
    pub(crate) fn own_names(&self) -> Result<Vec<Vec<u8>>, ObjectErrorKind> {
        let mut names: Vec<Vec<u8>> = self.modinfo()?.values(b"name").map(<[u8]>::to_vec).collect();
        names.extend(self.struct_name()?);
        names.dedup();
        Ok(names)
    }

    /// Returns the name in `struct module`, the only content of its section: after the state, an `int`, and a list head, two
    /// pointers. A kernel with CONFIG_RANDSTRUCT has another order: then there is no name at this place.
    fn struct_name(&self) -> Result<Option<Vec<u8>>, ObjectErrorKind> {
        let name = b".gnu.linkonce.this_module";
        let Some(section) = self.sections().find(|section| self.is_named(section, name)) else { return Ok(None) };
        let pointer = if self.encoding.is_64 { 8 } else { 4 };
        let (start, length) = (pointer.max(4) + 2 * pointer, NAME_FIELD - pointer);
        if section.size < start + length {
            return Ok(None);
        }
        let field = self.read_part(&section, start, length)?;
        let name = field.split(|&byte| byte == 0).next().unwrap_or_default();
        let is_name = !name.is_empty() && name.len() < field.len() && name.iter().all(u8::is_ascii_graphic);
        Ok(is_name.then(|| name.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TinyModule;
    use super::*;

    #[test]
    fn both_names_are_found_in_every_class_and_byte_order() {
        for (is_32, is_big) in [(false, false), (true, false), (false, true), (true, true)] {
            let module = TinyModule { is_32, is_big, struct_name: Some("real".into()), ..TinyModule::named("claimed") };
            let image = module.build();
            let names = ElfModule::parse(&image).unwrap().own_names().unwrap();
            assert_eq!(names, [b"claimed".to_vec(), b"real".to_vec()]);
        }
    }

    #[test]
    fn equal_names_are_returned_once_and_a_module_without_one_has_none() {
        let names = |module: TinyModule| ElfModule::parse(&module.build()).unwrap().own_names().unwrap();
        assert_eq!(names(TinyModule { struct_name: Some("m".into()), ..TinyModule::named("m") }), [b"m"]);
        assert_eq!(names(TinyModule::named("m")), [b"m"]);
        assert_eq!(names(TinyModule { struct_name: Some("\x01\x02".into()), ..TinyModule::default() }), [b""; 0]);
    }
}
