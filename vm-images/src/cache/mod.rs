//! One directory that is safe to share between runs: it is locked with flock(2), and results appear by rename and are
//! never changed afterwards.
//!
//! ```text
//!   store   the directory of the cache: areas, directories under construction, publication by rename
//!   lock    locks, taken with flock(2)
//!   hash    content keys
//!   files   small files and directories
//!   error   failures of the cache
//! ```

mod error;
mod files;
mod hash;
mod lock;
mod store;

pub use error::CacheError;
pub use files::touch;
pub(crate) use files::{paths_in, read_json, write_json};
pub use hash::{ContentId, sha256, sha256_file};
pub(crate) use lock::lock_file;
pub use lock::{CacheHold, CacheLock};
pub use store::{Cache, NewDir};
