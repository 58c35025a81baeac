//! Eras: where a statement holds in which form. Each is decided by a probe of the kernel image where
//! one exists, since patched and bisected trees lie about versions; else by version.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How `request_module()` limits itself (docs/facts/kernel.md, "the limit").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutOff {
    /// 4.13 to 6.3: waits on a queue, killable, two lines.
    WaitQueue,
    /// 6.4 and later: waits on a semaphore, not killable, one line.
    Semaphore,
}

impl CutOff {
    /// All of them.
    pub const ALL: [CutOff; 2] = [CutOff::WaitQueue, CutOff::Semaphore];

    /// The word that reports and `--era` use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CutOff::WaitQueue => "wait-queue",
            CutOff::Semaphore => "semaphore",
        }
    }
}

/// What decided an era.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// A string in the kernel's image.
    Image,
    /// The release number.
    Version,
    /// `--era`.
    User,
}

/// The eras of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eras {
    /// The limit's.
    pub cutoff: CutOff,
    /// What decided it.
    pub cutoff_by: DecidedBy,
}

/// `--era NAME=WORD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraOverride {
    /// The limit's era.
    pub cutoff: CutOff,
}

/// `--era` was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no era; write cutoff=wait-queue or cutoff=semaphore")]
pub struct EraOverrideError(String);

impl FromStr for EraOverride {
    type Err = EraOverrideError;

    fn from_str(text: &str) -> Result<Self, EraOverrideError> {
        let wrong = || EraOverrideError(text.to_owned());
        let word = text.strip_prefix("cutoff=").ok_or_else(wrong)?;
        let cutoff = CutOff::ALL.into_iter().find(|cutoff| cutoff.as_str() == word).ok_or_else(wrong)?;
        Ok(EraOverride { cutoff })
    }
}

/// What the image's message says of the limit: the throttling line went away with the wait queue
/// (kernel commit 25a1b5b518f4, 6.4). `None` for an image in which neither line was found.
#[must_use]
pub fn cutoff_of_strings(throttling: bool, cannot_be_processed: bool) -> Option<CutOff> {
    match (throttling, cannot_be_processed) {
        (true, _) => Some(CutOff::WaitQueue),
        (false, true) => Some(CutOff::Semaphore),
        (false, false) => None,
    }
}

/// The strings that [`cutoff_of_strings`] wants to know of, without their line's beginning.
pub const CUTOFF_STRINGS: [&str; 2] = ["for module %s, throttling...", "cannot be processed, kmod busy with"];

/// The limit's era by release number.
#[must_use]
pub fn cutoff_of_release(release: &str) -> CutOff {
    if version(release) < (6, 4) { CutOff::WaitQueue } else { CutOff::Semaphore }
}

/// Major and minor number of a release such as `6.1.0-50-cloud-amd64`; zeros where it has none.
#[must_use]
pub fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_decides_before_the_version() {
        assert_eq!(cutoff_of_strings(true, true), Some(CutOff::WaitQueue));
        assert_eq!(cutoff_of_strings(false, true), Some(CutOff::Semaphore));
        assert_eq!(cutoff_of_strings(false, false), None);
    }

    #[test]
    fn versions_are_read_from_releases_of_every_shape() {
        assert_eq!(version("6.1.0-50-cloud-amd64"), (6, 1));
        assert_eq!(version("5.10.223"), (5, 10));
        assert_eq!(version("7.3.4+deb14-cloud-amd64"), (7, 3));
        assert_eq!(version("next"), (0, 0));
        assert_eq!(cutoff_of_release("6.3.13"), CutOff::WaitQueue);
        assert_eq!(cutoff_of_release("6.12.9"), CutOff::Semaphore);
    }

    #[test]
    fn an_era_can_be_overridden_by_its_word() {
        assert_eq!("cutoff=semaphore".parse::<EraOverride>().map(|o| o.cutoff), Ok(CutOff::Semaphore));
        assert!("cutoff=never".parse::<EraOverride>().is_err());
    }
}
