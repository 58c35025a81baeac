//! The interface of the tools to a kernel, and to the module files that they load.

use crate::name::ModuleName;
use crate::object::Compression;
use crate::sys::strerror;
use rustix::io::Errno;
use std::path::Path;
use std::time::Duration;

/// The state of a module in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not loaded (or built in, which only the module directory knows).
    Absent,
    /// Its init function is running.
    Coming,
    /// Loaded.
    Live,
    /// Being removed.
    Going,
}

/// Checks that the kernel skips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Force {
    /// Symbol versions.
    pub modversions: bool,
    /// The version magic.
    pub vermagic: bool,
}

/// The interface of the tools to a kernel, and to the module files that they load.
pub trait Kernel {
    /// An open module file.
    type File;

    /// Returns the state of a module.
    fn state(&mut self, module: &ModuleName) -> State;
    /// Returns the reference count of a module; `None` if it is not loaded, or if the kernel cannot unload modules.
    fn refcount(&mut self, module: &ModuleName) -> Option<i64>;
    /// Returns the modules that use this one.
    fn holders(&mut self, module: &ModuleName) -> Vec<ModuleName>;
    /// Returns the compression format that the kernel supports, if any.
    fn decompresses(&mut self) -> Option<Compression>;
    /// Whether the sysctl `kernel.modules_disabled` is set: no module can be loaded or removed until the next boot.
    fn modules_disabled(&mut self) -> bool;
    /// Returns the names that a module file has for itself, besides its file name, as far as it can be read.
    fn own_names(&mut self, path: &Path) -> Vec<ModuleName>;
    /// Opens a module file.
    ///
    /// # Errors
    /// The error of open(2), or what else is wrong with the file.
    fn open(&mut self, path: &Path) -> Result<Self::File, OpenError>;
    /// Detects the compression of a file by its first bytes.
    ///
    /// # Errors
    /// The error of read(2), or that the file is empty.
    fn compression(&mut self, file: &Self::File) -> Result<Compression, OpenError>;
    /// Reads and decompresses a module.
    ///
    /// # Errors
    /// The reason, as a text that names the file.
    fn image(&mut self, file: &Self::File, path: &Path) -> Result<Vec<u8>, String>;
    /// finit_module(2); `compressed` asks the kernel to decompress.
    ///
    /// # Errors
    /// The error of the system call.
    fn finit_module(&mut self, file: &Self::File, options: &[u8], force: Force, compressed: bool) -> Result<(), Errno>;
    /// init_module(2).
    ///
    /// # Errors
    /// The error of the system call.
    fn init_module(&mut self, image: &[u8], options: &[u8]) -> Result<(), Errno>;
    /// delete_module(2), without waiting; `force` removes a module that is in use.
    ///
    /// # Errors
    /// The error of the system call.
    fn delete_module(&mut self, module: &ModuleName, force: bool) -> Result<(), Errno>;
    /// Runs an install or remove command for a module and waits for its end.
    ///
    /// # Errors
    /// It could not be started, or failed.
    fn run(&mut self, command: &[u8], module: &ModuleName) -> Result<(), CommandFailure>;
    /// Sleeps.
    fn sleep(&mut self, time: Duration);
    /// Remembers the current end of the kernel log.
    fn mark_log(&mut self);
    /// Returns the lines of the kernel log since the mark or the last call; `None` if the log cannot be read.
    fn log(&mut self) -> Option<Vec<Vec<u8>>>;
}

/// Why a module file cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is a FIFO, a device or a socket.
    #[error("not a regular file")]
    NotRegular,
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// A system call failed.
    #[error("{}", strerror(*.0))]
    Errno(Errno),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// The shell that runs install and remove commands.
pub(crate) const SHELL: &str = "/bin/sh";

/// How an install or remove command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandFailure {
    /// Its exit status is not 0.
    #[error("retcode {0}")]
    Exited(i32),
    /// A signal ended it.
    #[error("killed by signal {0}")]
    Killed(i32),
    /// The shell could not be started: there is no `/bin/sh`, or no process.
    #[error("cannot run {SHELL}: {}", strerror(*.0))]
    NotStarted(Errno),
}
