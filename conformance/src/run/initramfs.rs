//! Builds the initramfs of a guest: the agent, the subject's tools, the standard modules.

use agent::insert_list::LIST;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use vm_images::initramfs::{Builder, InitramfsError};
use vm_images::modules::ModuleTree;
use vm_images::{Cache, CacheError, Kernel, Source, Subject};

/// Bytes of initramfs files in the cache. Beyond this the least recently used ones are removed; a clone needs none.
const CACHE_LIMIT: u64 = 1 << 30;

/// An initramfs on disk.
#[derive(Clone, Debug)]
pub struct Initramfs {
    /// The file.
    pub path: PathBuf,
    /// The hash of its contents.
    pub id: String,
    /// Whether a damaged file in the cache was replaced.
    pub replaces_damaged: bool,
}

/// The initramfs could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An error of the archive.
    #[error(transparent)]
    Archive(#[from] InitramfsError),
    /// An error of the cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Returns the initramfs of a kernel and a subject, from the cache if it is there. `extra` (guest path, host path) is
/// added last.
///
/// # Errors
/// [`BuildError`] if a part cannot be read or the cache cannot be written.
pub fn build(
    kernel: &Kernel,
    subject: &Subject,
    modules: Option<&ModuleTree>,
    agent: &Path,
    extra: &[(String, PathBuf)],
    cache: &Cache,
) -> Result<Initramfs, BuildError> {
    let mut builder = Builder::new();
    for directory in ["/dev", "/mnt", "/proc", "/run", "/sys", "/tmp"] {
        builder.dir(directory, 0o755);
    }
    // PID 1 has standard streams only if /dev/console exists before devtmpfs is mounted.
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
    if let Some(patch) = &kernel.live_patch {
        let path = format!("/lib/kmodlab/{}.ko", vm_images::live_patch::MODULE);
        let line = format!("{path} {}\n", patch.options.parameters());
        builder.file(&path, 0o644, patch.module.as_path()).file(LIST, 0o644, line.as_bytes());
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
        move |source| BuildError::Io { action, path, source }
    };
    // The name is the hash: a file with other contents is damaged and is replaced.
    let cached = fs::read(&path);
    let replaces_damaged = cached.as_ref().is_ok_and(|cached| *cached != archive);
    if cached.is_ok() && !replaces_damaged {
        vm_images::cache::touch(&path);
    } else {
        vm_images::contents::bound(&area, CACHE_LIMIT);
        let file = tempfile::NamedTempFile::new_in(&area).map_err(io("create a temporary file for"))?;
        fs::write(file.path(), &archive).map_err(io("write"))?;
        file.persist(&path).map_err(|error| io("write")(error.error))?;
    }
    Ok(Initramfs { path, id, replaces_damaged })
}
