//! Tests of the requests that commands make of their arguments.

use super::bisect::BisectArgs;
use super::compare::{self, CompareArgs};
use super::jobs;
use super::run::{self, RunArgs};
use crate::run::request::{Flow, GuestOptions, KernelSource, Request, Selection, SubjectSource};
use clap::{Args as Group, Parser};
use harness::WallLimits;
use std::time::Duration;
use vm_images::Catalogue;

/// Parses the arguments of a command.
fn parsed<T: Group>(words: &[&str]) -> T {
    #[derive(Parser)]
    struct Line<T: Group> {
        #[command(flatten)]
        args: T,
    }
    Line::<T>::try_parse_from([&["command"], words].concat()).unwrap_or_else(|error| panic!("{error}")).args
}

fn resolved(words: &[&str]) -> Request {
    let words = [&["--shard", "all", "--timeout-factor", "1"], words].concat();
    run::request(&parsed(&words), &Catalogue::builtin().unwrap()).unwrap_or_else(|error| panic!("{}", error.message()))
}

#[test]
fn a_run_without_options_has_the_defaults_of_a_request() {
    let request = resolved(&[]);
    assert_eq!(request.flow, Flow::new(jobs::default(false)));
    assert_eq!(request.flow.limit, Duration::from_secs(120));
    assert_eq!(format!("{:?}", request.guest), format!("{:?}", GuestOptions::default()));
    assert_eq!(request.selection.behaviours.len(), Selection::default().behaviours.len());
    assert!(request.selection.shard.is_none() && request.keep.is_none() && !request.judging.boot_failure_fails);
    assert!(matches!(&request.kernels[..], [KernelSource::Named(name)] if name == "default"));
    assert_eq!(request.subjects, [SubjectSource::Ours]);
}

#[test]
fn every_command_that_runs_rows_has_the_same_defaults() {
    let Flow { retries, limit, .. } = Flow::new(1);
    let bisect: BisectArgs = parsed(&[]);
    assert_eq!((bisect.retries, Duration::from_secs(bisect.timeout)), (retries, limit));
    let compare: CompareArgs = parsed(&["--base", "6.1", "--head", "6.1", "--timeout-factor", "1"]);
    let request = compare::request(&compare, ["6.1", "6.1"], &Catalogue::builtin().unwrap()).unwrap();
    assert_eq!(request.flow, Flow::new(jobs::default(false)));
}

#[test]
fn options_reach_the_request() {
    let request = resolved(&["path", "--cold", "--retries", "2", "--seed", "7", "--jobs", "3", "--timeout", "9"]);
    let limit = Duration::from_secs(9);
    assert_eq!(request.flow, Flow { retries: 2, seed: Some(7), limit, ..Flow::new(3) });
    assert!(request.guest.cold);
    assert!(request.selection.behaviours.iter().all(|behaviour| behaviour.id.starts_with("path.")));
    let request = resolved(&["--boot-failure", "fail", "--repeat", "4", "--fail-fast", "--real-time", "--append", "x"]);
    assert!(request.judging.boot_failure_fails && request.flow.fail_fast && !request.guest.virtual_time);
    assert_eq!((request.flow.repeat, request.guest.append), (4, vec!["x".to_owned()]));
}

#[test]
fn the_timeout_factor_multiplies_every_wall_clock_limit() {
    let args: RunArgs = parsed(&["--shard", "all", "--timeout-factor", "2"]);
    let request = run::request(&args, &Catalogue::builtin().unwrap()).unwrap();
    let WallLimits { boot, restore, shutdown } = WallLimits::default();
    assert_eq!(request.guest.limits, WallLimits { boot: boot * 2, restore: restore * 2, shutdown: shutdown * 2 });
    assert_eq!(request.flow.limit, Flow::new(1).limit * 2);
}
