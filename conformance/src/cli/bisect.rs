//! `kmodlab bisect`: builds the kernel tree at its current commit, runs behaviours on it, and exits with the code that
//! `git bisect run` expects.

use super::args::{BootFailure, Common, GuestArgs, SelectArgs, number_from, number_in};
use super::error::CliError;
use super::outputs::OutputArgs;
use super::{Outcome, lookup, resolve, run, setup, signals, status};
use crate::run::judge::Judging;
use crate::run::request::{Flow, Request, Selection};
use crate::run::verdict::exit;
use anyhow::{Context, anyhow};
use clap::Args as Group;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use vm_images::child;

/// The exit code that ends `git bisect run`, to which 2 is a bad commit.
pub(super) const ABORT: u8 = 128;
/// The defaults of the options.
const FLOW: Flow = Flow::new(1);
/// Lines of the output of make in an error.
const TAIL_LINES: usize = 15;

pub(super) const AFTER_HELP: &str = "\
Example, in a kernel tree that has a .config:
  git bisect start BAD GOOD
  git bisect run kmodlab bisect loop.cut-at-50

Exit codes, as `git bisect run` expects them:
  0    good: at least one behaviour passed; the rest passed, are known deviations or were skipped
  1    bad: a behaviour failed
  125  skip this commit: it does not build, it does not boot (see --boot-failure), or the result is
       inconclusive
  128  abort the bisection: invalid arguments or no behaviour selected; nothing was built or booted";

/// `kmodlab bisect`.
#[derive(Debug, Group)]
pub struct BisectArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Build this kernel tree
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub tree: PathBuf,
    /// Build in this directory, as with `make O=DIR` [default: in the tree]
    #[arg(long, short = 'O', value_name = "DIR")]
    pub build_dir: Option<PathBuf>,
    /// Run N make jobs in parallel [default: one per core]
    #[arg(long, value_name = "N", value_parser = number_from(1_u16))]
    pub build_jobs: Option<u16>,
    /// Pass this argument to make, e.g. CC=clang; repeatable
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub make_arg: Vec<String>,
    /// Select the verdict for a kernel that does not boot
    #[arg(long, value_enum, default_value_t, value_name = "VERDICT")]
    pub boot_failure: BootFailure,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run N guests in parallel [default: one per core, or fewer if memory is short]
    #[arg(long, value_name = "N", value_parser = number_from(1_usize))]
    pub jobs: Option<usize>,
    /// Retry a failed or inconclusive row up to N times
    #[arg(long, value_name = "N", default_value_t = FLOW.retries, value_parser = number_in(0..=1000_u32))]
    pub retries: u32,
    /// Limit the wall-clock time of each row
    #[arg(long, value_name = "SECONDS", default_value_t = FLOW.limit.as_secs(), value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
}

pub(super) fn bisect(common: &Common, args: &BisectArgs) -> Outcome {
    let abort = |error: CliError| error.with_code(ABORT);
    let log = check(common, args).map_err(abort)?;
    let stop = signals::watch(|| {}).map_err(abort)?;
    let built = build(args, &log, &stop);
    signals::or_interrupted(
        &stop,
        built.map_err(|error| CliError::inconclusive(error.context("cannot build this commit"))),
    )?;
    // An error from here on is about this commit, such as its tree or its image.
    run_rows(common, args).map_err(|error| match error.code {
        exit::USAGE => error.with_code(exit::INCONCLUSIVE),
        _ => error,
    })
}

/// Runs the rows on the built kernel. A bisection runs all rows on this machine: a shard in the environment does not apply.
fn run_rows(common: &Common, args: &BisectArgs) -> Outcome {
    let outputs = OutputArgs::default();
    outputs.check()?;
    let behaviours = resolve::behaviours(&args.select)?;
    let catalogue = lookup::catalogue()?;
    let request = resolve::request(&[build_dir(args).display().to_string()], &args.guest, &catalogue)?;
    let boot_failure_fails = args.boot_failure == BootFailure::Fail;
    let flow = resolve::flow(args.jobs, args.timeout, false, &args.guest)?;
    let request = Request {
        selection: Selection { behaviours, shard: None },
        flow: Flow { retries: args.retries, ..flow },
        judging: Judging { boot_failure_fails, ..request.judging },
        ..request
    };
    run::carry_out(common, &request, &catalogue, false, outputs.reporters(), |_| Ok(()))
}

/// Returns the directory of the built kernel as the user named it.
fn build_dir(args: &BisectArgs) -> PathBuf {
    let dir = args.build_dir.as_ref().unwrap_or(&args.tree);
    // `--kernel host` is the kernel of this machine.
    if dir == Path::new(lookup::HOST) { Path::new(".").join(dir) } else { dir.clone() }
}

/// Rejects arguments that are invalid for every commit. Returns the path of the log.
fn check(common: &Common, args: &BisectArgs) -> Result<PathBuf, CliError> {
    resolve::behaviours(&args.select)?;
    let kernel = [("--kernel", args.guest.kernel != ["default"]), ("--modules", args.guest.modules.is_some())];
    if let Some((option, _)) = kernel.iter().find(|(_, given)| *given) {
        return Err(CliError::usage(anyhow!("bisect does not accept {option}"))
            .hint("bisect builds and boots the tree given by --tree"));
    }
    if args.guest.print_command {
        return Err(CliError::usage(anyhow!("bisect does not accept --print-command")));
    }
    if !args.tree.join("Kbuild").is_file() || !args.tree.join("Makefile").is_file() {
        return Err(CliError::usage(anyhow!("{} is not a kernel tree", args.tree.display()))
            .hint("run `kmodlab bisect` in a kernel tree, or name one with --tree"));
    }
    let dir = build_dir(args);
    if !dir.join(".config").is_file() {
        return Err(CliError::usage(anyhow!("{} has no .config", dir.display()))
            .hint("configure the kernel first, e.g. with `make defconfig`"));
    }
    setup::guest_dir(common)?;
    setup::qemu(common)?;
    let area = setup::cache(common)?.area("logs").map_err(CliError::usage)?;
    Ok(area.join(format!("bisect-{}.log", std::process::id())))
}

/// Builds the tree. The configuration is updated for the commit: new options get their defaults.
fn build(args: &BisectArgs, log: &Path, stop: &AtomicBool) -> anyhow::Result<()> {
    status(&format!("building {} (log: {})", args.tree.display(), log.display()));
    let jobs = args.build_jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    for targets in [&["olddefconfig"][..], &["bzImage", "modules"]] {
        let mut make = Command::new("make");
        make.args(["--no-print-directory", "-s", "-C"]).arg(&args.tree).arg(format!("-j{jobs}"));
        if let Some(dir) = &args.build_dir {
            let dir = std::path::absolute(dir).with_context(|| format!("cannot resolve {}", dir.display()))?;
            make.arg(format!("O={}", dir.display()));
        }
        make.args(&args.make_arg).args(targets);
        // kmodlab may itself be run by make.
        make.env("LC_ALL", "C").env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
        make.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let status = child::status(&mut make, stop).context("cannot run make")?;
        if !status.success() {
            let text = std::fs::read(log).unwrap_or_default();
            return Err(anyhow!(
                "`make {}` {}; see {}\n{}",
                targets.join(" "),
                failure(status),
                log.display(),
                tail(&text)
            ));
        }
    }
    // The log of a successful build is not needed.
    let _ = std::fs::remove_file(log);
    Ok(())
}

/// Says how a program failed.
fn failure(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
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
    fn the_build_directory_is_the_one_that_the_user_named() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: BisectArgs,
        }
        let dir = |words: &[&str]| {
            let line = <Line as clap::Parser>::try_parse_from([&["bisect"], words].concat()).unwrap();
            build_dir(&line.args).display().to_string()
        };
        assert_eq!(dir(&[]), ".");
        assert_eq!(dir(&["--tree", "linux"]), "linux");
        assert_eq!(dir(&["--tree", "linux", "-O", "out"]), "out");
        assert_eq!(dir(&["--tree", "host"]), "./host", "not the kernel of this machine");
    }

    #[test]
    fn the_tail_of_a_log_is_short_and_printable() {
        let text: Vec<u8> = (0..100).flat_map(|line| format!("line {line}\x1b[2J\n").into_bytes()).collect();
        assert_eq!(tail(&text).lines().count(), TAIL_LINES);
        assert!(tail(&text).ends_with("line 99\\x1b[2J"));
        assert_eq!(tail(b""), "");
    }
}
