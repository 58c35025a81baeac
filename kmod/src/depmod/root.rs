//! Symbolic links below another root directory: resolved there as chroot(2) would, not on the host.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The number of symbolic links that a path may contain, as in the kernel (MAXSYMLINKS in include/linux/namei.h).
const LINK_LIMIT: u32 = 40;

/// The directory that absolute symbolic links refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root<'p>(Option<&'p Path>);

impl<'p> Root<'p> {
    /// Uses a root directory. With `/` or `None`, the kernel resolves links.
    pub(super) fn new(root: Option<&'p Path>) -> Self {
        Self(root.filter(|root| *root != Path::new("/")))
    }

    /// Resolves every link in a path below the root and returns a path without links. Returns `None` for a path that the kernel
    /// resolves: without another root, or outside it.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some((root, below)) = self.0.and_then(|root| Some((root, path.strip_prefix(root).ok()?))) else {
            return Ok(None);
        };
        let mut resolved = root.to_owned();
        // The components still to resolve, the next one last.
        let mut pending = components(below);
        let mut links = 0;
        while let Some(component) = pending.pop() {
            if component == ".." {
                // `..` in the root is the root.
                if resolved != root {
                    resolved.pop();
                }
                continue;
            }
            resolved.push(component);
            if fs::symlink_metadata(&resolved)?.is_symlink() {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = fs::read_link(&resolved)?;
                if target.is_absolute() {
                    resolved = root.to_owned();
                } else {
                    resolved.pop();
                }
                pending.extend(components(&target));
            }
        }
        Ok(Some(resolved))
    }
}

/// Returns the components of a path, the last one first, without `/` and `.`.
fn components(path: &Path) -> Vec<OsString> {
    let kept = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_resolved_as_after_chroot() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"").unwrap();
        fs::write(top.path().join("outside"), b"").unwrap();
        for (target, link) in [
            ("/a/b", "absolute"),
            ("../a/b/file", "a/relative"),
            ("../../../../a/./b/", "a/above"),
            ("/absolute/file", "chain"),
            ("../outside", "escape"),
            ("loop2", "loop1"),
            ("loop1", "loop2"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let resolve = |path: &str| match Root::new(Some(&root)).resolve(&root.join(path)) {
            Ok(Some(resolved)) => resolved.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
            Ok(None) => "not below the root".to_owned(),
            Err(error) => crate::sys::strerror_io(&error),
        };
        for (path, expected) in [
            ("a/b/file", "a/b/file"),
            ("absolute/file", "a/b/file"),
            ("a/relative", "a/b/file"),
            ("a/above/file", "a/b/file"),
            ("chain", "a/b/file"),
            ("absolute/../relative", "a/b/file"),
            ("escape", "No such file or directory"),
            ("loop1", "Too many levels of symbolic links"),
            ("a/b/file/x", "Not a directory"),
            ("", ""),
        ] {
            assert_eq!(resolve(path), expected, "{path}");
        }
        assert!(Root::new(Some(&root)).resolve(&top.path().join("outside")).unwrap().is_none());
        for without in [None, Some(Path::new("/"))] {
            assert!(Root::new(without).resolve(&root.join("loop1")).unwrap().is_none());
        }
    }
}
