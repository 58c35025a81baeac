//! The body of the fuzz target `depmod_tree`: from module files to answers, by way of all lists and indexes.

use crate::elf::{Form, PROGBITS, STRTAB, SYMTAB, Section};
use crate::{file, pattern};
use arbitrary::{Arbitrary, Unstructured};
use kmod::depmod::{Options, run};
use kmod::name::{ModuleName, normalise_alias};
use kmod::tree::Tree;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How many modules there are at most.
const MODULES: usize = 6;
/// How many symbols there are.
const SYMBOLS: u8 = 12;
/// How many aliases of a module count.
const ALIASES: usize = 4;

/// The input is the parameters of modules: their aliases, exports and imports.
///
/// # Panics
/// Panics if depmod rejects them, or if an alias, a symbol or a module's dependencies are not what a search through all modules
/// finds; also if the temporary directory cannot be written.
pub fn depmod_tree(data: &[u8]) {
    let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(data)) else { return };
    let modules = recipe.modules();
    let dir = file::directory();
    let kernel = dir.path().join("kernel");
    let written = fs::create_dir(&kernel).and_then(|()| {
        let mut files = modules.iter().map(|module| fs::write(kernel.join(module.file()), recipe.form.module(module)));
        files.try_for_each(|written| written)
    });
    written.unwrap_or_else(|error| panic!("cannot write the modules: {error}"));
    let options = Options { threads: Some(1), ..Options::new(dir.path()) };
    let summary = run(&options).unwrap_or_else(|error| panic!("depmod fails: {error}"));
    assert_eq!(summary.modules, modules.len(), "the number of modules");
    let binary = Tree::new(dir.path());
    check(&binary, &modules, dir.path());
    // The text lists alone give the same answers.
    for entry in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "bin") {
            fs::remove_file(entry.path()).unwrap_or_else(|error| panic!("cannot remove an index: {error}"));
        }
    }
    check(&Tree::new(dir.path()), &modules, dir.path());
}

/// Everything that a tree says about the modules is what a search through all of them finds.
fn check(tree: &Tree, modules: &[Module], dir: &Path) {
    for (at, module) in modules.iter().enumerate() {
        let entry = tree.module(&module.name).unwrap_or_else(|error| panic!("{}: {error}", module.name));
        let Some(entry) = entry else { panic!("{} is not listed", module.name) };
        assert_eq!(entry.path, dir.join("kernel").join(module.file()));
        let deps: Vec<ModuleName> = entry.deps.iter().filter_map(|path| name_of(path)).collect();
        let needed = closure(modules, at);
        let names: BTreeSet<&ModuleName> = needed.iter().map(|at| &modules[*at].name).collect();
        assert_eq!(deps.iter().collect::<BTreeSet<_>>(), names, "the dependencies of {}", module.name);
        assert_eq!(deps.len(), names.len(), "{} has a dependency twice", module.name);
        // They are loaded from right to left.
        for (place, dep) in deps.iter().enumerate() {
            let own = modules.iter().position(|module| module.name == *dep).map(|at| closure(modules, at));
            let later = own.unwrap_or_default().into_iter().all(|need| deps[place..].contains(&modules[need].name));
            assert!(later, "{dep} is loaded before its dependencies, for {}", module.name);
        }
    }
    let names = modules.iter().flat_map(|module| &module.aliases).map(|alias| pattern::name_for(alias));
    for name in names.chain([b"ab".to_vec(), b"_".to_vec()]) {
        let has_match = |module: &&Module| module.aliases.iter().any(|alias| pattern::matches(alias, &name));
        let expected: BTreeSet<ModuleName> =
            modules.iter().filter(has_match).map(|module| module.name.clone()).collect();
        let found = tree.aliases(&name).unwrap_or_else(|error| panic!("{}: {error}", name.escape_ascii()));
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "modules for {}", name.escape_ascii());
    }
    for number in 0..SYMBOLS {
        let expected: Vec<ModuleName> = modules
            .iter()
            .filter(|module| module.exports.contains(&number))
            .map(|module| module.name.clone())
            .collect();
        let found = tree.symbols(&[b"symbol:", symbol(number).as_slice()].concat());
        assert_eq!(found.unwrap_or_else(|error| panic!("{error}")), expected, "modules for symbol {number}");
    }
}

/// The modules that a module needs directly and indirectly.
fn closure(modules: &[Module], at: usize) -> BTreeSet<usize> {
    let (mut closure, mut todo) = (BTreeSet::new(), vec![at]);
    while let Some(next) = todo.pop() {
        for import in &modules[next].imports {
            let exporter = modules.iter().position(|module| module.exports.contains(import));
            if let Some(exporter) = exporter.filter(|exporter| closure.insert(*exporter)) {
                todo.push(exporter);
            }
        }
    }
    closure
}

fn name_of(path: &Path) -> Option<ModuleName> {
    ModuleName::from_path(path.as_os_str().as_bytes()).ok()
}

fn symbol(number: u8) -> Vec<u8> {
    [b'f', b'a' + number].to_vec()
}

/// The parameters of all modules.
#[derive(Debug, Arbitrary)]
struct Recipe {
    form: Form,
    modules: Vec<Parameters>,
}

#[derive(Debug, Arbitrary)]
struct Parameters {
    /// Whether the file's name has a dash.
    has_dash: bool,
    aliases: Vec<Vec<u8>>,
    exports: Vec<u8>,
    imports: Vec<u8>,
}

/// A module.
struct Module {
    name: ModuleName,
    has_dash: bool,
    /// Portable patterns without dashes.
    aliases: Vec<Vec<u8>>,
    exports: BTreeSet<u8>,
    imports: BTreeSet<u8>,
}

impl Module {
    fn file(&self) -> String {
        let name = String::from_utf8_lossy(self.name.as_bytes()).into_owned();
        let name = if self.has_dash { name.replace('_', "-") } else { name };
        format!("{name}.ko")
    }
}

impl Recipe {
    /// The modules. A symbol is exported once, and only modules that follow its exporter import it, so that there are no cycles.
    fn modules(&self) -> Vec<Module> {
        const LETTERS: &[u8; 10] = b"ab_*?[]!:^";
        let (mut modules, mut exported): (Vec<Module>, BTreeSet<u8>) = (Vec::new(), BTreeSet::new());
        for (number, parameters) in self.modules.iter().take(MODULES).enumerate() {
            // In reverse order of their paths.
            let name = [b'm', b'_', b'z' - number as u8];
            let Ok(name) = ModuleName::new(&name) else { continue };
            let alias = |letters: &Vec<u8>| -> Vec<u8> {
                letters.iter().take(12).map(|by| LETTERS[usize::from(*by) % LETTERS.len()]).collect()
            };
            let is_alias = |alias: &Vec<u8>| {
                !alias.is_empty() && pattern::is_portable(alias) && normalise_alias(alias).as_ref() == Ok(alias)
            };
            let aliases = parameters.aliases.iter().map(alias).filter(is_alias).take(ALIASES).collect();
            let imports = parameters.imports.iter().map(|by| by % SYMBOLS).filter(|import| exported.contains(import));
            let imports = imports.collect();
            let exports = parameters.exports.iter().map(|by| by % SYMBOLS).filter(|export| exported.insert(*export));
            let exports = exports.collect();
            modules.push(Module { name, has_dash: parameters.has_dash, aliases, exports, imports });
        }
        modules
    }
}

impl Form {
    /// The file of a module.
    fn module(self, module: &Module) -> Vec<u8> {
        const ABSOLUTE: u16 = 0xfff1;
        let strings = module.aliases.iter().flat_map(|alias| [b"alias=", alias.as_slice(), b"\0"].concat()).collect();
        let (mut table, mut names) = (self.symbol(0, 0, 0, 0), vec![0]);
        let exports = module.exports.iter().map(|number| ([b"__crc_", symbol(*number).as_slice()].concat(), ABSOLUTE));
        let imports = module.imports.iter().map(|number| (symbol(*number), 0));
        for (name, section) in exports.chain(imports) {
            table.extend(self.symbol(names.len() as u32, 0, 0x10, section));
            names.extend(name.into_iter().chain([0]));
        }
        self.file(&[
            Section { name: ".modinfo", kind: PROGBITS, link: 0, bytes: strings },
            Section { name: ".symtab", kind: SYMTAB, link: 3, bytes: table },
            Section { name: ".strtab", kind: STRTAB, link: 0, bytes: names },
        ])
    }
}
