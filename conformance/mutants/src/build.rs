//! Builds a kernel with each fault.

use crate::quick::{self, Object};
use crate::table::Entry;
use crate::work::{Edit, Kernel, WorkError, failed, files, remove, replace};
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
    let object = if quick::is_usable(kernel, jobs)? { Object::of(kernel, &entry.fault.file)? } else { None };
    let faulty = kernel.dir.join("objects/faulty");
    replace(&faulty, &entry.fault.file)?;
    replace(&source, &edit.edited)?;
    let made = match &object {
        Some(object) => object.build(kernel, jobs),
        None => make(kernel, &["bzImage", "modules"], jobs),
    };
    let stored = match made {
        Ok(()) => store(kernel, &image, object.is_some()),
        Err(WorkError::Program { reason, .. }) => replace(&image.join("error"), reason),
        Err(error) => Err(error),
    };
    // Also after an error; the next whole build compiles the file again.
    replace(&source, &edit.original)?;
    if let Some(object) = object {
        object.restore(kernel)?;
        remove(&faulty)?;
    }
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

/// Runs make in the sources.
pub fn make(kernel: &Kernel, arguments: &[&str], jobs: &str) -> Result<(), WorkError> {
    let mut make = Command::new("make");
    make.args(["-s", "ARCH=x86", "-C"])
        .arg(kernel.dir.join("source"))
        .arg(format!("O={}", kernel.dir.join("objects").display()))
        .arg(format!("-j{jobs}"))
        .args(arguments)
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS");
    succeed("make", &mut make)
}

/// Runs a program. It fails with what the program prints on its standard error.
pub fn succeed(program: &str, command: &mut Command) -> Result<(), WorkError> {
    let failure = |reason| WorkError::Program { program: program.to_owned(), reason };
    let output = command.output().map_err(|error| failure(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failure(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Stores the image and the modules that differ from those of the kernel without a fault. A quick build changes no module.
fn store(kernel: &Kernel, image: &Path, quick: bool) -> Result<(), WorkError> {
    let objects = kernel.dir.join("objects");
    let read = |path: &Path| fs::read(path).map_err(failed("read", path));
    let built = read(&objects.join("arch/x86/boot/bzImage"))?;
    let mut same = built == read(&kernel.dir.join("base/bzImage"))?;
    // As make left them: the installed ones can be signed and compressed.
    let modules = kernel.dir.join("base/modules");
    let built_modules = if quick { Vec::new() } else { files(&modules)? };
    for file in built_modules {
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
