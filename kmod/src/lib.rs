//! The Linux module tools as a library: everything that modprobe, depmod, insmod, rmmod, lsmod and modinfo read, decide and do.
//!
//! The core is pure: bytes in, values out. Effects are confined to `execute`, `depmod` and `commands`. Every input is hostile:
//! no file content may cause a panic, unbounded recursion or an endless loop.
//!
//! ```text
//!   name     module names and alias patterns: normalise, limit, match
//!   index    the .bin tries: reader and writer
//!   tree     a module directory, read lazily
//!   config   modprobe.d, depmod.d, the kernel command line
//!   object   a module file: compression, ELF, .modinfo, symbols, signature
//!   resolve  (tree, config, request) -> Plan, the ordered steps
//!   execute  carries out a Plan through `trait Kernel`
//!   depmod   scan -> graph -> write
//!   guard    loops of module requests, for kmod-request
//!   log      stderr, syslog, /dev/kmsg
//!   commands the tools: arguments, messages, exit status
//! ```
//!
//! # Resolving a name to load steps
//!
//! [`tree::Tree`] is a module directory whose indexes are read on demand. [`config::Config`] is read from files or parsed from
//! text. [`resolve::find`] resolves a name to modules, [`resolve::load_plan`] plans the load, and [`execute::load`] carries it
//! out. In this example the directory contains only an index of modules:
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
//! `examples/resolve.rs` does both on a given module directory. `examples/index_directory.rs` is a minimal depmod.

pub mod cmdline;
pub mod commands;
pub mod config;
pub mod depmod;
pub mod execute;
mod file;
pub mod guard;
mod hash;
pub mod index;
pub mod log;
mod memory;
pub mod name;
pub mod object;
mod parent;
pub mod resolve;
mod stack;
pub mod sys;
pub mod tree;
