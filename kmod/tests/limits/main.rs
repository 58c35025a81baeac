//! Resource limits: every tool, over crafted inputs of every decoder, index and configuration file, with little memory, a small
//! stack, a file size limit, few descriptors, and a standard output that is closed, full or a pipe without a reader. Whatever
//! happens, a tool exits with status 0, or with status 1 and a message; no signal ends it.
//!
//! [`run::check`] runs each command under each limit, with the program that cargo built and with the static release build of
//! `ci/setup`, if that is up to date.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
// The builder of test modules belongs to the library's unit tests. Not everything in it is used here.
#[allow(dead_code)]
#[path = "../../src/object/testing.rs"]
mod testing;

mod chroot;
mod depmod;
mod indexes;
mod inputs;
mod large;
mod modules;
mod run;
