//! Runs of `kmodlab run` on the default kernel: exit codes, reports, broken subjects. Interrupted runs are in `faults`.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use conformance::report::document::Report;
use conformance::run::verdict::Verdict;
use support::{EXIT_0, LOOPING, run, stderr, stdout, tiny_program, vm_or_skip};

fn report(args: &[&str]) -> (Option<i32>, Report) {
    let output = run(&[&["run", "--json", "-"], args].concat());
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))))
}

fn verdict(report: &Report, id: &str) -> Verdict {
    report.results.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{id} was not run")).verdict
}

/// Every row passes, is known or is skipped, and its transcript is that of the probes that its entry lists: no
/// observation may depend on another difference between kernels.
fn check_all_behaviours(args: &[&str]) {
    let (code, report) = report(args);
    assert_eq!(code, Some(0), "{report:#?}");
    assert!(report.counts.pass >= 65, "{:?}", report.counts);
    for row in &report.results {
        let probes: String = row.probes.iter().map(|(name, probed)| format!("@{name}={}", probed.value)).collect();
        let transcript = conformance::check::fact::transcript(&row.facts);
        insta::with_settings!({ snapshot_suffix => format!("{}{probes}", row.id), omit_expression => true }, {
            insta::assert_snapshot!("transcript", format!("{}\n{transcript}", row.verdict.as_str()));
        });
    }
}

/// Whether a kernel other than the default one is in the cache.
fn cached_or_skip(kernel: &str) -> bool {
    let cached = run(&["kernel", "fetch", kernel, "--offline"]).status.success();
    if !cached {
        eprintln!(
            "skipped: {kernel} is not in the cache (kmodlab kernel fetch {kernel}, or kmodlab kernel build {kernel})"
        );
    }
    cached
}

#[test]
fn all_behaviours_hold_on_the_default_kernel_with_ours() {
    if vm_or_skip() {
        check_all_behaviours(&[]);
    }
}

#[test]
fn all_behaviours_hold_on_a_kernel_with_the_semaphore_with_ours() {
    if vm_or_skip() && cached_or_skip("6.12") {
        check_all_behaviours(&["--offline", "--kernel", "6.12"]);
    }
}

#[test]
fn all_behaviours_hold_on_the_newest_kernel_with_ours() {
    if vm_or_skip() && cached_or_skip("7.3") {
        check_all_behaviours(&["--offline", "--kernel", "7.3"]);
    }
}

#[test]
fn the_historic_loop_occurs_with_c_kmod_and_not_with_ours() {
    if !vm_or_skip() || !cached_or_skip("5.10-modular-unix") {
        return;
    }
    let pair = ["--offline", "--kernel", "5.10-modular-unix", "loop.historic-unix", "--subject"];
    let (code, ours) = report(&[&pair[..], &["ours"]].concat());
    assert_eq!((code, verdict(&ours, "loop.historic-unix")), (Some(0), Verdict::Pass), "{ours:#?}");
    let output = run(&[&["run"], &pair[..], &["kmod-30"]].concat());
    if stderr(&output).contains("is not available") {
        eprintln!("skipped: {}", stderr(&output));
        return;
    }
    assert!(stdout(&output).contains("known  loop.historic-unix"), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_modprobe_that_does_nothing_and_exits_with_0_fails_what_must_load() {
    if !vm_or_skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let subject = tiny_program(&dir.path().join("modprobe"), EXIT_0);
    let subject = ["--subject", subject.to_str().unwrap()];
    let wanted = ["dep", "tool", "path.newline", "load.by-name", "load.options", "unload.by-name", "config.blacklist"];
    let (code, report) = report(&[&subject[..], &wanted].concat());
    assert_eq!(code, Some(1));
    for id in ["load.by-name", "load.options", "unload.by-name", "config.blacklist"] {
        assert_eq!(verdict(&report, id), Verdict::Fail, "{id}");
    }
    for id in ["dep.order", "dep.socket-family", "dep.damaged-index", "dep.cycle", "tool.no-open-descriptors"] {
        assert_eq!(verdict(&report, id), Verdict::Fail, "{id}");
    }
    assert_eq!(verdict(&report, "path.newline"), Verdict::Pass);
    assert_eq!(verdict(&report, "dep.depmod-restores-index"), Verdict::Skip);
}

#[test]
fn a_modprobe_that_loops_without_modules_dep_fails_there() {
    if !vm_or_skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let subject = tiny_program(&dir.path().join("modprobe"), LOOPING);
    let (code, report) = report(&["--subject", subject.to_str().unwrap(), "dep.no-directory", "dep.no-index"]);
    assert_eq!(code, Some(1));
    for id in ["dep.no-directory", "dep.no-index"] {
        assert_eq!(verdict(&report, id), Verdict::Fail, "{id}");
    }
}

#[test]
fn runs_exit_with_the_documented_codes() {
    if !vm_or_skip() {
        return;
    }
    let code = |args: &[&str]| run(&[&["run"], args].concat()).status.code();
    assert_eq!(code(&["path.newline"]), Some(0));
    assert_eq!(code(&["loop.historic-unix"]), Some(125), "only skips");
    let skipping = ["path.newline", "loop.historic-unix"];
    assert_eq!(code(&skipping), Some(0), "a pass and a skip");
    assert_eq!(code(&[&skipping[..], &["--require", "path.newline", "--max-skips", "1"]].concat()), Some(0));
    assert_eq!(code(&[&skipping[..], &["--require", "loop"]].concat()), Some(2), "not all of the group are selected");
    assert_eq!(code(&[&skipping[..], &["--max-skips", "0"]].concat()), Some(125), "a skip too many");
    let (required, run) = report(&[&skipping[..], &["--require", "loop.historic-unix"]].concat());
    assert_eq!((required, run.exit_code), (Some(125), 125), "a required row was skipped");
    let unmet = &run.end.unwrap().unmet;
    assert!(unmet.len() == 1 && unmet[0].contains("loop.historic-unix on 6.1"), "{unmet:?}");
    let dead = ["path.newline", "--append", "rdinit=/nonexistent"];
    assert_eq!(code(&dead), Some(125), "a kernel that does not reach the agent");
    assert_eq!(code(&[&dead[..], &["--boot-failure", "fail"]].concat()), Some(1));
    assert_eq!(code(&[&dead[..], &["--boot-failure", "fail", "--cold"]].concat()), Some(1));
    assert_eq!(code(&["no.such"]), Some(2));
}

#[test]
fn reports_are_written_to_the_requested_files() {
    if !vm_or_skip() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let junit = dir.path().join("out.xml");
    let keep = dir.path().join("consoles");
    let args = ["run", "path.newline", "--format", "ktap", "--junit"];
    let output = run(&[&args[..], &[junit.to_str().unwrap(), "--keep", keep.to_str().unwrap()]].concat());
    assert!(stdout(&output).starts_with("KTAP version 1\n1..1\n"), "{}", stdout(&output));
    assert!(stderr(&output).contains("1 passed"), "{}", stderr(&output));
    assert!(std::fs::read_to_string(&junit).unwrap().contains("path.newline"));
    let console = std::fs::read_to_string(keep.join("path.newline-default-ours.console"))
        .or_else(|_| std::fs::read_to_string(keep.join("path.newline-6.1-ours.console")));
    assert!(console.is_ok(), "{:?}", std::fs::read_dir(&keep).unwrap().collect::<Vec<_>>());
}

#[test]
fn two_shards_contain_all_rows_and_their_numbers() {
    if !vm_or_skip() {
        return;
    }
    let ids = ["path.newline", "path.empty-disables", "path.next-request"];
    let shard = |shard: &str| report(&[&ids[..], &["--shard", shard]].concat());
    let ((first_code, first), (second_code, second)) = (shard("1/2"), shard("2/2"));
    assert_eq!((first_code, second_code), (Some(0), Some(0)));
    assert_eq!(first.run.unwrap().shard.map(|shard| (shard.index, shard.count)), Some((1, 2)));
    let mut run: Vec<String> = first.results.into_iter().chain(second.results).map(|row| row.id).collect();
    run.sort_unstable();
    let mut expected = ids;
    expected.sort_unstable();
    assert_eq!(run, expected);
}

#[test]
fn behaviours_that_need_a_missing_command_are_skipped() {
    if !vm_or_skip() {
        return;
    }
    let (code, report) = report(&["--subject", "toybox", "load.by-name", "tool.modinfo", "tool.lsmod"]);
    if code == Some(125) && report.results.is_empty() {
        return eprintln!("skipped: toybox is not available");
    }
    let reason = |id: &str| report.results.iter().find(|row| row.id == id).and_then(|row| row.reason.clone());
    assert_eq!(verdict(&report, "load.by-name"), Verdict::Skip);
    assert_eq!(reason("load.by-name").as_deref(), Some("needs a subject with modprobe"));
    assert_eq!(verdict(&report, "tool.modinfo"), Verdict::Known, "{report:#?}");
}

/// A tree as make leaves it, from the files of the default kernel, without installed modules.
#[test]
fn a_built_kernel_tree_can_be_checked_without_installing_it() {
    if !vm_or_skip() {
        return;
    }
    let cache = vm_images::Cache::open(vm_images::Cache::default_dir(|name| std::env::var_os(name)).unwrap()).unwrap();
    let options = vm_images::Options::new(cache);
    let kernel = vm_images::fetch(&vm_images::Catalogue::builtin().unwrap(), "default", &options).unwrap();
    let modules = kernel.modules.unwrap().join("kernel");
    let tree = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = tree.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    std::fs::copy(&kernel.image, place("arch/x86/boot/bzImage")).unwrap();
    std::fs::write(place("include/config/kernel.release"), kernel.release.as_str()).unwrap();
    let files = ["fs/nls/nls_utf8.ko", "drivers/block/loop.ko", "drivers/net/dummy.ko"];
    for file in files {
        std::fs::copy(modules.join(file), place(file)).unwrap();
    }
    std::fs::write(place("modules.order"), files.join("\n")).unwrap();
    let before = std::fs::read_dir(tree.path()).unwrap().count();
    let (code, report) = report(&["--kernel", tree.path().to_str().unwrap(), "load.by-name", "load.dependencies"]);
    assert_eq!((code, verdict(&report, "load.by-name")), (Some(0), Verdict::Pass), "{report:#?}");
    // 8021q is not in modules.order.
    assert_eq!(verdict(&report, "load.dependencies"), Verdict::Skip, "{report:#?}");
    assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), before, "the run wrote into the tree");
}
