//! What a run has: the C tools that `ci/differential` names in the environment, our own, and the libraries of both.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// How our own tools are called among the others.
pub const OURS: &str = "ours";

/// Where the tools are.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Name and unpacked root of each C kmod.
    pub oracles: Vec<(String, PathBuf)>,
    /// A static program with a shell, for the jail's `/bin/sh`.
    pub shell: PathBuf,
    /// Name, release and directory of whole trees of modules.
    pub trees: Vec<(String, PathBuf)>,
}

impl Setup {
    /// From the environment; what is missing is the error.
    pub fn from_env() -> Result<Self, String> {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let oracles: Vec<_> = [("34", "KMOD_DIFFERENTIAL_34"), ("30", "KMOD_DIFFERENTIAL_30")]
            .into_iter()
            .filter_map(|(name, variable)| Some((name.to_owned(), path(variable)?)))
            .collect();
        if oracles.is_empty() {
            return Err(
                "KMOD_DIFFERENTIAL_34 and KMOD_DIFFERENTIAL_30 name no C kmod: ci/differential sets them".into()
            );
        }
        let shell = path("KMOD_DIFFERENTIAL_SHELL").ok_or("KMOD_DIFFERENTIAL_SHELL names no static busybox")?;
        let trees = env::var_os("KMOD_DIFFERENTIAL_TREES").unwrap_or_default();
        let trees =
            env::split_paths(&trees).filter(|path| path.is_dir()).map(|path| (tree_name(&path), path)).collect();
        Ok(Self { oracles, shell, trees })
    }

    /// All tools, ours last.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.oracles.iter().map(|(name, _)| name.as_str()).chain([OURS])
    }

    /// Whether the one reads what the other wrote: ours and each of the C tools do.
    pub fn reads(&self, reader: &str, writer: &str) -> bool {
        reader != writer && (reader == OURS || writer == OURS)
    }

    /// What of this machine is seen in a jail, and where.
    pub fn binds(&self) -> Vec<(PathBuf, PathBuf)> {
        let ours = Path::new("/t").join(OURS);
        let mut binds = vec![
            (PathBuf::from(env!("CARGO_BIN_EXE_kmod")), ours.join("kmod")),
            (self.shell.clone(), PathBuf::from("/bin/sh")),
        ];
        binds.extend(self.oracles.iter().map(|(name, root)| (root.clone(), Path::new("/t").join(name))));
        binds.extend(libraries().into_iter().filter_map(|path| {
            let name = path.file_name()?.to_owned();
            let loader = name.to_string_lossy().starts_with("ld-");
            Some((path.clone(), ours.join("lib").join(if loader { OsString::from("loader") } else { name })))
        }));
        binds
    }
}

/// The release, which the module directory has for a name.
fn tree_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The libraries that this program itself was linked with: our tools were built beside it and need no others.
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
