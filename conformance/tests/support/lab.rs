//! Runs the engine in this process on the default kernel.

use conformance::catalogue::entry::{About, Check, Checked, Cost, Entry, Group};
use conformance::check::lab::Lab;
use conformance::run::allowed_findings::AllowedFindings;
use conformance::run::engine;
use conformance::run::event::{Event, Row};
use conformance::run::judge::Judging;
use conformance::run::pair::{Boot, Host};
use conformance::run::qemu::QemuMachines;
use conformance::run::request::{Flow, GuestOptions, Request, Selection};
use harness::{Accel, Qemu, Spawner, Templates, WallLimits};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use vm_images::{Cache, Catalogue, Kernel, Options, Subject};

/// Returns an entry of the catalogue for a test, about the kernel alone and without needs.
pub const fn entry(id: &'static str, statement: &'static str, check: fn(&mut Lab<'_>) -> Check) -> Entry {
    Entry {
        id,
        catalogue: "TEST",
        group: Group::Tool,
        statement,
        source: "this test",
        about: About::Kernel,
        cost: Cost::Quick,
        needs: &[],
        probes: &[],
        check: Checked::By(check),
    }
}

/// The parameters of a test.
pub struct Setup<'a> {
    /// The QEMU program, if not the default one.
    pub qemu: Option<&'a Path>,
    /// The name of the kernel.
    pub kernel: &'a str,
    /// The options of request_module() in Rust; none for the kernel as it is.
    pub live_patch: Option<&'a str>,
    /// A text on the kernel command line, which identifies the processes of the test.
    pub mark: &'a str,
    /// Whether each guest is booted instead of cloned.
    pub cold: bool,
    /// The limits of boots and clones.
    pub limits: WallLimits,
    /// The limit of a behaviour.
    pub limit: Duration,
    /// Retries and repetitions.
    pub flow: Flow,
    /// The findings to ignore.
    pub allowed: AllowedFindings,
    /// What rows are judged by.
    pub judging: Judging,
    /// A directory of templates other than that of the cache.
    pub templates: Option<&'a Path>,
}

impl Default for Setup<'_> {
    /// Returns limits that a loaded machine does not exceed.
    fn default() -> Self {
        let limits = WallLimits {
            boot: Duration::from_secs(300),
            restore: Duration::from_secs(120),
            shutdown: Duration::from_secs(120),
        };
        Self {
            qemu: None,
            kernel: "default",
            live_patch: None,
            mark: "kmodlab.test",
            cold: false,
            limits,
            limit: Duration::from_secs(300),
            flow: Flow::new(2),
            allowed: AllowedFindings::default(),
            judging: Judging::builtin(&Catalogue::builtin().unwrap()).unwrap(),
            templates: None,
        }
    }
}

/// Returns the directory of the guest programs that ci/setup builds, next to cargo's profile directory.
pub fn guest_dir() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kmodlab")).parent().unwrap().join("../guest")
}

/// Returns a kernel of the catalogue. One that is not in the cache is fetched or built.
pub fn kernel(name: &str) -> Kernel {
    let catalogue = Catalogue::builtin().unwrap();
    let options = Options::new(cache());
    match catalogue.resolve(name).unwrap().is_built() {
        true => vm_images::build(name, &options).unwrap(),
        false => vm_images::fetch(&catalogue, name, &options).unwrap(),
    }
}

/// Opens the cache.
pub fn cache() -> Cache {
    Cache::open(Cache::default_dir(|name| std::env::var_os(name)).unwrap()).unwrap()
}

/// Runs these behaviours, two in parallel. Returns the rows, sorted by id, and asserts that no QEMU process is left.
pub fn run(behaviours: Vec<&'static Entry>, setup: &Setup<'_>) -> Vec<Row> {
    run_with_notes(behaviours, setup).0
}

/// Like [`run`]; also returns the notes that the engine emitted.
pub fn run_with_notes(behaviours: Vec<&'static Entry>, setup: &Setup<'_>) -> (Vec<Row>, Vec<String>) {
    let cache = cache();
    let guest = GuestOptions {
        append: vec![setup.mark.to_owned()],
        cold: setup.cold,
        limits: setup.limits,
        ..GuestOptions::default()
    };
    let host = Host {
        qemu: Qemu::find(setup.qemu).unwrap(),
        spawner: Spawner::start().unwrap(),
        templates: Templates::open(setup.templates.map_or_else(|| cache.area("templates").unwrap(), Path::to_owned))
            .unwrap(),
        agent: guest_dir().join("agent"),
        boot: Boot { guest, accel: Accel::Tcg, allowed: setup.allowed.clone() },
        cache,
    };
    let mut kernel = kernel(setup.kernel);
    if let Some(options) = setup.live_patch {
        kernel = kernel.with_live_patch("patched", options.parse().unwrap(), &host.cache).unwrap();
    }
    let judging = Judging { allowed: setup.allowed.clone(), ..setup.judging.clone() };
    let request = Request {
        selection: Selection { behaviours, shard: None },
        flow: Flow { jobs: 2, limit: setup.limit, ..setup.flow },
        ..Request::new(Vec::new(), Vec::new(), judging, 2)
    };
    let machines = QemuMachines::new(host, vec![Ok(kernel)], vec![Subject::ours(&guest_dir()).unwrap()]);
    let (rows, notes) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let outcome = engine::run(&request, &machines, &AtomicBool::new(false), &|event| match event {
        Event::Judged(row) => rows.lock().unwrap().push(*row),
        Event::Note(note) => notes.lock().unwrap().push(note),
        _ => {}
    });
    let left = super::children_with(setup.mark);
    assert!(left.is_empty(), "QEMU processes are left: {left:?}");
    let mut rows = rows.into_inner().unwrap();
    assert_eq!(outcome.counts.rows(), rows.len());
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    (rows, notes.into_inner().unwrap())
}
