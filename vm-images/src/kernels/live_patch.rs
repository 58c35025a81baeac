//! `request_module()` in Rust, as a live patch: its options, whether a kernel accepts it, and the module that was built for
//! the kernel.

use super::facts::ImageFacts;
use super::kernel::{Kernel, KernelError};
use crate::cache::Cache;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// The name of the module.
pub const MODULE: &str = "rust_kmod";

/// The live patch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePatch {
    /// The module.
    pub module: PathBuf,
    /// Its options.
    pub options: LivePatchOptions,
}

/// What happens to a request at the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtLimit {
    /// It waits, as in the C kernel.
    #[default]
    Stock,
    /// It is rejected, as from 2.6 to 4.12.
    Reject,
    /// It is rejected, as from 2.3 to 2.5.
    Reject24,
    /// It waits. A request whose chain contains this many earlier requests for the same name is rejected, at the limit or not.
    Ancestry(u8),
}

/// The default number of earlier requests for the same name.
const EARLIER: u8 = 3;

/// The options of the live patch; parsed from `OPTION,…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePatchOptions {
    /// What happens at the limit.
    pub at_limit: AtLimit,
    /// Whether a signal ends a wait at the limit.
    pub killable: bool,
    /// Whether failures of helpers are logged.
    pub errors: bool,
}

impl LivePatchOptions {
    /// Returns the parameters of the module.
    #[must_use]
    pub fn parameters(&self) -> String {
        let at_limit = match self.at_limit {
            AtLimit::Stock => "policy=stock".to_owned(),
            AtLimit::Reject => "policy=reject".to_owned(),
            AtLimit::Reject24 => "policy=reject-2.4".to_owned(),
            AtLimit::Ancestry(earlier) => format!("policy=ancestry earlier={earlier}"),
        };
        let flag = |set: bool, text: &'static str| if set { text } else { "" };
        format!("{at_limit}{}{}", flag(self.killable, " killable=1"), flag(self.errors, " errors=1"))
    }
}

/// The text is not a list of options.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown option '{0}' (expected stock, reject, reject-2.4, ancestry, ancestry=N with N from 1 to 50, killable or errors)"
)]
pub struct OptionsError(String);

impl FromStr for LivePatchOptions {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<LivePatchOptions, OptionsError> {
        let mut options = LivePatchOptions::default();
        for word in text.split(',') {
            match word.split_once('=') {
                None if word == "stock" => options.at_limit = AtLimit::Stock,
                None if word == "reject" => options.at_limit = AtLimit::Reject,
                None if word == "reject-2.4" => options.at_limit = AtLimit::Reject24,
                None if word == "ancestry" => options.at_limit = AtLimit::Ancestry(EARLIER),
                None if word == "killable" => options.killable = true,
                None if word == "errors" => options.errors = true,
                Some(("ancestry", number)) => match number.parse() {
                    Ok(earlier @ 1..=50) => options.at_limit = AtLimit::Ancestry(earlier),
                    _ => return Err(OptionsError(word.to_owned())),
                },
                _ => return Err(OptionsError(word.to_owned())),
            }
        }
        Ok(options)
    }
}

impl fmt::Display for LivePatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MODULE} {}", self.options.parameters())
    }
}

/// A kernel cannot be patched.
#[derive(Debug, thiserror::Error)]
pub enum LivePatchError {
    /// Its configuration does not permit it.
    #[error("{kernel} cannot be patched with Rust code: {reason}")]
    Configuration {
        /// The kernel.
        kernel: String,
        /// What is missing.
        reason: String,
    },
    /// The module has not been built.
    #[error("there is no live patch for {release}: {} does not exist", path.display())]
    NotBuilt {
        /// The release.
        release: String,
        /// Where the module would be.
        path: PathBuf,
    },
    /// The kernel's image or configuration cannot be read.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl Kernel {
    /// Returns the kernel with the live patch that was built for it, under another name.
    pub fn with_live_patch(
        self,
        name: &str,
        options: LivePatchOptions,
        cache: &Cache,
    ) -> Result<Kernel, LivePatchError> {
        let facts = self.facts(cache)?;
        let dir = cache.dir().join("rust-kmod/modules").join(self.release.as_str());
        let module = dir.join(format!("{MODULE}.ko"));
        let rustc = fs::read_to_string(dir.join("rustc")).ok();
        if let Some(reason) = obstacle(&facts, rustc.as_deref().map(str::trim_end)) {
            return Err(LivePatchError::Configuration { kernel: self.name, reason });
        }
        if !module.is_file() {
            return Err(LivePatchError::NotBuilt { release: self.release.to_string(), path: module });
        }
        Ok(Kernel { name: name.to_owned(), live_patch: Some(LivePatch { module, options }), ..self })
    }
}

/// Returns why a kernel cannot be patched with a module that `rustc` (its version text, if there is one) has built.
fn obstacle(facts: &ImageFacts, rustc: Option<&str>) -> Option<String> {
    if facts.config("RUST").is_none() {
        return Some("its configuration is unknown".to_owned());
    }
    let is_on = |option: &str| facts.config(option) == Some("y");
    if let Some(option) = ["RUST", "LIVEPATCH", "KPROBES"].into_iter().find(|option| !is_on(option)) {
        return Some(format!("it has no CONFIG_{option}"));
    }
    if is_on("MODVERSIONS") {
        return Some(
            "it has CONFIG_MODVERSIONS, and versions of Rust symbols are not known outside its build".to_owned(),
        );
    }
    if is_on("MODULE_SIG_FORCE") {
        return Some("it has CONFIG_MODULE_SIG_FORCE, and the module is not signed".to_owned());
    }
    let (of_kernel, rustc) = (facts.config("RUSTC_VERSION_TEXT")?, rustc?);
    (of_kernel != rustc).then(|| format!("it was built with {of_kernel}, the module with {rustc}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "CONFIG_RUST=y\nCONFIG_LIVEPATCH=y\nCONFIG_KPROBES=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.85.1\"\n";

    fn of(config: &str, rustc: Option<&str>) -> Option<String> {
        obstacle(&ImageFacts::of_config(config), rustc)
    }

    #[test]
    fn a_kernel_that_cannot_be_patched_is_rejected_with_the_reason() {
        assert_eq!(of(GOOD, Some("rustc 1.85.1")), None);
        assert_eq!(of(GOOD, None), None);
        let reason = |config: String| of(&config, None).unwrap();
        insta::assert_snapshot!(reason(GOOD.replace("CONFIG_RUST=y", "")), @"it has no CONFIG_RUST");
        insta::assert_snapshot!(reason(GOOD.replace("CONFIG_LIVEPATCH=y", "")), @"it has no CONFIG_LIVEPATCH");
        insta::assert_snapshot!(reason(format!("{GOOD}CONFIG_MODVERSIONS=y")), @"it has CONFIG_MODVERSIONS, and versions of Rust symbols are not known outside its build");
        insta::assert_snapshot!(reason(format!("{GOOD}CONFIG_MODULE_SIG_FORCE=y")), @"it has CONFIG_MODULE_SIG_FORCE, and the module is not signed");
        insta::assert_snapshot!(of(GOOD, Some("rustc 1.97.1")).unwrap(), @"it was built with rustc 1.85.1, the module with rustc 1.97.1");
        assert_eq!(obstacle(&ImageFacts::default(), None).unwrap(), "its configuration is unknown");
    }

    #[test]
    fn options_become_parameters_of_the_module() {
        let parameters = |text: &str| text.parse::<LivePatchOptions>().map(|options| options.parameters());
        for (text, expected) in [
            ("stock", "policy=stock"),
            ("ancestry", "policy=ancestry earlier=3"),
            ("ancestry=1,errors", "policy=ancestry earlier=1 errors=1"),
            ("killable", "policy=stock killable=1"),
            ("reject-2.4", "policy=reject-2.4"),
        ] {
            assert_eq!(parameters(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "ancestry=0", "ancestry=x", "fast", "stock,"] {
            assert!(parameters(text).is_err(), "{text:?}");
        }
    }
}
