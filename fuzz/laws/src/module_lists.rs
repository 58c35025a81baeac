//! The body of the fuzz target `module_lists`: the text lists of a module directory, except modules.dep, which has its own
//! target, and the kernel's lists of symbols.

mod naive;

use super::index::oracle;
use crate::{file, pattern};
use kmod::depmod::KernelSymbols;
use kmod::index::{IndexWriter, Value};
use kmod::name::ModuleName;
use kmod::tree::text::{builtin_modinfo_entries, devname_lines};
use kmod::tree::{Tree, TreeError};
use std::fs;
use std::path::Path;

/// How many entries of a list are looked up.
const LOOKUPS: usize = 12;

/// The input is read as a modules.alias, a modules.symbols, a modules.builtin, a modules.builtin.modinfo, a
/// modules.devname, a Module.symvers and a System.map.
///
/// # Panics
/// Panics if a promise about lists is broken, or if the temporary directory cannot be written.
pub fn module_lists(data: &[u8]) {
    let dir = file::directory();
    let lists = Lists { dir: dir.path(), data };
    lists.check_aliases("modules.alias", Tree::aliases, Tree::alias_entries);
    lists.check_aliases("modules.symbols", Tree::symbols, Tree::symbol_entries);
    lists.check_builtin();
    lists.check_builtin_aliases();
    check_device_nodes(data);
    check_kernel_symbols(data);
}

type Lookup<T> = fn(&Tree, &[u8]) -> Result<Vec<T>, TreeError>;
type All = fn(&Tree) -> Result<Vec<oracle::Entry>, TreeError>;

/// A module directory whose lists contain the input.
struct Lists<'a> {
    dir: &'a Path,
    data: &'a [u8],
}

impl Lists<'_> {
    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.dir.join(file);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The text has the entries that the naive parser finds, the index made from them gives the same answers, and a text is
    /// rejected at its first bad line.
    fn check_aliases(&self, file: &str, lookup: Lookup<ModuleName>, all: All) {
        self.write(file, self.data);
        let tree = Tree::new(self.dir);
        let lines = match (naive::aliases(self.data), all(&tree)) {
            (Ok(lines), Ok(entries)) => {
                assert_eq!(entries, oracle::in_order(&lines), "the naive parser of {file} differs");
                lines
            }
            (Err(bad), Err(TreeError::Line { line, .. })) => return assert_eq!(line, bad, "the bad line of {file}"),
            (naive, read) => panic!("{file}: {naive:?} and {read:?}"),
        };
        let names: Vec<Vec<u8>> = lines.iter().take(LOOKUPS).map(|(key, _)| pattern::name_for(key)).collect();
        let answers = |tree: &Tree| -> Vec<Result<Vec<ModuleName>, String>> {
            names.iter().map(|name| lookup(tree, name).map_err(|error| error.to_string())).collect()
        };
        let by_text = answers(&tree);
        let mut writer = IndexWriter::new();
        for (key, value) in &lines {
            assert_eq!(writer.insert(key, &value.bytes, value.priority), Ok(()), "an index rejects an entry of {file}");
        }
        self.write(&format!("{file}.bin"), &writer.to_bytes().unwrap_or_else(|error| panic!("{file}: {error}")));
        assert_eq!(answers(&Tree::new(self.dir)), by_text, "the index of {file} differs");
        for (name, answer) in names.iter().zip(by_text) {
            let values = oracle::matches(&oracle::in_order(&lines), name);
            let expected: Result<Vec<ModuleName>, _> =
                values.iter().map(|value| ModuleName::new(&value.bytes)).collect();
            assert_eq!(answer.ok(), expected.ok(), "modules for {name:?} in {file}");
        }
    }

    fn check_builtin(&self) {
        self.write("modules.builtin", self.data);
        let tree = Tree::new(self.dir);
        let nosuch = ModuleName::new(b"no_such").unwrap_or_else(|error| panic!("{error}"));
        match naive::builtin(self.data) {
            Ok(names) => {
                for name in names.iter().take(LOOKUPS).chain([&nosuch]) {
                    let listed = names.contains(name) && oracle::refusal(name.as_bytes(), b"").is_none();
                    assert_eq!(tree.is_builtin(name).ok(), Some(listed), "whether {name} is built in");
                }
            }
            Err(bad) => match tree.is_builtin(&nosuch) {
                Err(TreeError::Line { line, .. }) => assert_eq!(line, bad),
                other => panic!("line {bad} is not a module's path, but the result is {other:?}"),
            },
        }
    }

    fn check_builtin_aliases(&self) {
        let found: Vec<_> = builtin_modinfo_entries(self.data).collect();
        assert_eq!(found, naive::builtin_modinfo(self.data), "the naive parser of modules.builtin.modinfo differs");
        self.write("modules.builtin.modinfo", self.data);
        let tree = Tree::new(self.dir);
        let entries = oracle::in_order(&naive::builtin_aliases(&found));
        for (key, _) in entries.iter().take(LOOKUPS) {
            let name = pattern::name_for(key);
            let values: Vec<Value> = oracle::matches(&entries, &name);
            let expected: Vec<ModuleName> =
                values.iter().filter_map(|value| ModuleName::new(&value.bytes).ok()).collect();
            assert_eq!(tree.builtin_aliases(&name).ok(), Some(expected), "built-in modules for {name:?}");
        }
    }
}

/// The naive parser finds the same nodes; each node stays below /dev and, printed, parses the same.
fn check_device_nodes(data: &[u8]) {
    let found: Vec<_> = devname_lines(data).collect();
    assert_eq!(found, naive::device_nodes(data), "the naive parser of modules.devname differs");
    for node in found.iter().filter_map(|(_, node)| node.as_ref().ok()) {
        let path = String::from_utf8_lossy(node.path);
        assert!(!path.starts_with('/') && Path::new(path.as_ref()).components().count() == path.split('/').count());
        assert!(!format!("/{path}/").contains("/../"));
        let kind = if node.is_block { 'b' } else { 'c' };
        // A `#` is part of the name only after a space.
        let line = format!(" {} {path} {kind}{}:{}", String::from_utf8_lossy(node.module), node.major, node.minor);
        let again: Vec<_> = devname_lines(line.as_bytes()).collect();
        assert_eq!(again, [(1, Ok(*node))], "a printed node parses differently");
    }
}

/// The naive parsers find the same symbols, and symbols printed like the kernel's build prints them parse the same.
fn check_kernel_symbols(data: &[u8]) {
    let symvers = KernelSymbols::from_symvers(data);
    assert_eq!(symvers.symbols, naive::symvers(data), "the naive parser of Module.symvers differs");
    let line = |(name, crc): &(Vec<u8>, Option<u64>)| {
        let crc = crc.map_or("none".to_owned(), |crc| format!("{crc:#010x}"));
        [crc.as_bytes(), b"\t", name, b"\tvmlinux\tEXPORT_SYMBOL\t\n"].concat()
    };
    let text: Vec<u8> = symvers.symbols.iter().flat_map(line).collect();
    assert_eq!(KernelSymbols::from_symvers(&text), symvers, "printed symbols parse differently");

    let map = KernelSymbols::from_system_map(data);
    assert_eq!(map.symbols, naive::system_map(data), "the naive parser of System.map differs");
    let line = |(name, _): &(Vec<u8>, _)| [b"ffffffff81000000 r __ksymtab_", name.as_slice(), b"\n"].concat();
    let text: Vec<u8> = map.symbols.iter().flat_map(line).collect();
    assert_eq!(KernelSymbols::from_system_map(&text), map, "printed symbols parse differently");
}
