//! The unpacked kernel of a bzImage, for a boot without firmware and decompression.

use super::decompress::decompress;
use crate::cache::{Cache, CacheError, touch};
use crate::kernels::bzimage::Header;
use crate::kernels::kernel::{Kernel, KernelError};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::fs;
use std::path::PathBuf;

impl Kernel {
    /// Returns the unpacked kernel, cached; `None` if it cannot be entered directly, because it was built without
    /// `CONFIG_PVH`.
    ///
    /// # Errors
    /// [`KernelError`] if the image cannot be read, or the cache cannot be written.
    pub fn vmlinux(&self, cache: &Cache) -> Result<Option<PathBuf>, KernelError> {
        let dir = cache.area("vmlinux")?.join(&self.id);
        let path = dir.join("vmlinux");
        if !dir.exists() {
            let bytes = fs::read(&self.image).map_err(KernelError::read(&self.image))?;
            let header =
                Header::parse(&bytes).map_err(|source| KernelError::NotAKernel { path: self.image.clone(), source })?;
            let kernel = decompress(header.payload(&bytes))
                .map_err(|reason| KernelError::Payload { path: self.image.clone(), reason })?;
            let new = cache.new_dir()?;
            // An empty directory records that there is none.
            if has_pvh_entry(&kernel) {
                let file = new.path().join("vmlinux");
                fs::write(&file, &kernel).map_err(CacheError::new("write", &file))?;
            }
            cache.publish(new, &dir)?;
        }
        touch(&dir);
        Ok(path.exists().then_some(path))
    }
}

/// Owner and type of the note with a kernel's 32-bit entry point (xen/interface/elfnote.h, `XEN_ELFNOTE_PHYS32_ENTRY`).
const PVH_OWNER: &[u8] = b"Xen";
const PVH_TYPE: u32 = 18;

/// Returns whether QEMU's `-kernel` can enter the kernel directly as an ELF file (`CONFIG_PVH`).
fn has_pvh_entry(kernel: &[u8]) -> bool {
    let Ok(header) = FileHeader64::<Endianness>::parse(kernel) else { return false };
    let Ok(endian) = header.endian() else { return false };
    let Ok(segments) = header.program_headers(endian, kernel) else { return false };
    segments.iter().any(|segment| {
        let Ok(Some(mut notes)) = segment.notes(endian, kernel) else { return false };
        std::iter::from_fn(|| notes.next().ok().flatten())
            .any(|note| note.name() == PVH_OWNER && note.n_type(endian).0 == PVH_TYPE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::bzimage::sample_image;

    #[test]
    fn a_kernel_without_a_pvh_entry_has_no_vmlinux() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path().join("cache")).unwrap();
        let image = temp.path().join("bzImage");
        fs::write(&image, sample_image("5.10.1 x", b"\x7fELF, and no more of it")).unwrap();
        let kernel = Kernel::from_image(&image, None).unwrap();
        for _ in 0..2 {
            assert_eq!(kernel.vmlinux(&cache).unwrap(), None);
        }
    }
}
