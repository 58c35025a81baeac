//! The description of a template on disk, and the checks of each use.

use super::hex::hex;
use crate::error::HarnessError;
use crate::monitor::Finding;
use crate::vm::Hello;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The version of the directory's layout, and of the requirements on a template.
pub(super) const FORMAT: u32 = 3;

/// The contents of `meta.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) format: u32,
    /// The caller's key and QEMU's banner, for human readers.
    pub(super) key: String,
    pub(super) qemu: String,
    pub(super) arguments: Vec<String>,
    pub(super) hello: Hello,
    pub(super) boot_millis: u64,
    /// The findings on the console during the boot.
    pub(super) findings: Vec<Finding>,
    pub(super) device_sha256: String,
    pub(super) memory_len: u64,
    /// A saved template's memory never changes, so a different modification time shows that somebody wrote to it.
    pub(super) memory_mtime: (i64, i64),
    /// Checked only on request: reading the memory before each clone would take longer than the clone itself.
    pub(super) memory_sha256: String,
}

/// The state of a template's directory.
pub(super) enum Found {
    Nothing,
    /// A template of another version of this program, or an incomplete one.
    Other,
    /// The template was changed after it was saved; how.
    Damaged(&'static str),
    Whole(Box<Saved>),
}

/// A complete template.
pub(super) struct Saved {
    pub(super) meta: Meta,
    pub(super) device: Arc<[u8]>,
}

/// Reads a template and makes the cheap checks.
pub(super) fn read(dir: &Path) -> Result<Found, HarnessError> {
    let path = dir.join("meta.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(HarnessError::io("read", &path)(error)),
    };
    let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let Some(format) = format.and_then(|meta| meta.get("format")?.as_u64()) else {
        return Ok(Found::Damaged("meta.json cannot be parsed"));
    };
    if format != u64::from(FORMAT) {
        return Ok(Found::Other);
    }
    let Ok(meta) = serde_json::from_slice::<Meta>(&text) else {
        return Ok(Found::Damaged("meta.json is incomplete"));
    };
    let (Ok(memory), Ok(device)) = (std::fs::metadata(dir.join("memory")), std::fs::read(dir.join("device"))) else {
        return Ok(Found::Damaged("a file is missing"));
    };
    Ok(if memory.len() != meta.memory_len || (memory.mtime(), memory.mtime_nsec()) != meta.memory_mtime {
        Found::Damaged("its memory file was modified")
    } else if hex(&Sha256::digest(&device)) != meta.device_sha256 {
        Found::Damaged("its device state differs from what was saved")
    } else {
        Found::Whole(Box::new(Saved { meta, device: device.into() }))
    })
}
