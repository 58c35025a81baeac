//! Unusable kernels, a damaged or read-only cache, full disks, an unreachable mirror.

use crate::sandbox::{LINKED, Sandbox, names};
use conformance::report::document::Report;
use conformance::run::event::Row;
use conformance::run::verdict::Verdict;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn reason(row: &Row) -> &str {
    row.reason.as_deref().unwrap_or_default()
}

fn assert_error(sandbox: &Sandbox, args: &[&str], what: &str) {
    let (code, row) = sandbox.row(args);
    assert_eq!((code, row.verdict), (Some(125), Verdict::Error), "{row:#?}");
    assert!(reason(&row).contains(what), "{row:#?}");
}

fn assert_pass(sandbox: &Sandbox, args: &[&str]) {
    let (code, row) = sandbox.row(args);
    assert_eq!((code, row.verdict), (Some(0), Verdict::Pass), "{row:#?}");
}

/// The default kernel's image and modules.
fn kernel(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let cache = vm_images::Cache::open(sandbox.path("cache")).unwrap();
    let catalogue = vm_images::Catalogue::builtin().unwrap();
    let kernel = vm_images::fetch(&catalogue, "default", &vm_images::Options::new(cache)).unwrap();
    (kernel.image, kernel.modules.unwrap())
}

/// The parameter disables the port, as a configuration without it does.
#[test]
fn a_kernel_without_a_second_serial_port_is_an_error_with_its_last_lines() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert_error(&sandbox, &["--append", "8250.nr_uarts=1"], "unexpected power-off by the guest");
}

/// The parameter disables the initramfs, as a configuration without it does.
#[test]
fn a_kernel_without_an_initramfs_is_an_error_with_its_panic() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert_error(&sandbox, &["--append", "initcall_blacklist=populate_rootfs"], "Kernel panic - not syncing");
}

#[test]
fn a_damaged_kernel_image_is_an_error_and_a_truncated_one_an_invalid_argument() {
    let Some(sandbox) = Sandbox::open() else { return };
    let (image, modules) = kernel(&sandbox);
    let mut bytes = std::fs::read(image).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x5a);
    let damaged = sandbox.path("bzImage");
    std::fs::write(&damaged, &bytes).unwrap();
    let given = ["--kernel", damaged.to_str().unwrap(), "--modules", modules.to_str().unwrap()];
    assert_error(&sandbox, &given, "cannot decompress the kernel");
    std::fs::write(&damaged, &bytes[..600]).unwrap();
    let output = sandbox.run(&[&["path.newline"], &given[..]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.contains("is not a bootable kernel")), (Some(2), true), "{text}");
}

#[test]
fn a_damaged_initramfs_in_the_cache_is_rebuilt() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert_pass(&sandbox, &[]);
    let [name] = &names(&sandbox.cache("initramfs"))[..] else { panic!("one initramfs") };
    let path = sandbox.cache("initramfs").join(name);
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..8192].fill(0);
    std::fs::write(&path, damaged).unwrap();
    // Without a template the guest boots it.
    std::fs::remove_dir_all(sandbox.cache("templates")).unwrap();
    let output = sandbox.run(&["path.newline"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the initramfs in the cache was damaged and has been rebuilt"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn a_template_with_truncated_memory_or_changed_state_is_booted_again() {
    let Some(sandbox) = Sandbox::open() else { return };
    assert_pass(&sandbox, &[]);
    let dir = names(&sandbox.cache("templates")).into_iter().find(|name| name.len() == 32).unwrap();
    let dir = sandbox.cache("templates").join(dir);
    let memory = std::fs::OpenOptions::new().write(true).open(dir.join("memory")).unwrap();
    memory.set_len(100 << 20).unwrap();
    let output = sandbox.run(&["path.newline"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("was damaged (its memory file was modified) and has been booted again"), "{text}");
    assert_eq!(std::fs::metadata(dir.join("memory")).unwrap().len(), 256 << 20);
    let mut state = std::fs::read(dir.join("device")).unwrap();
    let middle = state.len() / 2;
    state[middle] ^= 1;
    std::fs::write(dir.join("device"), &state).unwrap();
    assert_pass(&sandbox, &[]);
    assert_ne!(std::fs::read(dir.join("device")).unwrap(), state);
}

#[test]
fn two_concurrent_runs_with_an_empty_cache_both_pass() {
    let Some(sandbox) = Sandbox::open() else { return };
    let start = || {
        let mut lab = sandbox.lab(&["path.newline", "path.length"]);
        lab.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for output in [start(), start()].map(|child| sandbox.finish(child)) {
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
    sandbox.nothing_is_left();
    assert_eq!(names(&sandbox.cache("templates")).iter().filter(|name| name.len() == 32).count(), 1);
}

#[test]
fn an_unreachable_mirror_skips_only_kernels_that_are_not_cached() {
    let Some(sandbox) = Sandbox::open() else { return };
    // Nothing listens on a port that was just closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mirror = format!("http://127.0.0.1:{port}/debian");
    assert_pass(&sandbox, &["--mirror", &mirror]);
    let Some(empty) = Sandbox::empty() else { return };
    let output = empty.run(&["path.newline", "--json", "-", "--mirror", &mirror]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report.results.len()), (Some(125), 0));
    let [left_out] = &report.skipped_kernels[..] else { panic!("{report:#?}") };
    assert!(left_out.reason.contains(&port.to_string()), "{left_out:?}");
}

/// Runs the lab in a separate mount namespace, after the shell commands `mount`; `None` if namespaces are not available.
fn run_with_mount(sandbox: &Sandbox, mount: &str, lab: &str) -> Option<(Option<i32>, String)> {
    let user = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    if !Command::new("unshare").args([user, "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: mount namespaces are not available");
        return None;
    }
    let text = format!(
        "set -e; {mount}; code=0; '{}' run path.newline --append '{}' {lab} || code=$?\n\
         ! test -e v1/tmp || ! ls v1/tmp | grep . >&2\n\
         ! test -e v1/templates/work || ! ls v1/templates/work | grep -v '^gate$' >&2\n\
         exit $code",
        env!("CARGO_BIN_EXE_kmodlab"),
        sandbox.mark,
    );
    let mut command = Command::new("unshare");
    command.args([user, "sh", "-c", &text]);
    let mut command = sandbox.command(command);
    command.current_dir(sandbox.path("cache")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = sandbox.finish(command.spawn().unwrap());
    assert_eq!(sandbox.processes(), Vec::<String>::new());
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

/// Shell commands that mount a disk of this size over the cache, with the links of the sandbox's cache.
fn small_disk(sandbox: &Sandbox, size: &str) -> String {
    let cache = sandbox.path("cache").display().to_string();
    let links: String = LINKED
        .iter()
        .map(|area| format!("; ln -s '{}' v1/{area}", std::fs::read_link(sandbox.cache(area)).unwrap().display()))
        .collect();
    format!("mount -t tmpfs -o size={size} none '{cache}'; cd '{cache}'; mkdir v1{links}")
}

#[test]
fn a_disk_too_full_for_the_initramfs_is_an_error() {
    let Some(sandbox) = Sandbox::open() else { return };
    let Some((code, text)) = run_with_mount(&sandbox, &small_disk(&sandbox, "1m"), "") else { return };
    assert_eq!((code, text.contains("No space left on device")), (Some(125), true), "{text}");
}

#[test]
fn a_disk_too_full_for_the_guests_memory_is_an_error() {
    let Some(sandbox) = Sandbox::open() else { return };
    let Some((code, text)) = run_with_mount(&sandbox, &small_disk(&sandbox, "48m"), "") else { return };
    assert_eq!((code, text.contains("memory: No space left on device")), (Some(125), true), "{text}");
}

#[test]
fn a_disk_too_full_for_the_report_makes_the_run_inconclusive() {
    let Some(sandbox) = Sandbox::open() else { return };
    let reports = sandbox.path("reports");
    std::fs::create_dir(&reports).unwrap();
    let mount = format!("mount -t tmpfs -o size=4k none '{0}'; head -c 4096 /dev/zero >'{0}/full'", reports.display());
    let report = format!("--json '{}/report.json'", reports.display());
    let Some((code, text)) = run_with_mount(&sandbox, &mount, &report) else { return };
    assert_eq!(code, Some(125), "{text}");
    assert!(text.contains("1 passed") && text.contains("report.json: No space left on device\n"), "{text}");
}

#[test]
fn a_read_only_cache_is_reported_before_anything_boots() {
    let Some(sandbox) = Sandbox::open() else { return };
    let cache = sandbox.path("cache").display().to_string();
    let mount = format!("mount --bind '{cache}' '{cache}'; mount -o remount,ro,bind '{cache}'; cd '{cache}'");
    let Some((code, text)) = run_with_mount(&sandbox, &mount, "") else { return };
    assert_eq!((code, text.contains("Read-only file system")), (Some(125), true), "{text}");
    assert!(text.contains(&cache), "{text}");
}
