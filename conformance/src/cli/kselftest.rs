//! `kmodlab kselftest kmod`: runs the kernel's own selftests of its module loader (tools/testing/selftests/kmod), each test
//! in its own guest, with the subject's modprobe.
//!
//! The script needs bash, awk, grep and so on, and capsh for two tests. The guest contains the host's bash and capsh with
//! their libraries in a separate directory, so that the subject does not see them, and busybox for the rest.

use super::args::{Common, GuestArgs, number_from, number_in};
use super::error::CliError;
use super::script::{self, BUSYBOX};
use super::{Outcome, lookup, resolve, setup, show_progress, signals, status};
use crate::run::pair::{Host, PreparedKernel, ReadyPair};
use crate::run::request::{GuestOptions, Request};
use crate::run::verdict::exit;
use crate::text;
use agent::proto::{ExitKind, GuestMillis, Ran};
use anyhow::{Context as _, anyhow};
use clap::{Args as Group, ValueEnum};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use vm_images::{Source, Subject};

pub(super) const AFTER_HELP: &str = "\
The kernel needs CONFIG_TEST_KMOD=m. To build and test one (the first command prints DIR):
  kmodlab kernel build --tree ~/linux --fragment tiny --fragment test-kmod
  kmodlab kselftest kmod --kernel DIR --tree ~/linux

Exit codes:
  0    at least one test passed; the rest passed or were skipped by the script
  1    a test failed, or the console shows a finding
  2    invalid arguments, or a kernel without CONFIG_TEST_KMOD=m; nothing was built or booted
  125  no test failed, but one is inconclusive, or none passed";

/// The directory of the selftests in the guest.
const GUEST_DIR: &str = "/kselftest";
/// The modules that lib/Kconfig.debug selects for `CONFIG_TEST_KMOD`, and the checksums that the file systems request from
/// the kernel's crypto API when they are loaded.
const MODULES: &[&str] = &[
    "test_kmod",
    "test_module",
    "tun",
    "xfs",
    "btrfs",
    "crc32c_generic",
    "xxhash_generic",
    "sha256_generic",
    "blake2b_generic",
];
/// The exit code of a skipped test (tools/testing/selftests/kselftest.h).
const SKIPPED: i32 = 4;
/// Lines of output to print for a failed test.
const TAIL_LINES: usize = 20;

/// `kmodlab kselftest`.
#[derive(Debug, Group)]
pub struct KselftestArgs {
    /// Run this suite
    #[arg(value_enum)]
    pub suite: SelftestSuite,
    /// Run only this test, e.g. 0001 [default: all tests that the script runs by default]
    #[arg(value_name = "TEST")]
    pub tests: Vec<String>,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run the script in this kernel tree [default: the kernel, if it is a tree]
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// Repeat each test N times [default: the number that the script recommends]
    #[arg(long, value_name = "N", value_parser = number_from(1_u32))]
    pub count: Option<u32>,
    /// Limit the time of each test, in guest time and in wall-clock time
    #[arg(long, value_name = "SECONDS", default_value_t = 1200, value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
    /// Boot a new guest for each test instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
}

/// A suite in tools/testing/selftests.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SelftestSuite {
    /// The module loader (kmod.sh)
    Kmod,
}

pub(super) fn kselftest(common: &Common, args: &KselftestArgs) -> Outcome {
    let SelftestSuite::Kmod = args.suite;
    let catalogue = lookup::catalogue()?;
    let request = resolve::request(&args.guest.kernel, &args.guest, &catalogue)?;
    let request = Request { guest: GuestOptions { cold: args.cold, ..request.guest }, ..request };
    lookup::accept_only_one("kselftest", &request)?;
    let kernel_tree = || args.guest.kernel.iter().map(PathBuf::from).find(|path| path.is_dir());
    let tree = args.tree.clone().or_else(kernel_tree).ok_or_else(|| {
        CliError::usage(anyhow!("kselftest requires a kernel tree, because it runs a script from the tree"))
            .hint("name a kernel tree with --tree")
    })?;
    let scripts = scripts(&tree)?;
    let path = scripts.join("kmod.sh");
    let script = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(CliError::usage)?;
    let tests = select_tests(&path, &script, &args.tests)?;

    let wall = Duration::from_secs(args.timeout).mul_f64(resolve::timeout_factor(&args.guest)?);

    let machine = setup::Tools::open(common)?;
    let spawner = machine.spawner.clone();
    let stop = signals::watch(move || spawner.kill_all())?;
    let options = lookup::options(common, &machine.cache, &show_progress, &stop);
    let tools = Tools::gather(&scripts, &options)?;
    let (kernel, subject) = &lookup::only_pair(common, &request, &catalogue, &options)?;
    let host = machine.host(&request.guest, &request.judging.allowed, Some(kernel), Some(subject))?;

    let side = PreparedKernel::with_modules(kernel.clone(), MODULES, &host).map_err(CliError::inconclusive)?;
    if side.facts().config("TEST_KMOD").is_none_or(|value| value != "m") {
        return Err(CliError::usage(anyhow!("the kernel {} was built without CONFIG_TEST_KMOD=m", side.kernel.name))
            .hint("`kmodlab kernel build --tree DIR --fragment tiny --fragment test-kmod` builds one with it"));
    }
    if args.guest.print_command {
        let spec = side.spec(subject, &tools.files, &host).map_err(CliError::inconclusive)?.0;
        return super::print(&format!("{}\n", host.qemu.command_line(&spec)));
    }
    let ready = side.pair_with_files(subject, &tools.files, &host).map_err(CliError::inconclusive)?;
    ready.notes.iter().for_each(|note| status(&format!("warning: {note}")));
    let mut out = io::stdout().lock();
    let mut print_line =
        |line: &str| writeln!(out, "{line}").and_then(|()| out.flush()).map_err(CliError::inconclusive);
    print_line("KTAP version 1")?;
    print_line(&format!("# {} with {}, tests of {}", side.kernel.release, subject.name(), scripts.display()))?;
    print_line(&format!("1..{}", tests.len()))?;
    let (mut failed, mut passed, mut inconclusive) = (0, 0, 0);
    for (number, test) in tests.iter().enumerate() {
        let number = number + 1;
        if stop.load(Ordering::SeqCst) {
            return Err(CliError::inconclusive(anyhow!("interrupted")));
        }
        match run(&ready, &host, test, args.count, wall) {
            TestResult::Passed => {
                passed += 1;
                print_line(&format!("ok {number} kmod_test_{test}"))?;
            }
            TestResult::Skipped => print_line(&format!("ok {number} kmod_test_{test} # SKIP by the script"))?,
            TestResult::Failed(reason, lines) => {
                failed += 1;
                print_line(&format!("# fail: {reason}"))?;
                lines.iter().try_for_each(|line| print_line(&format!("# {line}")))?;
                print_line(&format!("not ok {number} kmod_test_{test}"))?;
            }
            TestResult::Inconclusive(reason) => {
                inconclusive += 1;
                reason
                    .lines()
                    .try_for_each(|line| print_line(&format!("# error: {}", text::escape(line.as_bytes()))))?;
                print_line(&format!("not ok {number} kmod_test_{test}"))?;
            }
        }
    }
    let skipped = tests.len() - passed - failed - inconclusive;
    print_line(&format!("# {passed} passed, {failed} failed, {inconclusive} inconclusive, {skipped} skipped"))?;
    Ok(match (failed, inconclusive, passed) {
        (1.., _, _) => exit::FAILED,
        (0, 0, 1..) => exit::OK,
        _ => exit::INCONCLUSIVE,
    })
}

/// Finds the directory with kmod.sh: in the kernel tree, in the source tree of a build directory, or `tree` itself.
fn scripts(tree: &Path) -> Result<PathBuf, CliError> {
    let inside = Path::new("tools/testing/selftests/kmod");
    let dirs = [tree.join(inside), tree.join("source").join(inside), tree.to_owned()];
    dirs.iter().find(|dir| dir.join("kmod.sh").is_file()).cloned().ok_or_else(|| {
        CliError::usage(anyhow!("cannot find {}/kmod.sh in {}", inside.display(), tree.display()))
            .hint("name a kernel tree with --tree")
    })
}

/// Returns the tests to run: the requested ones, or those that the script runs by default. The script lists its tests as
/// `ALL_TESTS="$ALL_TESTS 0002:3:1"`: the number, the repetitions, and whether the test runs by default.
fn select_tests(path: &Path, script: &str, requested: &[String]) -> Result<Vec<String>, CliError> {
    let entries = script.lines().filter_map(|line| line.trim().strip_prefix("ALL_TESTS=\"")?.strip_suffix('"'));
    let words = entries.flat_map(str::split_whitespace).filter_map(|word| {
        let fields: Vec<&str> = word.split(':').collect();
        let is_number = !fields[0].is_empty() && fields[0].bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| (fields[0].to_owned(), fields.get(2) != Some(&"0")))
    });
    let listed: Vec<(String, bool)> = words.collect();
    if let Some(unknown) = requested.iter().find(|test| !listed.iter().any(|(number, _)| number == *test)) {
        let known: Vec<&str> = listed.iter().map(|(number, _)| number.as_str()).collect();
        return Err(CliError::usage(anyhow!("unknown test '{unknown}' (kmod.sh has {})", known.join(", "))));
    }
    let selected = |(number, by_default): &(String, bool)| {
        if requested.is_empty() { *by_default } else { requested.contains(number) }
    };
    let tests: Vec<String> = listed.into_iter().filter(selected).map(|(number, _)| number).collect();
    if tests.is_empty() {
        let path = path.display();
        let error = anyhow!("cannot find the list of tests in {path} (unsupported version of the script?)");
        return Err(CliError::usage(error));
    }
    Ok(tests)
}

/// The files that the guest contains in addition to the subject. The generated ones are deleted on drop.
struct Tools {
    files: Vec<(String, PathBuf)>,
    _generated: tempfile::TempDir,
}

impl Tools {
    fn gather(scripts: &Path, options: &vm_images::Options<'_>) -> Result<Tools, CliError> {
        let generated =
            tempfile::tempdir().context("cannot create a temporary directory").map_err(CliError::inconclusive)?;
        let mut files = vec![(BUSYBOX.to_owned(), script::busybox(options)?)];
        let unreadable = |error: io::Error| {
            CliError::usage(anyhow::Error::new(error).context(format!("cannot read {}", scripts.display())))
        };
        for entry in fs::read_dir(scripts).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                files.push((format!("{GUEST_DIR}/kmod/{}", name.to_string_lossy()), path.clone()));
            }
        }
        for (program, needed) in [("bash", true), ("capsh", false)] {
            let Some(host) = lookup::host_program(program) else {
                let missing = format!("kmod.sh needs {program}, which is not installed on this machine");
                if needed {
                    return Err(CliError::inconclusive(anyhow!(missing)));
                }
                status(&format!("warning: {missing}: some tests will fail"));
                continue;
            };
            files.extend(isolated(program, &host, generated.path())?);
        }
        files.sort();
        files.dedup_by(|a, b| a.0 == b.0);
        Ok(Tools { files, _generated: generated })
    }
}

/// Returns the guest files of a program of the host: the program and its libraries in [`GUEST_DIR`], and a script in /bin
/// that runs it with these libraries.
fn isolated(name: &str, host: &Path, generated: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
    let parts = Subject::program_with_libraries(host).map_err(CliError::inconclusive)?;
    let source = |file: &vm_images::GuestFile| match &file.source {
        Source::Host(path) => Some(path.clone()),
        Source::Link(target) => parts.iter().find_map(|other| match &other.source {
            Source::Host(path) if other.guest_path == Path::new(target) => Some(path.clone()),
            _ => None,
        }),
        Source::Bytes(_) => None,
    };
    let mut files = vec![(format!("{GUEST_DIR}/bin/{name}"), host.to_owned())];
    let mut loader = None;
    for file in &parts {
        let (Some(base), Some(source)) = (file.guest_path.file_name(), source(file)) else { continue };
        let guest = format!("{GUEST_DIR}/lib/{}", base.to_string_lossy());
        if base.to_string_lossy().starts_with("ld-") {
            loader = Some(guest.clone());
        }
        files.push((guest, source));
    }
    let start = match loader {
        Some(loader) => format!("{loader} --library-path {GUEST_DIR}/lib {GUEST_DIR}/bin/{name}"),
        // A static program.
        None => format!("{GUEST_DIR}/bin/{name}"),
    };
    let script = generated.join(name);
    fs::write(&script, format!("#!{BUSYBOX} sh\nexec {start} \"$@\"\n"))
        .with_context(|| format!("cannot write {}", script.display()))
        .map_err(CliError::inconclusive)?;
    files.push((format!("/bin/{name}"), script));
    Ok(files)
}

/// The result of a test.
enum TestResult {
    Passed,
    Skipped,
    Failed(String, Vec<String>),
    Inconclusive(String),
}

/// Runs a test in its own guest, for at most `limit` of guest time and of wall-clock time.
fn run(ready: &ReadyPair, host: &Host, test: &str, count: Option<u32>, limit: Duration) -> TestResult {
    let mut vm = match ready.guest(host) {
        Ok(vm) => vm,
        Err(error) => return TestResult::Inconclusive(format!("no guest: {}", text::error_chain(&error))),
    };
    let how = count.map_or(format!("-t {test}"), |count| format!("-c {test} {count}"));
    let command = format!("cd {GUEST_DIR}/kmod; exec /bin/bash ./kmod.sh {how} 2>&1");
    let guest_limit = GuestMillis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let ran = script::run(&mut vm, &command, guest_limit, Some(limit));
    let ending = vm.end_as_planned();
    let counts = |finding: &&harness::Finding| host.boot.allowed.reason_for(&ready.pair.release, finding).is_none();
    let findings = ending.findings.iter().filter(counts);
    let traces: Vec<String> = findings.flat_map(|found| found.lines.clone()).collect();
    match ran {
        _ if !traces.is_empty() => TestResult::Failed("findings on the console".to_owned(), traces),
        Err(error) => TestResult::Inconclusive(error.message()),
        Ok(_) if !ending.planned => {
            TestResult::Inconclusive(format!("the guest did not shut down as requested: {ending}"))
        }
        Ok(ran) => result_of(&ran),
    }
}

fn result_of(ran: &Ran) -> TestResult {
    let reason = match ran.exit {
        ExitKind::Exited(0) => return TestResult::Passed,
        ExitKind::Exited(SKIPPED) => return TestResult::Skipped,
        ExitKind::Exited(code) => format!("exit code {code}"),
        ExitKind::Signalled(signal) => format!("killed by signal {signal}"),
        ExitKind::TimedOut => "timed out".to_owned(),
    };
    let lines: Vec<String> = ran.stdout.split(|byte| *byte == b'\n').map(text::escape).collect();
    let lines = lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
    TestResult::Failed(reason, lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str =
        "ALL_TESTS=\"0001:3:1\"\nALL_TESTS=\"$ALL_TESTS 0002:3:0\"\nALL_TESTS=\"$ALL_TESTS 0010:1:1\"\n";

    #[test]
    fn the_requested_tests_or_those_that_run_by_default_are_selected() {
        let select_tests =
            |script: &str, requested: &[String]| super::select_tests(Path::new("kmod.sh"), script, requested);
        assert_eq!(select_tests(SCRIPT, &[]).unwrap(), ["0001", "0010"]);
        assert_eq!(select_tests(SCRIPT, &["0002".to_owned()]).unwrap(), ["0002"]);
        let error = select_tests(SCRIPT, &["0003".to_owned()]).unwrap_err().message();
        assert_eq!(error, "unknown test '0003' (kmod.sh has 0001, 0002, 0010)");
        assert!(select_tests("echo", &[]).is_err());
    }
}
