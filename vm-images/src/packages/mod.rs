//! Debian packages: selected, downloaded by apt, and unpacked. Nothing is installed.
//!
//! ```text
//!   sources     the Debian archive in the machine's apt configuration                pure
//!   index       package indexes: dependencies, the parts of a kernel                 pure
//!   version     the order of version numbers                                         pure
//!   apt         a separate apt root: indexes, downloads; the host's stay untouched
//!   offer       selects, downloads and unpacks packages
//!   record      records of downloaded packages
//! ```

pub(crate) mod apt;
pub(crate) mod index;
pub(crate) mod offer;
pub(crate) mod record;
mod sources;
mod version;
