//! The contents of the cache: list with sizes and last uses, full check, removal, size limits. Templates are not
//! included; the harness manages them.

use crate::cache::{Cache, paths_in, sha256_file};
use crate::kernels::kernel::Kernel;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The areas whose entries can be fetched or created again individually.
const AREAS: [&str; 12] = [
    "apt",
    "kernels",
    "built",
    "built-trees",
    "building",
    "worktrees",
    "subjects",
    "indexes",
    "modules",
    "trees",
    "initramfs",
    "vmlinux",
];
/// An entry used within this time may still be in use.
const RECENT: Duration = Duration::from_secs(3600);

/// An entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The area.
    pub area: &'static str,
    /// The name in the area.
    pub name: String,
    /// Disk space in bytes.
    pub bytes: u64,
    /// Time of the last use.
    pub used: SystemTime,
    path: PathBuf,
}

/// Returns all entries, by area and name.
#[must_use]
pub fn entries(cache: &Cache) -> Vec<Entry> {
    let mut all = Vec::new();
    for area in AREAS {
        // An area that is a symlink belongs to another cache, whose users do not hold our lock.
        let Some(dir) = cache.area(area).ok().filter(|dir| !dir.is_symlink()) else { continue };
        // Files beside the directories are pointers to the newest ones, not entries.
        let paths = paths_in(&dir).into_iter().filter(|path| path.is_dir() || area == "initramfs");
        all.extend(paths.filter_map(|path| entry(area, path)));
    }
    all
}

fn entry(area: &'static str, path: PathBuf) -> Option<Entry> {
    let meta = fs::symlink_metadata(&path).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(Entry { area, name, bytes: disk_usage(&path), used: meta.modified().ok()?, path })
}

/// Returns the disk space of a file or tree. Symlinks are not followed.
#[must_use]
pub fn disk_usage(path: &Path) -> u64 {
    let mut total = 0;
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        total += meta.blocks() * 512;
        if meta.is_dir() {
            todo.extend(paths_in(&path));
        }
    }
    total
}

impl Entry {
    /// Checks the contents against the recorded hash. Returns a description of the damage; `None` if there is none, or
    /// no hash is recorded.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        match self.area {
            "initramfs" => {
                let named = self.name.trim_end_matches(".cpio");
                let now = sha256_file(&self.path).unwrap_or_default();
                (self.name.len() == 69 && now != named).then(|| "its contents do not match its name".to_owned())
            }
            "modules" => {
                let now = crate::guest::modules::contents_below(&self.path);
                (now.as_deref() != Some(&self.name)).then(|| "its modules do not match its name".to_owned())
            }
            "kernels" | "built" => match crate::kernels::store::read_stored(&self.path, &self.name, Vec::new()) {
                None => Some("it is incomplete".to_owned()),
                Some(Kernel { image, id, .. }) => {
                    let now = sha256_file(&image).unwrap_or_default();
                    (now != id).then(|| "its image was changed after it was unpacked".to_owned())
                }
            },
            _ => None,
        }
    }

    /// Returns whether a hash is recorded, so that [`Self::damage`] can find damage.
    #[must_use]
    pub fn has_hash(&self) -> bool {
        matches!(self.area, "initramfs" | "modules" | "kernels" | "built")
    }

    /// Removes the entry and returns whether that succeeded. It must not be in use, see [`Cache::alone`].
    #[must_use]
    pub fn remove(&self) -> bool {
        let removed = if self.path.is_dir() { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
        removed.is_ok()
    }
}

/// Selects the entries to remove: those not used for `age`, and then the least recently used ones until the rest takes at
/// most `size`. Each entry of `things` is a size and a last use; the result are indices in the order of removal.
#[must_use]
pub fn to_prune(things: &[(u64, SystemTime)], size: Option<u64>, age: Option<Duration>, now: SystemTime) -> Vec<usize> {
    let mut order: Vec<usize> = (0..things.len()).collect();
    order.sort_by_key(|&at| things[at].1);
    let mut total: u64 = things.iter().map(|(bytes, _)| bytes).sum();
    let is_pruned = |at: &usize| {
        let (bytes, used) = things[*at];
        let old = age.is_some_and(|age| now.duration_since(used).unwrap_or_default() > age);
        let pruned = old || size.is_some_and(|size| total > size);
        total -= if pruned { bytes } else { 0 };
        pruned
    };
    order.into_iter().filter(is_pruned).collect()
}

/// Removes the least recently used files of a directory until the rest takes at most `size` bytes. Files used in the last
/// hour stay, because another run may be about to use them.
pub fn bound(dir: &Path, size: u64) {
    let files: Vec<Entry> = paths_in(dir).into_iter().filter_map(|path| entry("", path)).collect();
    let now = SystemTime::now();
    let things: Vec<(u64, SystemTime)> = files.iter().map(|file| (file.bytes, file.used)).collect();
    for at in to_prune(&things, Some(size), None, now) {
        if now.duration_since(files[at].used).unwrap_or_default() > RECENT {
            let _ = files[at].remove(); // a file that stays is tried again the next time
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_recently_used_entries_are_pruned_first_and_no_more_than_necessary() {
        let things = [(10, at(30)), (10, at(10)), (10, at(20))];
        assert_eq!(to_prune(&things, Some(30), None, at(40)), Vec::<usize>::new());
        assert_eq!(to_prune(&things, Some(29), None, at(40)), [1]);
        assert_eq!(to_prune(&things, Some(10), None, at(40)), [1, 2]);
        assert_eq!(to_prune(&things, Some(0), None, at(40)), [1, 2, 0]);
        assert_eq!(to_prune(&things, None, Some(Duration::from_secs(15)), at(40)), [1, 2]);
        assert_eq!(to_prune(&things, Some(10), Some(Duration::from_secs(25)), at(40)), [1, 2]);
        assert_eq!(to_prune(&things, None, None, at(40)), Vec::<usize>::new());
    }

    #[test]
    fn a_directory_is_bounded_except_for_recently_used_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, age: u64| {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name), [1; 8192]).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        put("old", 9000);
        put("older", 90_000);
        put("new", 5);
        bound(dir.path(), 16 << 10);
        assert!(!dir.path().join("older").exists() && dir.path().join("old").exists());
        bound(dir.path(), 0);
        assert!(!dir.path().join("old").exists() && dir.path().join("new").exists());
    }

    #[test]
    fn an_area_that_is_a_symlink_is_not_listed() {
        let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(other.path().join("linux-image")).unwrap();
        fs::create_dir(temp.path().join("v1")).unwrap();
        std::os::unix::fs::symlink(other.path(), temp.path().join("v1/kernels")).unwrap();
        assert_eq!(entries(&Cache::open(temp.path()).unwrap()), []);
    }

    #[test]
    fn an_initramfs_whose_contents_do_not_match_its_name_is_damaged() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path()).unwrap();
        let area = cache.area("initramfs").unwrap();
        let path = area.join(format!("{}.cpio", crate::cache::sha256(b"archive")));
        fs::write(&path, b"archive").unwrap();
        let [entry] = &entries(&cache)[..] else { panic!("one entry") };
        assert_eq!((entry.area, entry.has_hash(), entry.damage()), ("initramfs", true, None));
        fs::write(&path, b"Archive").unwrap();
        assert!(entry.damage().is_some());
        assert!(entry.remove() && entries(&cache).is_empty());
    }
}
