//! The values of probes. A probe is a property of a kernel that decides which form of a statement applies; the table of
//! probes is `catalogue::probes`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What decided the value of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// A string or a symbol in the kernel image.
    Image,
    /// The kernel's configuration.
    Config,
    /// The release number.
    Version,
    /// The lab, which sets the property itself.
    Lab,
    /// The user.
    User,
}

/// The value of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The value.
    pub value: String,
    /// What decided it.
    pub by: DecidedBy,
}

/// The values of probes on one kernel, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probes(BTreeMap<String, Probed>);

impl Probes {
    /// Returns the value of a probe.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|probed| &*probed.value)
    }

    /// Sets a probe whose property the lab sets, unless the user sets it.
    pub fn set_by_lab(&mut self, name: &str, value: &str) {
        let probed =
            self.0.entry(name.to_owned()).or_insert_with(|| Probed { value: String::new(), by: DecidedBy::Lab });
        if probed.by != DecidedBy::User {
            *probed = Probed { value: value.to_owned(), by: DecidedBy::Lab };
        }
    }

    /// Returns the names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Probed)> {
        self.0.iter().map(|(name, probed)| (&**name, probed))
    }

    /// Returns only the probes with these names.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Probes {
        self.iter()
            .filter(|(name, _)| names.contains(name))
            .map(|(name, probed)| (name.to_owned(), probed.clone()))
            .collect()
    }

    /// Returns whether no probe has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Probed)> for Probes {
    fn from_iter<T: IntoIterator<Item = (String, Probed)>>(probes: T) -> Probes {
        Probes(probes.into_iter().collect())
    }
}
