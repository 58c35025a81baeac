//! The body of the fuzz target `modules_dep`.

mod graph;

use arbitrary::{Arbitrary, Unstructured};
use graph::Graph;
use kmod::config::{Config, Softdep};
use kmod::index::IndexWriter;
use kmod::name::ModuleName;
use kmod::tree::{ModuleEntry, Tree, TreeError, text};
use std::fs;
use std::path::Path;

/// The first byte of a structured input; any other input is the text of a modules.dep.
const STRUCTURED: u8 = b'S';
/// How many modules of a list are planned.
const PLANNED: usize = 24;

/// The input is a modules.dep, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about module lists is broken, or if the temporary directory cannot be written.
pub fn modules_dep(data: &[u8]) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap_or_else(|error| panic!("cannot create a temporary directory: {error}"));
    let Some((&STRUCTURED, bytes)) = data.split_first() else {
        if let Some((tree, entries)) = check_text_and_index(dir.path(), data) {
            check_plans(&tree, &entries, &Config::default());
        }
        return;
    };
    let Ok(list) = List::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let modules = list.modules();
    let Some((tree, entries)) = check_text_and_index(dir.path(), &render(&modules)) else {
        panic!("a list as depmod writes it is rejected")
    };
    let expected: Vec<_> = modules.iter().map(|module| module.entry(dir.path())).collect();
    assert_eq!(entries, expected, "a written list reads differently");
    check_plans(&tree, &entries, &Config::default());
    check_plans(&tree, &entries, &Config { softdeps: list.softdeps(), ..Config::default() });
}

fn check_plans(tree: &Tree, entries: &[ModuleEntry], config: &Config) {
    let graph = Graph::new(entries);
    for entry in entries.iter().take(PLANNED) {
        graph.check_plans(tree, config, &entry.name);
    }
}

/// A module directory gives the same answers from modules.dep and from the index made from it, and each line can be found
/// by its module's name. Returns the entries, or `None` for a text that is rejected.
fn check_text_and_index(dir: &Path, list: &[u8]) -> Option<(Tree, Vec<ModuleEntry>)> {
    write(&dir.join("modules.dep"), list);
    let by_text = Tree::new(dir);
    let entries = match by_text.modules() {
        Ok(entries) => entries,
        Err(TreeError::Line { line, .. }) => {
            let bad = |(number, parsed): (usize, Result<text::DepLine<'_>, _>)| {
                number == line && parsed.is_ok_and(|parsed| ModuleName::from_path(parsed.path).is_ok())
            };
            assert!(!text::dep_lines(list).any(bad), "line {line} is rejected without a reason");
            return None;
        }
        Err(error) => panic!("a list cannot cause this error: {error}"),
    };

    let mut writer = IndexWriter::new();
    let mut priority = 0;
    for (number, parsed) in text::dep_lines(list) {
        let Ok(parsed) = parsed else { panic!("line {number} was accepted but cannot be parsed") };
        let Ok(name) = ModuleName::from_path(parsed.path) else { panic!("line {number} was accepted without a name") };
        let deps: Vec<&[u8]> = parsed.deps().collect();
        let line = [parsed.path, b":", &deps.iter().flat_map(|dep| [b" ", *dep]).collect::<Vec<_>>().concat()].concat();
        // An index cannot contain a name that is not 7-bit.
        if writer.insert(name.as_bytes(), &line, priority).is_ok() {
            priority += 1;
        }
    }
    let Ok(index) = writer.to_bytes() else { panic!("the index of a list of {} bytes is too large", list.len()) };
    write(&dir.join("modules.dep.bin"), &index);
    let by_index = Tree::new(dir);
    match by_index.modules() {
        Ok(again) => assert_eq!(again, entries, "the index and the text differ"),
        Err(error) => panic!("a written index is rejected: {error}"),
    }
    for entry in &entries {
        let first = entries.iter().find(|other| other.name == entry.name);
        for tree in [&by_text, &by_index] {
            assert_eq!(tree.module(&entry.name).ok().flatten().as_ref(), first, "a name does not find its first line");
        }
    }
    Some((by_index, entries))
}

fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = fs::write(path, bytes) {
        panic!("{}: {error}", path.display());
    }
}

/// A list as depmod could write it, with cycles and repeated names.
#[derive(Debug, Arbitrary)]
struct List {
    modules: Vec<Recipe>,
    /// Soft dependencies by number: the module, the modules to load before it and after it.
    softdeps: Vec<(u8, Vec<u8>, Vec<u8>)>,
}

/// The parameters of one line.
#[derive(Debug, Arbitrary)]
struct Recipe {
    dir: u8,
    name: [u8; 3],
    suffix: u8,
    /// The lines of its dependencies, by number.
    needs: Vec<u8>,
}

/// One line: the paths of the module and its dependencies.
struct Module {
    path: String,
    needs: Vec<String>,
}

impl List {
    fn module(&self, number: u8) -> Option<&Recipe> {
        self.modules.get(usize::from(number).checked_rem(self.modules.len())?)
    }

    fn modules(&self) -> Vec<Module> {
        let line = |recipe: &Recipe| Module {
            path: recipe.path(),
            needs: recipe.needs.iter().filter_map(|&other| Some(self.module(other)?.path())).collect(),
        };
        self.modules.iter().map(line).collect()
    }

    fn softdeps(&self) -> Vec<Softdep> {
        let name =
            |number: u8| Some(ModuleName::from_path(self.module(number)?.path().as_bytes()).ok()?.as_bytes().to_vec());
        let names = |numbers: &[u8]| numbers.iter().filter_map(|&number| name(number)).collect();
        let softdep = |(of, pre, post): &(u8, Vec<u8>, Vec<u8>)| {
            Some(Softdep { pattern: name(*of)?, pre: names(pre), post: names(post) })
        };
        self.softdeps.iter().filter_map(softdep).collect()
    }
}

impl Recipe {
    fn path(&self) -> String {
        const DIRS: [&str; 5] = ["kernel/", "kernel/net/a-b/", "updates/", "/elsewhere/", "bus:1/"];
        const LETTERS: &[u8; 6] = b"ab-_x9";
        const SUFFIXES: [&str; 4] = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"];
        let pick = |from: &[&'static str], by: u8| from[usize::from(by) % from.len()];
        let name: String = self.name.iter().map(|&by| char::from(LETTERS[usize::from(by) % LETTERS.len()])).collect();
        format!("{}{name}{}", pick(&DIRS, self.dir), pick(&SUFFIXES, self.suffix))
    }
}

impl Module {
    fn entry(&self, dir: &Path) -> ModuleEntry {
        let Ok(name) = ModuleName::from_path(self.path.as_bytes()) else { panic!("{} has no name", self.path) };
        ModuleEntry { name, path: dir.join(&self.path), deps: self.needs.iter().map(|need| dir.join(need)).collect() }
    }
}

fn render(modules: &[Module]) -> Vec<u8> {
    let line = |module: &Module| {
        let needs: String = module.needs.iter().map(|need| format!(" {need}")).collect();
        format!("{}:{needs}\n", module.path)
    };
    modules.iter().map(line).collect::<String>().into_bytes()
}
