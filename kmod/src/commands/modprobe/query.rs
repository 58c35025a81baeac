//! Queries that only print: the configuration (`-c`) and the symbols of a module.

use super::{Failed, Session};
use crate::config::show;
use crate::name::{Escaped, ModuleName};
use crate::object::{Limits, Module, ObjectError, ObjectErrorKind};
use crate::sys::strerror;
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Implements `-c`: prints the configuration, then the aliases of the module directory. A missing directory has none.
pub(super) fn show_config(session: &mut Session) -> Result<(), Failed> {
    session.config.masks.comments().for_each(|comment| session.output.write(comment.as_bytes()));
    show::each_line(&session.config, &mut |line| session.output.write(line));
    session.output.write(b"\n# End of configuration files. Dumping indexes now:\n\n");
    for entries in [session.tree.alias_entries(), session.tree.symbol_entries()] {
        match entries {
            Ok(entries) => {
                for (key, value) in entries {
                    session.output.write(&[b"alias ", &key[..], b" ", &value.bytes, b"\n"].concat());
                }
            }
            Err(problem) => session.report(&[problem]),
        }
    }
    Ok(())
}

/// Implements `--show-modversions` and `--show-exports`: prints `0xCHECKSUM<tab>SYMBOL` for each symbol of a file or module.
pub(super) fn show_symbols(session: &mut Session, operands: &[OsString]) -> Result<(), Failed> {
    // Further operands are ignored.
    let [operand, ..] = operands else { return Err(Failed) };
    let shown = Escaped(operand.as_bytes());
    let path = match ModuleName::new(operand.as_bytes()).map(|name| session.tree.module(&name)) {
        // A file of that name takes precedence.
        Ok(Ok(Some(entry))) if !PathBuf::from(operand).exists() => entry.path,
        _ => PathBuf::from(operand),
    };
    // Versions take precedence over exports.
    let exports = !session.arguments.show_modversions;
    let what = if exports { "symbols" } else { "modversions" };
    let mut is_empty = true;
    let mut print = |crc: u64, name: &[u8]| {
        is_empty = false;
        session.output.write(format!("0x{crc:08x}\t").as_bytes());
        session.output.write(name);
        session.output.write(b"\n");
    };
    match each_symbol(&path, exports, &mut print) {
        Ok(()) if is_empty => {
            let why = strerror(Errno::NODATA);
            session.fatal(format_args!("could not get {what} of {shown}: {why}"))?;
            Err(Failed)
        }
        Ok(()) => Ok(()),
        Err(ObjectError { kind: ObjectErrorKind::Io(error), .. }) if error.kind() == io::ErrorKind::NotFound => {
            session.fatal(format_args!("Module {shown} not found."))?;
            Err(Failed)
        }
        Err(error) => {
            session.fatal(format_args!("could not get {what} of {shown}: {}", error.kind))?;
            Err(Failed)
        }
    }
}

/// Passes the checksum and the name of each export, or of each entry of `__versions`, to a function.
fn each_symbol(path: &Path, exports: bool, each: &mut dyn FnMut(u64, &[u8])) -> Result<(), ObjectError> {
    let module = Module::open(path, &Limits::default())?;
    let elf = module.elf()?;
    let result = if exports {
        elf.exports().map(|list| list.iter().for_each(|e| each(elf.crc(e).unwrap_or_default(), e.name)))
    } else {
        elf.versions().map(|list| list.iter().for_each(|version| each(version.crc, version.name)))
    };
    result.map_err(|kind| ObjectError { path: path.to_owned(), kind })
}
