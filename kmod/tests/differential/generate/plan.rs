//! A random case as a small value: parts that the shrinker can remove one by one, and that print as a case to paste into
//! `cases/`.

use std::fmt::{self, Write as _};

use crate::case::{Case, Node, Step};
use crate::testing::TinyModule;

/// A module in the kernel, according to /proc/modules and /sys/module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub name: String,
    pub users: Vec<String>,
    pub references: u32,
    /// The content of `initstate`.
    pub state: &'static str,
}

/// The parts of a case.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Module files by their paths, which are relative to the module directory or absolute.
    pub modules: Vec<(String, TinyModule)>,
    /// Other files.
    pub files: Vec<(String, Vec<u8>)>,
    pub loaded: Vec<Loaded>,
    pub steps: Vec<Step>,
    /// Create the files in the reverse order, which changes the order in which C kmod finds them.
    pub reversed: bool,
}

impl Plan {
    /// Adds a module file.
    pub fn module(&mut self, path: impl Into<String>, module: TinyModule) {
        self.modules.push((path.into(), module));
    }

    /// Adds a file; a relative path is below the module directory.
    pub fn file(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.push((path.into(), content.into()));
    }

    /// Adds a command. Its first argument is the tool.
    pub fn run<W: Into<Vec<u8>>>(&mut self, words: impl IntoIterator<Item = W>) {
        let words = words.into_iter().map(Into::into).collect();
        self.steps.push(Step { words, ..Step::default() });
    }

    /// Adds a command whose arguments are separated by single spaces.
    pub fn run_line(&mut self, line: &str) {
        self.run(line.split(' '));
    }

    /// Returns the case.
    pub fn case(&self) -> Case {
        let mut case = Case::new();
        case.reversed = self.reversed;
        for (path, module) in &self.modules {
            case = match path.starts_with('/') {
                true => case.file(path, module.build()),
                false => case.ko(path, module),
            };
        }
        for (path, content) in &self.files {
            case = case.file(path, content);
        }
        for module in &self.loaded {
            let users: Vec<&str> = module.users.iter().map(String::as_str).collect();
            case = case.loaded(&module.name, 4096, &users, module.references);
            if module.state != "live\n" {
                case = case.file(format!("/sys/module/{}/initstate", module.name), module.state);
            }
        }
        for step in &self.steps {
            case.steps.push(step.clone());
        }
        let release = case.release.clone();
        for step in &mut case.steps {
            for word in &mut step.words {
                *word = crate::case::replace(word, b"REL", release.as_bytes());
            }
        }
        case
    }

    /// The size that the shrinker reduces.
    pub fn size(&self) -> usize {
        let modules = self.modules.iter().map(|(path, module)| {
            let infos: usize = module.modinfo.iter().map(String::len).sum();
            20 + path.len() + infos + module.exports.len() + module.imports.len()
        });
        let files = self.files.iter().map(|(path, content)| 5 + path.len() + content.len());
        let loaded = self.loaded.iter().map(|module| 10 + module.users.len() + module.references as usize);
        let steps = self.steps.iter().map(|step| 10 + step.words.iter().map(|word| 2 + word.len()).sum::<usize>());
        modules.chain(files).chain(loaded).chain(steps).sum()
    }
}

/// Rust source that makes the case.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    Case::new()")?;
        for (path, module) in &self.modules {
            match path.starts_with('/') {
                true => writeln!(f, "        .file({path:?}, {}.build())", Built(module))?,
                false => writeln!(f, "        .ko({path:?}, &{})", Built(module))?,
            }
        }
        for (path, content) in &self.files {
            writeln!(f, "        .file({path:?}, {})", Bytes(content))?;
        }
        for Loaded { name, users, references, state } in &self.loaded {
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            writeln!(f, "        .loaded({name:?}, 4096, &{users:?}, {references})")?;
            if *state != "live\n" {
                writeln!(f, "        .file(\"/sys/module/{name}/initstate\", {state:?})")?;
            }
        }
        for step in &self.steps {
            writeln!(f, "        {}", command(step))?;
        }
        Ok(())
    }
}

/// Returns the call that adds a step.
fn command(step: &Step) -> String {
    let is_plain = |word: &Vec<u8>| !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && *b != b'\'');
    let plain = step.words.iter().take_while(|word| is_plain(word)).count();
    let line = step.words[..plain].iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    let quoted = step.words.iter().all(|word| !word.contains(&b'\'') && std::str::from_utf8(word).is_ok());
    let method = if step.query { "query" } else { "run" };
    if plain == step.words.len() && step.env.is_empty() && !step.sorted {
        return format!(".{method}({line:?})");
    }
    if quoted && step.env.is_empty() && !step.sorted {
        let word = |word: &Vec<u8>| {
            let text = String::from_utf8_lossy(word).into_owned();
            if text.is_empty() || text.contains(' ') { format!("'{text}'") } else { text }
        };
        let line = step.words.iter().map(word).collect::<Vec<_>>().join(" ");
        return format!(".{method}({line:?})");
    }
    let mut changes = String::new();
    for word in &step.words[plain..] {
        let _ = write!(changes, " step.words.push({}.into());", Bytes(word));
    }
    for (name, value) in &step.env {
        let _ = write!(changes, " step.env.push(({name:?}.into(), {value:?}.into()));");
    }
    if step.query {
        changes += " step.query = true;";
    }
    if step.sorted {
        changes += " step.sorted = true;";
    }
    format!(".step({line:?}, |step| {{{changes} }})")
}

/// The expression for bytes: a string, or a byte string if they are not UTF-8.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => write!(f, "{text:?}"),
            Err(_) => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// The expression for a module.
struct Built<'a>(&'a TinyModule);

impl fmt::Display for Built<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut infos = self.0.modinfo.iter();
        let name = infos.next().and_then(|info| info.strip_prefix("name=")).unwrap_or_default();
        write!(f, "module({name:?})")?;
        let list = |names: &mut dyn Iterator<Item = &String>| format!("{:?}", names.collect::<Vec<_>>());
        if !self.0.exports.is_empty() {
            write!(f, ".exports(&{})", list(&mut self.0.exports.iter().map(|(name, _)| name)))?;
        }
        if !self.0.imports.is_empty() {
            write!(f, ".imports(&{})", list(&mut self.0.imports.iter()))?;
        }
        infos.try_for_each(|info| write!(f, ".info({info:?})"))
    }
}

/// Returns the text of a file of a case.
pub fn text<'c>(case: &'c Case, path: &str) -> &'c [u8] {
    match case.nodes.get(std::path::Path::new(path)) {
        Some(Node::File(bytes)) => bytes,
        _ => &[],
    }
}
