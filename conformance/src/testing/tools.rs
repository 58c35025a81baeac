//! The model's module tools: a modprobe that knows a few modules, aliases and lines of modprobe.d.

use kmod::index::IndexWriter;
use kmod::name::fnmatch;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The modules, with the modules that they depend on, those that are loaded first in front.
const MODULES: &[(&str, &[&str])] = &[
    ("8021q", &["mrp", "llc", "stp", "garp"]),
    ("dummy", &[]),
    ("garp", &["llc", "stp"]),
    ("llc", &[]),
    ("loop", &[]),
    ("mrp", &[]),
    ("nls_utf8", &[]),
    ("squashfs", &[]),
    ("stp", &["llc"]),
];
/// The modules that use another one directly.
const USERS: &[(&str, &[&str])] =
    &[("garp", &["8021q"]), ("mrp", &["8021q"]), ("stp", &["garp"]), ("llc", &["garp", "stp"])];
const ALIASES: &[(&str, &str)] =
    &[("rtnl-link-dummy", "dummy"), ("block-major-7-*", "loop"), ("fs-squashfs", "squashfs"), ("fs-ext4", "ext4")];

/// The properties of the tools.
#[derive(Clone, Copy, Debug)]
pub struct Tools {
    /// Whether the module directory exists.
    pub directory: bool,
    /// Whether modprobe does anything.
    pub works: bool,
    /// Whether dependencies are loaded.
    pub dependencies: bool,
    /// Whether aliases are known.
    pub aliases: bool,
    /// Whether -r removes a module.
    pub removes: bool,
    /// Whether options lines count.
    pub options: bool,
    /// Whether blacklist lines count.
    pub blacklist: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Tools {
            directory: true,
            works: true,
            dependencies: true,
            aliases: true,
            removes: true,
            options: true,
            blacklist: true,
        }
    }
}

/// Writes the index of the model's modules into a directory and returns it.
pub fn write_index(dir: &Path) -> PathBuf {
    let mut index = IndexWriter::new();
    for (name, deps) in MODULES {
        let deps: Vec<String> = deps.iter().rev().map(|dep| format!(" kernel/{dep}.ko")).collect();
        let line = format!("kernel/{name}.ko:{}", deps.concat());
        index.insert(name.as_bytes(), line.as_bytes(), 0).unwrap();
    }
    std::fs::write(dir.join("modules.dep.bin"), index.to_bytes().unwrap()).unwrap();
    dir.to_owned()
}

/// The files and modules of a guest, and its tools.
pub(super) struct Userland {
    pub tools: Tools,
    pub files: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The loaded modules with their parameters.
    pub loaded: BTreeMap<String, Vec<String>>,
}

impl Userland {
    /// Returns the number of loaded modules that use this one.
    pub(super) fn users(&self, module: &str) -> usize {
        let users = USERS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, users)| users);
        users.iter().filter(|user| self.loaded.contains_key(**user)).count()
    }

    /// Returns the words of the lines of modprobe.d that begin with this keyword.
    fn lines(&self, keyword: &str) -> Vec<Vec<String>> {
        let files = self.files.iter().filter(|(path, _)| path.starts_with(b"/etc/modprobe.d/"));
        let text: String = files.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect();
        let words = text.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        words.filter(|words| words.first().is_some_and(|first| first == keyword)).collect()
    }

    fn is_blacklisted(&self, module: &str) -> bool {
        self.tools.blacklist && self.lines("blacklist").iter().any(|words| words[1].replace('-', "_") == module)
    }

    /// Loads a module after its dependencies. Returns the names of those that were not loaded before.
    fn load_with_dependencies(&mut self, module: &str, arguments: &[String]) -> Vec<String> {
        let deps = MODULES.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, deps)| deps);
        let deps = if self.tools.dependencies { deps } else { &[] };
        let mut inserted = Vec::new();
        for name in deps.iter().copied().chain([module]) {
            let options = self.lines("options").into_iter().filter(|words| words[1] == name && self.tools.options);
            let mut parameters: Vec<String> = options.flat_map(|words| words[2..].to_vec()).collect();
            if name == module {
                parameters.extend_from_slice(arguments);
            }
            if !self.loaded.contains_key(name) {
                self.loaded.insert(name.to_owned(), parameters);
                inserted.push(name.to_owned());
            }
        }
        inserted
    }
}

/// Runs modprobe. Returns its exit status, its output and its messages.
pub(super) fn modprobe(guest: &mut Userland, argv: &[Vec<u8>]) -> (i32, String, String) {
    let words: Vec<String> = argv.iter().skip(1).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let flags: String =
        words.iter().filter(|word| word.starts_with('-')).map(|word| word.trim_start_matches('-')).collect();
    let mut operands = words.iter().filter(|word| !word.starts_with('-')).cloned();
    let has = |flag| flags.contains(flag);
    let (mut status, mut output, mut messages) = (0, String::new(), String::new());
    if !guest.tools.works {
        return (0, output, messages);
    }
    let Some(operand) = operands.next() else { return (1, output, messages) };
    let arguments: Vec<String> = operands.collect();
    let name = operand.replace('-', "_");
    let aliases = ALIASES.iter().filter(|(alias, _)| fnmatch(alias.as_bytes(), operand.as_bytes()));
    let by_alias = aliases.map(|(_, module)| *module).find(|_| guest.tools.aliases);
    let by_name = MODULES.iter().map(|(module, _)| *module).find(|module| *module == name);
    match by_name.or(by_alias).filter(|_| guest.tools.directory) {
        Some(module) if has('r') => {
            if guest.tools.removes {
                guest.loaded.remove(module);
            }
        }
        // Names that come from an alias, and all names with -b, are subject to the blacklist.
        Some(module) if guest.is_blacklisted(module) && (by_name.is_none() || has('b')) => {}
        Some(module) => {
            for inserted in guest.load_with_dependencies(module, &arguments) {
                if has('v') {
                    output.push_str(&format!("insmod /lib/modules/6.1.0/kernel/{inserted}.ko \n"));
                }
            }
        }
        None if name == "ext4" => {}
        None => {
            status = 1;
            if !has('q') {
                messages = format!("modprobe: FATAL: Module {operand} not found in directory /lib/modules/6.1.0\n");
            }
        }
    }
    (status, output, messages)
}
