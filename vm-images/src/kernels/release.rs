//! The release of a kernel. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A kernel release as printed by `uname -r`: `6.1.0-50-cloud-amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KernelRelease(String);

/// The string is not a kernel release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a kernel release")]
pub struct ReleaseError(String);

impl KernelRelease {
    /// Checks that a string is a release: it begins with a digit, has at most 64 bytes, and is usable as a directory name.
    pub fn new(text: &str) -> Result<KernelRelease, ReleaseError> {
        let fits = text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if fits { Ok(KernelRelease(text.to_owned())) } else { Err(ReleaseError(text.to_owned())) }
    }

    /// Returns the release as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns version, patch level and sublevel; missing numbers are 0. A vendor's tree may have more or fewer features
    /// than the number suggests.
    pub fn version(&self) -> (u32, u32, u32) {
        let mut numbers = self.0.split('.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KernelRelease {
    type Error = ReleaseError;
    fn try_from(text: String) -> Result<KernelRelease, ReleaseError> {
        KernelRelease::new(&text)
    }
}

impl From<KernelRelease> for String {
    fn from(release: KernelRelease) -> String {
        release.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_a_digit_and_is_a_directory_name() {
        for good in ["6.1.0-50-cloud-amd64", "7.3.4+deb13-cloud-amd64", "5", "5.10.223-modular-unix"] {
            assert!(KernelRelease::new(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "6/1", "x6", "6 1", &"6".repeat(65)] {
            assert!(KernelRelease::new(bad).is_err(), "{bad}");
        }
        let version = |text| KernelRelease::new(text).unwrap().version();
        assert_eq!(version("6.1.0-50-cloud-amd64"), (6, 1, 0));
        assert_eq!(version("6.12-rc1"), (6, 12, 0));
        assert_eq!(version("7.3.4+deb13-cloud-amd64"), (7, 3, 4));
    }
}
