//! A module directory (`/lib/modules/RELEASE`). Each index is read once, at its first use. Nothing is written, and no module
//! file is opened.
//!
//! Lookups use the `.bin` index. If that file is missing its text form is read instead (`modules.dep` for `modules.dep.bin`,
//! and so on) and gives the same results. A damaged `.bin` is an error; the text does not replace it. If both files are
//! missing nothing is found. An empty index of built-in modules has no entries: C kmod's depmod writes such files if the
//! kernel's list is missing.

pub mod text;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::file;
use crate::index::{Index, IndexError, IndexErrorKind, InsertError, Value};
use crate::memory;
use crate::name::{Escaped, ModuleName, NameError};

/// The most memory that one byte of a list may become: `a.ko ` becomes a path and several names, each with its allocation.
const GROWTH: usize = 64;

/// The size in bytes of the largest text file that is read.
const TEXT_LIMIT: u64 = 256 << 20;

/// Why a lookup in a module directory failed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// An index is damaged or unreadable; the text names the file.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file could not be read.
    #[error("could not read {}: {}", crate::config::show_path(path), crate::sys::strerror_io(cause))]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        cause: io::Error,
    },
    /// A line of a text file is malformed.
    #[error("{path} line {line}: {cause}; run depmod", path = crate::config::show_path(path))]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: text::LineError,
    },
    /// A value in an index is not a module name or not a line of modules.dep.
    #[error("{path}: the value {value} of an index: {cause}; run depmod", path = crate::config::show_path(path))]
    Value {
        /// The file.
        path: PathBuf,
        /// The value.
        value: Escaped<Vec<u8>>,
        /// What is wrong with it.
        cause: text::LineError,
    },
    /// A text file has more entries than an index can contain.
    #[error("{path}: {cause}", path = crate::config::show_path(path))]
    Insert {
        /// The file.
        path: PathBuf,
        /// The error.
        cause: InsertError,
    },
}

/// A module in modules.dep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleEntry {
    /// Its name.
    pub name: ModuleName,
    /// Its file; absolute if the path of the directory is.
    pub path: PathBuf,
    /// The files of its dependencies in the order of modules.dep: they are loaded from right to left.
    pub deps: Vec<PathBuf>,
}

/// The line of a module in modules.dep, whose dependencies are only parsed when they are needed: the lines of a chain of modules
/// repeat each other.
#[derive(Debug, Clone)]
pub struct ModuleLine {
    /// The module's file, like that of [`ModuleEntry`].
    pub path: PathBuf,
    deps: Deps,
}

#[derive(Debug, Clone)]
enum Deps {
    /// Paths, as they are.
    Paths(Vec<PathBuf>),
    /// The rest of a line, and the directory of its relative paths.
    Line(Vec<u8>, PathBuf),
}

impl From<ModuleEntry> for ModuleLine {
    fn from(entry: ModuleEntry) -> Self {
        Self { path: entry.path, deps: Deps::Paths(entry.deps) }
    }
}

impl ModuleLine {
    /// Returns the paths of the dependencies as the line spells them, in the order of the line, each with the offset of its end
    /// in [`ModuleLine::text`].
    pub(crate) fn words(&self) -> Box<dyn Iterator<Item = (&[u8], usize)> + '_> {
        match &self.deps {
            Deps::Paths(paths) => Box::new(paths.iter().map(|path| (path.as_os_str().as_bytes(), 0))),
            Deps::Line(text, _) => {
                let words = text::words(text).map(|word| {
                    let end = word.as_ptr_range().end as usize - text.as_ptr() as usize;
                    (word, end)
                });
                Box::new(words)
            }
        }
    }

    /// Returns the dependencies as text, if they are a line.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match &self.deps {
            Deps::Paths(_) => None,
            Deps::Line(text, _) => Some(text),
        }
    }

    /// Returns the path for a word of the line.
    pub(crate) fn path_of(&self, word: &[u8]) -> PathBuf {
        match &self.deps {
            Deps::Paths(_) => PathBuf::from(OsStr::from_bytes(word)),
            // `join` leaves an absolute path unchanged.
            Deps::Line(_, directory) => directory.join(OsStr::from_bytes(word)),
        }
    }
}

impl TreeError {
    /// Whether there was not enough memory.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        let is_errno = |error: &io::Error| error.raw_os_error() == Some(libc::ENOMEM);
        match self {
            Self::Index(error) => matches!(&error.kind, IndexErrorKind::Io(error) if is_errno(error)),
            Self::Io { cause, .. } => is_errno(cause),
            Self::Insert { cause, .. } => *cause == InsertError::Memory,
            Self::Line { .. } | Self::Value { .. } => false,
        }
    }

    /// Copies the error, for later lookups in the same index.
    fn copy(&self) -> Self {
        match self {
            Self::Index(error) => Self::Index(error.copy()),
            Self::Io { path, cause } => Self::Io { path: path.clone(), cause: file::copy_error(cause) },
            Self::Line { path, line, cause } => Self::Line { path: path.clone(), line: *line, cause: cause.clone() },
            Self::Value { path, value, cause } => {
                Self::Value { path: path.clone(), value: value.clone(), cause: cause.clone() }
            }
            Self::Insert { path, cause } => Self::Insert { path: path.clone(), cause: cause.clone() },
        }
    }
}

/// The result of reading an index. A damaged index is not read again.
type Slot = OnceLock<Result<Option<Index>, TreeError>>;

/// A module directory.
#[derive(Debug)]
pub struct Tree {
    dir: PathBuf,
    dep: Slot,
    alias: Slot,
    symbols: Slot,
    builtin: Slot,
    builtin_alias: Slot,
}

impl Tree {
    /// Creates a tree for a directory, without reading anything.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            dep: OnceLock::new(),
            alias: OnceLock::new(),
            symbols: OnceLock::new(),
            builtin: OnceLock::new(),
            builtin_alias: OnceLock::new(),
        }
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the directory has a list of modules, as text or as index. Without one, depmod was not run.
    ///
    /// # Errors
    /// [`TreeError`] if the list cannot be used.
    pub fn is_indexed(&self) -> Result<bool, TreeError> {
        Ok(self.dep()?.is_some())
    }

    /// Returns the module with exactly this name.
    ///
    /// # Errors
    /// [`TreeError`] if the index is damaged.
    pub fn module(&self, name: &ModuleName) -> Result<Option<ModuleEntry>, TreeError> {
        let Some(index) = self.dep()? else { return Ok(None) };
        index.get(name.as_bytes())?.map(|line| self.entry(&line)).transpose()
    }

    /// Returns the line of the module with exactly this name.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn line(&self, name: &ModuleName) -> Result<Option<ModuleLine>, TreeError> {
        let Some(line) = self.dep()?.map(|index| index.get(name.as_bytes())).transpose()?.flatten() else {
            return Ok(None);
        };
        self.require_memory(DEP, line.len())?;
        let dep = self.parse(&line)?;
        let deps = Deps::Line(dep.rest().to_vec(), self.dir.clone());
        Ok(Some(ModuleLine { path: self.dir.join(OsStr::from_bytes(dep.path)), deps }))
    }

    /// Returns all modules, in the order of modules.dep.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn modules(&self) -> Result<Vec<ModuleEntry>, TreeError> {
        let Some(index) = self.dep()? else { return Ok(Vec::new()) };
        let mut entries = index.entries()?;
        entries.sort_by_key(|(_, value)| value.priority);
        entries.iter().map(|(_, value)| self.entry(&value.bytes)).collect()
    }

    /// Returns the modules with an alias that matches a normalised name, in order of priority. A module occurs once for each
    /// alias that matches.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        self.names(self.alias()?, alias, ALIAS)
    }

    /// Returns the modules that export a symbol. The name includes the prefix: `symbol:crc32c`.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn symbols(&self, name: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        self.names(self.symbol()?, name, SYMBOLS)
    }

    /// Whether the module is built into the kernel.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn is_builtin(&self, name: &ModuleName) -> Result<bool, TreeError> {
        let index = self.load(&self.builtin, BUILTIN, text::builtin_index)?;
        Ok(match index {
            Some(index) => index.get(name.as_bytes())?.is_some(),
            None => false,
        })
    }

    /// Returns the built-in modules with an alias that matches a name, like [`Tree::aliases`].
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn builtin_aliases(&self, alias: &[u8]) -> Result<Vec<ModuleName>, TreeError> {
        let index = self.load(&self.builtin_alias, BUILTIN_ALIAS, text::builtin_alias_index)?;
        self.names(index, alias, BUILTIN_ALIAS)
    }

    /// Returns every alias with its module's name, in the order of the index.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn alias_entries(&self) -> Result<Vec<(Vec<u8>, Value)>, TreeError> {
        Ok(self.alias()?.map(Index::entries).transpose()?.unwrap_or_default())
    }

    /// Returns every `symbol:NAME` with its module's name, in the order of the index.
    ///
    /// # Errors
    /// Like [`Tree::module`].
    pub fn symbol_entries(&self) -> Result<Vec<(Vec<u8>, Value)>, TreeError> {
        Ok(self.symbol()?.map(Index::entries).transpose()?.unwrap_or_default())
    }

    /// Returns the bytes of modules.softdep, `None` if the file is missing.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn softdep_text(&self) -> Result<Option<Vec<u8>>, TreeError> {
        self.read("modules.softdep")
    }

    /// Returns the bytes of modules.weakdep, `None` if the file is missing.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn weakdep_text(&self) -> Result<Option<Vec<u8>>, TreeError> {
        self.read("modules.weakdep")
    }

    /// Returns the bytes of modules.devname, `None` if the file is missing.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn devname_text(&self) -> Result<Option<Vec<u8>>, TreeError> {
        self.read("modules.devname")
    }

    /// Returns the bytes of modules.builtin.modinfo, `None` if the file is missing.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn builtin_modinfo(&self) -> Result<Option<Vec<u8>>, TreeError> {
        self.read("modules.builtin.modinfo")
    }

    fn dep(&self) -> Result<Option<&Index>, TreeError> {
        self.load(&self.dep, DEP, text::dep_index)
    }

    fn alias(&self) -> Result<Option<&Index>, TreeError> {
        self.load(&self.alias, ALIAS, text::alias_index)
    }

    fn symbol(&self) -> Result<Option<&Index>, TreeError> {
        self.load(&self.symbols, SYMBOLS, text::alias_index)
    }

    fn load<'a>(
        &self,
        slot: &'a Slot,
        files: Files,
        from_text: fn(&[u8]) -> Result<Index, text::TextError>,
    ) -> Result<Option<&'a Index>, TreeError> {
        match slot.get_or_init(|| self.read_index(files, from_text)) {
            Ok(index) => Ok(index.as_ref()),
            Err(error) => Err(error.copy()),
        }
    }

    fn read_index(
        &self,
        files: Files,
        from_text: fn(&[u8]) -> Result<Index, text::TextError>,
    ) -> Result<Option<Index>, TreeError> {
        match Index::read(&self.dir.join(files.bin)) {
            Ok(index) => Ok(Some(index)),
            Err(error) if error.is_empty() && files.may_be_empty => Ok(None),
            // The text replaces only a missing index. A damaged or empty one is an error.
            Err(error) if error.is_not_found() => {
                let path = self.dir.join(files.text);
                match self.read(files.text)?.map(|text| from_text(&text)).transpose() {
                    Ok(index) => Ok(index),
                    Err(text::TextError::Line { line, cause }) => Err(TreeError::Line { path, line, cause }),
                    Err(text::TextError::Insert(cause)) => Err(TreeError::Insert { path, cause }),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn names(&self, index: Option<&Index>, name: &[u8], files: Files) -> Result<Vec<ModuleName>, TreeError> {
        let Some(index) = index else { return Ok(Vec::new()) };
        let name_of =
            |value: Value| ModuleName::new(&value.bytes).map_err(|e| self.bad_value(files, value.bytes, e.into()));
        let values = index.matches(name)?;
        // Each becomes a name with the alias.
        self.require_memory(files, values.len().saturating_mul(name.len() + 8))?;
        values.into_iter().map(name_of).collect()
    }

    /// Fails if there is not enough memory for names and paths from this many bytes of a list.
    fn require_memory(&self, files: Files, length: usize) -> Result<(), TreeError> {
        memory::require(length.saturating_mul(GROWTH))
            .map_err(|error| TreeError::Io { path: self.dir.join(files.bin), cause: file::out_of_memory(error) })
    }

    /// Parses a line of modules.dep.
    fn parse<'a>(&self, line: &'a [u8]) -> Result<text::DepLine<'a>, TreeError> {
        let line_error = |cause| self.bad_value(DEP, line.to_vec(), cause);
        let dep = text::DepLine::parse(line).map_err(line_error)?;
        match ModuleName::from_path(dep.path) {
            Ok(_) => Ok(dep),
            Err(error) => Err(line_error(error.into())),
        }
    }

    fn entry(&self, line: &[u8]) -> Result<ModuleEntry, TreeError> {
        self.require_memory(DEP, line.len())?;
        let dep = self.parse(line)?;
        let line_error = |error: NameError| self.bad_value(DEP, line.to_vec(), error.into());
        let name = ModuleName::from_path(dep.path).map_err(line_error)?;
        // `join` leaves an absolute path unchanged.
        let absolute = |path: &[u8]| self.dir.join(OsStr::from_bytes(path));
        Ok(ModuleEntry { name, path: absolute(dep.path), deps: dep.deps().map(absolute).collect() })
    }

    fn bad_value(&self, files: Files, value: Vec<u8>, cause: text::LineError) -> TreeError {
        TreeError::Value { path: self.dir.join(files.bin), value: Escaped(value), cause }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let path = self.dir.join(name);
        file::if_present(file::read_regular(&path, TEXT_LIMIT)).map_err(|cause| TreeError::Io { path, cause })
    }
}

/// The files of one list.
#[derive(Clone, Copy)]
struct Files {
    bin: &'static str,
    text: &'static str,
    /// Whether an empty file is an index without entries.
    may_be_empty: bool,
}

const DEP: Files = Files { bin: "modules.dep.bin", text: "modules.dep", may_be_empty: false };
const ALIAS: Files = Files { bin: "modules.alias.bin", text: "modules.alias", may_be_empty: false };
const SYMBOLS: Files = Files { bin: "modules.symbols.bin", text: "modules.symbols", may_be_empty: false };
const BUILTIN: Files = Files { bin: "modules.builtin.bin", text: "modules.builtin", may_be_empty: true };
const BUILTIN_ALIAS: Files =
    Files { bin: "modules.builtin.alias.bin", text: "modules.builtin.modinfo", may_be_empty: true };

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ModuleName {
        ModuleName::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn the_text_is_read_if_the_index_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
        put("modules.dep", b"kernel/a-b.ko.xz: kernel/c.ko /elsewhere/d.ko\nkernel/c.ko:\n");
        put("modules.alias", b"# Aliases\nalias pci:v0*sv-* a_b\nalias fs-x c\n");
        put("modules.symbols", b"alias symbol:f a_b\n");
        put("modules.builtin", b"kernel/fs/ext4/ext4.ko\n");
        put("modules.builtin.modinfo", b"ext4.alias=fs-ext4\0ext4.license=GPL\0");
        let tree = Tree::new(dir.path());
        let entry = tree.module(&name("a-b")).unwrap().unwrap();
        assert_eq!(entry.path, dir.path().join("kernel/a-b.ko.xz"));
        assert_eq!(entry.deps, [dir.path().join("kernel/c.ko"), "/elsewhere/d.ko".into()]);
        assert_eq!(tree.module(&name("nosuch")).unwrap(), None);
        assert_eq!(tree.modules().unwrap().iter().map(|m| m.name.to_string()).collect::<Vec<_>>(), ["a_b", "c"]);
        assert_eq!(tree.aliases(b"pci:v0777sv_1").unwrap(), [name("a_b")]);
        assert_eq!(tree.symbols(b"symbol:f").unwrap(), [name("a_b")]);
        assert!(tree.is_builtin(&name("ext4")).unwrap() && !tree.is_builtin(&name("c")).unwrap());
        assert_eq!(tree.builtin_aliases(b"fs_ext4").unwrap(), [name("ext4")]);
    }

    #[test]
    fn an_empty_directory_is_not_indexed_and_has_no_modules() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new(dir.path());
        assert!(!tree.is_indexed().unwrap());
        assert_eq!(tree.module(&name("a")).unwrap(), None);
        assert_eq!(tree.aliases(b"a").unwrap(), []);
        assert_eq!(tree.softdep_text().unwrap(), None);
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("modules.dep"), b"a.ko:\nno colon here\n").unwrap();
        let error = Tree::new(dir.path()).module(&name("a")).unwrap_err().to_string();
        assert!(
            error.ends_with("/modules.dep line 2: there is no `:` behind the module's path; run depmod"),
            "{error}"
        );
    }

    #[test]
    fn a_path_in_a_message_is_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a\n\u{1b}[2J");
        std::fs::create_dir(&tree).unwrap();
        for (file, bytes) in [("modules.dep", &b"no colon"[..]), ("modules.dep.bin", b"garbage of some length")] {
            std::fs::write(tree.join(file), bytes).unwrap();
            let error = Tree::new(&tree).module(&name("a")).unwrap_err().to_string();
            assert!(error.contains("/a\\x0a\\x1b[2J/"), "{error:?}");
        }
    }

    #[test]
    fn a_damaged_index_is_an_error_even_if_the_text_is_intact() {
        for broken in [&b""[..], b"\xb0", b"garbage that is long enough"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("modules.dep"), b"a.ko:\n").unwrap();
            std::fs::write(dir.path().join("modules.dep.bin"), broken).unwrap();
            assert!(Tree::new(dir.path()).module(&name("a")).is_err());
        }
    }

    #[test]
    fn a_damaged_index_is_read_once_and_fails_each_lookup() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("modules.dep.bin"), b"garbage that is long enough").unwrap();
        let tree = Tree::new(dir.path());
        let first = tree.module(&name("a")).unwrap_err().to_string();
        // Reading again would find no file, which is not an error.
        std::fs::remove_file(dir.path().join("modules.dep.bin")).unwrap();
        assert_eq!(tree.module(&name("a")).unwrap_err().to_string(), first);
    }

    #[test]
    fn an_index_of_built_in_modules_may_be_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        for index in ["modules.builtin.bin", "modules.builtin.alias.bin"] {
            std::fs::write(dir.path().join(index), b"").unwrap();
        }
        let tree = Tree::new(dir.path());
        assert!(!tree.is_builtin(&name("a")).unwrap());
        assert_eq!(tree.builtin_aliases(b"a").unwrap(), []);
    }
}
