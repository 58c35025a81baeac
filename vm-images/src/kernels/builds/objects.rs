//! Builds a clean tree with its object files in the cache. The objects stay, so that the next build with the same ones
//! rebuilds only what has changed; the result is what a guest needs.

use super::BuildError;
use super::make::Make;
use crate::cache::{CacheError, ContentId, NewDir, touch};
use crate::child;
use crate::kernels::fragments::without_effect;
use crate::kernels::tree::{find, module_path};
use crate::options::{Options, Progress};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The area of the cache with the results.
pub(crate) const AREA: &str = "built-trees";
/// Files of a build that are kept besides the modules: those that [`crate::BuiltTree`] reads.
const KEPT: [&str; 6] = [
    "arch/x86/boot/bzImage",
    "include/config/kernel.release",
    ".config",
    "modules.order",
    "modules.builtin",
    "modules.builtin.modinfo",
];

/// A build of a clean tree.
pub(super) struct ObjectBuild<'a> {
    /// The name of the tree in messages.
    pub name: &'a str,
    /// The source tree.
    pub tree: &'a Path,
    /// The directory for object files.
    pub objects: &'a Path,
    /// The merged fragments.
    pub config: &'a str,
    /// Additional arguments of make.
    pub make_args: &'a [String],
    /// The log of make, locked.
    pub log: (&'a Path, &'a File),
}

impl ObjectBuild<'_> {
    /// Builds the tree and publishes the result as `target`.
    pub fn run(&self, target: &Path, options: &Options<'_>) -> Result<(), BuildError> {
        let (log, log_file) = self.log;
        fs::create_dir_all(self.objects).map_err(CacheError::new("create", self.objects))?;
        touch(self.objects);
        (options.progress)(Progress::Building { kernel: self.name.to_owned(), log: log.to_owned() });
        log_file.set_len(0).map_err(CacheError::new("empty", log))?;
        let mut make = Make::new(self.name, (self.tree, self.objects), self.log, options);
        make.args = self.make_args;
        self.configure(&make, options)?;
        make.all()?;
        let result = options.cache.new_dir()?;
        keep(self.objects, &result)?;
        Ok(options.cache.publish(result, target)?)
    }

    /// Configures with tinyconfig and the fragments. Each build does, because a configuration that an earlier state of the
    /// tree left would keep that state's defaults.
    fn configure(&self, make: &Make<'_>, options: &Options<'_>) -> Result<(), BuildError> {
        let path = self.objects.join(".config");
        let read = || fs::read_to_string(&path).map_err(CacheError::new("read", &path));
        let earlier = fs::metadata(&path).and_then(|meta| Ok((meta.modified()?, fs::read_to_string(&path)?)));
        make.run(&["tinyconfig"])?;
        // kconfig uses the last of several lines for an option.
        fs::write(&path, read()? + self.config).map_err(CacheError::new("write", &path))?;
        make.run(&["olddefconfig"])?;
        let made = read()?;
        // To make, a configuration with its earlier time has not changed.
        if let Some((time, _)) = earlier.ok().filter(|(_, text)| *text == made) {
            let restored = File::options().append(true).open(&path).and_then(|file| file.set_modified(time));
            restored.map_err(CacheError::new("write", &path))?;
        }
        let lost = without_effect(self.config, &made);
        if !lost.is_empty() {
            let lines = lost.join(", ");
            let note = format!("{}: these lines of the fragments have no effect: {lines}", self.name);
            (options.progress)(Progress::Note(note));
        }
        Ok(())
    }
}

/// Returns the name of a result: `content` identifies the files of the tree.
pub(super) fn key(
    content: &str,
    config: &str,
    make_args: &[String],
    options: &Options<'_>,
) -> Result<String, BuildError> {
    let key = ContentId::new().with(content).with(config).with(make_args.join("\0")).with(compiler(options)?);
    Ok(key.finish()[..16].to_owned())
}

/// Returns the version of the compiler, which is part of the key of a build.
fn compiler(options: &Options<'_>) -> Result<Vec<u8>, BuildError> {
    let mut command = Command::new("gcc");
    let output = child::output(command.arg("--version").stdin(Stdio::null()), options.stop);
    Ok(output.map_err(CacheError::new("run", "gcc"))?.stdout)
}

/// Copies the image, the modules and the files that describe them.
fn keep(objects: &Path, result: &NewDir) -> Result<(), CacheError> {
    let order = fs::read_to_string(objects.join("modules.order")).unwrap_or_default();
    let modules = order.lines().filter_map(module_path).filter_map(|path| find(objects, path));
    let modules = modules.filter_map(|(_, file)| Some(file.strip_prefix(objects).ok()?.to_owned()));
    for name in KEPT.iter().map(PathBuf::from).chain(modules) {
        let (from, to) = (objects.join(&name), result.path().join(&name));
        if !from.is_file() {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(CacheError::new("create", parent))?;
        }
        fs::copy(&from, &to).map_err(CacheError::new("copy", &from))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;

    #[test]
    fn the_files_kept_of_a_build_form_a_built_tree_with_its_modules() {
        let (objects, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |name: &str, bytes: &[u8]| {
            let path = objects.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("arch/x86/boot/bzImage", &crate::kernels::bzimage::sample_image("6.1.0-tiny (us) #1", b"payload"));
        put("include/config/kernel.release", b"6.1.0-tiny\n");
        put("modules.order", b"fs/a.o\n");
        put("fs/a.ko", b"module");
        put("fs/a.o", b"object");
        let cache = Cache::open(cache.path()).unwrap();
        let result = cache.new_dir().unwrap();
        keep(objects.path(), &result).unwrap();
        assert!(!result.path().join("fs/a.o").exists());
        let kernel = crate::BuiltTree::look(result.path()).unwrap().kernel(&cache).unwrap();
        assert_eq!(kernel.release.as_str(), "6.1.0-tiny");
        assert_eq!(fs::read(kernel.modules.unwrap().join("kernel/fs/a.ko")).unwrap(), b"module");
    }
}
