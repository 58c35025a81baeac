//! Builds the lists and indexes as bytes, in the order in which they are written. Pure, except that it reads two lists of the
//! kernel's build.

use super::graph::Graph;
use super::loaded::{Key, Loaded};
use super::search::Found;
use super::{DepmodError, Notice, Options, build_list};
use crate::index::{IndexWriter, InsertError};
use crate::name::{ModuleName, normalise_alias};
use crate::tree::text::builtin_modinfo_entries;

/// A file to be written.
pub(super) struct Output {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Builds all output files.
pub(super) fn outputs(
    found: &[Found],
    modules: &[Loaded],
    graph: &Graph<'_>,
    options: &Options,
    notify: &mut dyn FnMut(Notice),
) -> Result<Vec<Output>, DepmodError> {
    let infos = listable_infos(found, modules, notify)?;
    let mut out = Outputs { files: Vec::with_capacity(11), options, notify };
    out.dependencies(found, graph)?;
    out.aliases(&infos)?;
    out.infos("modules.softdep", b"# Soft dependencies extracted from modules themselves.\n", Key::Softdep, &infos)?;
    out.infos("modules.weakdep", b"# Weak dependencies extracted from modules themselves.\n", Key::Weakdep, &infos)?;
    out.symbols(found, graph)?;
    // These two exist only as indexes: a dry run does not show them.
    if !options.dry_run {
        out.builtin()?;
        out.builtin_aliases()?;
    }
    out.devnames(&infos)?;
    Ok(out.files)
}

/// A value of a module's `.modinfo` with the module's name and position.
struct Info<'m> {
    name: &'m [u8],
    key: Key,
    value: &'m [u8],
    place: u32,
}

/// Collects the values that can be written as lines. A value with a newline is left out: modprobe would read its rest as a
/// separate line. So is a soft or weak dependency with a backslash: at the end of a line it would join the next line.
fn listable_infos<'m>(
    found: &'m [Found],
    modules: &'m [Loaded],
    notify: &mut dyn FnMut(Notice),
) -> Result<Vec<Info<'m>>, DepmodError> {
    let mut infos = Vec::new();
    for (place, (module, loaded)) in (0_u32..).zip(found.iter().zip(modules)) {
        for key in [Key::Alias, Key::Softdep, Key::Weakdep] {
            for value in loaded.info(key) {
                let is_forbidden = |b: &u8| match key {
                    Key::Alias => b.is_ascii_control() || *b == b' ',
                    Key::Softdep | Key::Weakdep => (b.is_ascii_control() && *b != b'\t') || *b == b'\\',
                };
                if value.iter().any(is_forbidden) {
                    let value = value[..value.len().min(SHOWN_LENGTH)].to_vec();
                    let (path, key) = (module.path.clone(), key.as_str());
                    notify(Notice::Value { path, key, value });
                } else {
                    infos.try_reserve(1).map_err(|_| DepmodError::Memory("the aliases of all modules"))?;
                    infos.push(Info { name: module.name.as_bytes(), key, value, place });
                }
            }
        }
    }
    Ok(infos)
}

/// The length up to which messages show a value, in bytes.
const SHOWN_LENGTH: usize = 256;

/// Appends parts to a list.
fn append(list: &'static str, text: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), DepmodError> {
    let length = parts.iter().map(|part| part.len()).sum();
    text.try_reserve(length).map_err(|_| DepmodError::Memory(list))?;
    parts.iter().for_each(|part| text.extend_from_slice(part));
    Ok(())
}

struct Outputs<'o> {
    files: Vec<Output>,
    options: &'o Options,
    notify: &'o mut dyn FnMut(Notice),
}

impl Outputs<'_> {
    fn dependencies(&mut self, found: &[Found], graph: &Graph<'_>) -> Result<(), DepmodError> {
        let (mut text, mut index) = (Vec::new(), IndexWriter::new());
        for ((place, module), dependencies) in (0_u32..).zip(found).zip(graph.all_dependencies()) {
            let start = text.len();
            append("modules.dep", &mut text, &[&module.listed, b":"])?;
            for dependency in dependencies {
                append("modules.dep", &mut text, &[b" ", &found[dependency as usize].listed])?;
            }
            self.insert("modules.dep.bin", &mut index, module.name.as_bytes(), &text[start..], place)?;
            append("modules.dep", &mut text, &[b"\n"])?;
        }
        self.push("modules.dep", text);
        self.push_index("modules.dep.bin", "module deps", &index)
    }

    fn aliases(&mut self, infos: &[Info<'_>]) -> Result<(), DepmodError> {
        let mut text = b"# Aliases extracted from modules themselves.\n".to_vec();
        let mut index = IndexWriter::new();
        for info in infos.iter().filter(|info| info.key == Key::Alias) {
            append("modules.alias", &mut text, &[b"alias ", info.value, b" ", info.name, b"\n"])?;
            match normalise_alias(info.value) {
                Ok(alias) => self.insert("modules.alias.bin", &mut index, &alias, info.name, info.place)?,
                Err(error) => (self.notify)(Notice::Alias { module: info.name.to_vec(), error }),
            }
        }
        self.push("modules.alias", text);
        self.push_index("modules.alias.bin", "module alias", &index)
    }

    fn infos(&mut self, file: &'static str, heading: &[u8], key: Key, infos: &[Info<'_>]) -> Result<(), DepmodError> {
        let mut text = heading.to_vec();
        for info in infos.iter().filter(|info| info.key == key) {
            append(file, &mut text, &[key.as_str().as_bytes(), b" ", info.name, b" ", info.value, b"\n"])?;
        }
        self.push(file, text);
        Ok(())
    }

    fn symbols(&mut self, found: &[Found], graph: &Graph<'_>) -> Result<(), DepmodError> {
        let mut text = b"# Aliases for symbols, used by symbol_request().\n".to_vec();
        let mut index = IndexWriter::new();
        let mut key = b"symbol:".to_vec();
        for &(symbol, owner) in &graph.symbols {
            let name = found[owner as usize].name.as_bytes();
            key.truncate(b"symbol:".len());
            key.extend_from_slice(symbol);
            if !symbol.iter().all(u8::is_ascii_graphic) {
                let error = InsertError::BadCharacter {
                    key: crate::name::Escaped(key.clone()),
                    byte: symbol.iter().copied().find(|b| !b.is_ascii_graphic()).unwrap_or_default(),
                };
                (self.notify)(Notice::Key(error));
                continue;
            }
            append("modules.symbols", &mut text, &[b"alias ", &key, b" ", name, b"\n"])?;
            self.insert("modules.symbols.bin", &mut index, &key, name, owner)?;
        }
        self.push("modules.symbols", text);
        self.push_index("modules.symbols.bin", "module syms", &index)
    }

    fn builtin(&mut self) -> Result<(), DepmodError> {
        let list = build_list(self.options, "modules.builtin", self.notify);
        let mut index = IndexWriter::new();
        for line in list.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let name = ModuleName::from_path(line).ok().filter(|_| line[0].is_ascii_alphabetic());
            match name {
                Some(name) => self.insert("modules.builtin.bin", &mut index, name.as_bytes(), b"", 0)?,
                None => (self.notify)(Notice::BuiltinLine(line.to_vec())),
            }
        }
        self.push_index("modules.builtin.bin", "builtin module", &index)
    }

    fn builtin_aliases(&mut self) -> Result<(), DepmodError> {
        let list = build_list(self.options, "modules.builtin.modinfo", self.notify);
        let mut index = IndexWriter::new();
        for (module, key, value) in builtin_modinfo_entries(&list) {
            let Ok(name) = ModuleName::new(module) else { continue };
            if key != b"alias" {
                continue;
            }
            match normalise_alias(value) {
                Ok(alias) => self.insert("modules.builtin.alias.bin", &mut index, &alias, name.as_bytes(), 0)?,
                Err(error) => (self.notify)(Notice::Alias { module: module.to_vec(), error }),
            }
        }
        self.push_index("modules.builtin.alias.bin", "builtin module alias", &index)
    }

    /// Lists the device nodes that can be created before their module is loaded: modules with an alias for the name of a node
    /// and one for its numbers.
    fn devnames(&mut self, infos: &[Info<'_>]) -> Result<(), DepmodError> {
        let mut text = Vec::new();
        for infos in infos.chunk_by(|a, b| a.place == b.place) {
            let aliases = infos.iter().filter(|info| info.key == Key::Alias);
            // As in C kmod: the last of each kind until both have been seen.
            let (mut devname, mut number) = (None, None);
            for alias in aliases.map(|info| info.value) {
                devname = alias.strip_prefix(b"devname:").or(devname);
                number = device_number(alias).or(number);
                if devname.is_some() && number.is_some() {
                    break;
                }
            }
            let Some(devname) = devname else { continue };
            let name = infos[0].name;
            let Some((kind, major, minor)) = number else {
                let (module, devname) = (name.to_vec(), devname.to_vec());
                (self.notify)(Notice::Devname { module, devname });
                continue;
            };
            if text.is_empty() {
                text.extend_from_slice(b"# Device nodes to trigger on-demand module loading.\n");
            }
            let numbers = format!(" {kind}{major}:{minor}\n");
            append("modules.devname", &mut text, &[name, b" ", devname, numbers.as_bytes()])?;
        }
        self.push("modules.devname", text);
        Ok(())
    }

    /// Inserts a key into an index. A key that the index cannot contain is reported and left out.
    fn insert(
        &mut self,
        file: &'static str,
        index: &mut IndexWriter,
        key: &[u8],
        value: &[u8],
        priority: u32,
    ) -> Result<(), DepmodError> {
        match index.insert(key, value, priority) {
            Ok(()) => Ok(()),
            Err(cause @ (InsertError::TooLarge | InsertError::Memory)) => Err(DepmodError::Index { file, cause }),
            Err(error) => {
                (self.notify)(Notice::Key(error));
                Ok(())
            }
        }
    }

    fn push_index(&mut self, name: &'static str, what: &'static str, index: &IndexWriter) -> Result<(), DepmodError> {
        if self.options.warn_duplicates {
            let duplicates = index.duplicates().map_err(|cause| DepmodError::Index { file: name, cause })?;
            for (key, value) in duplicates {
                (self.notify)(Notice::Duplicate { what, key: key.to_vec(), value: value.to_vec() });
            }
        }
        let bytes = index.to_bytes().map_err(|cause| DepmodError::Index { file: name, cause })?;
        self.push(name, bytes);
        Ok(())
    }

    fn push(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.files.push(Output { name, bytes });
    }
}

/// Parses an alias such as `char-major-10-229`; returns `None` if it contains a pattern instead of a number.
fn device_number(alias: &[u8]) -> Option<(char, u32, u32)> {
    let alias = std::str::from_utf8(alias).ok()?;
    let (kind, numbers) = match alias.strip_prefix("char-major-") {
        Some(numbers) => ('c', numbers),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, minor) = numbers.split_once('-')?;
    Some((kind, major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_two_decimal_numbers() {
        assert_eq!(device_number(b"char-major-10-229"), Some(('c', 10, 229)));
        assert_eq!(device_number(b"block-major-7-0"), Some(('b', 7, 0)));
        for alias in ["char-major-10-*", "char-major-10", "fs-char-major-1-2", "char-major-1-99999999999"] {
            assert_eq!(device_number(alias.as_bytes()), None, "{alias}");
        }
    }
}
