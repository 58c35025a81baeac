//! The engine on guests that break: each one ends with the right verdict, and none is left over.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use agent::proto::{Action, Caller, GuestMillis};
use conformance::behaviour::{About, Behaviour, Check, Group};
use conformance::engine::{self, Plan};
use conformance::event::{Event, Row};
use conformance::lab::Lab;
use conformance::pair::{Boot, Host};
use conformance::verdict::Verdict;
use harness::{Accel, Limits, Profile, Qemu, Spawner, Templates};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use vm_images::{Cache, Catalogue, Options, Subject};

const fn breaking(id: &'static str, check: fn(&mut Lab<'_>) -> Check) -> Behaviour {
    Behaviour {
        id,
        catalogue: "TEST",
        group: Group::Tool,
        statement: "a guest breaks",
        source: "this test",
        about: About::Kernel,
        needs: &[],
        check,
    }
}

static PANICS: Behaviour = breaking("tool.panics", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Panic).map(|_| ())
});
static RESETS: Behaviour = breaking("tool.resets", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Reset).map(|_| ())
});
static HANGS: Behaviour = breaking("tool.hangs", |lab| {
    lab.expect("before", 1, 1);
    lab.arrange_in_init(Action::Hang).map(|_| ())
});
static PANICS_ITSELF: Behaviour = breaking("tool.our-panic", |lab| {
    lab.expect("before", 1, 1);
    panic!("a check's own mistake")
});
static DIES_LATE: Behaviour = breaking("tool.dies-late", |lab| {
    lab.expect("before", 1, 1);
    // A child crashes the kernel, and the check does not notice.
    let jobs = lab.start(Caller::default(), vec![Action::Panic], 1)?;
    let _ = lab.wait(jobs[0], GuestMillis(5000));
    Ok(())
});
static SAYS_NOTHING: Behaviour = breaking("tool.says-nothing", |_| Ok(()));

fn guest_dir() -> PathBuf {
    // The programs lie beside cargo's profile directory, where ci/setup puts them.
    Path::new(env!("CARGO_BIN_EXE_kmodlab")).parent().unwrap().join("../guest")
}

fn run(behaviours: Vec<&'static Behaviour>, append: &str, limit: Duration) -> Vec<Row> {
    let dir = Cache::default_dir(|name| std::env::var_os(name)).unwrap();
    let cache = Cache::open(dir).unwrap();
    let host = Host {
        qemu: Qemu::find(None).unwrap(),
        spawner: Spawner::start().unwrap(),
        templates: Templates::open(cache.area("templates").unwrap()).unwrap(),
        agent: guest_dir().join("agent"),
        boot: Boot {
            profile: Profile::Faithful,
            accel: Accel::Tcg,
            virtual_time: true,
            append: vec![append.to_owned()],
            cold: false,
            limits: Limits { shutdown: Duration::from_secs(2), ..Limits::default() },
            era: None,
        },
        cache: cache.clone(),
    };
    let kernel = vm_images::fetch(&Catalogue::builtin().unwrap(), "default", &Options::new(cache)).unwrap();
    let plan = Plan {
        shard: None,
        flow: engine::Flow::default(),
        kernels: vec![Ok(kernel)],
        subjects: vec![Subject::ours(&guest_dir()).unwrap()],
        behaviours,
        jobs: 2,
        limit,
        keep: None,
        boot_failure_fails: false,
    };
    let rows = Mutex::new(Vec::new());
    engine::run(&plan, &host, &AtomicBool::new(false), &|event| {
        if let Event::Judged(row) = event {
            rows.lock().unwrap().push(*row);
        }
    });
    let left = support::children_with(append);
    assert!(left.is_empty(), "QEMU is left over: {left:?}");
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

#[test]
fn a_guest_that_breaks_gives_its_verdict_and_is_not_left_over() {
    if !support::vm_or_skip() {
        return;
    }
    let all = vec![&PANICS, &RESETS, &HANGS, &SAYS_NOTHING, &PANICS_ITSELF, &DIES_LATE];
    let rows = run(all, "kmodlab.test=breaks", Duration::from_secs(8));
    let got: Vec<(&str, Verdict)> = rows.iter().map(|row| (row.id.as_str(), row.verdict)).collect();
    let expected = [
        ("tool.dies-late", Verdict::Fail),
        ("tool.hangs", Verdict::Error),
        ("tool.our-panic", Verdict::Error),
        ("tool.panics", Verdict::Fail),
        ("tool.resets", Verdict::Error),
        ("tool.says-nothing", Verdict::Error),
    ];
    assert_eq!(got, expected, "{rows:#?}");
    let late = &rows[0];
    assert!(late.console.iter().any(|line| line.contains("Kernel panic")), "{late:#?}");
    let ours = &rows[2];
    assert!(ours.reason.as_ref().is_some_and(|reason| reason.contains("a check's own mistake")), "{ours:#?}");
    let panicked = &rows[3];
    assert!(panicked.reason.as_ref().is_some_and(|reason| reason.contains("panic")), "{panicked:#?}");
    assert!(panicked.console.iter().any(|line| line.contains("Kernel panic")), "{panicked:#?}");
}

#[test]
fn a_kernel_that_does_not_reach_its_agent_is_an_error_that_shows_its_last_words() {
    if !support::vm_or_skip() {
        return;
    }
    let rows = run(vec![&SAYS_NOTHING], "rdinit=/nonexistent", Duration::from_secs(8));
    assert_eq!(rows[0].verdict, Verdict::Error);
    assert!(rows[0].reason.as_ref().is_some_and(|reason| reason.contains("panic")), "{:#?}", rows[0]);
}
