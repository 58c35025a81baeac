//! Inserts a module file into the kernel.

use super::{Force, Kernel, LoadError, Reason, reason};
use crate::name::{Escaped, ModuleName};
use crate::object::{self, Compression};
use crate::sys::strerror;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Loads a file: with finit_module(2) if the kernel can read it, else decompressed here and with init_module(2). The module is
/// also decompressed here if the kernel fails to decompress a format that it claims to support.
///
/// # Errors
/// [`LoadError`].
pub fn insert_file(path: &Path, options: &[u8], force: Force, kernel: &mut impl Kernel) -> Result<(), LoadError> {
    let opened = |error| LoadError::Open { path: path.to_owned(), error };
    let file = kernel.open(path).map_err(opened)?;
    let compression = kernel.compression(&file).map_err(opened)?;
    let compressed = compression != Compression::None;
    kernel.mark_log();
    if !compressed || kernel.decompresses() == Some(compression) {
        match kernel.finit_module(&file, options, force, compressed) {
            Ok(()) => return Ok(()),
            // A kernel older than 3.8.
            Err(Errno::NOSYS) => {}
            Err(errno @ (Errno::INVAL | Errno::OPNOTSUPP)) if compressed => {
                // EINVAL may also come from the module's init function or a bad parameter: the log distinguishes them. If the
                // log cannot be read, init_module(2) returns the same error again.
                let lines = kernel.log();
                if lines.as_ref().is_some_and(|lines| !lines.iter().any(|line| reason::is_about_decompression(line))) {
                    return Err(refused(path, errno, lines, kernel));
                }
            }
            Err(errno) => {
                let lines = kernel.log();
                return Err(refused(path, errno, lines, kernel));
            }
        }
    }
    let mut image = kernel.image(&file, path).map_err(LoadError::Image)?;
    if force != Force::default() {
        // init_module(2) has no flags to skip the checks.
        let named = |problem| LoadError::Image(format!("{}: {problem}", Escaped(path.as_os_str().as_bytes())));
        object::strip(&mut image, force.modversions, force.vermagic).map_err(named)?;
    }
    kernel.init_module(&image, options).map_err(|errno| {
        let lines = kernel.log();
        refused(path, errno, lines, kernel)
    })
}

fn refused(path: &Path, errno: Errno, log: Option<Vec<Vec<u8>>>, kernel: &mut impl Kernel) -> LoadError {
    if errno == Errno::EXIST {
        return LoadError::AlreadyLoaded;
    }
    match ModuleName::from_path(path.as_os_str().as_bytes()) {
        Ok(module) => {
            let lines = || log.iter().flatten().map(Vec::as_slice);
            let names = [vec![module.clone()], kernel.own_names(path)].concat();
            let mut reason = reason::find(&names, lines());
            if reason.is_none() && errno == Errno::PERM && kernel.modules_disabled() {
                reason = Some(Reason::ModulesDisabled);
            }
            LoadError::Refused { module, errno, reason }
        }
        // Without a name there is nothing to look for in the log.
        Err(_) => LoadError::Image(strerror(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelKernel;
    use super::super::model::Call;
    use super::super::testing::{kernel, name};
    use super::*;
    use crate::object::{ElfModule, testing::TinyModule};
    use std::path::PathBuf;

    #[test]
    fn the_kernel_decompresses_a_format_that_it_supports() {
        let mut kernel = ModelKernel { decompresses: Some(Compression::Xz), ..ModelKernel::default() };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls, [Call::Finit { module: name("m"), options: String::new(), compressed: true }]);
    }

    #[test]
    fn a_module_is_decompressed_here_if_the_kernel_does_not_support_the_format_or_fails() {
        let mut kernel = ModelKernel::default();
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        let init = Call::Init { module: name("m"), options: String::new(), image: b"/m/m.ko.xz".to_vec() };
        assert_eq!(kernel.calls, std::slice::from_ref(&init));

        let mut kernel = ModelKernel {
            decompresses: Some(Compression::Xz),
            finit_error: Some(Errno::INVAL),
            ..ModelKernel::default()
        };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls.last(), Some(&init));
    }

    #[test]
    fn force_without_finit_module_strips_the_image() {
        let module = TinyModule {
            versions: vec![("f".into(), 1)],
            ..TinyModule::named("m").info("vermagic=5.4 SMP").info("license=GPL")
        };
        for compression in [Compression::None, Compression::Xz] {
            let path = PathBuf::from("/m/m.ko");
            let mut kernel = ModelKernel { finit_error: Some(Errno::NOSYS), ..ModelKernel::default() };
            kernel.files.insert(path.clone(), compression);
            kernel.images.insert(path.clone(), module.build());
            let both = Force { modversions: true, vermagic: true };
            for (force, expected) in [(Force::default(), "name vermagic license"), (both, "name license")] {
                insert_file(&path, b"a=1", force, &mut kernel).unwrap();
                kernel.modules.clear();
                let Some(Call::Init { options, image, .. }) = kernel.calls.last() else { panic!("{:?}", kernel.calls) };
                let elf = ElfModule::parse(image).unwrap();
                let modinfo = elf.modinfo().unwrap();
                let keys: Vec<_> = modinfo.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
                assert_eq!((options.as_str(), keys.join(" ").as_str()), ("a=1", expected));
            }
        }
    }

    #[test]
    fn a_refused_uncompressed_file_is_not_tried_again() {
        let mut kernel = kernel(&["m"]);
        kernel.finit_error = Some(Errno::INVAL);
        let error = insert_file(Path::new("/m/m.ko"), b"", Force::default(), &mut kernel).unwrap_err();
        assert_eq!(error, LoadError::Refused { module: name("m"), errno: Errno::INVAL, reason: None });
        assert_eq!(error.to_string(), "Invalid argument");
        assert_eq!(kernel.calls.len(), 1);
    }

    #[test]
    fn the_error_contains_the_reason_from_the_kernel_log() {
        let error = |errno, line: &str| {
            let mut kernel = ModelKernel { finit_error: Some(errno), log: vec![line.into()], ..kernel(&["m"]) };
            insert_file(Path::new("/m/m.ko"), b"", Force::default(), &mut kernel).unwrap_err().to_string()
        };
        assert_eq!(error(Errno::NOENT, "m: Unknown symbol f (err -2)"), "Unknown symbol in module: m needs f");
        assert_eq!(error(Errno::NOENT, ""), "Unknown symbol in module, or unknown parameter (see dmesg)");
        assert_eq!(error(Errno::NOENT, "m: Unknown parameter `x'"), "Unknown parameter: m has no parameter 'x'");
        assert_eq!(
            error(Errno::INVAL, "m: `y' invalid for parameter `x'"),
            "Invalid argument: parameter 'x' of m cannot be 'y'"
        );
    }

    #[test]
    fn disabled_modules_and_the_blacklist_of_the_kernel_are_named() {
        let mut kernel = ModelKernel { finit_error: Some(Errno::PERM), log: vec!["noise".into()], ..kernel(&["m"]) };
        let error = |kernel: &mut ModelKernel| {
            insert_file(Path::new("/m/m.ko"), b"", Force::default(), kernel).unwrap_err().to_string()
        };
        assert_eq!(error(&mut kernel), "Operation not permitted");
        kernel.modules_disabled = true;
        assert_eq!(error(&mut kernel), "Operation not permitted: the sysctl kernel.modules_disabled is 1");
        kernel.log = vec!["Module m is blacklisted".into()];
        assert_eq!(error(&mut kernel), "Operation not permitted: m is in module_blacklist= of the kernel command line");
    }

    #[test]
    fn lines_about_the_name_in_the_file_are_recognised() {
        let mut kernel = ModelKernel {
            finit_error: Some(Errno::NOEXEC),
            log: vec!["real: module has no symbols (stripped?)".into()],
            ..kernel(&["copy"])
        };
        kernel.images.insert("/m/copy.ko".into(), TinyModule::named("real").build());
        let error = insert_file(Path::new("/m/copy.ko"), b"", Force::default(), &mut kernel).unwrap_err();
        assert_eq!(error.to_string(), "Exec format error: module has no symbols (stripped?)");
    }

    #[test]
    fn a_compressed_file_is_tried_again_only_if_decompression_failed() {
        let calls = |line: &str| {
            let mut kernel = ModelKernel {
                decompresses: Some(Compression::Xz),
                finit_error: Some(Errno::INVAL),
                log: vec![line.into()],
                ..ModelKernel::default()
            };
            kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
            let _ = insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel);
            kernel.calls.len()
        };
        assert_eq!(calls("m: `y' invalid for parameter `x'"), 1);
        assert_eq!(calls("decompression failed with status 6"), 2);
    }
}
