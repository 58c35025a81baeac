//! What a case is made of: files of a small root, and the commands that are run in it, one after the other. Data only;
//! [`crate::jail`] makes it real.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::testing::TinyModule;

/// Something that lies in the root before the first command.
#[derive(Debug, Clone)]
pub enum Node {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
}

/// Longer command lines are cut in reports: `Escaped` is ASCII.
const LABEL: usize = 100;

/// One command.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Tool and arguments.
    pub words: Vec<Vec<u8>>,
    pub env: Vec<(String, String)>,
    /// Whether it only reads what depmod wrote: then every tool is asked about the files of every other one.
    pub asks: bool,
    /// C's order is that of a hash table: lines are compared sorted.
    pub sorted: bool,
}

impl Step {
    /// As it stands in reports and in the list of accepted differences.
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
    /// Directories of this machine that are seen in the root, read-only.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// The release of the module directory; the running kernel's when empty.
    pub release: String,
    /// Modules that modules.order does not name: C has them in hash order, so files are compared sorted, `.bin` without
    /// priorities.
    pub unordered: bool,
    order: String,
}

impl Case {
    /// The module directory of the running release, with empty lists of the kernel build.
    pub fn new() -> Self {
        Self::of(running_release())
    }

    /// The same of another release.
    pub fn of(release: String) -> Self {
        let case = Self { release, ..Self::default() };
        ["modules.builtin", "modules.builtin.modinfo"].iter().fold(case, |case, name| case.file(name, ""))
    }

    /// A case without any module directory.
    pub fn bare() -> Self {
        Self { release: running_release(), ..Self::default() }
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        // An absolute path stands as it is.
        PathBuf::from("/lib/modules").join(&self.release).join(OsStr::from_bytes(&self.text(name)))
    }

    /// `REL` stands for the release.
    fn text(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, b"REL", self.release.as_bytes())
    }

    /// A file; a relative path is one of the module directory.
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

    /// A module file, named in modules.order by its uncompressed name.
    pub(crate) fn ko(self, name: impl AsRef<[u8]>, module: &TinyModule) -> Self {
        self.raw(name, module.build())
    }

    /// A module file of any bytes.
    pub fn raw(mut self, name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        let cut = name.windows(3).position(|w| w == b".ko").map_or(name.len(), |at| at + 3);
        self.order.push_str(&String::from_utf8_lossy(&name[..cut]));
        self.order.push('\n');
        self.file(name, bytes)
    }

    /// modules.order names none of the modules.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// A file of /etc/modprobe.d.
    pub fn conf(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = format!("/etc/modprobe.d/{name}");
        self.file(path, text)
    }

    /// What the kernel's command line is.
    pub fn cmdline(self, text: impl AsRef<[u8]>) -> Self {
        self.file("/proc/cmdline", text)
    }

    /// A module that is loaded: its row of /proc/modules and its directory in /sys.
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

    /// Runs a command line: words are divided by blanks, `'…'` keeps them.
    pub fn run(self, line: &str) -> Self {
        self.step(line, |_| {})
    }

    /// A command that only reads what depmod wrote.
    pub fn ask(self, line: &str) -> Self {
        self.step(line, |step| step.asks = true)
    }

    /// Several of them.
    pub fn asks(self, lines: &[&str]) -> Self {
        lines.iter().fold(self, |case, line| case.ask(line))
    }

    /// Any step.
    pub fn step(mut self, line: &str, change: impl FnOnce(&mut Step)) -> Self {
        let mut step = Step { words: words(&self.text(line.as_bytes())), ..Step::default() };
        change(&mut step);
        self.steps.push(step);
        self
    }

    /// The files as they are put down, modules.order among them.
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

/// Every occurrence replaced.
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
