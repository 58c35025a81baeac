//! Linux module tools as a library: what modprobe, depmod, insmod, rmmod, lsmod and modinfo read, decide and do.
//!
//! The core is pure: bytes in, values out. Effects stand at the edge, in `execute`, `depmod` and `commands`, and every
//! input is taken for hostile: nothing that is read from a file may panic, recurse or loop without bound.
//!
//! ```text
//!   name     module names and alias patterns: normalise, limit, match
//!   index    the .bin tries: one reader, one writer
//!   tree     a module directory, read lazily
//!   config   modprobe.d, depmod.d, the kernel command line
//!   object   a module file: compression, ELF, .modinfo, symbols, signature
//!   resolve  (tree, config, request) -> Plan, the ordered steps          pure
//!   execute  a Plan carried out through `trait Kernel`                   effects
//!   depmod   scan -> graph -> write                                      effects
//!   request  kmod's other half, seen from the kernel: helper path, limit, message
//!   log      stderr, syslog, /dev/kmsg
//!   commands one file a command: arguments, messages, exit codes
//! ```
//!
//! # From a name to the steps that load it
//!
//! [`tree::Tree`] names a module directory and reads an index of it when a question needs that index; [`config::Config`] is
//! read from files, or made of text. [`resolve::find`] says what a name stands for, [`resolve::load_plan`] what is to be done for
//! it, and [`execute::load`] does it. Here the directory holds nothing but the index of two modules:
//!
//! ```
//! use kmod::config::Config;
//! use kmod::index::IndexWriter;
//! use kmod::resolve::{LoadRequest, find, load_plan};
//! use kmod::tree::Tree;
//! use std::path::Path;
//!
//! let directory = tempfile::tempdir()?;
//! let mut index = IndexWriter::new();
//! index.insert(b"nls_utf8", b"kernel/fs/nls/nls_utf8.ko:", 0)?;
//! index.insert(b"vfat", b"kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko", 1)?;
//! std::fs::write(directory.path().join("modules.dep.bin"), index.to_bytes()?)?;
//! let tree = Tree::new(directory.path());
//!
//! let (mut config, mut warnings) = (Config::default(), Vec::new());
//! let text = b"alias dos vfat\noptions fat debug=1\nsoftdep vfat pre: nls_utf8\n";
//! config.add_file(Path::new("dos.conf"), text, &mut warnings);
//! assert!(warnings.is_empty());
//!
//! let found = find(&tree, &config, b"dos")?;
//! assert_eq!(found.hits[0].module.as_bytes(), b"vfat");
//! let plan = load_plan(&tree, &config, &found.hits[0], &LoadRequest::default());
//! let names: Vec<String> = plan.steps.iter().map(|step| step.module.to_string()).collect();
//! assert_eq!(names, ["fat", "nls_utf8", "vfat"]);
//! assert!(plan.steps[0].line().unwrap().ends_with(b"/kernel/fs/fat/fat.ko debug=1 "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading a module
//!
//! ```no_run
//! use kmod::object::{Limits, Module};
//! use std::path::Path;
//!
//! let module = Module::open(Path::new("/lib/modules/6.1.0/kernel/fs/fat/vfat.ko.xz"), &Limits::default())?;
//! let modinfo = module.elf()?.modinfo()?;
//! for (key, value) in modinfo.iter() {
//!     println!("{}: {}", kmod::name::Escaped(key), kmod::name::Escaped(value));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/resolve.rs` does both on a module directory that it is given, `examples/index_directory.rs` is depmod in twenty
//! lines.

pub mod cmdline;
pub mod commands;
pub mod config;
pub mod depmod;
pub mod execute;
mod file;
mod hash;
pub mod index;
pub mod log;
pub mod name;
pub mod object;
pub mod request;
pub mod resolve;
pub mod sys;
pub mod tree;
