//! The catalogue of kernels and subjects: kernels.toml, subjects.toml, kernels.lock.

pub mod lock;

use crate::catalogue::lock::Lock;
use serde::Deserialize;

/// The name of our own tools as a subject.
pub(crate) const OURS: &str = "ours";

/// The kernels and subjects that can be fetched or built by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    default: String,
    kernels: Vec<KernelEntry>,
    ours: OursEntry,
    subjects: Vec<SubjectEntry>,
    lock: Lock,
}

/// A kernel of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelEntry {
    /// The short name, such as `6.1`.
    pub name: String,
    /// The suites that may offer it.
    pub suites: Vec<String>,
    /// Suites that are used only if those offer no package for the first pattern.
    #[serde(default)]
    pub or_suites: Vec<String>,
    /// Patterns of image packages; empty for a kernel that is built.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Patterns of dependencies of the image that are not needed to boot.
    #[serde(default)]
    pub optional: Vec<String>,
    /// The source package of a kernel that is built.
    #[serde(default)]
    pub source: Option<String>,
    /// The fragment in `configs/` of a kernel that is built.
    #[serde(default)]
    pub config: Option<String>,
}

impl KernelEntry {
    /// Returns whether the kernel is built from source rather than fetched as a package.
    pub fn is_built(&self) -> bool {
        self.source.is_some()
    }
}

/// Our own tools.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OursEntry {
    traits: Vec<String>,
}

/// A subject from a package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectEntry {
    /// The name, such as `kmod-34`.
    pub name: String,
    /// The suites that may offer it.
    pub suites: Vec<String>,
    /// The package.
    pub package: String,
    /// The program in the package, as a path below the root.
    pub program: String,
    /// Additional packages that the program needs at run time.
    #[serde(default)]
    pub also: Vec<String>,
    /// What it supports besides its commands, see subjects.toml.
    pub traits: Vec<String>,
}

/// An unknown name, or an invalid catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// No such kernel or subject.
    #[error("unknown {what} '{name}'")]
    Unknown {
        /// `kernel` or `subject`.
        what: &'static str,
        /// The unknown name.
        name: String,
        /// The known names.
        known: Vec<String>,
    },
    /// A file of the catalogue is invalid.
    #[error("{file}: {reason}")]
    Broken {
        /// The file.
        file: &'static str,
        /// The reason.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelsFile {
    default: String,
    kernel: Vec<KernelEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectsFile {
    ours: OursEntry,
    #[serde(default)]
    subject: Vec<SubjectEntry>,
}

impl Catalogue {
    /// Returns the catalogue that is built into this crate.
    pub fn builtin() -> Result<Catalogue, CatalogueError> {
        Catalogue::parse(
            include_str!("../../kernels.toml"),
            include_str!("../../subjects.toml"),
            include_str!("../../kernels.lock"),
        )
    }

    /// Parses the texts of kernels.toml, subjects.toml and kernels.lock.
    pub fn parse(kernels: &str, subjects: &str, lock: &str) -> Result<Catalogue, CatalogueError> {
        let broken = |file| move |error: toml::de::Error| CatalogueError::Broken { file, reason: error.to_string() };
        let KernelsFile { default, kernel: kernels } = toml::from_str(kernels).map_err(broken("kernels.toml"))?;
        let SubjectsFile { ours, subject: subjects } = toml::from_str(subjects).map_err(broken("subjects.toml"))?;
        let lock = Lock::parse(lock).map_err(broken("kernels.lock"))?;
        for entry in &kernels {
            if entry.source.is_some() != entry.config.is_some() || entry.source.is_some() != entry.packages.is_empty() {
                let reason = format!("{}: expected either `packages`, or `source` and `config`", entry.name);
                return Err(CatalogueError::Broken { file: "kernels.toml", reason });
            }
        }
        let catalogue = Catalogue { default, kernels, ours, subjects, lock };
        catalogue.resolve("default")?;
        Ok(catalogue)
    }

    /// Returns all kernels, oldest first.
    pub fn kernels(&self) -> &[KernelEntry] {
        &self.kernels
    }

    /// Returns all subjects from packages.
    pub fn subjects(&self) -> &[SubjectEntry] {
        &self.subjects
    }

    /// Returns the locked versions.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Looks up a kernel by name or alias: `default`, `oldest`, `newest`. The last two do not consider kernels that are
    /// built.
    pub fn resolve(&self, name: &str) -> Result<&KernelEntry, CatalogueError> {
        let mut offered = self.kernels.iter().filter(|entry| !entry.is_built());
        let found = match name {
            "oldest" => offered.next(),
            "newest" => offered.next_back(),
            "default" => self.kernels.iter().find(|entry| entry.name == self.default),
            _ => self.kernels.iter().find(|entry| entry.name == name),
        };
        found.ok_or_else(|| CatalogueError::Unknown {
            what: "kernel",
            name: name.to_owned(),
            known: self.kernels.iter().map(|entry| entry.name.clone()).collect(),
        })
    }

    /// Returns the names of all subjects, `ours` first.
    pub fn subject_names(&self) -> impl Iterator<Item = &str> {
        [OURS].into_iter().chain(self.subjects.iter().map(|entry| entry.name.as_str()))
    }

    /// Returns the traits of a subject by name, including `ours`; `None` if it is not in the catalogue.
    pub fn traits(&self, name: &str) -> Option<&[String]> {
        match name {
            OURS => Some(&self.ours.traits),
            _ => Some(&self.subjects.iter().find(|entry| entry.name == name)?.traits),
        }
    }

    /// Looks up a subject from a package by name.
    pub fn subject(&self, name: &str) -> Result<&SubjectEntry, CatalogueError> {
        self.subjects.iter().find(|entry| entry.name == name).ok_or_else(|| CatalogueError::Unknown {
            what: "subject",
            name: name.to_owned(),
            known: self.subjects.iter().map(|entry| entry.name.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_resolved() {
        let catalogue = Catalogue::builtin().unwrap();
        let name = |alias| &catalogue.resolve(alias).unwrap().name[..];
        assert_eq!((name("oldest"), name("default"), name("newest")), ("5.10", "6.1", "7.3"));
        assert!(catalogue.resolve("5.10-modular-unix").unwrap().is_built());
    }

    #[test]
    fn an_unknown_name_is_an_error_that_has_the_known_names() {
        let catalogue = Catalogue::builtin().unwrap();
        let error = catalogue.resolve("4.19").unwrap_err();
        assert_eq!(error.to_string(), "unknown kernel '4.19'");
        let CatalogueError::Unknown { known, .. } = error else { panic!("{error}") };
        assert_eq!(known, ["5.10", "6.1", "6.12", "6.18", "7.3", "5.10-modular-unix", "7.3-autoload-dups"]);
        let error = catalogue.subject("sbase").unwrap_err();
        assert_eq!(error.to_string(), "unknown subject 'sbase'");
        let CatalogueError::Unknown { known, .. } = error else { panic!("{error}") };
        assert_eq!(known, ["kmod-28", "kmod-30", "kmod-34", "busybox", "toybox"]);
    }

    #[test]
    fn an_entry_that_is_both_fetched_and_built_is_an_error() {
        let both = "default = \"a\"\n[[kernel]]\nname = \"a\"\nsuites = []\npackages = [\"p\"]\nsource = \"s\"\nconfig = \"c\"\n";
        let error = Catalogue::parse(both, "[ours]\ntraits = []", "").unwrap_err();
        assert_eq!(error.to_string(), "kernels.toml: a: expected either `packages`, or `source` and `config`");
    }

    #[test]
    fn every_subject_has_traits_that_are_sorted_and_unique() {
        let catalogue = Catalogue::builtin().unwrap();
        let names = catalogue.subjects().iter().map(|entry| &entry.name[..]).chain([OURS]);
        for name in names {
            let traits = catalogue.traits(name).unwrap();
            assert!(traits.is_sorted_by(|one, next| one < next), "{name}: {traits:?}");
        }
        assert_eq!(catalogue.traits("sbase"), None);
    }

    #[test]
    fn a_subject_without_traits_is_an_error() {
        let kernels = "default = \"a\"\n[[kernel]]\nname = \"a\"\nsuites = []\npackages = [\"p\"]\n";
        let subjects =
            "ours = { traits = [] }\n[[subject]]\nname = \"s\"\nsuites = []\npackage = \"p\"\nprogram = \"bin/s\"\n";
        let error = Catalogue::parse(kernels, subjects, "").unwrap_err().to_string();
        assert!(error.starts_with("subjects.toml: ") && error.contains("missing field `traits`"), "{error}");
        assert!(Catalogue::parse(kernels, &format!("{subjects}traits = [\"modprobe --wait\"]\n"), "").is_ok());
    }
}
