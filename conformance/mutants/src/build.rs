//! Builds a kernel with each fault.

use crate::table::Entry;
use crate::work::{Edit, Kernel, WorkError, failed, files, replace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a build made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// An image that differs from that of the kernel without a fault.
    Different,
    /// The same image and modules, bit for bit.
    Same,
    /// Nothing: the fault does not compile.
    Error,
}

impl Built {
    /// Returns what an earlier build made.
    pub fn of(image: &Path) -> Option<Built> {
        if image.join("error").exists() {
            Some(Built::Error)
        } else if image.join("same").exists() {
            Some(Built::Same)
        } else {
            image.join("bzImage").exists().then_some(Built::Different)
        }
    }
}

/// Builds a kernel with a fault, unless an earlier run has.
///
/// # Errors
/// [`WorkError`] if files cannot be written. A fault that does not compile is not an error.
pub fn build(kernel: &Kernel, entry: &Entry, jobs: &str) -> Result<Built, WorkError> {
    let edit = kernel.edit(entry)?;
    let image = kernel.image(&edit);
    if let Some(built) = Built::of(&image) {
        return Ok(built);
    }
    let source = kernel.dir.join("source").join(&entry.fault.file);
    let pristine = kernel.dir.join("pristine").join(&entry.fault.file);
    if !pristine.exists() {
        replace(&pristine, &edit.original)?;
    }
    restore(kernel)?;
    replace(&source, &edit.edited)?;
    let made = make(kernel, jobs);
    let stored = match made {
        Ok(()) => store(kernel, &image),
        Err(WorkError::Program { reason, .. }) => replace(&image.join("error"), reason),
        Err(error) => Err(error),
    };
    // Also after an error; the next build compiles the file again.
    replace(&source, &edit.original)?;
    stored?;
    Ok(Built::of(&image).unwrap_or(Built::Error))
}

/// Restores the files that an interrupted build left with a fault.
fn restore(kernel: &Kernel) -> Result<(), WorkError> {
    let pristine = kernel.dir.join("pristine");
    for file in files(&pristine)? {
        let (original, current) = (pristine.join(&file), kernel.dir.join("source").join(&file));
        let text = fs::read(&original).map_err(failed("read", &original))?;
        if fs::read(&current).ok().as_ref() != Some(&text) {
            replace(&current, text)?;
        }
    }
    Ok(())
}

fn make(kernel: &Kernel, jobs: &str) -> Result<(), WorkError> {
    let mut make = Command::new("make");
    make.args(["-s", "ARCH=x86", "-C"])
        .arg(kernel.dir.join("source"))
        .arg(format!("O={}", kernel.dir.join("objects").display()))
        .args([&format!("-j{jobs}"), "bzImage", "modules"])
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS");
    let program = "make".to_owned();
    let output = make.output().map_err(|error| WorkError::Program { program, reason: error.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(WorkError::Program { program: "make".to_owned(), reason: errors })
}

/// Stores the image and the modules that differ from those of the kernel without a fault.
fn store(kernel: &Kernel, image: &Path) -> Result<(), WorkError> {
    let objects = kernel.dir.join("objects");
    let read = |path: &Path| fs::read(path).map_err(failed("read", path));
    let built = read(&objects.join("arch/x86/boot/bzImage"))?;
    let mut same = built == read(&kernel.dir.join("base/bzImage"))?;
    // As make left them: the installed ones can be signed and compressed.
    let modules = kernel.dir.join("base/modules");
    for file in files(&modules)? {
        let module = read(&objects.join(&file))?;
        if module != read(&modules.join(&file))? {
            same = false;
            replace(&image.join("modules").join(&file), module)?;
        }
    }
    if same {
        return replace(&image.join("same"), "");
    }
    replace(&image.join("bzImage"), built)
}

/// Whether a fault has an image to run.
///
/// # Errors
/// [`WorkError`] if the fault does not fit the sources.
pub fn is_built(kernel: &Kernel, entry: &Entry) -> Result<Option<(Edit, Built)>, WorkError> {
    let edit = kernel.edit(entry)?;
    let built = Built::of(&kernel.image(&edit));
    Ok(built.map(|built| (edit, built)))
}
