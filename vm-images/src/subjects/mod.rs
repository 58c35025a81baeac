//! The module tools under test: the files they need in the guest, and the commands they provide.
//!
//! A subject is examined, never run: its commands follow from names, its libraries from ELF headers, and the interpreter
//! of a script from its first line.
//!
//! ```text
//!   subject    commands, traits, and files in the guest
//!   local      our own tools, and programs of the user
//!   package    subjects from packages
//!   builder    builds a subject from files of the host
//!   libraries  finds the libraries of a program
//!   elf        the interpreter and libraries that a program needs                    pure
//!   error      why a subject is not usable
//! ```

mod builder;
mod elf;
mod error;
mod libraries;
mod local;
mod package;
mod subject;

pub use error::SubjectError;
pub use package::{Unpacked, unpacked};
pub use subject::{COMMANDS, GuestFile, Source, Subject};
