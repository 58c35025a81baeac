//! A kernel in memory that records calls, for tests and fuzzers.

use super::{CommandFailure, Force, Kernel, OpenError, State};
use crate::name::ModuleName;
use crate::object::{Compression, ElfModule};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A recorded call of a [`ModelKernel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// finit_module(2)
    Finit {
        /// The module.
        module: ModuleName,
        /// Its options.
        options: String,
        /// Whether the kernel was asked to decompress.
        compressed: bool,
    },
    /// init_module(2)
    Init {
        /// The module.
        module: ModuleName,
        /// Its options.
        options: String,
        /// The image of the module.
        image: Vec<u8>,
    },
    /// delete_module(2)
    Delete(ModuleName),
    /// A command and its module.
    Run(String, ModuleName),
    /// A sleep.
    Sleep(Duration),
}

/// A loaded module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The number of users other than modules.
    pub users: i64,
    /// Modules that use it.
    pub holders: Vec<ModuleName>,
    /// The number of attempts to remove it that fail with `EAGAIN` first.
    pub busy_for: u32,
}

/// A kernel in memory.
#[derive(Debug, Clone, Default)]
pub struct ModelKernel {
    /// The module files.
    pub files: BTreeMap<PathBuf, Compression>,
    /// The images of module files. A file without an image here has its path as its image.
    pub images: BTreeMap<PathBuf, Vec<u8>>,
    /// The loaded modules.
    pub modules: BTreeMap<ModuleName, Loaded>,
    /// Whether the sysctl `kernel.modules_disabled` is set.
    pub modules_disabled: bool,
    /// The compression format that the kernel supports.
    pub decompresses: Option<Compression>,
    /// The error of every finit_module(2).
    pub finit_error: Option<Errno>,
    /// The lines that [`Kernel::log`] returns each time; if empty, the log cannot be read.
    pub log: Vec<String>,
    /// The failure of every command.
    pub command_failure: Option<CommandFailure>,
    /// The recorded calls, in order.
    pub calls: Vec<Call>,
}

impl ModelKernel {
    /// Returns the names of the loaded modules, sorted.
    #[must_use]
    pub fn loaded(&self) -> Vec<String> {
        self.modules.keys().map(ToString::to_string).collect()
    }

    fn insert(&mut self, module: ModuleName) -> Result<(), Errno> {
        if self.modules.contains_key(&module) {
            return Err(Errno::EXIST);
        }
        self.modules.insert(module, Loaded::default());
        Ok(())
    }
}

/// Returns the name of the module in an image, which is an ELF file or a path.
fn name_of(image: &[u8]) -> Option<ModuleName> {
    match ElfModule::parse(image) {
        Ok(elf) => ModuleName::new(elf.modinfo().ok()?.values(b"name").next()?).ok(),
        Err(_) => ModuleName::from_path(image).ok(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Kernel for ModelKernel {
    type File = PathBuf;

    fn state(&mut self, module: &ModuleName) -> State {
        if self.modules.contains_key(module) { State::Live } else { State::Absent }
    }

    fn refcount(&mut self, module: &ModuleName) -> Option<i64> {
        let module = self.modules.get(module)?;
        Some(module.users + i64::try_from(module.holders.len()).unwrap_or(i64::MAX))
    }

    fn holders(&mut self, module: &ModuleName) -> Vec<ModuleName> {
        self.modules.get(module).map(|module| module.holders.clone()).unwrap_or_default()
    }

    fn decompresses(&mut self) -> Option<Compression> {
        self.decompresses
    }

    fn modules_disabled(&mut self) -> bool {
        self.modules_disabled
    }

    fn own_names(&mut self, path: &Path) -> Vec<ModuleName> {
        self.images.get(path).and_then(|image| name_of(image)).into_iter().collect()
    }

    fn open(&mut self, path: &Path) -> Result<PathBuf, OpenError> {
        if self.files.contains_key(path) { Ok(path.to_owned()) } else { Err(Errno::NOENT.into()) }
    }

    fn compression(&mut self, file: &PathBuf) -> Result<Compression, OpenError> {
        self.files.get(file).copied().ok_or(Errno::IO.into())
    }

    fn image(&mut self, file: &PathBuf, _path: &Path) -> Result<Vec<u8>, String> {
        Ok(self.images.get(file).cloned().unwrap_or_else(|| file.as_os_str().as_bytes().to_vec()))
    }

    fn finit_module(&mut self, file: &PathBuf, options: &[u8], _force: Force, compressed: bool) -> Result<(), Errno> {
        let module = ModuleName::from_path(file.as_os_str().as_bytes()).map_err(|_| Errno::NOEXEC)?;
        self.calls.push(Call::Finit { module: module.clone(), options: text(options), compressed });
        match self.finit_error {
            Some(errno) => Err(errno),
            None => self.insert(module),
        }
    }

    fn init_module(&mut self, image: &[u8], options: &[u8]) -> Result<(), Errno> {
        let module = name_of(image).ok_or(Errno::NOEXEC)?;
        self.calls.push(Call::Init { module: module.clone(), options: text(options), image: image.to_vec() });
        self.insert(module)
    }

    fn delete_module(&mut self, module: &ModuleName, force: bool) -> Result<(), Errno> {
        self.calls.push(Call::Delete(module.clone()));
        let loaded = self.modules.get_mut(module).ok_or(Errno::NOENT)?;
        if loaded.busy_for > 0 {
            loaded.busy_for -= 1;
            return Err(Errno::AGAIN);
        }
        if !loaded.holders.is_empty() || (loaded.users > 0 && !force) {
            return Err(Errno::AGAIN);
        }
        self.modules.remove(module);
        for other in self.modules.values_mut() {
            other.holders.retain(|holder| holder != module);
        }
        Ok(())
    }

    fn run(&mut self, command: &[u8], module: &ModuleName) -> Result<(), CommandFailure> {
        self.calls.push(Call::Run(text(command), module.clone()));
        self.command_failure.map_or(Ok(()), Err)
    }

    fn sleep(&mut self, time: Duration) {
        self.calls.push(Call::Sleep(time));
    }

    fn mark_log(&mut self) {}

    fn log(&mut self) -> Option<Vec<Vec<u8>>> {
        let lines: Vec<Vec<u8>> = self.log.iter().map(|line| line.as_bytes().to_vec()).collect();
        (!lines.is_empty()).then_some(lines)
    }
}
