//! What goes into a lab's guest: the agent, the subject's tools, the standard modules.

use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use vm_images::initramfs::{Builder, InitramfsError};
use vm_images::modules::ModuleTree;
use vm_images::{Cache, CacheError, Kernel, Source, Subject};

/// Those of the cache that were not used for longest go when they take more than this together; a clone needs none.
const INITRAMFS: u64 = 1 << 30;

/// An initramfs on disk.
#[derive(Clone, Debug)]
pub struct Initramfs {
    /// The file.
    pub path: PathBuf,
    /// What its contents hash to.
    pub id: String,
    /// The one that lay in the cache was damaged.
    pub replaces_damaged: bool,
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] InitramfsError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the initramfs of this pair, or finds it in the cache. `extra` is added last.
///
/// # Errors
/// [`ImageError`] if a part cannot be read or the cache cannot be written.
pub fn build(
    kernel: &Kernel,
    subject: &Subject,
    modules: Option<&ModuleTree>,
    agent: &Path,
    extra: &[(String, PathBuf)],
    cache: &Cache,
) -> Result<Initramfs, ImageError> {
    let mut builder = Builder::new();
    for directory in ["/dev", "/mnt", "/proc", "/run", "/sys", "/tmp"] {
        builder.dir(directory, 0o755);
    }
    // PID 1 has standard streams only if /dev/console is there before devtmpfs is mounted.
    builder.node("/dev/console", libc::S_IFCHR | 0o600, 5, 1);
    builder.file("/init", 0o755, agent).symlink("/bin/agent", "/init");
    for file in subject.files() {
        match &file.source {
            Source::Host(path) => builder.file(&file.guest_path, file.mode, path.as_path()),
            Source::Bytes(bytes) => builder.file(&file.guest_path, file.mode, bytes.as_slice()),
            Source::Link(target) => builder.symlink(&file.guest_path, target),
        };
    }
    if let Some(tree) = modules {
        builder.tree(Path::new("/lib/modules").join(kernel.release.as_str()), &tree.dir)?;
    }
    for (guest, host) in extra {
        builder.file(guest, 0o755, host.as_path());
    }
    let archive = builder.build()?;
    let id: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    let area = cache.area("initramfs")?;
    let path = area.join(format!("{id}.cpio"));
    let io = |action: &'static str| {
        let path = path.clone();
        move |source| ImageError::Io { action, path, source }
    };
    // Its name is its hash: one that is not what it is called was damaged, and is replaced.
    let there = fs::read(&path);
    let replaces_damaged = there.as_ref().is_ok_and(|there| *there != archive);
    if there.is_ok() && !replaces_damaged {
        vm_images::cache::touch(&path);
    } else {
        vm_images::contents::bound(&area, INITRAMFS);
        let file = tempfile::NamedTempFile::new_in(&area).map_err(io("make a file beside"))?;
        fs::write(file.path(), &archive).map_err(io("write"))?;
        file.persist(&path).map_err(|error| io("write")(error.error))?;
    }
    Ok(Initramfs { path, id, replaces_damaged })
}
