//! The module system calls, raw.

use super::{c_string, files};
use rustix::fs::OFlags;
use rustix::io::Result;

/// finit_module(2) of a file opened read-only.
pub fn finit(path: &[u8], params: &[u8], flags: u32) -> Result<()> {
    rustix::system::finit_module(files::open(path, OFlags::RDONLY)?, &c_string(params)?, flags as i32)
}

/// init_module(2).
pub fn init(image: &[u8], params: &[u8]) -> Result<()> {
    rustix::system::init_module(image, &c_string(params)?)
}

/// delete_module(2).
pub fn delete(name: &[u8], flags: u32) -> Result<()> {
    rustix::system::delete_module(&c_string(name)?, flags as i32)
}
