//! Behaviours of Linux module auto-loading: named, sourced statements with checks that run in a booted guest, their
//! verdicts, and the reports of a run. The `kmodlab` command is a thin layer on top of this library.
//!
//! ```text
//!   behaviours/          the catalogue, one file per group
//!   behaviour            the entry of a behaviour
//!   lab                  a guest, as checks use it; with helper, trigger, modules, tools, xz
//!   fact, era, verdict   observations, forms of statements, results                                        pure
//!   select, filter, shard, suggest   which behaviours and rows a run includes                              pure
//!   initramfs, pair      prepare a kernel with a subject
//!   engine               runs the rows and emits event::Event
//!   report/              consumes events: terminal, KTAP, JSON, JUnit, KCIDB, HTML; compares and merges reports
//!   allowed_findings     console findings that are not failures                                            pure
//!   config_check         configuration options that a kernel misses                                        pure
//!   bundle/              a machine that checks itself, without a host
//!   replay/              the bodies of the fuzz targets
//!   cli/                 the arguments and commands of kmodlab
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
