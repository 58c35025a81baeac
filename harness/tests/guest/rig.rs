//! The fixture of tests with a real guest: QEMU, a kernel, an initramfs with the agent, and templates kept between
//! runs.
//!
//! `KMODLAB_TEST_KERNEL` and `KMODLAB_TEST_AGENT` name kernel and agent; the defaults are the catalogue's default
//! kernel and the agent that `ci/setup` built. Without them such tests are skipped with a message, or fail if
//! `KMODLAB_REQUIRE_VM=1`.

use agent::plan::{Arg, End, HelperPlan};
use agent::proto::{Action, ActionResult, Reply, Request};
use harness::{BootPolicy, Machine, Qemu, Spawner, Spec, Template, Templates, Vm, WallLimits, error_chain};
use sha2::{Digest, Sha256};
use std::env::var_os;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm_images::{Cache, Catalogue, Options, initramfs::Builder};

/// Limit of a call, far above its duration on a loaded machine.
pub const CALL: Duration = Duration::from_secs(30);

pub struct Rig {
    pub qemu: Qemu,
    pub spawner: Spawner,
    pub spec: Spec,
    pub key: String,
    /// Removed with the rig.
    pub scratch: tempfile::TempDir,
    agent: PathBuf,
}

impl Rig {
    /// Returns `None`, after printing the reason, if guests cannot be tested on this machine.
    pub fn open() -> Option<Self> {
        match Self::try_open() {
            Ok(rig) => Some(rig),
            Err(reason) if var_os("KMODLAB_REQUIRE_VM").is_some_and(|value| value == "1") => {
                panic!("KMODLAB_REQUIRE_VM=1, but guests cannot be tested: {reason}")
            }
            Err(reason) => {
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    fn try_open() -> Result<Self, String> {
        let qemu = Qemu::find(None).map_err(|error| error_chain(&error))?;
        let kernel = kernel()?;
        let agent = agent()?;
        let scratch = tempfile::tempdir_in(target_tmp()).map_err(|error| error_chain(&error))?;
        let mut archive = Builder::new();
        archive.file("/init", 0o755, agent.clone()).file("/bin/agent", 0o755, agent.clone()).node(
            "/dev/console",
            0o020_600,
            5,
            1,
        );
        let initramfs = scratch.path().join("initramfs");
        let bytes = archive.build().map_err(|error| error_chain(&error))?;
        std::fs::write(&initramfs, &bytes).map_err(|error| error_chain(&error))?;
        let key =
            format!("{} {}", digest(&std::fs::read(&kernel).map_err(|error| error_chain(&error))?), digest(&bytes));
        let spawner = Spawner::start().map_err(|error| error_chain(&error))?;
        Ok(Self { qemu, spawner, spec: Spec::new(kernel, initramfs), key, scratch, agent })
    }

    /// Returns the template that all tests share; it is kept between runs, by content.
    pub fn template(&self) -> Template {
        let templates = Templates::open(target_tmp().join("templates")).unwrap().with_disk_limit(1 << 30);
        templates.get(&self.machine(), &BootPolicy::default(), &self.spawner, &WallLimits::default()).unwrap()
    }

    /// Returns the machine of the tests.
    pub fn machine(&self) -> Machine<'_> {
        Machine { qemu: &self.qemu, spec: &self.spec, key: &self.key }
    }

    /// Starts a clone of the template.
    pub fn guest(&self) -> Vm {
        self.template().clone_vm(&self.spawner).unwrap()
    }

    /// Creates an initramfs without `/init`.
    pub fn initramfs_without_init(&self) -> PathBuf {
        let mut archive = Builder::new();
        archive.node("/dev/console", 0o020_600, 5, 1).file("/bin/agent", 0o755, self.agent.clone());
        self.write_initramfs(&archive)
    }

    /// Returns a machine that prints `line` on its console while it boots: its first process is a recording helper,
    /// which writes the line and then becomes the agent.
    pub fn spec_that_prints(&self, line: &str) -> Spec {
        let write = Action::Write { path: b"/dev/console".to_vec(), data: line.as_bytes().to_vec(), flags: 0 };
        let end = End::Exec { program: b"/init".to_vec(), argv: vec![Arg::Literal(b"/init".to_vec())] };
        let plan = HelperPlan { record: false, actions: vec![write], end };
        let mut archive = Builder::new();
        archive
            .file("/init", 0o755, self.agent.clone())
            .file("/first", 0o755, self.agent.clone())
            .file("/first.plan", 0o644, postcard::to_stdvec(&plan).unwrap())
            .node("/dev/console", 0o020_600, 5, 1);
        let append = vec!["rdinit=/first".to_owned()];
        Spec { initramfs: self.write_initramfs(&archive), append, ..self.spec.clone() }
    }

    fn write_initramfs(&self, archive: &Builder) -> PathBuf {
        let path = self.scratch.path().join("other-initramfs");
        std::fs::write(&path, archive.build().unwrap()).unwrap();
        path
    }
}

/// Carries out one action in the guest's PID 1.
pub fn act(vm: &mut Vm, action: Action) -> ActionResult {
    match vm.call(&Request::InInit(action), CALL).unwrap() {
        Reply::Finished(mut end) => end.results.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Returns whether a process with this id exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn target_tmp() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn kernel() -> Result<PathBuf, String> {
    if let Some(path) = var_os("KMODLAB_TEST_KERNEL") {
        return Ok(path.into());
    }
    let dir =
        Cache::default_dir(|name| var_os(name)).ok_or("no cache directory: neither KMODLAB_CACHE nor HOME is set")?;
    let cache = Cache::open(dir).map_err(|error| error_chain(&error))?;
    let catalogue = Catalogue::builtin().map_err(|error| error_chain(&error))?;
    let kernel = vm_images::fetch(&catalogue, "default", &Options::new(cache)).map_err(|error| error_chain(&error))?;
    Ok(kernel.image)
}

fn agent() -> Result<PathBuf, String> {
    if let Some(path) = var_os("KMODLAB_TEST_AGENT") {
        return Ok(path.into());
    }
    // CARGO_TARGET_TMPDIR is TARGET/tmp; ci/setup puts the guest programs into TARGET/guest.
    let path = target_tmp().parent().unwrap_or(Path::new("/")).join("guest/agent");
    if path.exists() { Ok(path) } else { Err(format!("{} does not exist: run ci/setup", path.display())) }
}
