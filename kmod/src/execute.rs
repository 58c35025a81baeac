//! Carries plans out through [`Kernel`]: system calls on [`Linux`], a model of them in [`Model`].

pub mod linux;
pub mod model;
pub mod reason;
mod remove;

use crate::config::Mask;
use crate::name::{Escaped, ModuleName};
use crate::object::Compression;
use crate::resolve::{Action, LoadPlan, LoadStep};
use crate::sys::strerror;
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use linux::Linux;
pub use model::Model;
pub use reason::Reason;
pub use remove::{RemovalError, RemovalMode, remove, unload};

/// What the kernel says of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not there (or built in, which only the module directory knows).
    Absent,
    /// Its init function is running.
    Coming,
    /// In use or usable.
    Live,
    /// Being removed.
    Going,
}

/// Checks of the kernel that are to be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Force {
    /// Symbol versions.
    pub modversions: bool,
    /// The version magic.
    pub vermagic: bool,
}

/// All that the tools ask of a kernel and of the files that they give it.
pub trait Kernel {
    /// An open module file.
    type File;

    /// The state of a module.
    fn state(&mut self, module: &ModuleName) -> State;
    /// How many users a module has; none when it is not there, or the kernel cannot unload modules.
    fn refcount(&mut self, module: &ModuleName) -> Option<i64>;
    /// The modules that use this one.
    fn holders(&mut self, module: &ModuleName) -> Vec<ModuleName>;
    /// The one format that the kernel decompresses by itself.
    fn decompresses(&mut self) -> Option<Compression>;
    /// Opens a module file.
    ///
    /// # Errors
    /// What open(2) said, or `EINVAL` for what is no regular file.
    fn open(&mut self, path: &Path) -> Result<Self::File, Errno>;
    /// How the file is compressed, from its first bytes.
    ///
    /// # Errors
    /// What reading said.
    fn compression(&mut self, file: &Self::File) -> Result<Compression, Errno>;
    /// The module in the file, decompressed.
    ///
    /// # Errors
    /// Why it cannot be had, as a text that names the file.
    fn image(&mut self, file: &Self::File, path: &Path) -> Result<Vec<u8>, String>;
    /// finit_module(2); `compressed` asks the kernel to decompress.
    ///
    /// # Errors
    /// The kernel's answer.
    fn finit_module(&mut self, file: &Self::File, options: &[u8], force: Force, compressed: bool) -> Result<(), Errno>;
    /// init_module(2).
    ///
    /// # Errors
    /// The kernel's answer.
    fn init_module(&mut self, image: &[u8], options: &[u8], force: Force) -> Result<(), Errno>;
    /// delete_module(2), which never waits; `force` removes a module that is in use.
    ///
    /// # Errors
    /// The kernel's answer.
    fn delete_module(&mut self, module: &ModuleName, force: bool) -> Result<(), Errno>;
    /// Runs a command of the configuration for a module and waits for its end.
    ///
    /// # Errors
    /// It could not be started or did not succeed.
    fn run(&mut self, command: &[u8], module: &ModuleName) -> Result<(), CommandFailure>;
    /// Waits.
    fn sleep(&mut self, time: Duration);
    /// Remembers where the kernel's log ends now.
    fn mark_log(&mut self);
    /// The lines of the kernel's log since the mark, or since they were last asked for; none when it may not be read.
    fn log(&mut self) -> Option<Vec<Vec<u8>>>;
}

/// How a command of the configuration failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandFailure {
    /// It ended with this code.
    #[error("retcode {0}")]
    Exited(i32),
    /// A signal ended it.
    #[error("killed by signal {0}")]
    Killed(i32),
    /// There is no `/bin/sh`, or no process to be had.
    #[error("could not be started: {}", strerror(*.0))]
    NotStarted(Errno),
}

/// Who hears what is done.
pub trait Report {
    /// About to be done (or, in a dry run, what would be done): a line as `-v` prints it.
    fn action(&mut self, line: &[u8]);
    /// Something failed that does not make the request fail.
    fn ignored(&mut self, failure: &dyn std::fmt::Display);
    /// Something was left out that the administrator has masked.
    fn masked(&mut self, text: &dyn std::fmt::Display);
}

/// Why a module did not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is there, and that was asked to be an error; or the kernel said so.
    #[error("Module already in kernel")]
    AlreadyLoaded,
    /// The kernel refused it.
    #[error("{}", Explained(*.errno, .module, .reason.as_ref()))]
    Refused {
        /// The module.
        module: ModuleName,
        /// The kernel's answer.
        errno: Errno,
        /// What its log says, where it may be read.
        reason: Option<Reason>,
    },
    /// It, or what it depends on, is masked.
    #[error("module '{module}' is masked by {mask}")]
    Masked {
        /// The masked module.
        module: ModuleName,
        /// The line that says so.
        mask: Mask,
    },
    /// Its file could not be opened.
    #[error("{}: {}", Escaped(.path.as_os_str().as_bytes()), strerror(*.errno))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// Its file could not be read or decompressed; the text names it.
    #[error("{0}")]
    Image(String),
    /// No file is known for this name.
    #[error("{}", strerror(Errno::NOSYS))]
    NoFile(ModuleName),
    /// Its install command failed.
    #[error("{}", strerror(Errno::INVAL))]
    Command {
        /// The module.
        module: ModuleName,
        /// As it was run, with the options in it.
        command: Vec<u8>,
        /// How.
        failure: CommandFailure,
    },
}

impl LoadError {
    /// What is told before the error itself, about the module of the plan that caused it.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::NoFile(module) => Some(format!("could not find module by name='{module}'")),
            Self::Command { module, command, failure } => {
                Some(format!("Error running install command '{}' for module {module}: {failure}", Escaped(command)))
            }
            Self::AlreadyLoaded | Self::Refused { .. } | Self::Masked { .. } | Self::Open { .. } | Self::Image(_) => {
                None
            }
        }
    }
}

/// ENOENT has its own meaning here: a missing file is [`LoadError::Open`].
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

/// How a load is to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadMode {
    /// Change nothing, run nothing.
    pub dry_run: bool,
    /// Report each action.
    pub show: bool,
    /// Act as if nothing were loaded.
    pub ignore_loaded: bool,
    /// Fail when the module is there already.
    pub first_time: bool,
    /// Checks to leave out.
    pub force: Force,
}

/// Carries a load out. Modules that are there already are left alone, and if that is so for the one asked for, nothing at
/// all is done. The failure of a module that is not required is reported and forgotten.
///
/// # Errors
/// The first failure of a required module; what has been loaded before it stays.
pub fn load(
    plan: &LoadPlan,
    mode: LoadMode,
    kernel: &mut impl Kernel,
    report: &mut impl Report,
) -> Result<(), LoadError> {
    let target = plan.steps.iter().find(|step| step.module == plan.module);
    let builtin = target.is_some_and(|step| step.builtin);
    if !mode.ignore_loaded && (builtin || kernel.state(&plan.module) == State::Live) {
        return if mode.first_time { Err(LoadError::AlreadyLoaded) } else { Ok(()) };
    }
    // Before anything is done: half a load helps nobody.
    if let Some((module, mask)) = target.and_then(|step| mask_in_force(step, plan, mode, kernel)) {
        return Err(LoadError::Masked { module: module.clone(), mask: mask.clone() });
    }
    let mut told = Vec::new();
    for step in &plan.steps {
        let first_time = mode.first_time && step.module == plan.module;
        if !mode.ignore_loaded && (step.builtin || kernel.state(&step.module) == State::Live) {
            if first_time {
                return Err(LoadError::AlreadyLoaded);
            }
            continue;
        }
        if let Some((module, mask)) = mask_in_force(step, plan, mode, kernel) {
            if !told.contains(&module) {
                report.masked(&format_args!("a soft dependency is left out: module '{module}' is masked by {mask}"));
                told.push(module);
            }
            continue;
        }
        if mode.show {
            step.line().iter().for_each(|line| report.action(line));
        }
        if mode.dry_run {
            continue;
        }
        match carry_out(step, mode.force, kernel) {
            Err(LoadError::AlreadyLoaded) if !first_time => {}
            Err(error) if step.required => return Err(error),
            Err(error) => report.ignored(&error.detail().unwrap_or_else(|| error.to_string())),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// The first mask that keeps a step from being done: one whose module is not there already.
fn mask_in_force<'p>(
    step: &'p LoadStep,
    plan: &LoadPlan,
    mode: LoadMode,
    kernel: &mut impl Kernel,
) -> Option<&'p (ModuleName, Mask)> {
    step.masked.iter().find(|(module, _)| {
        let builtin = plan.steps.iter().any(|step| step.module == *module && step.builtin);
        !builtin && (mode.ignore_loaded || kernel.state(module) != State::Live)
    })
}

fn carry_out(step: &LoadStep, force: Force, kernel: &mut impl Kernel) -> Result<(), LoadError> {
    match &step.action {
        Action::Insert(path) => insert_file(path, &step.options, force, kernel),
        Action::Run(command) => {
            let command = replace(command, b"$CMDLINE_OPTS", &step.options);
            let ran = kernel.run(&command, &step.module);
            ran.map_err(|failure| LoadError::Command { module: step.module.clone(), command, failure })
        }
        Action::None if step.builtin => Ok(()),
        Action::None => Err(LoadError::NoFile(step.module.clone())),
    }
}

/// Loads one file: finit_module(2) where the kernel can take the file as it is, else decompressed here and given to
/// init_module(2). A kernel that cannot decompress what it said it could gets the module decompressed.
///
/// # Errors
/// [`LoadError`].
pub fn insert_file(path: &Path, options: &[u8], force: Force, kernel: &mut impl Kernel) -> Result<(), LoadError> {
    let opened = |errno| LoadError::Open { path: path.to_owned(), errno };
    let file = kernel.open(path).map_err(opened)?;
    let compression = kernel.compression(&file).map_err(opened)?;
    let compressed = compression != Compression::None;
    kernel.mark_log();
    if !compressed || kernel.decompresses() == Some(compression) {
        match kernel.finit_module(&file, options, force, compressed) {
            Ok(()) => return Ok(()),
            // A kernel before 3.8.
            Err(Errno::NOSYS) => {}
            Err(errno @ (Errno::INVAL | Errno::OPNOTSUPP)) if compressed => {
                // EINVAL may as well be the module's own answer, or that to a bad parameter: the log knows. Where it may not be
                // read init_module(2) will say the same again.
                let lines = kernel.log();
                if lines.as_ref().is_some_and(|lines| !lines.iter().any(|line| reason::is_about_decompression(line))) {
                    return Err(refused(path, errno, lines));
                }
            }
            Err(errno) => return Err(refused(path, errno, kernel.log())),
        }
    }
    let image = kernel.image(&file, path).map_err(LoadError::Image)?;
    kernel.init_module(&image, options, force).map_err(|errno| refused(path, errno, kernel.log()))
}

fn refused(path: &Path, errno: Errno, log: Option<Vec<Vec<u8>>>) -> LoadError {
    if errno == Errno::EXIST {
        return LoadError::AlreadyLoaded;
    }
    match ModuleName::from_path(path.as_os_str().as_bytes()) {
        Ok(module) => {
            let reason = reason::find(&module, log.iter().flatten().map(Vec::as_slice));
            LoadError::Refused { module, errno, reason }
        }
        // A file of no name: there is nothing to look for in the log.
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
        let tree = crate::resolve::model::Model::new(lines);
        load_plan(&tree, &config, &Hit { module: name(module), alias: None }, &LoadRequest::default())
    }

    fn kernel(files: &[&str]) -> Model {
        let mut kernel = Model::default();
        for file in files {
            kernel.files.insert(PathBuf::from(format!("/m/{file}.ko")), Compression::None);
        }
        kernel
    }

    #[test]
    fn a_module_is_loaded_after_its_dependencies_and_not_twice() {
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
    fn the_missing_file_of_a_dependency_ends_the_load_and_names_the_file() {
        let mut kernel = kernel(&["m"]);
        let error =
            load(&plan(&["m: d", "d:"], "", "m"), LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        assert_eq!(error.to_string(), "/m/d.ko: No such file or directory");
        assert!(kernel.loaded().is_empty());
    }

    #[test]
    fn what_only_a_soft_dependency_wants_may_fail() {
        let mut kernel = kernel(&["m"]);
        let mut lines = Lines::default();
        load(&plan(&["m:", "s:"], "softdep m pre: s", "m"), LoadMode::default(), &mut kernel, &mut lines).unwrap();
        assert_eq!(lines.0, ["ignored: /m/s.ko: No such file or directory"]);
        assert_eq!(kernel.loaded(), ["m"]);
    }

    #[test]
    fn a_failing_install_command_fails_the_load_also_when_a_signal_ends_it() {
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
    fn the_kernel_decompresses_what_it_can() {
        let mut kernel = Model { decompresses: Some(Compression::Xz), ..Model::default() };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls, [Call::Finit { module: name("m"), options: String::new(), compressed: true }]);
    }

    #[test]
    fn a_module_is_decompressed_here_when_the_kernel_cannot_or_fails() {
        let mut kernel = Model::default();
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        let init = Call::Init { module: name("m"), options: String::new() };
        assert_eq!(kernel.calls, std::slice::from_ref(&init));

        let mut kernel =
            Model { decompresses: Some(Compression::Xz), finit_error: Some(Errno::INVAL), ..Model::default() };
        kernel.files.insert(PathBuf::from("/m/m.ko.xz"), Compression::Xz);
        insert_file(Path::new("/m/m.ko.xz"), b"", Force::default(), &mut kernel).unwrap();
        assert_eq!(kernel.calls.last(), Some(&init));
    }

    #[test]
    fn the_kernels_refusal_of_a_plain_file_is_final() {
        let mut kernel = kernel(&["m"]);
        kernel.finit_error = Some(Errno::INVAL);
        let error = insert_file(Path::new("/m/m.ko"), b"", Force::default(), &mut kernel).unwrap_err();
        assert_eq!(error, LoadError::Refused { module: name("m"), errno: Errno::INVAL, reason: None });
        assert_eq!(error.to_string(), "Invalid argument");
        assert_eq!(kernel.calls.len(), 1);
    }

    #[test]
    fn the_kernels_log_tells_why_it_refused() {
        let error = |errno, line: &str| {
            let mut kernel = Model { finit_error: Some(errno), log: vec![line.into()], ..kernel(&["m"]) };
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
    fn a_refusal_that_is_not_about_decompression_is_not_tried_again() {
        let calls = |line: &str| {
            let mut kernel = Model {
                decompresses: Some(Compression::Xz),
                finit_error: Some(Errno::INVAL),
                log: vec![line.into()],
                ..Model::default()
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
        let tree = crate::resolve::model::Model::new(lines);
        load_plan(&tree, &config, &Hit { module: name("m"), alias: None }, &LoadRequest::default())
    }

    #[test]
    fn a_masked_module_or_dependency_stops_the_load_before_it_begins() {
        let modules = ["m: e d", "d:", "e:"];
        for (mask, module) in [("mask m", "m"), ("mask e", "e")] {
            let mut kernel = kernel(&["m", "d", "e"]);
            // Its install command does not get round it.
            let plan = masked(&modules, "install m true\ninstall e true", mask);
            let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("module '{module}' is masked by k.conf line 1"));
            assert!(kernel.calls.is_empty());
            let shown = LoadMode { dry_run: true, show: true, ignore_loaded: true, ..LoadMode::default() };
            assert!(load(&plan, shown, &mut kernel, &mut Lines::default()).is_err());
        }
    }

    #[test]
    fn what_is_there_already_is_not_stopped_by_a_mask() {
        let mut kernel = kernel(&["m", "d"]);
        kernel.modules.insert(name("d"), Default::default());
        let plan = masked(&["m: d", "d:"], "", "mask d");
        load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap();
        assert_eq!(kernel.loaded(), ["d", "m"]);
        let plan = masked(&["m: d", "d:"], "", "mask m");
        assert_eq!(load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()), Ok(()));
    }

    #[test]
    fn a_masked_soft_dependency_is_left_out_with_a_message() {
        let mut kernel = kernel(&["m", "s", "d", "t"]);
        let mut lines = Lines::default();
        let plan = masked(&["m:", "s: d", "d:", "t:"], "softdep m pre: s t", "mask d");
        load(&plan, LoadMode::default(), &mut kernel, &mut lines).unwrap();
        assert_eq!(kernel.loaded(), ["m", "t"]);
        assert_eq!(lines.0, ["masked: a soft dependency is left out: module 'd' is masked by k.conf line 1"]);
    }

    #[test]
    fn a_name_without_a_file_is_an_error_only_when_something_is_done() {
        let mut kernel = Model::default();
        let plan = plan(&[], "", "m");
        let dry = LoadMode { dry_run: true, ..LoadMode::default() };
        assert_eq!(load(&plan, dry, &mut kernel, &mut Lines::default()), Ok(()));
        let error = load(&plan, LoadMode::default(), &mut kernel, &mut Lines::default()).unwrap_err();
        assert_eq!(error.detail().unwrap(), "could not find module by name='m'");
        assert_eq!(error.to_string(), "Function not implemented");
    }

    #[test]
    fn every_place_of_the_options_is_filled() {
        assert_eq!(replace(b"a $X $Xb", b"$X", b"1 2"), b"a 1 2 1 2b");
    }
}
