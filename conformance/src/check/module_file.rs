//! Module files that a check changes: a copy of a module in the guest's scratch directory, edited in place, and loads of
//! which the errno and the log lines are recorded.

use crate::check::fact::{List, Shown};
use crate::check::lab::{Lab, LabError, SCRATCH, shown_line};
use agent::proto::{Action, Caller, Errno, Value};

/// The end of a signed module (`MODULE_SIG_STRING`, include/linux/module_signature.h).
pub const MARKER: &[u8] = b"~Module signature appended~\n";
/// The length of `struct module_signature`, which precedes the marker.
pub const SIGNATURE_INFO: usize = 12;

/// A field of the ELF header or of a section header (elf(5)): offset and length.
pub type Field = (usize, usize);

/// `e_type`.
pub const FILE_TYPE: Field = (16, 2);
/// `e_machine`.
pub const MACHINE: Field = (18, 2);
/// `e_shoff`.
pub const SECTIONS: Field = (40, 8);
/// `e_shentsize`.
pub const SECTION_LENGTH: Field = (58, 2);
/// `e_shnum`.
pub const SECTION_COUNT: Field = (60, 2);
/// `e_shstrndx`.
pub const NAMES: Field = (62, 2);
/// `sh_name`.
pub const NAME: Field = (0, 4);
/// `sh_type`.
pub const TYPE: Field = (4, 4);
/// `sh_flags`.
pub const FLAGS: Field = (8, 8);
/// `sh_offset`.
pub const OFFSET: Field = (24, 8);
/// `sh_size`.
pub const SIZE: Field = (32, 8);
/// `sh_link`.
pub const LINK: Field = (40, 4);
/// The length of a section header.
const HEADER: usize = 64;

/// A module file in the scratch directory of the guest.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    path: String,
    image: Vec<u8>,
    labels: Vec<(String, &'static str)>,
}

impl ModuleFile {
    /// Returns its path in the guest.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns its bytes before any change.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Returns the offset of the first occurrence of `bytes`.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] if there is none.
    pub fn find(&self, bytes: &[u8]) -> Result<usize, LabError> {
        let found = self.image.windows(bytes.len()).position(|window| window == bytes);
        found.ok_or_else(|| self.without(&String::from_utf8_lossy(bytes)))
    }

    /// Returns the value of a field of the structure at an offset.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] if the file is too short.
    pub fn number(&self, at: usize, (offset, length): Field) -> Result<usize, LabError> {
        let start = at.saturating_add(offset);
        let field = self.image.get(start..start.saturating_add(length)).ok_or_else(|| self.without("such a field"))?;
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(field);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| self.without("such an offset"))
    }

    /// Returns the offset of a section header.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] if the file is too short.
    pub fn section(&self, number: usize) -> Result<usize, LabError> {
        Ok(self.number(0, SECTIONS)?.saturating_add(number.saturating_mul(HEADER)))
    }

    /// Returns the number and the header of the first section whose field has the value for which `is` returns true.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] if there is none.
    pub fn find_section(&self, field: Field, is: impl Fn(usize) -> bool) -> Result<(usize, usize), LabError> {
        for number in 1..self.number(0, SECTION_COUNT)? {
            let header = self.section(number)?;
            if is(self.number(header, field)?) {
                return Ok((number, header));
            }
        }
        Err(self.without("such section"))
    }

    /// Replaces a text, which differs between kernels, by a label in the log lines about this file.
    pub fn label(&mut self, text: String, label: &'static str) {
        self.labels.push((text, label));
    }

    fn labelled(&self, line: String) -> String {
        self.labels.iter().fold(line, |line, (text, label)| line.replace(text, label))
    }

    fn without(&self, what: &str) -> LabError {
        LabError::Unexpected(format!("{} has no {what}", self.path))
    }
}

/// A change of a file: the offset and the new bytes.
pub type Change = (usize, Vec<u8>);

/// Returns the change that sets a field of the structure at an offset.
#[must_use]
pub fn set(at: usize, (offset, length): Field, value: u64) -> Change {
    (at + offset, value.to_le_bytes()[..length].to_vec())
}

/// Returns the length of a module without its signature: the whole length if it has none.
#[must_use]
pub fn unsigned_length(image: &[u8]) -> usize {
    // `struct module_signature` ends with the length of the signature, in big-endian order.
    let signature = image.strip_suffix(MARKER).and_then(|signed| {
        let &length = signed.last_chunk::<4>()?;
        signed.len().checked_sub(SIGNATURE_INFO + u32::from_be_bytes(length) as usize)
    });
    signature.unwrap_or(image.len())
}

impl Lab<'_> {
    /// Writes a module without its signature into the scratch directory.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it.
    pub fn unsigned_module(&mut self, name: &str) -> Result<ModuleFile, LabError> {
        let mut image = self.module_image(name)?;
        image.truncate(unsigned_length(&image));
        self.module_copy(name, image)
    }

    /// Writes a module with its signature into the scratch directory.
    ///
    /// # Errors
    /// [`LabError::Need`] if the guest does not have it, or it is not signed.
    pub fn signed_module(&mut self, name: &str) -> Result<ModuleFile, LabError> {
        let image = self.module_image(name)?;
        if unsigned_length(&image) == image.len() {
            return Err(LabError::Need("a kernel with signed modules".to_owned()));
        }
        self.module_copy(name, image)
    }

    fn module_copy(&mut self, name: &str, image: Vec<u8>) -> Result<ModuleFile, LabError> {
        let path = format!("{SCRATCH}/{name}.ko");
        self.write(&path, &image)?;
        Ok(ModuleFile { path, image, labels: Vec::new() })
    }

    /// Replaces bytes of a file, which keeps its other bytes. The file grows if a change is at its end.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn change(&mut self, path: &str, changes: &[Change]) -> Result<(), LabError> {
        self.arrange(write_changes(path, changes))?;
        Ok(())
    }

    /// Changes a module file, loads it as in [`Lab::expect_load`], and restores it.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses a change.
    pub fn expect_load_changed(
        &mut self,
        what: &str,
        file: &ModuleFile,
        changes: &[Change],
        result: impl Shown,
        lines: &[&str],
    ) -> Result<(), LabError> {
        let original = changes.iter().map(|(at, bytes)| (*at, file.image[*at..*at + bytes.len()].to_vec()));
        let restore = write_changes(file.path(), &original.collect::<Vec<_>>());
        let steps = vec![write_changes(file.path(), changes), finit(file.path(), ""), restore];
        let mut results = self.observe_all_as(Caller::default(), steps)?.into_iter().map(|observed| observed.result);
        // There are as many results as steps.
        let mut next = || results.next().unwrap_or(Ok(Value::Unit));
        let (changed, got, restored) = (next(), next(), next());
        if let Some(errno) = [changed, restored].into_iter().find_map(Result::err) {
            return Err(LabError::SetUp { what: format!("change {}", file.path()), errno });
        }
        self.expect(what, got, result);
        let logged = self.new_lines()?.into_iter().map(|line| file.labelled(line)).collect();
        self.expect(&format!("{what}: kernel log"), List(logged), List(lines.to_vec()));
        Ok(())
    }

    /// Loads a module and records the result of the system call and the lines that the kernel logs. Call
    /// [`Lab::mark_kmsg`] once before the first load.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn expect_load(
        &mut self,
        what: &str,
        load: Action,
        result: impl Shown,
        lines: &[&str],
    ) -> Result<(), LabError> {
        let got = self.load_result(load)?;
        self.expect(what, got, result);
        let logged = self.new_lines()?;
        self.expect(&format!("{what}: kernel log"), List(logged), List(lines.to_vec()));
        Ok(())
    }

    /// Loads a module and returns the result of the system call.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn load_result(&mut self, load: Action) -> Result<Result<Value, Errno>, LabError> {
        Ok(self.observe(load)?.result)
    }

    /// Returns the lines of the kernel log since the mark, with their levels and without the release of the kernel, and
    /// marks the end of the log. Leaves out the notice about the first unsigned module.
    ///
    /// # Errors
    /// [`LabError`] if the log cannot be read.
    pub fn new_lines(&mut self) -> Result<Vec<String>, LabError> {
        let release = self.pair().release.clone();
        let lines = self.take_kmsg()?;
        let lines = lines.iter().map(|record| shown_line(record).replace(&release, "RELEASE"));
        Ok(lines.filter(|line| !line.contains("module verification failed")).collect())
    }
}

fn write_changes(path: &str, changes: &[Change]) -> Action {
    let pieces = changes.iter().map(|(at, bytes)| (Some(*at as u64), bytes.clone())).collect();
    Action::WriteMany { path: path.as_bytes().to_vec(), pieces, flags: 0 }
}

/// Returns finit_module(2) of an uncompressed file.
#[must_use]
pub fn finit(path: &str, params: &str) -> Action {
    finit_with(path, params, 0)
}

/// Returns finit_module(2) of a file with `MODULE_INIT_*` flags.
#[must_use]
pub fn finit_with(path: &str, params: &str, flags: u32) -> Action {
    Action::FinitModule { path: path.as_bytes().to_vec(), params: params.as_bytes().to_vec(), flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(image: &[u8]) -> ModuleFile {
        ModuleFile { path: "/run/lab/x.ko".to_owned(), image: image.to_vec(), labels: Vec::new() }
    }

    #[test]
    fn the_signature_is_not_part_of_the_unsigned_length() {
        let signed = [b"module".as_slice(), b"sig", &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3], MARKER].concat();
        assert_eq!(unsigned_length(&signed), 6);
        assert_eq!(unsigned_length(b"module"), 6);
        let too_long = [&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3], MARKER].concat();
        assert_eq!(unsigned_length(&too_long), too_long.len());
    }

    #[test]
    fn sections_are_found_by_their_type_and_a_short_file_is_an_error() {
        let mut image = vec![0; 64 + 3 * 64];
        for (at, bytes) in [set(0, SECTIONS, 64), set(0, SECTION_COUNT, 3), set(64 + 2 * 64, TYPE, 2)] {
            image[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        assert_eq!(file(&image).find_section(TYPE, |kind| kind == 2).unwrap(), (2, 192));
        let error = file(&image).find_section(TYPE, |kind| kind == 3).unwrap_err();
        assert_eq!(error.to_string(), "set-up failed: /run/lab/x.ko has no such section");
        assert!(file(&image[..100]).find_section(TYPE, |kind| kind == 2).is_err());
        assert!(file(b"").find(b"license=").is_err());
    }
}
