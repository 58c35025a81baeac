//! The tools of a run: the C tools that `ci/differential` names in the environment, ours, and their libraries.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of our tools among the others.
pub const OURS: &str = "ours";

/// The paths of the tools.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The name and unpacked root of each C kmod.
    pub oracles: Vec<(String, PathBuf)>,
    /// A static program with a shell, for `/bin/sh` in the sandbox.
    pub shell: PathBuf,
    /// Our program: that of this build, or the one of `KMOD_DIFFERENTIAL_OURS`.
    pub ours: PathBuf,
    /// The release and module directory of each kernel.
    pub trees: Vec<(String, PathBuf)>,
}

impl Setup {
    /// Reads the environment; the error names what is missing.
    pub fn from_env() -> Result<Self, String> {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let oracles: Vec<_> = [("34", "KMOD_DIFFERENTIAL_34"), ("30", "KMOD_DIFFERENTIAL_30")]
            .into_iter()
            .filter_map(|(name, variable)| Some((name.to_owned(), path(variable)?)))
            .collect();
        if oracles.is_empty() {
            return Err("neither KMOD_DIFFERENTIAL_34 nor KMOD_DIFFERENTIAL_30 is set; run ci/differential".into());
        }
        let shell = path("KMOD_DIFFERENTIAL_SHELL").ok_or("KMOD_DIFFERENTIAL_SHELL is not set; run ci/differential")?;
        let trees = env::var_os("KMOD_DIFFERENTIAL_TREES").unwrap_or_default();
        let trees =
            env::split_paths(&trees).filter(|path| path.is_dir()).map(|path| (tree_name(&path), path)).collect();
        let ours = path("KMOD_DIFFERENTIAL_OURS").unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_kmod")));
        Ok(Self { oracles, shell, ours, trees })
    }

    /// Returns all tools, ours last.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.oracles.iter().map(|(name, _)| name.as_str()).chain([OURS])
    }

    /// Whether one tool is run with the files of the other: ours with those of each C tool, and vice versa.
    pub fn reads(&self, reader: &str, writer: &str) -> bool {
        reader != writer && (reader == OURS || writer == OURS)
    }

    /// Returns the paths of this machine to mount in a sandbox, and where.
    pub fn binds(&self) -> Vec<(PathBuf, PathBuf)> {
        let ours = Path::new("/t").join(OURS);
        let mut binds = vec![(self.ours.clone(), ours.join("kmod")), (self.shell.clone(), PathBuf::from("/bin/sh"))];
        binds.extend(self.oracles.iter().map(|(name, root)| (root.clone(), Path::new("/t").join(name))));
        binds.extend(libraries().into_iter().filter_map(|path| {
            let name = path.file_name()?.to_owned();
            let loader = name.to_string_lossy().starts_with("ld-");
            Some((path.clone(), ours.join("lib").join(if loader { OsString::from("loader") } else { name })))
        }));
        binds
    }
}

/// Returns the release, which is the name of the module directory.
fn tree_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the libraries of this program. Our tools are built together with it and need no others.
fn libraries() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut paths: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")))
        .collect();
    paths.sort();
    paths.dedup();
    paths
}
