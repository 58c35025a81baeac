//! Behaviours of Linux module loading on demand: named, sourced statements with checks that run in a
//! booted guest, their verdicts, and the reports of a run. The `kmodlab` command is a thin shell
//! around this library.
//!
//! ```text
//!   behaviours/   the catalogue, one file a group        behaviour   what an entry is
//!   lab           what a check works with                helper, trigger, modules, tools, xz   its tools
//!   fact, era, verdict   what was observed, where a statement holds, what is said of it (pure)
//!   select, filter, shard   what a run takes             image, pair   a kernel with a subject, made ready
//!   engine        runs them, emits event::Event          report/       consumes events: terminal, KTAP, JSON, JUnit, HTML
//!   allowed       findings on a console that do not count
//!   config_check  which options a kernel lacks
//!   bundle/       a machine that checks itself, without a host side
//!   cli/          the command's arguments and its subcommands
//! ```

pub mod allowed_findings;
pub mod behaviour;
pub mod behaviours;
pub mod bundle;
pub mod cli;
pub mod config_check;
pub mod engine;
pub mod era;
pub mod errno;
pub mod event;
pub mod fact;
pub mod filter;
pub mod helper;
pub mod initramfs;
pub mod lab;
pub mod modules;
pub mod pair;
pub mod replay;
pub mod report;
pub mod select;
pub mod shard;
pub mod suggest;
pub mod text;
pub mod tools;
pub mod trigger;
pub mod verdict;
pub mod xz;
