//! Eras: which form of a statement holds on a kernel. A probe of the kernel image decides if there is one, because the
//! version of a patched or bisected tree is not reliable; otherwise the version decides.

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
    /// All eras.
    pub const ALL: [CutOff; 2] = [CutOff::WaitQueue, CutOff::Semaphore];

    /// Returns the name in reports and in an override.
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
    /// A string in the kernel image.
    Image,
    /// The release number.
    Version,
    /// An override by the user.
    User,
}

/// The eras of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eras {
    /// The era of the limit.
    pub cutoff: CutOff,
    /// What decided it.
    pub cutoff_by: DecidedBy,
}

/// Eras that the user sets instead of probing the kernel; parsed from `NAME=ERA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraOverride {
    /// The era of the limit.
    pub cutoff: CutOff,
}

/// The text is not an override of an era.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown era '{text}' ({})", self.expectation())]
pub struct EraOverrideError {
    text: String,
}

impl EraOverrideError {
    /// Returns what is expected instead.
    #[must_use]
    pub fn expectation(&self) -> &'static str {
        "expected cutoff=wait-queue or cutoff=semaphore"
    }
}

impl FromStr for EraOverride {
    type Err = EraOverrideError;

    fn from_str(text: &str) -> Result<Self, EraOverrideError> {
        let era = text.strip_prefix("cutoff=");
        let cutoff = era.and_then(|era| CutOff::ALL.into_iter().find(|cutoff| cutoff.as_str() == era));
        cutoff.map(|cutoff| EraOverride { cutoff }).ok_or_else(|| EraOverrideError { text: text.to_owned() })
    }
}

/// Returns the era of the limit from the messages found in the image: the throttling message was removed together with
/// the wait queue (kernel commit 25a1b5b518f4, 6.4). `None` if the image contains neither message.
#[must_use]
pub fn cutoff_of_strings(throttling: bool, cannot_be_processed: bool) -> Option<CutOff> {
    match (throttling, cannot_be_processed) {
        (true, _) => Some(CutOff::WaitQueue),
        (false, true) => Some(CutOff::Semaphore),
        (false, false) => None,
    }
}

/// The messages whose presence [`cutoff_of_strings`] expects, without the beginning of their lines.
pub const CUTOFF_STRINGS: [&str; 2] = ["for module %s, throttling...", "cannot be processed, kmod busy with"];

/// Returns the era of the limit by release number.
#[must_use]
pub fn cutoff_of_release(release: &str) -> CutOff {
    if version(release) < (6, 4) { CutOff::WaitQueue } else { CutOff::Semaphore }
}

/// Returns the major and minor number of a release such as `6.1.0-50-cloud-amd64`; 0 for a missing number.
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
    fn the_messages_in_the_image_decide_the_era() {
        assert_eq!(cutoff_of_strings(true, true), Some(CutOff::WaitQueue));
        assert_eq!(cutoff_of_strings(false, true), Some(CutOff::Semaphore));
        assert_eq!(cutoff_of_strings(false, false), None);
    }

    #[test]
    fn a_version_is_read_from_a_release_of_any_form() {
        assert_eq!(version("6.1.0-50-cloud-amd64"), (6, 1));
        assert_eq!(version("5.10.223"), (5, 10));
        assert_eq!(version("7.3.4+deb14-cloud-amd64"), (7, 3));
        assert_eq!(version("next"), (0, 0));
        assert_eq!(cutoff_of_release("6.3.13"), CutOff::WaitQueue);
        assert_eq!(cutoff_of_release("6.12.9"), CutOff::Semaphore);
    }

    #[test]
    fn an_override_is_parsed_from_the_name_of_an_era() {
        assert_eq!("cutoff=semaphore".parse::<EraOverride>().map(|era| era.cutoff), Ok(CutOff::Semaphore));
        let error = "cutoff=never".parse::<EraOverride>().unwrap_err();
        assert_eq!(error.to_string(), "unknown era 'cutoff=never' (expected cutoff=wait-queue or cutoff=semaphore)");
    }
}
