//! The kernels and subjects that have names: kernels.toml, subjects.toml.

use serde::Deserialize;

/// What can be fetched or built by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Catalogue {
    kernels: Vec<Entry>,
}

/// One kernel of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Its short name, such as `6.1`.
    pub name: String,
}

/// A name or a catalogue that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// No such kernel.
    #[error("no kernel is called {name:?}: choose one of {known}, or give the path of a bzImage")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Catalogue {
    /// The one that this crate carries.
    pub fn builtin() -> Catalogue {
        Catalogue { kernels: Vec::new() }
    }

    /// All kernels, oldest first.
    pub fn kernels(&self) -> &[Entry] {
        &self.kernels
    }

    /// Looks up a name or an alias (`default`, `oldest`, `newest`).
    pub fn resolve(&self, name: &str) -> Result<&Entry, CatalogueError> {
        let known = || self.kernels.iter().map(|entry| &entry.name[..]).collect::<Vec<_>>().join(", ");
        self.kernels
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| CatalogueError::Unknown { name: name.to_owned(), known: known() })
    }
}
