//! The body of the fuzz target `module_lists`: the text lists of a module directory but modules.dep, which has a target of
//! its own, and the kernel's own lists of symbols.

mod naive;

use super::index::oracle;
use kmod::depmod::KernelSymbols;
use kmod::index::{IndexWriter, Value};
use kmod::name::ModuleName;
use kmod::tree::text::{builtin_modinfo_entries, devname_lines};
use kmod::tree::{Tree, TreeError};
use std::fs;
use std::path::Path;

/// Of the entries of a list so many are asked for, from the beginning.
const ASKED: usize = 12;

/// The input is a modules.alias, a modules.symbols, a modules.builtin, a modules.builtin.modinfo, a modules.devname, a
/// Module.symvers and a System.map.
///
/// # Panics
/// When a promise about lists is broken, or when the temporary directory cannot be written.
pub fn module_lists(data: &[u8]) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
    let lab = Lab { dir: dir.path(), data };
    lab.aliases("modules.alias", Tree::aliases, Tree::alias_entries);
    lab.aliases("modules.symbols", Tree::symbols, Tree::symbol_entries);
    lab.builtin();
    lab.builtin_aliases();
    device_nodes(data);
    kernel_symbols(data);
}

type Question<T> = fn(&Tree, &[u8]) -> Result<Vec<T>, TreeError>;
type All = fn(&Tree) -> Result<Vec<oracle::Entry>, TreeError>;

struct Lab<'a> {
    dir: &'a Path,
    data: &'a [u8],
}

impl Lab<'_> {
    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.dir.join(file);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The text says what a naive reader finds, the index that is made of that says the same, and a text that is refused has a
    /// bad line there.
    fn aliases(&self, file: &str, question: Question<ModuleName>, all: All) {
        self.write(file, self.data);
        let tree = Tree::new(self.dir);
        let lines = match (naive::aliases(self.data), all(&tree)) {
            (Ok(lines), Ok(entries)) => {
                assert_eq!(entries, oracle::in_order(&lines), "another reader of {file} finds something else");
                lines
            }
            (Err(bad), Err(TreeError::Line { line, .. })) => return assert_eq!(line, bad, "the bad line of {file}"),
            (naive, read) => panic!("{file}: {naive:?} and {read:?}"),
        };
        let names: Vec<Vec<u8>> = lines.iter().take(ASKED).map(|(key, _)| oracle::name_for(key)).collect();
        let answers = |tree: &Tree| -> Vec<Result<Vec<ModuleName>, String>> {
            names.iter().map(|name| question(tree, name).map_err(|error| error.to_string())).collect()
        };
        let by_text = answers(&tree);
        let mut writer = IndexWriter::new();
        for (key, value) in &lines {
            assert_eq!(
                writer.insert(key, &value.bytes, value.priority),
                Ok(()),
                "a naive reader finds what is no entry"
            );
        }
        self.write(&format!("{file}.bin"), &writer.to_bytes().unwrap_or_else(|error| panic!("{file}: {error}")));
        assert_eq!(answers(&Tree::new(self.dir)), by_text, "the index says something else than {file}");
        for (name, answer) in names.iter().zip(by_text) {
            let values = oracle::matches(&oracle::in_order(&lines), name);
            let expected: Result<Vec<ModuleName>, _> =
                values.iter().map(|value| ModuleName::new(&value.bytes)).collect();
            assert_eq!(answer.ok(), expected.ok(), "what {name:?} finds in {file}");
        }
    }

    fn builtin(&self) {
        self.write("modules.builtin", self.data);
        let tree = Tree::new(self.dir);
        let nosuch = ModuleName::new(b"no_such").unwrap_or_else(|error| panic!("{error}"));
        match naive::builtin(self.data) {
            Ok(names) => {
                for name in names.iter().take(ASKED).chain([&nosuch]) {
                    let listed = names.contains(name) && oracle::refusal(name.as_bytes(), b"").is_none();
                    assert_eq!(tree.is_builtin(name).ok(), Some(listed), "whether {name} is built in");
                }
            }
            Err(bad) => match tree.is_builtin(&nosuch) {
                Err(TreeError::Line { line, .. }) => assert_eq!(line, bad),
                other => panic!("line {bad} names no module, and {other:?}"),
            },
        }
    }

    fn builtin_aliases(&self) {
        let found: Vec<_> = builtin_modinfo_entries(self.data).collect();
        assert_eq!(found, naive::builtin_modinfo(self.data), "another reader of modules.builtin.modinfo");
        self.write("modules.builtin.modinfo", self.data);
        let tree = Tree::new(self.dir);
        let entries = oracle::in_order(&naive::builtin_aliases(&found));
        for (key, _) in entries.iter().take(ASKED) {
            let name = oracle::name_for(key);
            let values: Vec<Value> = oracle::matches(&entries, &name);
            let expected: Vec<ModuleName> =
                values.iter().filter_map(|value| ModuleName::new(&value.bytes).ok()).collect();
            assert_eq!(tree.builtin_aliases(&name).ok(), Some(expected), "what {name:?} finds");
        }
    }
}

/// A naive reader finds the same nodes; each stays below /dev, and reads back as it is printed.
fn device_nodes(data: &[u8]) {
    let found: Vec<_> = devname_lines(data).collect();
    assert_eq!(found, naive::device_nodes(data), "another reader of modules.devname");
    for node in found.iter().filter_map(|(_, node)| node.as_ref().ok()) {
        let path = String::from_utf8_lossy(node.path);
        assert!(!path.starts_with('/') && Path::new(path.as_ref()).components().count() == path.split('/').count());
        assert!(!format!("/{path}/").contains("/../"));
        let kind = if node.is_block { 'b' } else { 'c' };
        let line = format!("{} {path} {kind}{}:{}", String::from_utf8_lossy(node.module), node.major, node.minor);
        let again: Vec<_> = devname_lines(line.as_bytes()).collect();
        assert_eq!(again, [(1, Ok(*node))], "what was printed reads back as something else");
    }
}

/// Printed as the kernel's build does, symbols read back as they are, and a naive reader finds the same.
fn kernel_symbols(data: &[u8]) {
    let symvers = KernelSymbols::from_symvers(data);
    assert_eq!(symvers.symbols, naive::symvers(data), "another reader of Module.symvers");
    let line = |(name, crc): &(Vec<u8>, Option<u64>)| {
        let crc = crc.map_or("none".to_owned(), |crc| format!("{crc:#010x}"));
        [crc.as_bytes(), b"\t", name, b"\tvmlinux\tEXPORT_SYMBOL\t\n"].concat()
    };
    let text: Vec<u8> = symvers.symbols.iter().flat_map(line).collect();
    assert_eq!(KernelSymbols::from_symvers(&text), symvers, "what was printed reads back as something else");

    let map = KernelSymbols::from_system_map(data);
    assert_eq!(map.symbols, naive::system_map(data), "another reader of System.map");
    let line = |(name, _): &(Vec<u8>, _)| [b"ffffffff81000000 r __ksymtab_", name.as_slice(), b"\n"].concat();
    let text: Vec<u8> = map.symbols.iter().flat_map(line).collect();
    assert_eq!(KernelSymbols::from_system_map(&text), map, "what was printed reads back as something else");
}
