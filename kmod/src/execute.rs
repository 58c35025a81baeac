//! Executes plans through [`Kernel`]: with system calls ([`Linux`]) or in memory ([`ModelKernel`]).

pub mod linux;
pub mod model;
pub mod reason;
mod remove;

use crate::config::{Mask, MaskProblem};
use crate::name::{Escaped, ModuleName};
use crate::object::{self, Compression};
use crate::resolve::{Action, LoadPlan, LoadStep, Masked};
use crate::sys::strerror;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use linux::Linux;
pub use model::ModelKernel;
pub use reason::Reason;
pub(crate) use remove::Disabled;
pub use remove::{RemovalError, RemovalMode, remove, unload};

/// The state of a module in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not loaded (or built in, which only the module directory knows).
    Absent,
    /// Its init function is running.
    Coming,
    /// Loaded.
    Live,
    /// Being removed.
    Going,
}

/// Checks that the kernel skips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Force {
    /// Symbol versions.
    pub modversions: bool,
    /// The version magic.
    pub vermagic: bool,
}

/// The interface of the tools to a kernel, and to the module files that they load.
pub trait Kernel {
    /// An open module file.
    type File;

    /// Returns the state of a module.
    fn state(&mut self, module: &ModuleName) -> State;
    /// Returns the reference count of a module; `None` if it is not loaded, or if the kernel cannot unload modules.
    fn refcount(&mut self, module: &ModuleName) -> Option<i64>;
    /// Returns the modules that use this one.
    fn holders(&mut self, module: &ModuleName) -> Vec<ModuleName>;
    /// Returns the compression format that the kernel supports, if any.
    fn decompresses(&mut self) -> Option<Compression>;
    /// Whether the sysctl `kernel.modules_disabled` is set: no module can be loaded or removed until the next boot.
    fn modules_disabled(&mut self) -> bool;
    /// Returns the names that a module file has for itself, besides its file name, as far as it can be read.
    fn own_names(&mut self, path: &Path) -> Vec<ModuleName>;
    /// Opens a module file.
    ///
    /// # Errors
    /// The error of open(2), or what else is wrong with the file.
    fn open(&mut self, path: &Path) -> Result<Self::File, OpenError>;
    /// Detects the compression of a file by its first bytes.
    ///
    /// # Errors
    /// The error of read(2), or that the file is empty.
    fn compression(&mut self, file: &Self::File) -> Result<Compression, OpenError>;
    /// Reads and decompresses a module.
    ///
    /// # Errors
    /// The reason, as a text that names the file.
    fn image(&mut self, file: &Self::File, path: &Path) -> Result<Vec<u8>, String>;
    /// finit_module(2); `compressed` asks the kernel to decompress.
    ///
    /// # Errors
    /// The error of the system call.
    fn finit_module(&mut self, file: &Self::File, options: &[u8], force: Force, compressed: bool) -> Result<(), Errno>;
    /// init_module(2).
    ///
    /// # Errors
    /// The error of the system call.
    fn init_module(&mut self, image: &[u8], options: &[u8]) -> Result<(), Errno>;
    /// delete_module(2), without waiting; `force` removes a module that is in use.
    ///
    /// # Errors
    /// The error of the system call.
    fn delete_module(&mut self, module: &ModuleName, force: bool) -> Result<(), Errno>;
    /// Runs an install or remove command for a module and waits for its end.
    ///
    /// # Errors
    /// It could not be started, or failed.
    fn run(&mut self, command: &[u8], module: &ModuleName) -> Result<(), CommandFailure>;
    /// Sleeps.
    fn sleep(&mut self, time: Duration);
    /// Remembers the current end of the kernel log.
    fn mark_log(&mut self);
    /// Returns the lines of the kernel log since the mark or the last call; `None` if the log cannot be read.
    fn log(&mut self) -> Option<Vec<Vec<u8>>>;
}

/// Why a module file cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is a FIFO, a device or a socket.
    #[error("not a regular file")]
    NotRegular,
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// A system call failed.
    #[error("{}", strerror(*.0))]
    Errno(Errno),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// The shell that runs install and remove commands.
pub(crate) const SHELL: &str = "/bin/sh";

/// How an install or remove command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandFailure {
    /// Its exit status is not 0.
    #[error("retcode {0}")]
    Exited(i32),
    /// A signal ended it.
    #[error("killed by signal {0}")]
    Killed(i32),
    /// The shell could not be started: there is no `/bin/sh`, or no process.
    #[error("cannot run {SHELL}: {}", strerror(*.0))]
    NotStarted(Errno),
}

/// Receives progress and warnings.
pub trait Report {
    /// An action that follows (or would follow, in a dry run), as the line that modprobe prints.
    fn action(&mut self, line: &[u8]);
    /// A failure that does not fail the request.
    fn ignored(&mut self, failure: &dyn std::fmt::Display);
    /// A masked module was skipped.
    fn masked(&mut self, text: &dyn std::fmt::Display);
}

/// Why a module was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is loaded already, and [`LoadMode::first_time`] is set or the kernel returned `EEXIST`.
    #[error("Module already in kernel")]
    AlreadyLoaded,
    /// The kernel refused it.
    #[error("{}", Explained(*.errno, .module, .reason.as_ref()))]
    Refused {
        /// The module.
        module: ModuleName,
        /// The error of the system call.
        errno: Errno,
        /// The reason from the kernel log, if it can be read.
        reason: Option<Reason>,
    },
    /// It, or what it depends on, is masked.
    #[error("module '{module}' is masked by {mask}")]
    Masked {
        /// The masked module.
        module: ModuleName,
        /// The `mask` line.
        mask: Mask,
    },
    /// A part of kmod.d cannot be read, which may mask any module.
    #[error("every module is masked: {0}")]
    AllMasked(MaskProblem),
    /// There is not enough memory for its plan.
    #[error("{}", strerror(Errno::NOMEM))]
    Memory,
    /// Its file could not be opened.
    #[error("{}: {error}", Escaped(.path.as_os_str().as_bytes()))]
    Open {
        /// The file.
        path: PathBuf,
        /// The error.
        error: OpenError,
    },
    /// Its file could not be read or decompressed; the text names it.
    #[error("{0}")]
    Image(String),
    /// There is no file for this name.
    #[error("{}", strerror(Errno::NOSYS))]
    NoFile(ModuleName),
    /// Its install command failed.
    #[error("{}", strerror(Errno::INVAL))]
    Command {
        /// The module.
        module: ModuleName,
        /// The command, after the options were inserted.
        command: Vec<u8>,
        /// How it failed.
        failure: CommandFailure,
    },
}

impl LoadError {
    /// Returns the message to print ahead of the error itself, about the module that caused it.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NoFile(module) => Some(format!("could not find module by name='{module}'")),
            Self::Command { module, command, failure } => {
                Some(format!("Error running install command '{}' for module {module}: {failure}", Escaped(command)))
            }
            Self::AlreadyLoaded
            | Self::Refused { .. }
            | Self::Masked { .. }
            | Self::AllMasked(_)
            | Self::Memory
            | Self::Open { .. }
            | Self::Image(_) => None,
        }
    }
}

/// An errno with the reason from the kernel log. `ENOENT` is not about a file here: a missing file is [`LoadError::Open`].
struct Explained<'a>(Errno, &'a ModuleName, Option<&'a Reason>);

impl std::fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(errno, module, reason) = self;
        match (*errno, reason) {
            (Errno::NOENT, None) => f.write_str("Unknown symbol in module, or unknown parameter (see dmesg)"),
            (errno, None) => f.write_str(&strerror(errno)),
            (Errno::NOENT, Some(Reason::UnknownParameter(_))) => f.write_str("Unknown parameter"),
            (Errno::NOENT, Some(_)) => f.write_str("Unknown symbol in module"),
            (errno, Some(_)) => f.write_str(&strerror(errno)),
        }?;
        reason.map_or(Ok(()), |reason| write!(f, ": {}", reason.about(module)))
    }
}

/// The options of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadMode {
    /// Change and run nothing.
    pub dry_run: bool,
    /// Report each action.
    pub show: bool,
    /// Act as if no module were loaded.
    pub ignore_loaded: bool,
    /// Fail if the module is loaded already.
    pub first_time: bool,
    /// The checks that the kernel skips.
    pub force: Force,
}

/// Executes a load. Modules that are loaded already are skipped; if the requested one is, nothing is done at all. A failure
/// of a module that is not required is only reported.
///
/// # Errors
/// The first failure of a required module. Modules that were loaded before it remain loaded.
pub fn load(
    plan: &LoadPlan,
    mode: LoadMode,
    kernel: &mut impl Kernel,
    report: &mut impl Report,
) -> Result<(), LoadError> {
    if plan.out_of_memory {
        return Err(LoadError::Memory);
    }
    let target = plan.steps.iter().position(|step| step.module == plan.module);
    let builtin = target.and_then(|target| plan.steps.get(target)).is_some_and(|step| step.builtin);
    if !mode.ignore_loaded && (builtin || kernel.state(&plan.module) == State::Live) {
        return if mode.first_time { Err(LoadError::AlreadyLoaded) } else { Ok(()) };
    }
    if let Some(problem) = plan.mask_problem.as_ref().filter(|_| plan.steps.iter().any(|step| !step.builtin)) {
        return Err(LoadError::AllMasked(problem.clone()));
    }
    // Checked before the first step: do not load half of a plan.
    if let Some(Masked { module, mask }) = target.and_then(|target| mask_in_force(target, plan, mode, kernel)) {
        return Err(LoadError::Masked { module: module.clone(), mask: mask.clone() });
    }
    let mut reported = Vec::new();
    for (number, step) in plan.steps.iter().enumerate() {
        let first_time = mode.first_time && step.module == plan.module;
        if !mode.ignore_loaded && (step.builtin || kernel.state(&step.module) == State::Live) {
            if first_time {
                return Err(LoadError::AlreadyLoaded);
            }
            continue;
        }
        // What is required was checked as a part of the target.
        let masked = if step.required { None } else { mask_in_force(number, plan, mode, kernel) };
        if let Some(Masked { module, mask }) = masked {
            if !reported.contains(&module) {
                report.masked(&format_args!("a soft dependency is left out: module '{module}' is masked by {mask}"));
                reported.push(module);
            }
            continue;
        }
        if mode.show {
            step.line().iter().for_each(|line| report.action(line));
        }
        if mode.dry_run {
            continue;
        }
        match execute(step, mode.force, kernel) {
            Err(LoadError::AlreadyLoaded) if !first_time => {}
            Err(error) if step.required => return Err(error),
            Err(error) => report.ignored(&error.detail().unwrap_or_else(|| error.to_string())),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Returns the first mask that prevents a step: the first one whose module is not loaded already.
fn mask_in_force<'p>(step: usize, plan: &'p LoadPlan, mode: LoadMode, kernel: &mut impl Kernel) -> Option<&'p Masked> {
    plan.masked(step).into_iter().find(|masked| {
        let builtin = plan.steps.iter().any(|step| step.builtin && step.module == masked.module);
        !builtin && (mode.ignore_loaded || kernel.state(&masked.module) != State::Live)
    })
}

fn execute(step: &LoadStep, force: Force, kernel: &mut impl Kernel) -> Result<(), LoadError> {
    match &step.action {
        Action::Insert(path) => match &step.unknown_names {
            // It may be masked under the names in its file.
            Some(problem) => Err(LoadError::Image(problem.clone())),
            None => insert_file(path, &step.options, force, kernel),
        },
        Action::Run(command) => {
            let command = replace(command, b"$CMDLINE_OPTS", &step.options);
            let ran = kernel.run(&command, &step.module);
            ran.map_err(|failure| LoadError::Command { module: step.module.clone(), command, failure })
        }
        Action::None if step.builtin => Ok(()),
        Action::None => Err(LoadError::NoFile(step.module.clone())),
    }
}

/// Loads a file: with finit_module(2) if the kernel can read it, else decompressed here and with init_module(2). The module is
/// also decompressed here if the kernel fails to decompress a format that it claims to support.
///
/// # Errors
/// [`LoadError`].
pub fn insert_file(path: &Path, options: &[u8], force: Force, kernel: &mut impl Kernel) -> Result<(), LoadError> {
    let opened = |error| LoadError::Open { path: path.to_owned(), error };
    let file = kernel.open(path).map_err(opened)?;
    let compression = kernel.compression(&file).map_err(opened)?;
    let compressed = compression != Compression::None;
    kernel.mark_log();
    if !compressed || kernel.decompresses() == Some(compression) {
        match kernel.finit_module(&file, options, force, compressed) {
            Ok(()) => return Ok(()),
            // A kernel older than 3.8.
            Err(Errno::NOSYS) => {}
            Err(errno @ (Errno::INVAL | Errno::OPNOTSUPP)) if compressed => {
                // EINVAL may also come from the module's init function or a bad parameter: the log distinguishes them. If the
                // log cannot be read, init_module(2) returns the same error again.
                let lines = kernel.log();
                if lines.as_ref().is_some_and(|lines| !lines.iter().any(|line| reason::is_about_decompression(line))) {
                    return Err(refused(path, errno, lines, kernel));
                }
            }
            Err(errno) => {
                let lines = kernel.log();
                return Err(refused(path, errno, lines, kernel));
            }
        }
    }
    let mut image = kernel.image(&file, path).map_err(LoadError::Image)?;
    if force != Force::default() {
        // init_module(2) has no flags to skip the checks.
        let named = |problem| LoadError::Image(format!("{}: {problem}", Escaped(path.as_os_str().as_bytes())));
        object::strip(&mut image, force.modversions, force.vermagic).map_err(named)?;
    }
    kernel.init_module(&image, options).map_err(|errno| {
        let lines = kernel.log();
        refused(path, errno, lines, kernel)
    })
}

fn refused(path: &Path, errno: Errno, log: Option<Vec<Vec<u8>>>, kernel: &mut impl Kernel) -> LoadError {
    if errno == Errno::EXIST {
        return LoadError::AlreadyLoaded;
    }
    match ModuleName::from_path(path.as_os_str().as_bytes()) {
        Ok(module) => {
            let lines = || log.iter().flatten().map(Vec::as_slice);
            let names = [vec![module.clone()], kernel.own_names(path)].concat();
            let mut reason = reason::find(&names, lines());
            if reason.is_none() && errno == Errno::PERM && kernel.modules_disabled() {
                reason = Some(Reason::ModulesDisabled);
            }
            LoadError::Refused { module, errno, reason }
        }
        // Without a name there is nothing to look for in the log.
        Err(_) => LoadError::Image(strerror(errno)),
    }
}

fn replace(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + with.len());
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        if let Some(tail) = rest.strip_prefix(what) {
            out.extend_from_slice(with);
            rest = tail;
        } else {
            out.push(byte);
            rest = &rest[1..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::model::Call;
    use super::*;
    use crate::config::Config;
    use crate::object::{ElfModule, testing::TinyModule};
    use crate::resolve::{Hit, LoadRequest, load_plan};

    #[derive(Default)]
    pub(super) struct Lines(pub(super) Vec<String>);

    impl Report for Lines {
        fn action(&mut self, line: &[u8]) {
            self.0.push(String::from_utf8_lossy(line).into_owned());
        }
        fn ignored(&mut self, failure: &dyn std::fmt::Display) {
            self.0.push(format!("ignored: {failure}"));
        }
        fn masked(&mut self, text: &dyn std::fmt::Display) {
            self.0.push(format!("masked: {text}"));
        }
    }

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    fn plan(lines: &[&str], text: &str, module: &str) -> LoadPlan {
        let mut config = Config::default();
        config.add_file(Path::new("x"), text.as_bytes(), &mut Vec::new());
        let tree = crate::resolve::model::ModelTree::new(lines);
        load_plan(&tree, &config, &Hit { module: name(module), alias: None }, &LoadRequest::default())
    }

    fn kernel(files: &[&str]) -> ModelKernel {
        let mut kernel = ModelKernel::default();
        for file in files {
            kernel.files.insert(PathBuf::from(format!("/m/{file}.ko")), Compression::None);
        }
        kernel
    }

    #[test]
    fn a_module_is_loaded_once_after_its_dependencies() {
        let plan = plan(&["m: d", "d:"], "options m a=1", "m");
        let mut kernel = kernel(&["m", "d"]);
        let mut lines = Lines::default();
        let mode = LoadMode { show: true, ..LoadMode::default() };
        load(&plan, mode, &mut kernel, &mut lines).unwrap();
        assert_eq!(lines.0, ["insmod /m/d.ko ", "insmod /m/m.ko a=1 "]);
        assert_eq!(kernel.loaded(), ["d", "m"]);
        load(&plan, mode, &mut kernel, &mut lines).unwrap();
        assert_eq!(lines.0.len(), 2);
        let again = LoadMode { first_time: true, ..mode };
        assert_eq!(load(&plan, again, &mut kernel, &mut lines), Err(LoadError::AlreadyLoaded));
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let mut kernel = kernel(&["m"]);
        let mode = LoadMode { dry_run: true, show: true, ..LoadMode::default() };
        let mut lines = Lines::default();
        load(&plan(&["m:"], "", "m"), mode, &mut kernel, &mut lines).unwrap();
        assert_eq!((lines.0.len(), kernel.calls.len()), (1, 0));
    }

    #[test]
    fn a_missing_file_of_a_dependency_fails_the_load_and_is_named() {
        let mut kernel = kernel(&["m"]);
        let error =
            load(&plan(&["m: d", "d:"], "", "m"), LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        assert_eq!(error.to_string(), "/m/d.ko: No such file or directory");
        assert!(kernel.loaded().is_empty());
    }

    #[test]
    fn a_plan_without_memory_loads_nothing() {
        let mut kernel = kernel(&["m"]);
        let mut plan = plan(&["m:"], "", "m");
        plan.out_of_memory = true;
        let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        assert_eq!((error.to_string().as_str(), kernel.calls.len()), ("Cannot allocate memory", 0));
    }

    #[test]
    fn a_failure_of_a_soft_dependency_does_not_fail_the_load() {
        let mut kernel = kernel(&["m"]);
        let mut lines = Lines::default();
        load(&plan(&["m:", "s:"], "softdep m pre: s", "m"), LoadMode::default(), &mut kernel, &mut lines).unwrap();
        assert_eq!(lines.0, ["ignored: /m/s.ko: No such file or directory"]);
        assert_eq!(kernel.loaded(), ["m"]);
    }

    #[test]
    fn an_install_command_that_a_signal_kills_fails_the_load() {
        let plan = plan(&["m:"], "install m run $CMDLINE_OPTS now\noptions m a=1", "m");
        let mut kernel = kernel(&[]);
        kernel.command_failure = Some(CommandFailure::Killed(9));
        let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        insta::assert_snapshot!(
            error.detail().unwrap(),
            @"Error running install command 'run a=1  now' for module m: killed by signal 9"
        );
        assert_eq!(error.to_string(), "Invalid argument");
        assert_eq!(kernel.calls, [Call::Run("run a=1  now".to_owned(), name("m"))]);
    }

    #[test]
    fn the_kernel_decompresses_a_format_that_it_supports() {
        let mut kernel = ModelKernel { decompresses: Some(Compression::Xz), ..ModelKernel::default() };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls, [Call::Finit { module: name("m"), options: String::new(), compressed: true }]);
    }

    #[test]
    fn a_module_is_decompressed_here_if_the_kernel_does_not_support_the_format_or_fails() {
        let mut kernel = ModelKernel::default();
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        let init = Call::Init { module: name("m"), options: String::new(), image: b"/m/m.ko.xz".to_vec() };
        assert_eq!(kernel.calls, std::slice::from_ref(&init));

        let mut kernel = ModelKernel {
            decompresses: Some(Compression::Xz),
            finit_error: Some(Errno::INVAL),
            ..ModelKernel::default()
        };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls.last(), Some(&init));
    }

    #[test]
    fn force_without_finit_module_strips_the_image() {
        let module = TinyModule {
            versions: vec![("f".into(), 1)],
            ..TinyModule::named("m").info("vermagic=5.4 SMP").info("license=GPL")
        };
        for compression in [Compression::None, Compression::Xz] {
            let path = PathBuf::from("/m/m.ko");
            let mut kernel = ModelKernel { finit_error: Some(Errno::NOSYS), ..ModelKernel::default() };
            kernel.files.insert(path.clone(), compression);
            kernel.images.insert(path.clone(), module.build());
            let both = Force { modversions: true, vermagic: true };
            for (force, expected) in [(Force::default(), "name vermagic license"), (both, "name license")] {
                insert_file(&path, b"a=1", force, &mut kernel).unwrap();
                kernel.modules.clear();
                let Some(Call::Init { options, image, .. }) = kernel.calls.last() else { panic!("{:?}", kernel.calls) };
                let elf = ElfModule::parse(image).unwrap();
                let modinfo = elf.modinfo().unwrap();
                let keys: Vec<_> = modinfo.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
                assert_eq!((options.as_str(), keys.join(" ").as_str()), ("a=1", expected));
            }
        }
    }

    #[test]
    fn a_refused_uncompressed_file_is_not_tried_again() {
        let mut kernel = kernel(&["m"]);
        kernel.finit_error = Some(Errno::INVAL);
        let error = insert_file(Path::new("/m/m.ko"), b"", Force::default(), &mut kernel).unwrap_err();
        assert_eq!(error, LoadError::Refused { module: name("m"), errno: Errno::INVAL, reason: None });
        assert_eq!(error.to_string(), "Invalid argument");
        assert_eq!(kernel.calls.len(), 1);
    }

    #[test]
    fn the_error_contains_the_reason_from_the_kernel_log() {
        let error = |errno, line: &str| {
            let mut kernel = ModelKernel { finit_error: Some(errno), log: vec![line.into()], ..kernel(&["m"]) };
            insert_file(Path::new("/m/m.ko"), b"", Force::default(), &mut kernel).unwrap_err().to_string()
        };
        assert_eq!(error(Errno::NOENT, "m: Unknown symbol f (err -2)"), "Unknown symbol in module: m needs f");
        assert_eq!(error(Errno::NOENT, ""), "Unknown symbol in module, or unknown parameter (see dmesg)");
        assert_eq!(error(Errno::NOENT, "m: Unknown parameter `x'"), "Unknown parameter: m has no parameter 'x'");
        assert_eq!(
            error(Errno::INVAL, "m: `y' invalid for parameter `x'"),
            "Invalid argument: parameter 'x' of m cannot be 'y'"
        );
    }

    #[test]
    fn disabled_modules_and_the_blacklist_of_the_kernel_are_named() {
        let mut kernel = ModelKernel { finit_error: Some(Errno::PERM), log: vec!["noise".into()], ..kernel(&["m"]) };
        let error = |kernel: &mut ModelKernel| {
            insert_file(Path::new("/m/m.ko"), b"", Force::default(), kernel).unwrap_err().to_string()
        };
        assert_eq!(error(&mut kernel), "Operation not permitted");
        kernel.modules_disabled = true;
        assert_eq!(error(&mut kernel), "Operation not permitted: the sysctl kernel.modules_disabled is 1");
        kernel.log = vec!["Module m is blacklisted".into()];
        assert_eq!(error(&mut kernel), "Operation not permitted: m is in module_blacklist= of the kernel command line");
    }

    #[test]
    fn lines_about_the_name_in_the_file_are_recognised() {
        let mut kernel = ModelKernel {
            finit_error: Some(Errno::NOEXEC),
            log: vec!["real: module has no symbols (stripped?)".into()],
            ..kernel(&["copy"])
        };
        kernel.images.insert("/m/copy.ko".into(), TinyModule::named("real").build());
        let error = insert_file(Path::new("/m/copy.ko"), b"", Force::default(), &mut kernel).unwrap_err();
        assert_eq!(error.to_string(), "Exec format error: module has no symbols (stripped?)");
    }

    #[test]
    fn a_compressed_file_is_tried_again_only_if_decompression_failed() {
        let calls = |line: &str| {
            let mut kernel = ModelKernel {
                decompresses: Some(Compression::Xz),
                finit_error: Some(Errno::INVAL),
                log: vec![line.into()],
                ..ModelKernel::default()
            };
            kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
            let _ = insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel);
            kernel.calls.len()
        };
        assert_eq!(calls("m: `y' invalid for parameter `x'"), 1);
        assert_eq!(calls("decompression failed with status 6"), 2);
    }

    fn masked(lines: &[&str], text: &str, mask: &str) -> LoadPlan {
        let mut config = Config::default();
        config.add_file(Path::new("x"), text.as_bytes(), &mut Vec::new());
        config.masks.add_file(Path::new("k.conf"), mask.as_bytes(), &mut Vec::new());
        let tree = crate::resolve::model::ModelTree::new(lines);
        load_plan(&tree, &config, &Hit { module: name("m"), alias: None }, &LoadRequest::default())
    }

    #[test]
    fn a_masked_module_or_dependency_fails_the_load_before_its_first_step() {
        let modules = ["m: e d", "d:", "e:"];
        for (mask, module) in [("mask m", "m"), ("mask e", "e")] {
            let mut kernel = kernel(&["m", "d", "e"]);
            // An install command does not bypass the mask.
            let plan = masked(&modules, "install m true\ninstall e true", mask);
            let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("module '{module}' is masked by k.conf line 1"));
            assert!(kernel.calls.is_empty());
            let shown = LoadMode { dry_run: true, show: true, ignore_loaded: true, ..LoadMode::default() };
            assert!(load(&plan, shown, &mut kernel, &mut Lines::default()).is_err());
        }
    }

    #[test]
    fn a_mask_does_not_affect_modules_that_are_loaded_already() {
        let mut kernel = kernel(&["m", "d"]);
        kernel.modules.insert(name("d"), Default::default());
        let plan = masked(&["m: d", "d:"], "", "mask d");
        load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap();
        assert_eq!(kernel.loaded(), ["d", "m"]);
        let plan = masked(&["m: d", "d:"], "", "mask m");
        assert_eq!(load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()), Ok(()));
    }

    #[test]
    fn a_masked_soft_dependency_is_skipped_with_a_warning() {
        let mut kernel = kernel(&["m", "s", "d", "t"]);
        let mut lines = Lines::default();
        let plan = masked(&["m:", "s: d", "d:", "t:"], "softdep m pre: s t", "mask d");
        load(&plan, LoadMode::default(), &mut kernel, &mut lines).unwrap();
        assert_eq!(kernel.loaded(), ["m", "t"]);
        assert_eq!(lines.0, ["masked: a soft dependency is left out: module 'd' is masked by k.conf line 1"]);
    }

    #[test]
    fn a_name_without_a_file_is_an_error_except_in_a_dry_run() {
        let mut kernel = ModelKernel::default();
        let plan = plan(&[], "", "m");
        let dry = LoadMode { dry_run: true, ..LoadMode::default() };
        assert_eq!(load(&plan, dry, &mut kernel, &mut Lines::default()), Ok(()));
        let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        assert_eq!(error.detail().unwrap(), "could not find module by name='m'");
        assert_eq!(error.to_string(), "Function not implemented");
    }

    #[test]
    fn every_occurrence_of_the_placeholder_is_replaced() {
        assert_eq!(replace(b"a $X $Xb", b"$X", b"1 2"), b"a 1 2 1 2b");
    }
}
