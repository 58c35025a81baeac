//! A case: files of a small root, and commands to run in it one after the other. Data only; [`crate::sandbox`] runs it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::testing::TinyModule;

/// A file, directory or link in the root.
#[derive(Debug, Clone)]
pub enum Node {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
}

/// The longest command line that reports show, in bytes (`Escaped` is ASCII).
const LABEL: usize = 100;

/// A command.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The tool and its arguments.
    pub words: Vec<Vec<u8>>,
    pub env: Vec<(String, String)>,
    /// Whether it only reads the files of depmod: then it is also run by each tool with the files of the others.
    pub query: bool,
    /// Whether to compare sorted lines: C kmod prints them in the order of a hash table.
    pub sorted: bool,
}

impl Step {
    /// Formats the command for reports and accepted.txt.
    pub fn label(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}='{value}'"));
        let words = self.words.iter().map(|word| {
            let text = kmod::name::Escaped(&word[..]).to_string();
            if text.is_empty() || text.contains(' ') { format!("'{text}'") } else { text }
        });
        let mut label = env.chain(words).collect::<Vec<_>>().join(" ");
        if label.len() > LABEL {
            label.truncate(LABEL);
            label.push('…');
        }
        label
    }
}

/// A root and commands.
#[derive(Debug, Default)]
pub struct Case {
    pub nodes: BTreeMap<PathBuf, Node>,
    pub steps: Vec<Step>,
    /// Directories of this machine to mount in the root, read-only.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// The release of the module directory.
    pub release: String,
    /// Whether modules.order is empty: C kmod then uses the order of a hash table, so files are compared sorted, and `.bin`
    /// files without priorities.
    pub unordered: bool,
    /// Whether the files are created in the reverse order of their paths: C kmod sees some in the order of readdir(3).
    pub reversed: bool,
    order: String,
}

impl Case {
    /// Creates a case with the module directory of the running release and empty lists of the kernel build.
    pub fn new() -> Self {
        Self::of(running_release())
    }

    /// Creates the same case for another release.
    pub fn of(release: String) -> Self {
        let case = Self { release, ..Self::default() };
        ["modules.builtin", "modules.builtin.modinfo"].iter().fold(case, |case, name| case.file(name, ""))
    }

    /// Creates a case without a module directory.
    pub fn bare() -> Self {
        Self { release: running_release(), ..Self::default() }
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        // `join` leaves an absolute path unchanged.
        PathBuf::from("/lib/modules").join(&self.release).join(OsStr::from_bytes(&self.text(name)))
    }

    /// Replaces `REL` by the release.
    fn text(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, b"REL", self.release.as_bytes())
    }

    /// Adds a file; a relative path is below the module directory.
    pub fn file(mut self, name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path(name.as_ref());
        self.nodes.insert(path, Node::File(bytes.as_ref().to_vec()));
        self
    }

    pub fn directory(mut self, name: &str) -> Self {
        self.nodes.insert(self.path(name.as_bytes()), Node::Directory);
        self
    }

    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.nodes.insert(self.path(name.as_bytes()), Node::Link(target.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.nodes.remove(&self.path(name.as_bytes()));
        self
    }

    /// Adds a module file, and its uncompressed name to modules.order.
    pub(crate) fn ko(self, name: impl AsRef<[u8]>, module: &TinyModule) -> Self {
        self.raw(name, module.build())
    }

    /// Adds a module file with any content.
    pub fn raw(mut self, name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        let cut = name.windows(3).position(|w| w == b".ko").map_or(name.len(), |at| at + 3);
        self.order.push_str(&String::from_utf8_lossy(&name[..cut]));
        self.order.push('\n');
        self.file(name, bytes)
    }

    /// Leaves modules.order empty.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Adds a file of /etc/modprobe.d.
    pub fn conf(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = format!("/etc/modprobe.d/{name}");
        self.file(path, text)
    }

    /// Sets the kernel command line.
    pub fn cmdline(self, text: impl AsRef<[u8]>) -> Self {
        self.file("/proc/cmdline", text)
    }

    /// Adds a loaded module: its line of /proc/modules and its directory in /sys.
    pub fn loaded(self, name: &str, size: u32, users: &[&str], refs: u32) -> Self {
        let row = match users {
            [] => format!("{name} {size} {refs} - Live 0x0000000000000000\n"),
            users => format!("{name} {size} {refs} {}, Live 0x0000000000000000\n", users.join(",")),
        };
        let mut rows = match self.nodes.get(&PathBuf::from("/proc/modules")) {
            Some(Node::File(rows)) => rows.clone(),
            _ => Vec::new(),
        };
        rows.extend(row.bytes());
        let sys = |file: &str| format!("/sys/module/{name}/{file}");
        let case = self
            .file("/proc/modules", rows)
            .file(sys("initstate"), "live\n")
            .file(sys("coresize"), format!("{size}\n"))
            .file(sys("refcnt"), format!("{refs}\n"))
            .directory(&sys("holders"));
        users.iter().fold(case, |case, user| {
            let holder = sys(&format!("holders/{user}"));
            case.link(&holder, &format!("../../{user}"))
        })
    }

    /// Adds a command line: words are separated by spaces, `'…'` quotes.
    pub fn run(self, line: &str) -> Self {
        self.step(line, |_| {})
    }

    /// Adds a command that only reads the files of depmod.
    pub fn query(self, line: &str) -> Self {
        self.step(line, |step| step.query = true)
    }

    /// Adds several commands that only read the files of depmod.
    pub fn queries(self, lines: &[&str]) -> Self {
        lines.iter().fold(self, |case, line| case.query(line))
    }

    /// Adds a step.
    pub fn step(mut self, line: &str, change: impl FnOnce(&mut Step)) -> Self {
        let mut step = Step { words: words(&self.text(line.as_bytes())), ..Step::default() };
        change(&mut step);
        self.steps.push(step);
        self
    }

    /// Returns all files, including modules.order.
    pub fn tree(&self) -> BTreeMap<PathBuf, Node> {
        let mut nodes = self.nodes.clone();
        let order = if self.unordered { String::new() } else { self.order.clone() };
        if nodes.contains_key(&self.path(b"modules.builtin")) {
            nodes.entry(self.path(b"modules.order")).or_insert(Node::File(order.into_bytes()));
        }
        nodes
    }
}

fn running_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Replaces every occurrence.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for &byte in line {
        match byte {
            b'\'' => {
                quoted = !quoted;
                word.get_or_insert_with(Vec::new);
            }
            b' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_with(Vec::new).push(byte),
        }
    }
    words.extend(word);
    words
}
