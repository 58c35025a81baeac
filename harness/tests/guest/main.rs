//! Tests with real guests: they answer, they are independent, every kind of death is recognised and leaves nothing.

#![allow(clippy::unwrap_used)] // tests, helpers included

mod caller;
mod rig;
mod sigkill;

use agent::proto::{Action, Errno, Reply, Request, Value};
use harness::accel::{self, Kvm};
use harness::{
    Accel, BootError, BootPolicy, Death, Exit, Kind, Machine, Profile, Spec, Templates, VmError, WallLimits, boot_cold,
};
use rig::{CALL, Rig, act, is_alive};
use std::time::{Duration, Instant, SystemTime};

/// Carries out an action that kills the guest. Returns the error of the call and its duration.
fn die(vm: &mut harness::Vm, action: Action, wall: Duration) -> (VmError, Duration) {
    let started = Instant::now();
    let error = vm.call(&Request::InInit(action), wall).unwrap_err();
    (error, started.elapsed())
}

fn death(error: VmError) -> Death {
    match error {
        VmError::Dead(death) => *death,
        other => panic!("expected a death: {other}"),
    }
}

#[test]
fn a_cold_boot_answers_and_shuts_down_cleanly() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = boot_cold(&rig.qemu, &rig.spec, &rig.spawner, &WallLimits::default()).unwrap();
    let pid = vm.qemu_pid();
    assert!(String::from_utf8_lossy(&vm.hello().cmdline).contains("rdinit=/init"));
    assert!(matches!(vm.call(&Request::Clock, CALL).unwrap(), Reply::Clock(_)));
    assert!(String::from_utf8_lossy(&vm.console()).contains("Linux version"));
    assert_eq!(vm.findings(), []);
    let ending = vm.shutdown();
    assert!(ending.is_clean(), "{ending:?}");
    assert_eq!((ending.reason.as_deref(), ending.exit), (Some("guest-reset"), Exit::Code(0)));
    assert!(!is_alive(pid));
}

#[test]
fn the_clock_source_of_a_settled_guest_and_of_a_clone_is_final() {
    let Some(rig) = Rig::open() else { return };
    let cold = boot_cold(&rig.qemu, &rig.spec, &rig.spawner, &WallLimits::default()).unwrap().settled().unwrap();
    let clone = rig.template().clone_vm(&rig.spawner).unwrap();
    for mut vm in [cold, clone] {
        let path = b"/sys/devices/system/clocksource/clocksource0/current_clocksource".to_vec();
        let current = act(&mut vm, Action::Read { path, max: 64 }).result.unwrap();
        assert_ne!(current, Value::Bytes(b"tsc-early\n".to_vec()));
        let console = vm.console_mark();
        act(&mut vm, Action::Sleep(3000)).result.unwrap();
        assert_eq!(String::from_utf8_lossy(&vm.console_since(console)), "");
    }
}

#[test]
fn clones_are_independent_and_do_not_change_the_template() {
    let Some(rig) = Rig::open() else { return };
    let template = rig.template();
    let memory = template.dir().join("memory");
    let before = rig::digest(&std::fs::read(&memory).unwrap());
    let (mut one, mut two) = (template.clone_vm(&rig.spawner).unwrap(), template.clone_vm(&rig.spawner).unwrap());
    assert_eq!(one.hello(), two.hello());
    let path = b"/tmp/left-by-one".to_vec();
    let write = Action::Write { path: path.clone(), data: vec![7; 1 << 16], flags: 0o100 };
    assert_eq!(act(&mut one, write).result, Ok(Value::Number(1 << 16)));
    let read = Action::Read { path, max: 1 << 20 };
    assert_eq!(act(&mut one, read.clone()).result, Ok(Value::Bytes(vec![7; 1 << 16])));
    assert_eq!(act(&mut two, read.clone()).result, Err(Errno(2)));
    assert!(one.shutdown().planned && two.shutdown().planned);
    let mut later = template.clone_vm(&rig.spawner).unwrap();
    assert_eq!(act(&mut later, read).result, Err(Errno(2)));
    later.kill();
    assert_eq!(rig::digest(&std::fs::read(&memory).unwrap()), before);
}

#[test]
fn a_clone_has_the_current_time_and_its_own_random_numbers() {
    let Some(rig) = Rig::open() else { return };
    let mut random = Vec::new();
    for _ in 0..2 {
        let mut vm = rig.guest();
        let read = |path: &[u8], max| Action::Read { path: path.to_vec(), max };
        // btime is the time of day minus the uptime.
        let Ok(Value::Bytes(stat)) = act(&mut vm, read(b"/proc/stat", 1 << 16)).result else { panic!() };
        let stat = String::from_utf8(stat).unwrap();
        let booted: u64 = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap().parse().unwrap();
        let Reply::Clock(uptime) = vm.call(&Request::Clock, CALL).unwrap() else { panic!() };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!((booted + uptime.0 / 1_000_000).abs_diff(now) < 30, "{booted} + {uptime:?} is not {now}");
        random.push(act(&mut vm, read(b"/dev/urandom", 32)).result.unwrap());
        assert!(vm.shutdown().planned);
    }
    assert_ne!(random[0], random[1]);
}

#[test]
fn idle_guest_time_costs_no_wall_time_and_is_reproducible() {
    let Some(rig) = Rig::open() else { return };
    let mut took = Vec::new();
    for _ in 0..2 {
        let mut vm = rig.guest();
        let started = Instant::now();
        let result = act(&mut vm, Action::Sleep(60_000));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        took.push(result.ended.millis_since(result.began));
    }
    assert!(took.iter().all(|took| (60_000..60_010).contains(took)), "{took:?}");
}

#[test]
fn a_panic_is_a_death_with_evidence() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let pid = vm.qemu_pid();
    let (error, took) = die(&mut vm, Action::Panic, CALL);
    let death = death(error);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(death.evidence && !death.ending.planned, "{death}");
    let kinds: Vec<Kind> = death.ending.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds.last(), Some(&Kind::Panic), "{death}");
    // The trace can be longer than the tail; the finding has the header.
    let panic = death.ending.findings.last().unwrap();
    assert!(panic.lines.iter().any(|line| line.contains("Kernel panic")), "{death}");
    assert!((1..=40).contains(&death.tail.len()), "{death}");
    assert!(!is_alive(pid));
    // Further calls report the death again.
    assert!(matches!(vm.call(&Request::Clock, CALL), Err(VmError::Dead(_))));
    assert!(!vm.shutdown().planned);
}

#[test]
fn an_unexpected_reset_is_a_death_without_evidence() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let (error, took) = die(&mut vm, Action::Reset, CALL);
    let death = death(error);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!death.evidence && !death.ending.planned, "{death}");
    assert_eq!(death.ending.reason.as_deref(), Some("guest-reset"));
    assert_eq!(death.ending.to_string(), "unexpected reset by the guest");
}

#[test]
fn a_hung_guest_is_a_timeout_within_the_limit_and_is_killed_when_dropped() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let pid = vm.qemu_pid();
    let limit = Duration::from_millis(1500);
    let (error, took) = die(&mut vm, Action::Hang, limit);
    assert!(matches!(error, VmError::Timeout { .. }), "{error}");
    assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
    assert!(is_alive(pid));
    drop(vm);
    assert!(!is_alive(pid));
}

#[test]
fn a_hung_guest_does_not_end_as_planned() {
    let Some(rig) = Rig::open() else { return };
    let limits = WallLimits { shutdown: Duration::from_secs(2), ..WallLimits::default() };
    let templates = Templates::open(rig.template().dir().parent().unwrap()).unwrap();
    let template = templates.get(&rig.machine(), &BootPolicy::default(), &rig.spawner, &limits).unwrap();
    let mut vm = template.clone_vm(&rig.spawner).unwrap();
    let _ = die(&mut vm, Action::Hang, Duration::from_millis(200));
    let started = Instant::now();
    let ending = vm.shutdown();
    assert!(!ending.planned && ending.exit == Exit::Killed, "{ending:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_stopped_qemu_is_a_timeout_and_a_killed_one_a_death_without_evidence() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let pid = rustix::process::Pid::from_raw(i32::try_from(vm.qemu_pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let big = Request::InInit(Action::InitModule { image: vec![0; 1 << 20], params: vec![] });
    let started = Instant::now();
    let error = vm.call(&big, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, VmError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let death = death(vm.call(&Request::Clock, CALL).unwrap_err());
    assert_eq!((death.ending.exit, death.evidence), (Exit::Signal(9), false), "{death}");
}

#[test]
fn a_guest_without_init_dies_before_the_agent_answers_and_without_evidence() {
    let Some(rig) = Rig::open() else { return };
    let spec = Spec { initramfs: rig.initramfs_without_init(), ..rig.spec.clone() };
    match boot_cold(&rig.qemu, &spec, &rig.spawner, &WallLimits::default()) {
        Err(BootError::Dead(death)) => {
            assert!(!death.evidence, "{death}");
            assert!(death.ending.findings.iter().any(|finding| finding.kind == Kind::Panic), "{death}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silent_agent_is_a_timeout_within_the_limit() {
    let Some(rig) = Rig::open() else { return };
    let limits = WallLimits { boot: Duration::from_millis(700), ..WallLimits::default() };
    let started = Instant::now();
    match boot_cold(&rig.qemu, &rig.spec, &rig.spawner, &limits) {
        Err(BootError::Timeout { death, .. }) => assert_eq!(death.ending.exit, Exit::Killed),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_kernel_that_qemu_refuses_is_reported_with_qemus_message() {
    let Some(rig) = Rig::open() else { return };
    let spec = Spec { kernel: "/nowhere/bzImage".into(), ..rig.spec.clone() };
    match boot_cold(&rig.qemu, &spec, &rig.spawner, &WallLimits::default()) {
        Err(BootError::Dead(death)) => {
            assert!(death.stderr.iter().any(|line| line.contains("/nowhere/bzImage")), "{death}");
            assert_eq!(death.ending.exit, Exit::Code(1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_runs_create_a_template_once_and_a_damaged_one_is_not_used() {
    let Some(rig) = Rig::open() else { return };
    let dir = rig.scratch.path().join("templates");
    let spec = Spec { profile: Profile::Fast, ..rig.spec.clone() };
    let machine = Machine { spec: &spec, ..rig.machine() };
    let get = || {
        let templates = Templates::open(&dir).unwrap();
        templates.get(&machine, &BootPolicy::default(), &rig.spawner, &WallLimits::default()).unwrap()
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(get);
        (get(), other.join().unwrap())
    });
    assert_eq!((one.dir(), one.boot_time()), (two.dir(), two.boot_time()));
    assert!(one.clone_vm(&rig.spawner).unwrap().shutdown().is_clean());
    let left: Vec<_> = dir.join("work").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["gate"], "no work directory is left");

    let templates = Templates::open(&dir).unwrap().with_disk_limit(0);
    let is_whole = || templates.has(&rig.qemu, &spec, &rig.key);
    assert!(is_whole());
    let device = one.dir().join("device");
    let state = std::fs::read(&device).unwrap();
    std::fs::write(&device, &state[1..]).unwrap();
    assert!(!is_whole(), "a byte of the device state is missing");
    std::fs::write(&device, &state).unwrap();
    assert!(is_whole());
    let memory = std::fs::OpenOptions::new().write(true).open(one.dir().join("memory")).unwrap();
    memory.set_modified(SystemTime::now()).unwrap();
    assert!(!is_whole(), "the memory file was modified");

    templates.prune();
    assert!(one.dir().exists(), "the template is in use");
    let path = one.dir().to_owned();
    drop((one, two));
    templates.prune();
    assert!(!path.exists());
}

/// Gets the template of a guest with a soft lockup on its console while it boots; the boots from `good` on count as
/// acceptable. Returns the directory of templates and the template.
fn damaged_template(rig: &Rig, good: u32) -> (std::path::PathBuf, harness::Template) {
    const LOCKUP: &str = "[    9.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [swapper/0:1]\n";
    let dir = rig.scratch.path().join(format!("templates-{good}"));
    let spec = rig.spec_that_prints(LOCKUP);
    let asked = std::cell::Cell::new(0);
    let accepts = |finding: &harness::Finding| {
        assert_eq!(finding.kind, Kind::LockUp);
        asked.set(asked.get() + 1);
        asked.get() >= good
    };
    let policy = BootPolicy { accepts: &accepts, ..BootPolicy::default() };
    let machine = Machine { spec: &spec, ..rig.machine() };
    let templates = Templates::open(&dir).unwrap();
    let template = templates.get(&machine, &policy, &rig.spawner, &WallLimits::default()).unwrap();
    (dir, template)
}

fn stored(dir: &std::path::Path) -> usize {
    Templates::open(dir).unwrap().stored().len()
}

#[test]
fn a_boot_with_a_finding_that_is_not_accepted_is_repeated() {
    let Some(rig) = Rig::open() else { return };
    let (dir, template) = damaged_template(&rig, 2);
    assert!(template.is_stored());
    assert_eq!(template.discarded_boots().len(), 1);
    assert_eq!(template.discarded_boots()[0][0].kind, Kind::LockUp);
    assert_eq!((template.boot_findings().len(), stored(&dir)), (1, 1));
}

#[test]
fn a_template_is_not_stored_if_no_boot_is_accepted() {
    let Some(rig) = Rig::open() else { return };
    let (dir, template) = damaged_template(&rig, u32::MAX);
    assert_eq!((template.is_stored(), template.discarded_boots().len(), stored(&dir)), (false, 2, 0));
    assert_eq!(template.boot_findings().len(), 1);
    assert!(template.clone_vm(&rig.spawner).unwrap().shutdown().planned);
    let path = template.dir().to_owned();
    drop(template);
    assert!(!path.exists());
}

#[test]
fn eight_concurrent_clones_answer() {
    let Some(rig) = Rig::open() else { return };
    let template = rig.template();
    std::thread::scope(|scope| {
        let clones: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut vm = template.clone_vm(&rig.spawner).unwrap();
                    vm.call(&Request::Clock, CALL).unwrap();
                    vm.shutdown().planned
                })
            })
            .collect();
        assert!(clones.into_iter().all(|clone| clone.join().unwrap()));
    });
}

#[test]
fn kill_all_kills_every_guest_and_no_further_guest_starts() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let spawner = rig.spawner.clone();
    let template = rig.template();
    std::thread::spawn(move || spawner.kill_all()).join().unwrap();
    let death = death(vm.call(&Request::Clock, CALL).unwrap_err());
    assert_eq!(death.ending.exit, Exit::Signal(9));
    let refused = template.clone_vm(&rig.spawner);
    assert!(matches!(refused, Err(BootError::Harness(harness::HarnessError::Interrupted))), "{refused:?}");
}

#[test]
fn kvm_is_probed_once_by_booting_a_guest() {
    let Some(rig) = Rig::open() else { return };
    let cache = rig.scratch.path().join("cache");
    let started = Instant::now();
    let kvm = accel::probe(&rig.qemu, &rig.spec, &rig.spawner, &cache).unwrap();
    eprintln!("{kvm:?}, found in {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(60));
    let started = Instant::now();
    assert_eq!(accel::probe(&rig.qemu, &rig.spec, &rig.spawner, &cache).unwrap(), kvm);
    assert!(started.elapsed() < Duration::from_millis(100));
    if kvm == Kvm::Works {
        let spec = Spec { accel: Accel::Kvm, ..rig.spec.clone() };
        assert!(boot_cold(&rig.qemu, &spec, &rig.spawner, &WallLimits::default()).unwrap().shutdown().planned);
    }
}
