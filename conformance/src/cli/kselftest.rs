//! `kmodlab kselftest kmod`: the kernel's own selftests of its module loader (tools/testing/selftests/kmod), each test in a
//! guest of its own, with the subject's modprobe.
//!
//! The script wants bash, awk, grep and so on, and capsh for two tests. The guest gets the host's bash and capsh with their
//! libraries in a directory apart, so that no subject meets a library that is not its own, and busybox for the rest.

use super::args::{Common, KselftestArgs, SelftestSuite};
use super::error::CliError;
use super::script::{self, BUSYBOX};
use super::{Outcome, lookup, setup, show_progress, signals, status};
use crate::allowed_findings::AllowedFindings;
use crate::pair::{Host, PreparedKernel, ReadyPair};
use crate::text;
use crate::verdict::exit;
use agent::proto::{ExitKind, GuestMillis, Ran};
use anyhow::{Context as _, anyhow};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use vm_images::{Source, Subject};

pub(super) const AFTER_HELP: &str = "\
The kernel needs CONFIG_TEST_KMOD=m. One is built, and tested, so; the first line prints DIR:
  kmodlab kernel build --tree ~/linux --fragment tiny --fragment test-kmod
  kmodlab kselftest kmod --kernel DIR --tree ~/linux

Exit codes:
  0    at least one test passed, every other passed or skipped itself
  1    a test failed, or the kernel complained on its console
  2    wrong use
  125  no failure, but a test could not be judged, or every test skipped itself";

/// Where everything lies in the guest.
const PLACE: &str = "/kselftest";
/// What lib/Kconfig.debug selects for `CONFIG_TEST_KMOD`, and the checksums that the file systems ask the kernel's crypto for
/// while they start.
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
/// kselftest's exit code of a test that cannot run here (tools/testing/selftests/kselftest.h).
const SKIPPED: i32 = 4;
/// Lines of its output that a failed test shows.
const SHOWN: usize = 20;

pub(super) fn kselftest(common: &Common, args: &KselftestArgs) -> Outcome {
    let SelftestSuite::Kmod = args.suite;
    let catalogue = lookup::catalogue()?;
    let kernels = lookup::kernel_args(&args.guest, &catalogue)?;
    let ([kernel_word], [_]) = (&args.guest.kernel[..], &args.guest.subject[..]) else {
        return Err(CliError::usage(anyhow!("the selftests run on one kernel with one subject")));
    };
    let tree = args.tree.clone().unwrap_or_else(|| PathBuf::from(kernel_word));
    let scripts = scripts(&tree)?;
    let script = fs::read_to_string(scripts.join("kmod.sh")).map_err(CliError::usage)?;
    let tests = chosen(&script, &args.tests)?;

    let wall = Duration::from_secs(args.timeout).mul_f64(setup::timeout_factor(&args.guest)?);
    let allowed = AllowedFindings::builtin().map_err(CliError::inconclusive)?;

    let mut host = setup::host(common, &args.guest, args.cold, None)?;
    let spawner = host.spawner.clone();
    let stop = signals::watch(move || spawner.kill_all())?;
    let options = lookup::options(common, &host.cache, &show_progress, &stop);
    let tools = Tools::gather(&scripts, &options)?;
    let kernel = lookup::only(lookup::kernels(kernels, &catalogue, &options)?)?;
    let subject = &lookup::only_subject(common, &args.guest, &options)?;
    setup::decide_accel(args.guest.accel, &mut host, Some(&kernel), Some(subject))?;

    let side = PreparedKernel::with_modules(kernel, MODULES, &host).map_err(CliError::inconclusive)?;
    if side.facts().config("TEST_KMOD").is_none_or(|value| value != "m") {
        return Err(CliError::usage(anyhow!(
            "the kernel {} has no CONFIG_TEST_KMOD=m: build one with the fragment test-kmod (kmodlab kernel build --help)",
            side.kernel.name
        )));
    }
    if args.guest.print_command {
        let spec = side.spec(subject, &tools.files, &host).map_err(CliError::inconclusive)?.0;
        return super::list::print(&format!("{}\n", host.qemu.command_line(&spec)));
    }
    let ready = side.pair_with_files(subject, &tools.files, &host).map_err(CliError::inconclusive)?;
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}").and_then(|()| out.flush()).map_err(CliError::inconclusive);
    say("KTAP version 1")?;
    say(&format!("# {} with {}, tests of {}", side.kernel.release, subject.name(), scripts.display()))?;
    say(&format!("1..{}", tests.len()))?;
    let (mut failed, mut passed, mut unjudged) = (0, 0, 0);
    for (number, test) in tests.iter().enumerate() {
        let number = number + 1;
        if stop.load(Ordering::SeqCst) {
            return Err(CliError::inconclusive(anyhow!("interrupted")));
        }
        match run(&ready, &host, test, args.count, wall, &allowed) {
            Told::Passed => {
                passed += 1;
                say(&format!("ok {number} kmod_test_{test}"))?;
            }
            Told::Skipped => say(&format!("ok {number} kmod_test_{test} # SKIP the script says so"))?,
            Told::Failed(reason, lines) => {
                failed += 1;
                say(&format!("# fail: {reason}"))?;
                lines.iter().try_for_each(|line| say(&format!("# {line}")))?;
                say(&format!("not ok {number} kmod_test_{test}"))?;
            }
            Told::Unjudged(reason) => {
                unjudged += 1;
                reason.lines().try_for_each(|line| say(&format!("# error: {}", text::escape(line.as_bytes()))))?;
                say(&format!("not ok {number} kmod_test_{test}"))?;
            }
        }
    }
    let skipped = tests.len() - passed - failed - unjudged;
    say(&format!("# {passed} passed, {failed} failed, {unjudged} not judged, {skipped} skipped"))?;
    Ok(match (failed, unjudged, passed) {
        (1.., _, _) => exit::FAILED,
        (0, 0, 1..) => exit::OK,
        _ => exit::INCONCLUSIVE,
    })
}

/// The directory with kmod.sh: of a kernel tree, of one that a build directory was made from, or the directory itself.
fn scripts(tree: &Path) -> Result<PathBuf, CliError> {
    let inside = Path::new("tools/testing/selftests/kmod");
    let places = [tree.join(inside), tree.join("source").join(inside), tree.to_owned()];
    places.iter().find(|place| place.join("kmod.sh").is_file()).cloned().ok_or_else(|| {
        CliError::usage(anyhow!(
            "{} holds no {}/kmod.sh: name a kernel tree with --tree",
            tree.display(),
            inside.display()
        ))
    })
}

/// The tests that the script lists (`ALL_TESTS="$ALL_TESTS 0002:3:1"`: number, how often, whether it runs by default), or the
/// ones that are asked for.
fn chosen(script: &str, asked: &[String]) -> Result<Vec<String>, CliError> {
    let entries = script.lines().filter_map(|line| line.trim().strip_prefix("ALL_TESTS=\"")?.strip_suffix('"'));
    let words = entries.flat_map(str::split_whitespace).filter_map(|word| {
        let fields: Vec<&str> = word.split(':').collect();
        let is_number = !fields[0].is_empty() && fields[0].bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| (fields[0].to_owned(), fields.get(2) != Some(&"0")))
    });
    let listed: Vec<(String, bool)> = words.collect();
    if let Some(unknown) = asked.iter().find(|test| !listed.iter().any(|(number, _)| number == *test)) {
        let known: Vec<&str> = listed.iter().map(|(number, _)| number.as_str()).collect();
        return Err(CliError::usage(anyhow!("the script has no test {unknown}; it has {}", known.join(" "))));
    }
    let wanted =
        |(number, by_default): &(String, bool)| if asked.is_empty() { *by_default } else { asked.contains(number) };
    let chosen: Vec<String> = listed.into_iter().filter(wanted).map(|(number, _)| number).collect();
    if chosen.is_empty() {
        return Err(CliError::usage(anyhow!("kmod.sh lists no test in a form that is known here")));
    }
    Ok(chosen)
}

/// What the guest gets besides the subject; the made files live as long as this.
struct Tools {
    files: Vec<(String, PathBuf)>,
    _made: tempfile::TempDir,
}

impl Tools {
    fn gather(scripts: &Path, options: &vm_images::Options<'_>) -> Result<Tools, CliError> {
        let made = tempfile::tempdir().map_err(CliError::inconclusive)?;
        let mut files = vec![(BUSYBOX.to_owned(), script::busybox(options)?)];
        for entry in fs::read_dir(scripts).map_err(CliError::usage)? {
            let path = entry.map_err(CliError::usage)?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                files.push((format!("{PLACE}/kmod/{}", name.to_string_lossy()), path.clone()));
            }
        }
        for (program, needed) in [("bash", true), ("capsh", false)] {
            let Some(host) = lookup::host_program(program) else {
                let lacking = anyhow!("kmod.sh is a script for {program}, which is not on this host");
                if needed {
                    return Err(CliError::inconclusive(lacking));
                }
                status(&format!("{lacking:#}: some tests will fail for want of it"));
                continue;
            };
            files.extend(apart(program, &host, made.path())?);
        }
        files.sort();
        files.dedup_by(|a, b| a.0 == b.0);
        Ok(Tools { files, _made: made })
    }
}

/// A program of the host and its libraries below [`PLACE`], and a script in its usual place that starts it with them.
fn apart(name: &str, host: &Path, made: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
    let parts = Subject::program_with_libraries(host).map_err(CliError::inconclusive)?;
    let source = |file: &vm_images::GuestFile| match &file.source {
        Source::Host(path) => Some(path.clone()),
        Source::Link(target) => parts.iter().find_map(|other| match &other.source {
            Source::Host(path) if other.guest_path == Path::new(target) => Some(path.clone()),
            _ => None,
        }),
        Source::Bytes(_) => None,
    };
    let mut files = vec![(format!("{PLACE}/bin/{name}"), host.to_owned())];
    let mut loader = None;
    for file in &parts {
        let (Some(base), Some(source)) = (file.guest_path.file_name(), source(file)) else { continue };
        let guest = format!("{PLACE}/lib/{}", base.to_string_lossy());
        if base.to_string_lossy().starts_with("ld-") {
            loader = Some(guest.clone());
        }
        files.push((guest, source));
    }
    let start = match loader {
        Some(loader) => format!("{loader} --library-path {PLACE}/lib {PLACE}/bin/{name}"),
        // Linked statically.
        None => format!("{PLACE}/bin/{name}"),
    };
    let script = made.join(name);
    fs::write(&script, format!("#!{BUSYBOX} sh\nexec {start} \"$@\"\n"))
        .context("writing a script")
        .map_err(CliError::inconclusive)?;
    files.push((format!("/bin/{name}"), script));
    Ok(files)
}

/// How a test ended.
enum Told {
    Passed,
    Skipped,
    Failed(String, Vec<String>),
    Unjudged(String),
}

/// One test in a guest of its own, for at most `limit` of guest time and of ours.
fn run(
    ready: &ReadyPair,
    host: &Host,
    test: &str,
    count: Option<u32>,
    limit: Duration,
    allowed: &AllowedFindings,
) -> Told {
    let mut vm = match ready.guest(host) {
        Ok(vm) => vm,
        Err(error) => return Told::Unjudged(format!("no guest: {}", harness::error_chain(&error))),
    };
    let how = count.map_or(format!("-t {test}"), |count| format!("-c {test} {count}"));
    let command = format!("cd {PLACE}/kmod; exec /bin/bash ./kmod.sh {how} 2>&1");
    let guest_limit = GuestMillis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let ran = script::run(&mut vm, &command, guest_limit, Some(limit));
    let ending = vm.end_as_planned();
    let counts = |kind: &str, title: &str| allowed.reason(&ready.pair.release, kind, title).is_none();
    let findings = ending.findings.iter().filter(|found| counts(&found.kind.to_string(), &found.title));
    let traces: Vec<String> = findings.flat_map(|found| found.lines.clone()).collect();
    match ran {
        _ if !traces.is_empty() => Told::Failed("the kernel complained on its console".to_owned(), traces),
        Err(failure) => Told::Unjudged(failure.error.to_string()),
        Ok(_) if !ending.planned => Told::Unjudged(format!("the guest did not end as planned: {ending}")),
        Ok(ran) => judged(&ran),
    }
}

fn judged(ran: &Ran) -> Told {
    let reason = match ran.exit {
        ExitKind::Exited(0) => return Told::Passed,
        ExitKind::Exited(SKIPPED) => return Told::Skipped,
        ExitKind::Exited(code) => format!("exit code {code}"),
        ExitKind::Signalled(signal) => format!("killed by signal {signal}"),
        ExitKind::TimedOut => "it did not end in time".to_owned(),
    };
    let lines: Vec<String> = ran.stdout.split(|byte| *byte == b'\n').map(text::escape).collect();
    let lines = lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
    Told::Failed(reason, lines[lines.len().saturating_sub(SHOWN)..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str =
        "ALL_TESTS=\"0001:3:1\"\nALL_TESTS=\"$ALL_TESTS 0002:3:0\"\nALL_TESTS=\"$ALL_TESTS 0010:1:1\"\n";

    #[test]
    fn the_tests_are_those_that_the_script_runs_by_default_or_the_ones_asked_for() {
        assert_eq!(chosen(SCRIPT, &[]).unwrap(), ["0001", "0010"]);
        assert_eq!(chosen(SCRIPT, &["0002".to_owned()]).unwrap(), ["0002"]);
        let error = chosen(SCRIPT, &["0003".to_owned()]).unwrap_err().error.to_string();
        assert_eq!(error, "the script has no test 0003; it has 0001 0002 0010");
        assert!(chosen("echo", &[]).is_err());
    }
}
