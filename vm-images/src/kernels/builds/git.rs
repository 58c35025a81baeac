//! A git repository: revisions, and their files in a directory outside of it. Nothing is written to the repository: the
//! files are checked out with a separate index.

use crate::child;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;

/// Variables with which a caller of this program, such as a hook, selects another repository or index.
const LOCAL_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

/// A revision of a git repository is not usable.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory is not in a git repository.
    #[error("{} is not in a git repository", path.display())]
    NotARepository {
        /// The directory.
        path: PathBuf,
    },
    /// There is no such commit.
    #[error("unknown revision '{revision}' in {}", path.display())]
    UnknownRevision {
        /// The directory.
        path: PathBuf,
        /// The revision.
        revision: String,
    },
    /// The directory does not exist in the revision.
    #[error("{} does not exist in the revision '{revision}'", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// The revision.
        revision: String,
    },
    /// The revision is the one that is checked out, and files have been changed since.
    #[error("{} has uncommitted changes, which the revision '{revision}' does not contain", path.display())]
    Uncommitted {
        /// The directory.
        path: PathBuf,
        /// The revision.
        revision: String,
    },
    /// git cannot be run.
    #[error("cannot run git")]
    Run(#[source] io::Error),
    /// The run is ending: [`Options::stop`](crate::Options::stop) was set.
    #[error("interrupted")]
    Interrupted,
    /// git failed.
    #[error("git {command} failed in {}: {message}", path.display())]
    Failed {
        /// git's command.
        command: String,
        /// The directory.
        path: PathBuf,
        /// The last line of its error messages.
        message: String,
    },
}

/// A directory in a git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The directory that the user named.
    dir: PathBuf,
    git_dir: PathBuf,
    /// The directory that all worktrees of the repository share.
    common: PathBuf,
    /// The path of the directory in the repository; empty, or with a slash at the end.
    prefix: String,
}

/// A commit, and the files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    name: String,
    commit: String,
    tree: String,
}

impl Revision {
    /// Returns the revision as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hash of the commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Returns the hash of the tree object, which identifies the contents of all files.
    pub(super) fn tree(&self) -> &str {
        &self.tree
    }
}

impl fmt::Display for Revision {
    /// Writes the revision with its abbreviated commit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = &self.commit[..self.commit.len().min(12)];
        if self.commit.starts_with(&self.name) { f.write_str(short) } else { write!(f, "{} at {short}", self.name) }
    }
}

impl Repository {
    /// Finds the repository of a directory.
    ///
    /// # Errors
    /// [`GitError`] if the directory is not in a repository, or git cannot be run.
    pub fn open(dir: &Path, stop: &AtomicBool) -> Result<Repository, GitError> {
        let dir = dir.canonicalize().map_err(|source| GitError::Read { path: dir.to_owned(), source })?;
        let mut command = git(&dir);
        command.args(["rev-parse", "--absolute-git-dir", "--git-common-dir", "--show-prefix"]);
        let output = run(&mut command, stop)?;
        if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("not a git repository") {
            return Err(GitError::NotARepository { path: dir });
        }
        let text = checked("rev-parse", &dir, output)?;
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap_or_default();
        let (git_dir, common, prefix) = (PathBuf::from(next()), dir.join(next()), next().to_owned());
        let common = common.canonicalize().map_err(|source| GitError::Read { path: common, source })?;
        Ok(Repository { dir, git_dir, common, prefix })
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns what identifies the repository and the directory in it.
    pub(super) fn id(&self) -> [&[u8]; 2] {
        [self.common.as_os_str().as_encoded_bytes(), self.prefix.as_bytes()]
    }

    /// Looks up a revision: a tag, a branch, a hash, or anything else that git accepts as the name of a commit.
    ///
    /// # Errors
    /// [`GitError`] if there is no such commit. Also if it is checked out and files have been changed since, because a
    /// build of it would not contain the changes.
    pub fn resolve(&self, revision: &str, stop: &AtomicBool) -> Result<Revision, GitError> {
        let unknown = || GitError::UnknownRevision { path: self.dir.clone(), revision: revision.to_owned() };
        // git would take it for an option.
        if revision.is_empty() || revision.starts_with('-') {
            return Err(unknown());
        }
        let commit = self.object(&format!("{revision}^{{commit}}"), stop)?.ok_or_else(unknown)?;
        let tree = match &self.prefix[..] {
            "" => format!("{commit}^{{tree}}"),
            prefix => format!("{commit}:{prefix}"),
        };
        let tree = self
            .object(&tree, stop)?
            .ok_or_else(|| GitError::NoDirectory { path: self.dir.clone(), revision: revision.to_owned() })?;
        if self.object("HEAD^{commit}", stop)?.as_ref() == Some(&commit) && self.has_changes(stop)? {
            return Err(GitError::Uncommitted { path: self.dir.clone(), revision: revision.to_owned() });
        }
        Ok(Revision { name: revision.to_owned(), commit, tree })
    }

    /// Returns the hash of an object; `None` if there is none of this name.
    fn object(&self, name: &str, stop: &AtomicBool) -> Result<Option<String>, GitError> {
        let output = run(git(&self.dir).args(["rev-parse", "--verify", "--quiet", name]), stop)?;
        let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !hash.is_empty()).then_some(hash))
    }

    /// Returns whether tracked files differ from the commit that is checked out. A bare repository has no files.
    fn has_changes(&self, stop: &AtomicBool) -> Result<bool, GitError> {
        let bare = run(git(&self.dir).args(["rev-parse", "--is-inside-work-tree"]), stop)?;
        if bare.stdout != b"true\n" {
            return Ok(false);
        }
        let status = ["status", "--porcelain", "--untracked-files=no", "--", "."];
        let output = run(git(&self.dir).args(status), stop)?;
        Ok(!checked("status", &self.dir, output)?.is_empty())
    }

    /// Makes the files in `dir` those of a revision. `index` is a file that describes the files in `dir`; both may be
    /// missing. A file that does not differ keeps its time, and nothing else stays in `dir`.
    pub(super) fn checkout(
        &self,
        revision: &Revision,
        (dir, index): (&Path, &Path),
        stop: &AtomicBool,
    ) -> Result<(), GitError> {
        let unwritable = |source| GitError::Read { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(unwritable)?;
        // It belongs to a git that was killed: the caller has locked the directory.
        let _ = fs::remove_file(index.with_extension("lock"));
        let here = |arguments: &[&str]| {
            let mut command = git(dir);
            command.arg("--git-dir").arg(&self.git_dir).arg("--work-tree").arg(dir);
            command.args(arguments).env("GIT_INDEX_FILE", index);
            let output = run(&mut command, stop)?;
            checked(arguments[0], &self.dir, output)
        };
        here(&["read-tree", "--reset", "-u", "--no-sparse-checkout", revision.tree()])?;
        // What a killed git has written.
        here(&["clean", "-ffdxq"])?;
        Ok(())
    }
}

/// Returns a git command in a directory that neither writes to the repository nor runs its programs.
fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).arg("--no-optional-locks");
    for setting in ["core.fsmonitor=false", "core.hooksPath=/dev/null", "submodule.recurse=false"] {
        command.args(["-c", setting]);
    }
    for variable in LOCAL_VARIABLES {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    command
}

fn run(command: &mut Command, stop: &AtomicBool) -> Result<Output, GitError> {
    child::output(command, stop).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => GitError::Interrupted,
        _ => GitError::Run(error),
    })
}

/// Returns the standard output of a command that succeeded.
fn checked(command: &str, path: &Path, output: Output) -> Result<String, GitError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr.lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let message = line.map_or_else(|| output.status.to_string(), |line| line[7..].to_owned());
    Err(GitError::Failed { command: command.to_owned(), path: path.to_owned(), message })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::options::Options;

    static STOP: AtomicBool = AtomicBool::new(false);

    /// A repository for tests, with options that use a cache beside it.
    pub struct Scratch {
        temp: tempfile::TempDir,
    }

    impl Scratch {
        pub fn new() -> Scratch {
            let scratch = Scratch { temp: tempfile::tempdir().unwrap() };
            fs::create_dir(scratch.dir()).unwrap();
            scratch.git(&["init", "-q", "-b", "main"]);
            scratch
        }

        pub fn dir(&self) -> PathBuf {
            self.temp.path().join("repository")
        }

        pub fn options(&self) -> Options<'static> {
            Options::new(Cache::open(self.temp.path().join("cache")).unwrap())
        }

        pub fn put(&self, name: &str, bytes: &[u8]) {
            let path = self.dir().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }

        pub fn git(&self, arguments: &[&str]) -> String {
            let mut command = git(&self.dir());
            command.args(["-c", "user.name=us", "-c", "user.email=us@localhost"]).args(arguments);
            let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        /// Commits all files under a tag.
        pub fn commit(&self, tag: &str) {
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", tag]);
            self.git(&["tag", tag]);
        }

        pub fn message(&self, error: &(dyn std::error::Error + 'static)) -> String {
            crate::chain(error).replace(&self.temp.path().canonicalize().unwrap().display().to_string(), "TEMP")
        }
    }

    fn listing(dir: &Path) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        crate::cache::paths_in(dir).into_iter().map(name).collect()
    }

    #[test]
    fn a_checkout_replaces_only_the_files_that_differ() {
        let scratch = Scratch::new();
        scratch.put("same", b"same");
        scratch.put("file", b"one");
        scratch.put("gone", b"gone");
        scratch.commit("one");
        scratch.put("file", b"two");
        fs::remove_file(scratch.dir().join("gone")).unwrap();
        scratch.commit("two");
        let out = scratch.temp.path().join("out");
        let index = scratch.temp.path().join("index");
        let repository = Repository::open(&scratch.dir(), &STOP).unwrap();
        let checkout = |name| {
            let revision = repository.resolve(name, &STOP).unwrap();
            repository.checkout(&revision, (&out, &index), &STOP).unwrap();
            (listing(&out), fs::read_to_string(out.join("file")).unwrap())
        };
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(checkout("one"), (strings(&["file", "gone", "same"]), "one".to_owned()));
        let time = || fs::metadata(out.join("same")).unwrap().modified().unwrap();
        let before = time();
        // A git that was killed has left its lock and a new file, and has changed another one.
        fs::write(scratch.temp.path().join("index.lock"), "").unwrap();
        fs::write(out.join("new"), "").unwrap();
        fs::write(out.join("file"), "part of it").unwrap();
        assert_eq!(checkout("two"), (strings(&["file", "same"]), "two".to_owned()));
        assert_eq!(time(), before);
        assert_eq!(scratch.git(&["status", "--porcelain"]), "", "the repository has not changed");
        assert_eq!(listing(&scratch.dir().join(".git/worktrees")), strings(&[]));
    }

    #[test]
    fn a_directory_of_a_repository_has_its_own_files() {
        let scratch = Scratch::new();
        scratch.put("README", b"");
        scratch.commit("zero");
        scratch.put("linux/Makefile", b"all:");
        scratch.commit("one");
        let out = scratch.temp.path().join("out");
        let repository = Repository::open(&scratch.dir().join("linux"), &STOP).unwrap();
        let revision = repository.resolve("HEAD", &STOP).unwrap();
        repository.checkout(&revision, (&out, &scratch.temp.path().join("index")), &STOP).unwrap();
        assert_eq!(listing(&out), ["Makefile"]);
        let error = repository.resolve("zero", &STOP).unwrap_err();
        insta::assert_snapshot!(scratch.message(&error), @"TEMP/repository/linux does not exist in the revision 'zero'");
    }

    #[test]
    fn a_bare_repository_and_a_linked_worktree_can_be_used() {
        let scratch = Scratch::new();
        scratch.put("file", b"one");
        scratch.commit("one");
        let path = |name: &str| scratch.temp.path().join(name);
        scratch.git(&["clone", "-q", "--bare", ".", path("bare").to_str().unwrap()]);
        scratch.git(&["worktree", "add", "-q", "--detach", path("linked").to_str().unwrap()]);
        for name in ["bare", "linked"] {
            let repository = Repository::open(&path(name), &STOP).unwrap();
            let revision = repository.resolve("one", &STOP).unwrap();
            let (out, index) = (path(&format!("{name}-out")), path(&format!("{name}-index")));
            repository.checkout(&revision, (&out, &index), &STOP).unwrap();
            assert_eq!(fs::read(out.join("file")).unwrap(), b"one", "{name}");
        }
        let id = |name: &str| Repository::open(&path(name), &STOP).unwrap().common;
        assert_eq!(id("linked"), id("repository"));
    }

    #[test]
    fn an_unusable_repository_or_revision_is_an_error() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.temp.path().join("empty")).unwrap();
        let open = |dir: &Path| scratch.message(&Repository::open(dir, &STOP).unwrap_err());
        insta::assert_snapshot!(open(&scratch.dir().join("gone")), @"cannot read TEMP/repository/gone: No such file or directory");
        insta::assert_snapshot!(open(&scratch.temp.path().join("empty")), @"TEMP/empty is not in a git repository");
        let repository = Repository::open(&scratch.dir(), &STOP).unwrap();
        let resolve = |name: &str| scratch.message(&repository.resolve(name, &STOP).unwrap_err());
        insta::assert_snapshot!(resolve("HEAD"), @"unknown revision 'HEAD' in TEMP/repository");
        scratch.put("file", b"one");
        scratch.commit("one");
        insta::assert_snapshot!(resolve("v99"), @"unknown revision 'v99' in TEMP/repository");
        insta::assert_snapshot!(resolve("one..one"), @"unknown revision 'one..one' in TEMP/repository");
        insta::assert_snapshot!(resolve("--all"), @"unknown revision '--all' in TEMP/repository");
        insta::assert_snapshot!(resolve("one:file"), @"unknown revision 'one:file' in TEMP/repository");
        scratch.put("untracked", b"");
        let shown = |name: &str| repository.resolve(name, &STOP).unwrap().to_string();
        let commit = scratch.git(&["rev-parse", "main"]);
        assert_eq!(
            (shown("main"), shown(&commit[..7])),
            (format!("main at {}", &commit[..12]), commit[..12].to_owned())
        );
        scratch.put("file", b"two");
        insta::assert_snapshot!(resolve("main"), @"TEMP/repository has uncommitted changes, which the revision 'main' does not contain");
        scratch.commit("two");
        scratch.put("file", b"three");
        let older = repository.resolve("one", &STOP).unwrap();
        assert_eq!(older.commit(), scratch.git(&["rev-parse", "one"]));
    }
}
