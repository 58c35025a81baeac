//! Errors of the library: each text includes its cause, so no error exposes that cause as its source as well.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

use kmod::config::ConfigWarning;
use kmod::depmod::{DepmodError, Notice};
use kmod::index::{IndexError, IndexErrorKind, InsertError};
use kmod::object::{ObjectError, ObjectErrorKind};
use kmod::tree::TreeError;
use kmod::tree::text::{LineError, TextError};
use std::error::Error;
use std::io;
use std::path::PathBuf;

#[test]
fn an_error_includes_its_cause_in_its_text_and_does_not_expose_it() {
    let cause = || io::Error::from_raw_os_error(libc::EACCES);
    let path = || PathBuf::from("/x");
    let object = || ObjectError { path: path(), kind: ObjectErrorKind::Io(cause()) };
    let index = || IndexError { path: path(), kind: IndexErrorKind::Io(cause()) };
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(object().kind),
        Box::new(object()),
        Box::new(index().kind),
        Box::new(index()),
        Box::new(TreeError::Index(index())),
        Box::new(TreeError::Io { path: path(), cause: cause() }),
        Box::new(TreeError::Line { path: path(), line: 1, cause: LineError::NoAlias }),
        Box::new(TreeError::Insert { path: path(), cause: InsertError::Memory }),
        Box::new(TextError::Line { line: 1, cause: LineError::NoAlias }),
        Box::new(DepmodError::Directory { path: path(), cause: cause() }),
        Box::new(DepmodError::File { path: path(), cause: cause() }),
        Box::new(DepmodError::Index { file: "x", cause: InsertError::Memory }),
        Box::new(DepmodError::Read { path: path(), cause: cause() }),
        Box::new(DepmodError::Write { path: path(), cause: cause() }),
        Box::new(DepmodError::Rename { path: path(), cause: cause() }),
        Box::new(Notice::Directory { path: path(), cause: cause() }),
        Box::new(Notice::DanglingLink { path: path(), target: path(), cause: cause() }),
        Box::new(Notice::Unreadable(object())),
        Box::new(Notice::MissingList { name: "x", dir: path(), cause: cause() }),
        Box::new(Notice::Cache { path: path(), cause: cause() }),
        Box::new(ConfigWarning::Unreadable { file: path(), cause: cause() }),
    ];
    for error in &errors {
        assert!(error.source().is_none(), "{error}");
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
