//! Builds a kernel from the user's tree: tinyconfig and fragments, in a directory of the cache. Nothing is written into the
//! tree. The result is stored by the contents of the tree. The object files are stored by its path, so that after a change
//! make rebuilds only what depends on it, and an interrupted build continues.

use super::objects::{self, AREA, ObjectBuild};
use super::{BuildError, programs};
use crate::cache::{CacheError, ContentId, lock_file, read_json, sha256_file, touch, write_json};
use crate::kernels::fragments::{self, NAMES, merge};
use crate::options::{Options, Progress};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A build of a source tree.
#[derive(Clone, Debug)]
pub struct TreeBuild<'a> {
    /// The source tree.
    pub tree: &'a Path,
    /// Names of fragments, or paths of files; each overrides the preceding ones.
    pub fragments: &'a [String],
    /// Additional arguments of make, such as `LLVM=1`.
    pub make_args: &'a [String],
}

/// Builds a tree, or finds an earlier build of the same contents. Returns a directory for [`crate::BuiltTree`].
///
/// # Errors
/// [`BuildError`] if it cannot be built on this machine, or make fails.
pub fn build_tree(build: &TreeBuild<'_>, options: &Options<'_>) -> Result<PathBuf, BuildError> {
    let name = build.tree.display().to_string();
    let unavailable = |reason: String| BuildError::Unavailable { name: name.clone(), reason };
    let unreadable = |source| BuildError::Read { path: build.tree.to_owned(), source };
    let tree = build.tree.canonicalize().map_err(unreadable)?;
    check_tree(&tree).map_err(unavailable)?;
    let text = merged_text(build.fragments, &name)?;
    programs::check(&name)?;
    let place = ContentId::new().with(tree.as_os_str().as_encoded_bytes()).with(&text).with(build.make_args.join("\0"));
    let place = format!("tree-{}", &place.finish()[..16]);
    let log = options.cache.area("logs")?.join(format!("build-{place}.log"));
    // The log is the lock: a make that outlives us writes to it, and so keeps others out.
    let log_file =
        lock_file(&log, options.stop, |lock| (options.progress)(Progress::Waiting { lock: lock.to_owned() }))?;
    let content = content_of(&tree, options)?;
    let target = options.cache.area(AREA)?.join(objects::key(&content, &text, build.make_args, options)?);
    if target.is_dir() {
        touch(&target);
        return Ok(target);
    }
    let objects = options.cache.area("building")?.join(&place);
    let build = ObjectBuild {
        name: &name,
        tree: &tree,
        objects: &objects,
        config: &text,
        make_args: build.make_args,
        log: (&log, &log_file),
    };
    build.run(&target, options)?;
    Ok(target)
}

/// Checks that the tree is a clean source tree: make refuses O= for a tree with a build in it.
pub(super) fn check_tree(tree: &Path) -> Result<(), String> {
    if !["Makefile", "Kbuild", "scripts/kconfig"].iter().all(|name| tree.join(name).exists()) {
        return Err("not a kernel source tree".to_owned());
    }
    if tree.join(".config").exists() || tree.join("include/config").exists() {
        return Err(
            "the tree was configured or built in place, so make refuses a separate build directory (run `make mrproper` \
             in it, or use a clean worktree)"
                .to_owned(),
        );
    }
    Ok(())
}

/// Returns the merged fragments.
pub(super) fn merged_text(names: &[String], tree: &str) -> Result<String, BuildError> {
    let mut texts = Vec::new();
    for name in names {
        if let Some(parts) = fragments::with_base(name) {
            texts.extend(parts.into_iter().map(str::to_owned));
        } else if name.contains('/') || Path::new(name).is_file() {
            let unreadable = |source| BuildError::Read { path: name.into(), source };
            texts.push(fs::read_to_string(name).map_err(unreadable)?);
        } else {
            let reason = format!("unknown fragment '{name}' (known: {}, or the path of a file)", NAMES.join(", "));
            return Err(BuildError::Unavailable { name: tree.to_owned(), reason });
        }
    }
    Ok(merge(&texts))
}

/// Hashes the contents of a tree: names and bytes. The hash is cached by the lengths and times of the files.
fn content_of(tree: &Path, options: &Options<'_>) -> Result<String, CacheError> {
    let mut files = Vec::new();
    let mut todo = vec![tree.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).map_err(CacheError::new("read", &dir))? {
            let entry = entry.map_err(CacheError::new("read", &dir))?;
            // A directory, or in a worktree a file with a path.
            if entry.file_name() == ".git" {
                continue;
            }
            let meta = entry.metadata().map_err(CacheError::new("read", entry.path()))?;
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.is_file() || meta.is_symlink() {
                files.push((entry.path(), meta));
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let inside = |path: &Path| path.strip_prefix(tree).unwrap_or(path).as_os_str().as_encoded_bytes().to_vec();
    let mut stamp = ContentId::new().with(tree.as_os_str().as_encoded_bytes());
    for (path, meta) in &files {
        stamp.add(inside(path));
        for number in [meta.len() as i64, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()] {
            stamp.add(number.to_le_bytes());
        }
    }
    let known = options.cache.area(AREA)?.join(format!("{}.json", stamp.finish()));
    if let Some(content) = read_json::<String>(&known) {
        return Ok(content);
    }
    (options.progress)(Progress::Note(format!("hashing {} files of {}", files.len(), tree.display())));
    let mut content = ContentId::new();
    for (path, meta) in &files {
        content.add(inside(path));
        content.add((meta.mode() & 0o111).to_le_bytes());
        if meta.is_symlink() {
            let target = fs::read_link(path).map_err(CacheError::new("read", path))?;
            content.add(target.as_os_str().as_encoded_bytes());
        } else {
            content.add(sha256_file(path).map_err(CacheError::new("read", path))?);
        }
    }
    let content = content.finish();
    write_json(&known, &content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;

    fn tree(dir: &Path) {
        fs::create_dir_all(dir.join("scripts/kconfig")).unwrap();
        for (name, text) in [("Makefile", "all:"), ("Kbuild", ""), ("kernel.c", "limit 50")] {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_tree_that_cannot_be_built_is_reported_with_the_reason() {
        let (temp, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = Options::new(Cache::open(cache.path()).unwrap());
        let dir = temp.path();
        let message = |tree: &Path, fragment: &str| {
            let error = build_tree(&TreeBuild { tree, fragments: &[fragment.to_owned()], make_args: &[] }, &options);
            crate::chain(&error.unwrap_err()).replace(&dir.display().to_string(), "TREE")
        };
        insta::assert_snapshot!(message(&dir.join("gone"), "tiny"), @"cannot read TREE/gone: No such file or directory");
        insta::assert_snapshot!(message(dir, "tiny"), @"cannot build TREE: not a kernel source tree");
        tree(dir);
        insta::assert_snapshot!(message(dir, "huge"), @"cannot build TREE: unknown fragment 'huge' (known: tiny, catalogue, modular-unix, kcov-kasan, test-kmod, autoload-dups, or the path of a file)");
        insta::assert_snapshot!(message(dir, "/nowhere/fragment"), @"cannot read /nowhere/fragment: No such file or directory");
        fs::write(dir.join(".config"), "").unwrap();
        insta::assert_snapshot!(message(dir, "tiny"), @"cannot build TREE: the tree was configured or built in place, so make refuses a separate build directory (run `make mrproper` in it, or use a clean worktree)");
    }

    #[test]
    fn the_hash_of_a_tree_depends_on_its_files_and_not_on_its_path() {
        let cache = tempfile::tempdir().unwrap();
        let options = Options::new(Cache::open(cache.path()).unwrap());
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tree(one.path());
        tree(two.path());
        let content = |dir: &Path| content_of(dir, &options).unwrap();
        let first = content(one.path());
        assert_eq!(first, content(two.path()));
        assert_eq!(first, content(one.path()), "from the cache");
        fs::create_dir(one.path().join(".git")).unwrap();
        fs::write(one.path().join(".git/index"), "").unwrap();
        assert_eq!(first, content(one.path()), "a repository");
        fs::write(two.path().join(".git"), "gitdir: /repository/.git/worktrees/two").unwrap();
        assert_eq!(first, content(two.path()), "a worktree");
        fs::write(one.path().join("kernel.c"), "limit 49").unwrap();
        assert_ne!(first, content(one.path()));
    }
}
