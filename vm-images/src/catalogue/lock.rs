//! kernels.lock: the locked versions with the SHA-256 of each file, so that all machines run the same kernels.

use crate::packages::record::PackageVersion;
use serde::{Deserialize, Serialize};

const HEAD: &str = "\
# The versions to use as long as they are offered, with the SHA-256 of each file. To update to the newest:
#     cargo run -p vm-images --example fetch -- --refresh --lock vm-images/kernels.lock
";

/// The locked versions, by name of kernel or subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(default, rename = "locked", skip_serializing_if = "Vec::is_empty")]
    entries: Vec<Locked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Locked {
    name: String,
    #[serde(flatten)]
    package: PackageVersion,
}

impl Lock {
    /// Parses the text of a lock file.
    pub fn parse(text: &str) -> Result<Lock, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns the text of the lock file.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let entries = toml::to_string(self)?;
        Ok(format!("{HEAD}\n{entries}"))
    }

    /// Returns the locked version of a kernel or subject.
    pub fn get(&self, name: &str) -> Option<&PackageVersion> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.package)
    }

    /// Locks a version, replacing the previous one.
    pub fn set(&mut self, name: &str, package: PackageVersion) {
        match self.entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => entry.package = package,
            None => self.entries.push(Locked { name: name.to_owned(), package }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::record::PackageFile;

    #[test]
    fn a_lock_file_round_trips() {
        let package = PackageVersion {
            suite: "bookworm".to_owned(),
            package: "linux-image-6.1.0-50-cloud-amd64".to_owned(),
            version: "6.1.176-1".to_owned(),
            files: vec![PackageFile {
                package: "linux-image-6.1.0-50-cloud-amd64".to_owned(),
                version: "6.1.176-1".to_owned(),
                sha256: "ab".to_owned(),
            }],
        };
        let mut lock = Lock::default();
        assert_eq!(Lock::parse("").unwrap(), lock);
        lock.set("6.1", package.clone());
        lock.set("6.1", PackageVersion { version: "6.1.177-1".to_owned(), ..package });
        let text = lock.to_text().unwrap();
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        insta::assert_snapshot!(text);
        assert_eq!(lock.get("6.1").unwrap().version, "6.1.177-1");
        assert_eq!(lock.get("5.10"), None);
    }
}
