//! `kmodlab bisect`: builds the kernel tree as it is checked out, runs behaviours on it, and exits as `git bisect run` wants.

use super::args::{BootFailure, Common, GuestArgs, RunArgs, SelectArgs};
use super::error::CliError;
use super::{Outcome, run, setup, signals, status};
use crate::select::select_filtered;
use crate::verdict::exit;
use anyhow::{Context, anyhow};
use clap::Args as Group;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use vm_images::child;

/// What ends `git bisect run`: it takes 2 for a bad commit.
pub(super) const ABORT: u8 = 128;
/// Lines of make's output that stand in an error.
const TAIL_LINES: usize = 15;

pub(super) const AFTER_HELP: &str = "\
In a kernel tree that has a .config:
  git bisect start BAD GOOD
  git bisect run kmodlab bisect loop.cut-at-50

Exit codes, as `git bisect run` takes them:
  0    good: at least one behaviour passed; every other passed, is known, or is skipped
  1    bad: a behaviour failed
  125  this commit cannot be judged: it does not build, it does not boot (see --boot-failure), or
       nothing could be judged
  128  wrong use: the bisection ends";

/// `kmodlab bisect`.
#[derive(Debug, Group)]
pub struct BisectArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// The kernel tree
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub tree: PathBuf,
    /// Where it is built, as in `make O=DIR` [default: in the tree]
    #[arg(long, short = 'O', value_name = "DIR")]
    pub build_dir: Option<PathBuf>,
    /// Compilers at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub build_jobs: Option<u16>,
    /// Give make this argument too, such as CC=clang; repeatable
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub make_arg: Vec<String>,
    /// Say what is wrong with a commit that does not boot: that it cannot be judged, or that it is bad
    #[arg(long, value_enum, default_value_t, value_name = "VERDICT")]
    pub boot_failure: BootFailure,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Guests at a time [default: one for each core, if there is memory for them]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Try a row again, up to so many times, that fails or cannot be judged
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub retries: u32,
    /// Wall-clock limit of one behaviour, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
}

pub(super) fn bisect(common: &Common, args: &BisectArgs) -> Outcome {
    let abort = |error: CliError| error.with_code(ABORT);
    let log = check(common, args).map_err(abort)?;
    let stop = signals::watch(|| {}).map_err(abort)?;
    let built = build(args, &log, &stop);
    signals::or_interrupted(
        &stop,
        built.map_err(|error| CliError::inconclusive(error.context("this commit cannot be built"))),
    )?;
    let run_args = RunArgs {
        select: SelectArgs { ids: args.select.ids.clone(), filter: args.select.filter.clone() },
        guest: GuestArgs { kernel: vec![build_dir(args).display().to_string()], ..args.guest.clone() },
        // A bisection wants all of what it asks for, on this machine.
        shard: "all".parse().ok(),
        retries: args.retries,
        repeat: 1,
        jobs: args.jobs,
        timeout: args.timeout,
        boot_failure: args.boot_failure,
        ..RunArgs::default()
    };
    // What is wrong now is so with this commit: its tree, its image.
    run::run(common, &run_args).map_err(|error| match error.code {
        exit::USAGE => error.with_code(exit::INCONCLUSIVE),
        _ => error,
    })
}

/// A path with a slash, so that it is no name of the catalogue.
fn build_dir(args: &BisectArgs) -> PathBuf {
    Path::new(".").join(args.build_dir.as_ref().unwrap_or(&args.tree))
}

/// Wrong use, whatever the commit; where the log goes.
fn check(common: &Common, args: &BisectArgs) -> Result<PathBuf, CliError> {
    select_filtered(&args.select.ids, &args.select.filter).map_err(CliError::usage)?;
    if args.guest.kernel != ["default"] || args.guest.modules.is_some() {
        return Err(CliError::usage(anyhow!("the kernel is the one of --tree: leave --kernel and --modules away")));
    }
    if args.guest.print_command {
        return Err(CliError::usage(anyhow!("--print-command judges nothing")));
    }
    if args.jobs == Some(0) {
        return Err(CliError::usage(anyhow!("--jobs must be at least 1")));
    }
    if !args.tree.join("Kbuild").is_file() || !args.tree.join("Makefile").is_file() {
        return Err(CliError::usage(anyhow!("{} is no kernel tree: name it with --tree", args.tree.display())));
    }
    let dir = build_dir(args);
    if !dir.join(".config").is_file() {
        return Err(CliError::usage(anyhow!("{} has no .config: configure the kernel first", dir.display())));
    }
    setup::guest_dir(common)?;
    setup::qemu(common)?;
    let area = setup::cache(common)?.area("logs").context("opening the cache").map_err(CliError::usage)?;
    Ok(area.join(format!("bisect-{}.log", std::process::id())))
}

/// Builds what changed. The configuration follows the commit: new options get their defaults.
fn build(args: &BisectArgs, log: &Path, stop: &AtomicBool) -> anyhow::Result<()> {
    status(&format!("building {} (log: {})", args.tree.display(), log.display()));
    let jobs = args.build_jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    for targets in [&["olddefconfig"][..], &["bzImage", "modules"]] {
        let mut make = Command::new("make");
        make.args(["--no-print-directory", "-s", "-C"]).arg(&args.tree).arg(format!("-j{jobs}"));
        if let Some(dir) = &args.build_dir {
            let dir = std::path::absolute(dir).with_context(|| format!("no path to {}", dir.display()))?;
            make.arg(format!("O={}", dir.display()));
        }
        make.args(&args.make_arg).args(targets);
        // A make that called us is none of this one's business.
        make.env("LC_ALL", "C").env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
        make.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let status = child::status(&mut make, stop).context("cannot run make")?;
        if !status.success() {
            let text = std::fs::read(log).unwrap_or_default();
            return Err(anyhow!(
                "make {} ended with {status}: see {}\n{}",
                targets.join(" "),
                log.display(),
                tail(&text)
            ));
        }
    }
    // What a build that worked printed is of no use to anybody.
    let _ = std::fs::remove_file(log);
    Ok(())
}

fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    last.iter().map(|line| crate::text::escape(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_printable_and_short() {
        let text: Vec<u8> = (0..100).flat_map(|line| format!("line {line}\x1b[2J\n").into_bytes()).collect();
        assert_eq!(tail(&text).lines().count(), TAIL_LINES);
        assert!(tail(&text).ends_with("line 99\\x1b[2J"));
        assert_eq!(tail(b""), "");
    }
}
