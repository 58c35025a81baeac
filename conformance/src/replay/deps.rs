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

/// What a structured input begins with; everything else is the text of a modules.dep itself.
const STRUCTURED: u8 = b'S';
/// Of a long list so many modules are planned, from the beginning.
const PLANNED: usize = 24;

/// The input is a modules.dep, or `S` and the making of one.
///
/// # Panics
/// When a promise about module lists is broken, or when the temporary directory cannot be written.
pub fn modules_dep(data: &[u8]) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let dir = dir.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
    let Some((&STRUCTURED, bytes)) = data.split_first() else {
        if let Some((tree, entries)) = text_and_index_agree(dir.path(), data) {
            plans_hold(&tree, &entries, &Config::default());
        }
        return;
    };
    let Ok(list) = List::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let modules = list.modules();
    let Some((tree, entries)) = text_and_index_agree(dir.path(), &render(&modules)) else {
        panic!("a list as depmod writes it was refused")
    };
    let expected: Vec<_> = modules.iter().map(|module| module.entry(dir.path())).collect();
    assert_eq!(entries, expected, "what was written is what is read");
    plans_hold(&tree, &entries, &Config::default());
    plans_hold(&tree, &entries, &Config { softdeps: list.softdeps(), ..Config::default() });
}

fn plans_hold(tree: &Tree, entries: &[ModuleEntry], config: &Config) {
    let graph = Graph::new(entries);
    for entry in entries.iter().take(PLANNED) {
        graph.plans_hold(tree, config, &entry.name);
    }
}

/// A module directory answers the same from modules.dep and from the index that is made of it, and each line can be
/// found by its module's name. Gives what it lists, or `None` for a text that it refuses.
fn text_and_index_agree(dir: &Path, list: &[u8]) -> Option<(Tree, Vec<ModuleEntry>)> {
    write(&dir.join("modules.dep"), list);
    let by_text = Tree::new(dir);
    let entries = match by_text.modules() {
        Ok(entries) => entries,
        Err(TreeError::Line { line, .. }) => {
            let bad = |(number, parsed): (usize, Result<text::DepLine<'_>, _>)| {
                number == line && parsed.is_ok_and(|parsed| ModuleName::from_path(parsed.path).is_ok())
            };
            assert!(!text::dep_lines(list).any(bad), "line {line} is refused without a reason");
            return None;
        }
        Err(error) => panic!("a list was refused for a reason that it cannot have: {error}"),
    };

    let mut writer = IndexWriter::new();
    let mut priority = 0;
    for (number, parsed) in text::dep_lines(list) {
        let Ok(parsed) = parsed else { panic!("line {number} was accepted and cannot be parsed") };
        let Ok(name) = ModuleName::from_path(parsed.path) else { panic!("line {number} was accepted without a name") };
        let deps: Vec<&[u8]> = parsed.deps().collect();
        let line = [parsed.path, b":", &deps.iter().flat_map(|dep| [b" ", *dep]).collect::<Vec<_>>().concat()].concat();
        // A name that is not 7-bit has no place in an index.
        if writer.insert(name.as_bytes(), &line, priority).is_ok() {
            priority += 1;
        }
    }
    let Ok(index) = writer.to_bytes() else { panic!("a list of {} bytes has too large an index", list.len()) };
    write(&dir.join("modules.dep.bin"), &index);
    let by_index = Tree::new(dir);
    match by_index.modules() {
        Ok(again) => assert_eq!(again, entries, "the index lists what the text lists"),
        Err(error) => panic!("an index that was just written cannot be read: {error}"),
    }
    for entry in &entries {
        let first = entries.iter().find(|other| other.name == entry.name);
        for tree in [&by_text, &by_index] {
            assert_eq!(tree.module(&entry.name).ok().flatten().as_ref(), first, "a name finds its first line");
        }
    }
    Some((by_index, entries))
}

fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = fs::write(path, bytes) {
        panic!("{}: {error}", path.display());
    }
}

/// A list as depmod could have written it, cycles and repeated names included.
#[derive(Debug, Arbitrary)]
struct List {
    modules: Vec<Recipe>,
    /// Soft dependencies: of which module, on which before and after it; all by number.
    softdeps: Vec<(u8, Vec<u8>, Vec<u8>)>,
}

/// How one line is made.
#[derive(Debug, Arbitrary)]
struct Recipe {
    dir: u8,
    name: [u8; 3],
    suffix: u8,
    /// Other lines, by number.
    needs: Vec<u8>,
}

/// One line: the module's path and the paths of what it needs.
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
