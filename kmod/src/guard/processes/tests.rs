use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A `/proc` with kthreadd (2), three workers that wait for helpers (10, 11, 12), one that is idle (13), and this process
/// (99), which the kernel has started last.
struct FakeProc {
    directory: TempDir,
}

impl FakeProc {
    fn new() -> Self {
        let fake = Self { directory: tempfile::tempdir().unwrap() };
        fake.stat(1, "init", 'S', 0, 0x0040_0000, 1);
        fake.kernel_thread(2, 0);
        for worker in [10, 11, 12] {
            fake.worker(worker, 'S');
        }
        fake.worker(13, 'I');
        fake.helper(99, 12, 900, "net-pf-1", false);
        fake
    }

    fn file(&self, pid: i32, name: &str, content: &[u8]) {
        let path = self.directory.path().join(pid.to_string()).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, pid: i32, name: &str, target: &str) {
        let path = self.directory.path().join(pid.to_string()).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _absent = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    fn stat(&self, pid: i32, program: &str, state: char, parent: i32, flags: u64, started: u64) {
        let text =
            format!("{pid} ({program}) {state} {parent} 0 0 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 {started} 0 0\n");
        self.file(pid, "stat", text.as_bytes());
    }

    fn kernel_thread(&self, pid: i32, parent: i32) {
        self.stat(pid, "kworker/0:1", 'I', parent, 0x0420_8060, 1);
    }

    /// A kernel thread that starts helpers.
    fn worker(&self, pid: i32, state: char) {
        self.stat(pid, "kworker/u2:1-events_unbound", state, 2, 0x0420_8060, 1);
        self.switches(pid, 5, 1);
    }

    fn switches(&self, pid: i32, voluntary: u32, forced: u32) {
        let text = format!("voluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{forced}\n");
        self.file(pid, "status", text.as_bytes());
    }

    /// A process of root in the initial namespaces.
    fn process(&self, pid: i32, parent: i32, started: u64, arguments: &[u8], waits: bool) {
        self.stat(pid, "modprobe", if waits { 'D' } else { 'R' }, parent, 0x0040_0000, started);
        self.file(pid, "cmdline", arguments);
        self.file(pid, "status", b"Name:\tmodprobe\nUid:\t0\t0\t0\t0\nvoluntary_ctxt_switches:\t7\n");
        self.file(pid, "wchan", if waits { WAITS_IN } else { b"0" });
        self.link(pid, "exe", "/usr/bin/kmod");
        for kind in NAMESPACES {
            self.link(pid, &format!("ns/{kind}"), &format!("{kind}:[4026531835]"));
        }
    }

    fn helper(&self, pid: i32, parent: i32, started: u64, name: &str, waits: bool) {
        self.process(pid, parent, started, format!("/sbin/modprobe\0-q\0--\0{name}\0").as_bytes(), waits);
    }

    fn open(&self) -> Proc {
        Proc::at(self.directory.path()).unwrap()
    }

    fn others(&self) -> Vec<Helper> {
        self.open().snapshot(99).unwrap().others
    }

    /// The helpers as text: name, number of waiting processes, whether it is trusted.
    fn shown(&self) -> Vec<String> {
        let show = |helper: Helper| {
            let name = helper.name.map_or("?".to_owned(), |name| name.escape_ascii().to_string());
            format!("{name} {}{}", helper.waiting.len(), if helper.trusted { "" } else { " untrusted" })
        };
        self.others().into_iter().map(show).collect()
    }
}

#[test]
fn helpers_are_the_children_of_kernel_threads_by_age() {
    let fake = FakeProc::new();
    fake.helper(50, 11, 200, "b", false);
    fake.helper(60, 10, 100, "a", true);
    fake.process(61, 1, 100, b"/sbin/modprobe\0-q\0--\0a\0", true);
    assert_eq!(fake.shown(), ["a 1", "b 0"]);
}

#[test]
fn a_descendant_waits_for_its_helper() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", false);
    fake.process(51, 50, 101, b"/bin/sh\0", false);
    fake.process(52, 51, 102, b"mount\0", true);
    assert_eq!(fake.others()[0].waiting, [Waiting { pid: 52, started: 102, waits: 7 }]);
}

#[test]
fn a_helper_without_a_waiting_parent_is_the_child_of_kthreadd() {
    let fake = FakeProc::new();
    fake.helper(50, 2, 100, "a", false);
    assert_eq!(fake.shown(), ["a 0"]);
}

#[test]
fn a_helper_that_the_kernel_has_not_started_yet_counts() {
    let fake = FakeProc::new();
    // Until 5.18 such a process is marked as a kernel thread.
    fake.stat(50, "kworker/u2:1", 'R', 10, 0x0420_8060, 100);
    assert_eq!(fake.shown(), ["? 0 untrusted"]);
}

#[test]
fn a_program_name_cannot_imitate_a_kernel_thread() {
    let fake = FakeProc::new();
    // The parent is a process whose name contains a stat line.
    fake.stat(40, "x) S 2 0 0 0 -1 69239136 (", 'S', 1, 0x0040_0000, 5);
    fake.helper(50, 40, 100, "a", true);
    assert_eq!(fake.shown(), [""; 0]);
}

#[test]
fn another_user_or_namespace_is_not_trusted() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    fake.file(50, "status", b"Uid:\t0\t1000\t0\t0\n");
    fake.helper(51, 10, 101, "b", true);
    fake.link(51, "ns/mnt", "mnt:[4026532000]");
    fake.helper(52, 10, 102, "c", true);
    fs::remove_dir_all(fake.directory.path().join("52/ns")).unwrap();
    assert_eq!(fake.shown(), ["a 0 untrusted", "b 0 untrusted", "c 0 untrusted"]);
}

#[test]
fn a_kernel_without_user_and_pid_namespaces_has_trusted_helpers() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    let remove = |pid: i32, kind: &str| {
        fs::remove_file(fake.directory.path().join(pid.to_string()).join("ns").join(kind)).unwrap();
    };
    for kind in ["user", "pid"] {
        // A process without a namespace that this one has.
        remove(50, kind);
        assert_eq!(fake.shown(), ["a 0 untrusted"], "{kind}");
        remove(99, kind);
        assert_eq!(fake.shown(), ["a 1"], "{kind}");
    }
    // Every kernel has mount namespaces, so the process is gone.
    remove(50, "mnt");
    assert_eq!(fake.shown(), ["a 0 untrusted"]);
    remove(99, "mnt");
    assert_eq!(fake.shown(), ["a 0 untrusted"]);
}

#[test]
fn a_descendant_of_another_user_does_not_count_as_waiting() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", false);
    fake.process(51, 50, 101, b"x\0", true);
    fake.file(51, "status", b"Uid:\t1000\t1000\t1000\t1000\n");
    assert_eq!(fake.shown(), ["a 0"]);
}

#[test]
fn without_wchan_the_stack_says_where_a_process_waits() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    fake.file(50, "wchan", b"0");
    fake.file(50, "stack", b"[<0>] call_usermodehelper_exec+0x14a/0x1a0\n[<0>] __request_module+0x1a5/0x3e0\n");
    fake.helper(51, 10, 101, "b", true);
    fake.file(51, "wchan", b"0");
    fake.file(51, "stack", b"[<0>] do_wait+0x1/0x2\n[<0>] call_usermodehelper_exec+0x14a/0x1a0\n");
    fake.helper(52, 10, 102, "c", true);
    fs::remove_file(fake.directory.path().join("52/wchan")).unwrap();
    assert_eq!(fake.shown(), ["a 1", "b 0", "c 0"]);
}

#[test]
fn a_younger_helper_is_noticed() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    assert!(fake.open().snapshot(99).unwrap().youngest);
    fake.helper(120, 11, 901, "b", false);
    assert!(!fake.open().snapshot(99).unwrap().youngest);
    assert_eq!(fake.shown(), ["a 1", "b 0"]);
}

#[test]
fn ages_are_uncertain_when_process_ids_have_wrapped_around() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    fake.helper(32_000, 11, 100, "b", true);
    assert_eq!(fake.open().snapshot(99), Err(ProcError::Ages));
}

#[test]
fn a_process_that_the_kernel_did_not_start_has_no_chain() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    fake.helper(99, 1, 900, "net-pf-1", false);
    assert_eq!(fake.shown(), [""; 0]);
}

#[test]
fn candidates_have_the_arguments_of_a_request() {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "net-pf-1", true);
    fake.process(51, 1, 100, b"/bin/sh\0/sbin/m\0-q\0--\0net-pf-1\0", false);
    fake.process(52, 1, 100, b"/sbin/modprobe\0-q\0net-pf-1\0", false);
    fake.process(53, 1, 100, b"", false);
    fake.process(54, 1, 100, b"-q\0--\0net-pf-1", false);
    fake.helper(55, 1, 100, "net-pf-1\0x", false);
    let proc = fake.open();
    let enough = [1, 2, 3].map(|enough| proc.may_be_a_loop(99, b"net-pf-1", enough).unwrap());
    assert_eq!(enough, [true, true, false]);
    // Of the processes 50, 51 and 99, the first is too old for the next process id.
    assert_eq!(proc.may_be_a_loop(50 + RECENT, b"net-pf-1", 3), Ok(true));
    assert_eq!(proc.may_be_a_loop(51 + RECENT, b"net-pf-1", 3), Ok(false));
}

#[test]
fn damaged_and_vanished_files_do_not_count() {
    let fake = FakeProc::new();
    for (pid, stat) in [(50, ""), (51, "51"), (52, "52 (a"), (53, "53 (a) S 10"), (54, "x (a) S 10 0")] {
        fake.file(pid, "stat", stat.as_bytes());
    }
    fs::create_dir(fake.directory.path().join("55")).unwrap();
    fs::create_dir(fake.directory.path().join("99999999999")).unwrap();
    assert_eq!(fake.shown(), [""; 0]);
}

#[test]
fn parents_in_a_circle_end() {
    let fake = FakeProc::new();
    fake.process(50, 51, 100, b"x\0", true);
    fake.process(51, 50, 100, b"x\0", true);
    assert_eq!(fake.shown(), [""; 0]);
}

#[test]
fn a_directory_without_processes_has_no_helpers() {
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(Proc::at(empty.path()).unwrap().snapshot(1), Ok(Snapshot::default()));
    let missing = Proc::at(&empty.path().join("x")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /proc: No such file or directory");
}

/// A chain of two helpers that wait, and what happens to `fake` before the second look.
fn unchanged_after(change: impl FnOnce(&FakeProc)) -> bool {
    unchanged_after_setup(|_| (), change)
}

fn unchanged_after_setup(setup: impl FnOnce(&FakeProc), change: impl FnOnce(&FakeProc)) -> bool {
    let fake = FakeProc::new();
    fake.helper(50, 10, 100, "a", true);
    fake.helper(60, 11, 200, "a", true);
    setup(&fake);
    let proc = fake.open();
    let snapshot = proc.snapshot(99).unwrap();
    let chain = crate::guard::chain(&snapshot);
    assert_eq!(chain.len(), 2);
    change(&fake);
    proc.unchanged(&snapshot, &chain).unwrap()
}

#[test]
fn a_chain_that_waits_is_unchanged() {
    assert!(unchanged_after(|_| ()));
    assert!(unchanged_after(|fake| fake.process(120, 1, 950, b"/bin/sh\0", false)));
    assert!(unchanged_after(|fake| fake.kernel_thread(120, 2)));
}

#[test]
fn a_chain_is_changed_by_an_end_a_new_process_id_or_another_wait() {
    assert!(!unchanged_after(|fake| fs::remove_dir_all(fake.directory.path().join("60")).unwrap()));
    assert!(!unchanged_after(|fake| fake.helper(60, 11, 950, "a", true)));
    assert!(!unchanged_after(|fake| fake.helper(60, 11, 200, "a", false)));
    assert!(!unchanged_after(|fake| fake.file(50, "wchan", b"do_wait")));
    // It waits again, for another helper.
    let again = b"Uid:\t0\t0\t0\t0\nvoluntary_ctxt_switches:\t8\n";
    assert!(!unchanged_after(|fake| fake.file(50, "status", again)));
}

#[test]
fn a_chain_is_changed_by_a_new_helper() {
    assert!(!unchanged_after(|fake| fake.helper(120, 12, 950, "b", false)));
    assert!(!unchanged_after(|fake| fake.stat(120, "kworker/u2:1", 'R', 10, 0x0420_8060, 950)));
    assert!(!unchanged_after(|fake| fake.file(120, "stat", b"")));
}

#[test]
fn a_chain_is_uncertain_while_a_helper_may_be_queued() {
    // A worker is about to start a helper, or is blocked before it does.
    for state in ['R', 'D', 'S'] {
        assert!(!unchanged_after_setup(|fake| fake.worker(13, state), |_| ()), "{state}");
        assert!(!unchanged_after_setup(|fake| fake.worker(11, 'R'), |_| ()));
    }
    for state in ['R', 'D'] {
        assert!(!unchanged_after(|fake| fake.worker(13, state)), "{state}");
        assert!(!unchanged_after(|fake| fake.worker(11, state)), "{state}");
    }
    // It has started one that has ended, or has handed the work on.
    assert!(!unchanged_after(|fake| fake.switches(13, 6, 1)));
    assert!(!unchanged_after(|fake| fake.switches(11, 5, 2)));
    assert!(!unchanged_after(|fake| fs::remove_dir_all(fake.directory.path().join("13")).unwrap()));
    // A new worker.
    assert!(!unchanged_after(|fake| fake.worker(120, 'I')));
}

#[test]
fn a_busy_thread_that_starts_no_helpers_does_not_make_a_chain_uncertain() {
    assert!(unchanged_after_setup(|fake| fake.stat(14, "kworker/0:2", 'R', 2, 0x0420_8060, 1), |_| ()));
    // A process with the name of a worker.
    assert!(unchanged_after_setup(|fake| fake.stat(14, "kworker/u2:7", 'R', 1, 0x0040_0000, 1), |_| ()));
}
