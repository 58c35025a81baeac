//! Wrong use ends with exit code 2 and a message that says what to do, before anything is fetched or booted.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::fs;
use std::path::Path;
use support::{kmodlab, run, stderr, stdout};

fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}{}", stdout(&output), stderr(&output));
    stderr(&output)
}

/// As much of a bzImage as has a boot header: release `9.9.9-made`.
fn made_kernel(path: &Path) {
    let mut image = vec![0_u8; 4096];
    image[0x1f1] = 4;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0400_u16.to_le_bytes());
    image[0x211] = 1;
    image[0x600..0x60f].copy_from_slice(b"9.9.9-made (us)");
    fs::write(path, image).unwrap();
}

#[test]
fn an_unknown_behaviour_is_told_with_a_hint() {
    let message = refused(&["run", "path.empty-disable"]);
    assert!(message.contains("did you mean path.empty-disables?"), "{message}");
    refused(&["show", "nonsense"]);
}

#[test]
fn a_file_that_is_no_kernel_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bzImage");
    fs::write(&path, "text").unwrap();
    let message = refused(&["run", "--kernel", path.to_str().unwrap()]);
    assert!(message.contains("is not a bootable kernel"), "{message}");
    refused(&["run", "--kernel", "/nonexistent/bzImage"]);
    refused(&["run", "--kernel", "0.99"]);
}

#[test]
fn a_directory_that_is_no_built_kernel_tree_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert!(refused(&["run", "--kernel", path]).contains("is neither a kernel tree nor a build directory"));
    fs::write(dir.path().join("Kbuild"), "").unwrap();
    assert!(refused(&["run", "--kernel", path]).contains("make bzImage modules"));
    assert!(refused(&["run", "--kernel", "6.1", "--modules", path]).contains("--modules belongs to"));
}

#[test]
fn a_configuration_that_lacks_something_is_told_as_a_fragment() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join(".config");
    fs::write(&config, "CONFIG_MODULES=y\nCONFIG_UNIX=y\n").unwrap();
    for named in [dir.path(), &config] {
        let output = run(&["kernel", "config-check", named.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let text = stdout(&output);
        assert!(text.contains("# CONFIG_TTY is not set; wanted by the lab itself\nCONFIG_TTY=y\n"), "{text}");
        assert!(text.contains("# CONFIG_UNIX=y; wanted by loop.historic-unix\nCONFIG_UNIX=m\n"), "{text}");
    }
    refused(&["kernel", "config-check", "/nonexistent"]);
    refused(&["kernel", "build"]);
    assert!(refused(&["kernel", "build", "--tree", dir.path().to_str().unwrap()]).contains("no kernel source tree"));
}

#[test]
fn modules_of_another_release_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = dir.path().join("bzImage");
    made_kernel(&kernel);
    let modules = dir.path().join("lib/modules/1.2.3");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    let message = refused(&["run", "--kernel", kernel.to_str().unwrap(), "--modules", modules.to_str().unwrap()]);
    assert!(message.contains("1.2.3") && message.contains("9.9.9-made"), "{message}");
}

#[test]
fn a_missing_qemu_is_told_with_what_to_install() {
    let message = refused(&["run", "--qemu", "/nonexistent/qemu"]);
    assert!(message.contains("qemu-system-x86"), "{message}");
}

#[test]
fn missing_guest_programs_are_told_with_the_command_that_builds_them() {
    let dir = tempfile::tempdir().unwrap();
    let message = refused(&["run", "--guest-dir", dir.path().to_str().unwrap()]);
    assert!(message.contains("ci/setup"), "{message}");
}

#[test]
fn a_subject_that_cannot_be_executed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("modprobe");
    fs::write(&path, "not a program").unwrap();
    let message = refused(&["run", "--subject", path.to_str().unwrap()]);
    assert!(message.contains("modprobe"), "{message}");
    refused(&["run", "--subject", "/nonexistent/modprobe"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_run() {
    let message = refused(&["run", "--json", "/nonexistent/report.json"]);
    assert!(message.contains("/nonexistent"), "{message}");
    assert!(refused(&["run", "--json", "/"]).contains("is a directory"));
    refused(&["run", "--json", "-", "--format", "ktap"]);
    refused(&["run", "--junit", "-"]);
    assert!(refused(&["run", "--keep", "/proc/none"]).contains("/proc/none"));
}

#[test]
fn a_limit_that_is_none_is_refused() {
    for seconds in ["0", "18446744073709551615", "soon"] {
        refused(&["run", "--timeout", seconds]);
    }
    refused(&["run", "--jobs", "0"]);
    refused(&["run", "--timeout-factor", "0"]);
    refused(&["run", "--retries", "1", "--repeat", "2"]);
    let output = kmodlab().args(["run"]).env("KMODLAB_TIMEOUT_FACTOR", "slow").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("KMODLAB_TIMEOUT_FACTOR=slow"), "{}", stderr(&output));
}

#[test]
fn a_shard_that_is_none_is_refused() {
    assert!(refused(&["run", "--shard", "5/4"]).contains("there is no shard 5 of 4"));
    assert!(refused(&["run", "path.newline", "--shard", "2/2"]).contains("has nothing to run: 1 row in all"));
    let output = kmodlab().args(["run", "path.newline"]).env("KMODLAB_SHARD", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let array = [("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "3")];
    let output = kmodlab().args(["run", "path.newline"]).env_remove("KMODLAB_SHARD").envs(array).output().unwrap();
    assert!(stderr(&output).contains("shard 3 of 3 (from CI_NODE_INDEX and CI_NODE_TOTAL"), "{}", stderr(&output));
}

#[test]
fn help_and_version_are_no_failure() {
    for args in [["--help"], ["--version"]] {
        assert_eq!(run(&args).status.code(), Some(0));
    }
}

#[test]
fn the_help_of_every_command() {
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["kernel", "--help"],
        &["subject", "--help"],
        &["kernel", "build", "--help"],
        &["kernel", "config-check", "--help"],
        &["cache", "--help"],
        &["cache", "prune", "--help"],
        &["shell", "--help"],
        &["bundle", "--help"],
        &["kselftest", "--help"],
        &["report", "--help"],
        &["compare", "--help"],
        &["bisect", "--help"],
    ] {
        let name = args.join("_").replace("--", "");
        insta::assert_snapshot!(name, stdout(&run(args)));
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_told_with_its_column() {
    let message = refused(&["run", "-E", "group(loop) & grop(path)"]);
    assert!(message.contains("column 15") && message.contains("\n                ^"), "{message}");
    refused(&["list", "-E", "group(lop)"]);
    refused(&["run", "path", "-E", "group(loop)"]);
}

#[test]
fn a_comparison_that_cannot_be_is_refused() {
    assert!(refused(&["compare"]).contains("name two kernels with --base and --head, or two JSON reports"));
    assert!(refused(&["compare", "a.json"]).contains("two JSON reports"));
    assert!(
        refused(&["compare", "/nonexistent/a.json", "/nonexistent/b.json"]).contains("cannot read /nonexistent/a.json")
    );
    refused(&["compare", "--base", "6.1"]);
    refused(&["compare", "a.json", "b.json", "--jobs", "1"]);
    assert!(refused(&["compare", "--base", "6.1", "--head", "6.1", "--kernel", "6.1"]).contains("not with --kernel"));
    assert!(refused(&["compare", "a.json", "b.json", "--allow-change", "lop"]).contains("no behaviour"));
    assert!(refused(&["compare", "a.json", "b.json", "--json", "-", "--markdown", "-"]).contains("not both"));
}

#[test]
fn a_stored_report_that_is_none_is_refused() {
    assert!(refused(&["report", "html", "/nonexistent/r.json"]).contains("cannot read /nonexistent/r.json"));
    assert!(refused(&["report", "html", "Cargo.toml"]).contains("Cargo.toml is no JSON report of kmodlab"));
    assert!(refused(&["report", "merge", "Cargo.toml", "-o", "/nonexistent/x"]).contains("cannot be written"));
    refused(&["report", "merge", "Cargo.toml"]);
}

#[test]
fn a_wrong_use_of_bisect_ends_the_bisection() {
    for args in [
        &["--tree", "src"][..],
        &["lop.cut"],
        &["--kernel", "6.1"],
        &["--jobs", "0"],
        &["--print-command"],
        &["--bogus"],
    ] {
        let output = kmodlab().arg("bisect").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(128), "{args:?}: {}", stderr(&output));
    }
}
