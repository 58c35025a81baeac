//! Kernels that cannot be used, a cache that was damaged or cannot be written, disks that are full, a mirror that is away.

use crate::sandbox::{LINKED, Sandbox, names};
use conformance::event::Row;
use conformance::report::json::Report;
use conformance::verdict::Verdict;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn reason(row: &Row) -> &str {
    row.reason.as_deref().unwrap_or_default()
}

fn is_error_that_says(sandbox: &Sandbox, args: &[&str], what: &str) {
    let (code, row) = sandbox.row(args);
    assert_eq!((code, row.verdict), (Some(125), Verdict::Error), "{row:#?}");
    assert!(reason(&row).contains(what), "{row:#?}");
}

fn passes(sandbox: &Sandbox, args: &[&str]) {
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

/// As one whose configuration lacks the second serial port.
#[test]
fn a_kernel_without_a_second_serial_port_is_an_error_that_shows_its_last_words() {
    let Some(sandbox) = Sandbox::open() else { return };
    is_error_that_says(&sandbox, &["--append", "8250.nr_uarts=1"], "unexpected power-off by the guest");
}

/// As one whose configuration lacks the initramfs.
#[test]
fn a_kernel_without_an_initramfs_is_an_error_that_shows_its_panic() {
    let Some(sandbox) = Sandbox::open() else { return };
    is_error_that_says(&sandbox, &["--append", "initcall_blacklist=populate_rootfs"], "Kernel panic - not syncing");
}

#[test]
fn a_damaged_kernel_image_is_an_error_and_a_cut_one_wrong_use() {
    let Some(sandbox) = Sandbox::open() else { return };
    let (image, modules) = kernel(&sandbox);
    let mut bytes = std::fs::read(image).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x5a);
    let damaged = sandbox.path("bzImage");
    std::fs::write(&damaged, &bytes).unwrap();
    let given = ["--kernel", damaged.to_str().unwrap(), "--modules", modules.to_str().unwrap()];
    is_error_that_says(&sandbox, &given, "cannot decompress the kernel");
    std::fs::write(&damaged, &bytes[..600]).unwrap();
    let output = sandbox.run(&[&["path.newline"], &given[..]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.contains("no kernel that can be booted")), (Some(2), true), "{text}");
}

#[test]
fn a_damaged_initramfs_in_the_cache_is_made_anew() {
    let Some(sandbox) = Sandbox::open() else { return };
    passes(&sandbox, &[]);
    let [name] = &names(&sandbox.cache("initramfs"))[..] else { panic!("one initramfs") };
    let path = sandbox.cache("initramfs").join(name);
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[4096..8192].fill(0);
    std::fs::write(&path, damaged).unwrap();
    // Without the template it is what the guest boots.
    std::fs::remove_dir_all(sandbox.cache("templates")).unwrap();
    let output = sandbox.run(&["path.newline"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the initramfs in the cache was damaged: it is made anew"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[test]
fn a_template_whose_memory_was_cut_or_state_was_changed_is_booted_anew() {
    let Some(sandbox) = Sandbox::open() else { return };
    passes(&sandbox, &[]);
    let dir = names(&sandbox.cache("templates")).into_iter().find(|name| name.len() == 32).unwrap();
    let dir = sandbox.cache("templates").join(dir);
    let memory = std::fs::OpenOptions::new().write(true).open(dir.join("memory")).unwrap();
    memory.set_len(100 << 20).unwrap();
    let output = sandbox.run(&["path.newline"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("was damaged (somebody wrote to its memory): it was booted anew"), "{text}");
    assert_eq!(std::fs::metadata(dir.join("memory")).unwrap().len(), 256 << 20);
    let mut state = std::fs::read(dir.join("device")).unwrap();
    let middle = state.len() / 2;
    state[middle] ^= 1;
    std::fs::write(dir.join("device"), &state).unwrap();
    passes(&sandbox, &[]);
    assert_ne!(std::fs::read(dir.join("device")).unwrap(), state);
}

#[test]
fn two_runs_at_once_over_an_empty_cache_both_pass() {
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
fn a_mirror_that_is_away_stops_only_what_is_not_in_the_cache() {
    let Some(sandbox) = Sandbox::open() else { return };
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mirror = format!("http://127.0.0.1:{port}/debian");
    passes(&sandbox, &["--mirror", &mirror]);
    let Some(empty) = Sandbox::empty() else { return };
    let output = empty.run(&["path.newline", "--json", "-", "--mirror", &mirror]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report.results.len()), (Some(125), 0));
    let [left_out] = &report.skipped_kernels[..] else { panic!("{report:#?}") };
    assert!(left_out.reason.contains(&port.to_string()), "{left_out:?}");
}

/// Runs the lab where `mount` has mounted something, in a name space of its own. `None`: none may be made here.
fn mounted(sandbox: &Sandbox, mount: &str, lab: &str) -> Option<(Option<i32>, String)> {
    let user = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    if !Command::new("unshare").args([user, "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount name space can be made here");
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

/// A disk of this size where the cache is, with what the sandbox's cache links to.
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
    let Some((code, text)) = mounted(&sandbox, &small_disk(&sandbox, "1m"), "") else { return };
    assert_eq!((code, text.contains("No space left on device")), (Some(125), true), "{text}");
}

/// The guest's memory is a sparse file: the disk is full when the guest touches a page, and QEMU dies by SIGBUS.
#[test]
fn a_disk_too_full_for_the_guests_memory_is_an_error() {
    let Some(sandbox) = Sandbox::open() else { return };
    let Some((code, text)) = mounted(&sandbox, &small_disk(&sandbox, "48m"), "") else { return };
    assert_eq!((code, text.contains("is the disk full?")), (Some(125), true), "{text}");
}

#[test]
fn a_report_that_does_not_fit_its_disk_makes_the_run_unjudged() {
    let Some(sandbox) = Sandbox::open() else { return };
    let reports = sandbox.path("reports");
    std::fs::create_dir(&reports).unwrap();
    let mount = format!("mount -t tmpfs -o size=4k none '{0}'; head -c 4096 /dev/zero >'{0}/full'", reports.display());
    let report = format!("--json '{}/report.json'", reports.display());
    let Some((code, text)) = mounted(&sandbox, &mount, &report) else { return };
    assert_eq!(code, Some(125), "{text}");
    assert!(text.contains("1 passed") && text.contains("writing a report") && text.contains("No space left"), "{text}");
}

#[test]
fn a_cache_that_cannot_be_written_is_said_before_anything_boots() {
    let Some(sandbox) = Sandbox::open() else { return };
    let cache = sandbox.path("cache").display().to_string();
    let mount = format!("mount --bind '{cache}' '{cache}'; mount -o remount,ro,bind '{cache}'; cd '{cache}'");
    let Some((code, text)) = mounted(&sandbox, &mount, "") else { return };
    assert_eq!((code, text.contains("Read-only file system")), (Some(125), true), "{text}");
    assert!(text.contains(&cache), "{text}");
}
