//! Executes removal plans.

use super::{CommandFailure, Kernel, Reason, Report, State, replace};
use crate::name::ModuleName;
use crate::resolve::{RemovalPlan, RemovalStep};
use crate::sys::strerror;
use rustix::io::Errno;
use std::time::Duration;

/// Why a module was not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemovalError {
    /// It is not loaded, and [`RemovalMode::first_time`] is set.
    #[error("Module {0} is not in kernel.")]
    NotLoaded(ModuleName),
    /// It is built into the kernel.
    #[error("Module {0} is builtin.")]
    Builtin(ModuleName),
    /// It is in use.
    #[error("Module {0} is in use.")]
    InUse(ModuleName),
    /// Its remove command failed.
    #[error("Error running remove command for {module}: {failure}")]
    Command {
        /// The module.
        module: ModuleName,
        /// How it failed.
        failure: CommandFailure,
    },
    /// The kernel refused to remove it.
    #[error("could not remove '{module}': {}{}", strerror(*.errno), Disabled(*.disabled))]
    Refused {
        /// The module.
        module: ModuleName,
        /// The error of delete_module(2).
        errno: Errno,
        /// Whether the sysctl `kernel.modules_disabled` is the cause.
        disabled: bool,
    },
}

/// The cause of `EPERM` as the end of a message.
pub(crate) struct Disabled(pub(crate) bool);

impl Disabled {
    /// Whether the sysctl is the cause of this error.
    pub(crate) fn by(errno: Errno, kernel: &mut impl Kernel) -> Self {
        Self(errno == Errno::PERM && kernel.modules_disabled())
    }
}

impl std::fmt::Display for Disabled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 { write!(f, ": {}", Reason::DISABLED) } else { Ok(()) }
    }
}

/// The options of a removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovalMode {
    /// Change and run nothing.
    pub dry_run: bool,
    /// Report each action.
    pub show: bool,
    /// Act as if every module were loaded and not in use.
    pub ignore_loaded: bool,
    /// Fail if the module is not loaded.
    pub first_time: bool,
    /// Remove it even if it is in use, if the kernel supports that.
    pub force: bool,
    /// How long to retry while it is in use.
    pub wait: Option<Duration>,
}

/// Executes a removal.
///
/// # Errors
/// The failure of the module itself or of a holder. Failures of soft dependencies are only reported.
pub fn remove(
    plan: &RemovalPlan,
    mode: RemovalMode,
    kernel: &mut impl Kernel,
    report: &mut impl Report,
) -> Result<(), RemovalError> {
    // The open frames: the end of each, and whether a failure in it also ends the enclosing frame.
    let mut frames: Vec<(usize, bool)> = Vec::new();
    let mut at = 0;
    while let Some(step) = plan.steps.get(at) {
        while frames.last().is_some_and(|(end, _)| *end <= at) {
            frames.pop();
        }
        let result = match step {
            RemovalStep::Begin { module, command, builtin, listed, fatal, end } => {
                frames.push((*end, *fatal));
                match begin(module, *command, *builtin, *listed, mode, kernel) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        at = (*end).max(at + 1);
                        continue;
                    }
                    Err(error) => Err(error),
                }
            }
            RemovalStep::Unload { module, command } => remove_one(module, command.as_deref(), mode, kernel, report),
            RemovalStep::Sweep(modules) => {
                modules.iter().for_each(|module| sweep(module, mode, kernel, report));
                Ok(())
            }
        };
        at += 1;
        if let Err(error) = result {
            // A failure ends its frame and, as long as those are fatal, the enclosing frames.
            let mut fatal = true;
            while fatal {
                let Some((end, frame_is_fatal)) = frames.pop() else { return Err(error) };
                (at, fatal) = (end.max(at), frame_is_fatal);
            }
            report.not_removed(&error);
        }
    }
    Ok(())
}

/// Whether the frame of a module has to be executed.
fn begin(
    module: &ModuleName,
    command: bool,
    builtin: bool,
    listed: bool,
    mode: RemovalMode,
    kernel: &mut impl Kernel,
) -> Result<bool, RemovalError> {
    if command {
        return Ok(true);
    }
    if builtin {
        return if listed { Ok(false) } else { Err(RemovalError::Builtin(module.clone())) };
    }
    if mode.ignore_loaded {
        return Ok(true);
    }
    match kernel.state(module) {
        State::Absent if mode.first_time && !listed => Err(RemovalError::NotLoaded(module.clone())),
        State::Absent => Ok(false),
        State::Coming | State::Live | State::Going => Ok(true),
    }
}

fn remove_one(
    module: &ModuleName,
    command: Option<&[u8]>,
    mode: RemovalMode,
    kernel: &mut impl Kernel,
    report: &mut impl Report,
) -> Result<(), RemovalError> {
    if let Some(command) = command {
        let command = replace(command, b"$CMDLINE_OPTS", b"");
        if mode.show {
            report.action(&[b"remove ", &command[..]].concat());
        }
        if mode.dry_run {
            return Ok(());
        }
        return kernel
            .run(&command, module)
            .map_err(|failure| RemovalError::Command { module: module.clone(), failure });
    }
    // The removal of a holder may have removed it since its frame began.
    if !mode.ignore_loaded && kernel.state(module) == State::Absent {
        return Ok(());
    }
    if mode.wait.is_none() && !mode.ignore_loaded && kernel.refcount(module).is_some_and(|users| users > 0) {
        return Err(RemovalError::InUse(module.clone()));
    }
    show_removal(module, mode, report);
    if mode.dry_run {
        return Ok(());
    }
    unload(module, mode.force, mode.wait, kernel).map_err(|errno| refused(module, errno, kernel))
}

/// Removes a dependency of a removed module, unless it is still in use.
fn sweep(module: &ModuleName, mode: RemovalMode, kernel: &mut impl Kernel, report: &mut impl Report) {
    if kernel.refcount(module) != Some(0) {
        return;
    }
    show_removal(module, mode, report);
    if mode.dry_run {
        return;
    }
    match kernel.delete_module(module, mode.force) {
        // It is in use again, or another process removed it.
        Ok(()) | Err(Errno::AGAIN | Errno::NOENT) => {}
        Err(errno) => report.not_removed(&refused(module, errno, kernel)),
    }
}

fn refused(module: &ModuleName, errno: Errno, kernel: &mut impl Kernel) -> RemovalError {
    RemovalError::Refused { module: module.clone(), errno, disabled: Disabled::by(errno, kernel).0 }
}

fn show_removal(module: &ModuleName, mode: RemovalMode, report: &mut impl Report) {
    if mode.show {
        report.action(&[b"rmmod ", module.as_bytes()].concat());
    }
}

/// Calls delete_module(2), and retries with growing pauses for `wait` while the module is in use.
///
/// # Errors
/// The error of the last call.
pub fn unload(module: &ModuleName, force: bool, wait: Option<Duration>, kernel: &mut impl Kernel) -> Result<(), Errno> {
    let mut left = wait.unwrap_or_default();
    let mut pause = Duration::from_millis(2);
    loop {
        match kernel.delete_module(module, force) {
            Err(Errno::AGAIN) if !left.is_zero() => {
                let now = pause.min(left);
                kernel.sleep(now);
                left -= now;
                pause = pause.saturating_mul(2);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Call, Loaded, ModelKernel};
    use super::super::testing::Lines;
    use super::*;
    use crate::config::Config;
    use crate::resolve::{Hit, RemovalRequest, removal_plan};
    use std::path::Path;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    fn plan(lines: &[&str], text: &str, request: &RemovalRequest) -> RemovalPlan {
        let mut config = Config::default();
        config.add_file(Path::new("x"), text.as_bytes(), &mut Vec::new());
        let mut tree = crate::resolve::model::ModelTree::new(lines);
        tree.builtin("bi");
        removal_plan(&tree, &config, &Hit { module: name("m"), alias: None }, request)
    }

    fn kernel(modules: &[(&str, &[&str])]) -> ModelKernel {
        let mut kernel = ModelKernel::default();
        for (module, holders) in modules {
            let holders = holders.iter().map(|holder| name(holder)).collect();
            kernel.modules.insert(name(module), Loaded { holders, ..Loaded::default() });
        }
        kernel
    }

    fn run(plan: &RemovalPlan, mode: RemovalMode, kernel: &mut ModelKernel) -> (Result<(), RemovalError>, Vec<String>) {
        let mut lines = Lines::default();
        let result = remove(plan, RemovalMode { show: true, ..mode }, kernel, &mut lines);
        (result, lines.0)
    }

    #[test]
    fn a_module_is_removed_with_the_dependencies_that_only_it_uses() {
        let plan = plan(&["m: c b a", "c: b", "b:", "a:"], "", &RemovalRequest::default());
        let mut kernel = kernel(&[("m", &[]), ("c", &["m"]), ("b", &["c", "m"]), ("a", &["m", "other"])]);
        let (result, lines) = run(&plan, RemovalMode::default(), &mut kernel);
        assert_eq!((result, lines), (Ok(()), vec!["rmmod m".to_owned(), "rmmod c".to_owned(), "rmmod b".to_owned()]));
        assert_eq!(kernel.loaded(), ["a"]);
    }

    #[test]
    fn a_module_that_is_not_loaded_is_an_error_only_with_first_time() {
        let plan = plan(&["m:", "s:"], "softdep m pre: s", &RemovalRequest::default());
        let mut kernel = kernel(&[("s", &[])]);
        assert_eq!(run(&plan, RemovalMode::default(), &mut kernel), (Ok(()), vec![]));
        let mode = RemovalMode { first_time: true, ..RemovalMode::default() };
        assert_eq!(run(&plan, mode, &mut kernel).0, Err(RemovalError::NotLoaded(name("m"))));
        assert_eq!(kernel.loaded(), ["s"]);
    }

    #[test]
    fn a_module_in_use_and_its_pre_dependencies_are_not_removed() {
        let plan = plan(&["m:", "s:", "t:"], "softdep m pre: s post: t", &RemovalRequest::default());
        let mut kernel = kernel(&[("m", &["x"]), ("s", &[]), ("t", &[])]);
        let (result, lines) = run(&plan, RemovalMode::default(), &mut kernel);
        assert_eq!((result, lines), (Err(RemovalError::InUse(name("m"))), vec!["rmmod t".to_owned()]));
    }

    #[test]
    fn a_module_in_use_is_removed_if_use_is_ignored() {
        let plan = plan(&["m:"], "", &RemovalRequest::default());
        let mode = RemovalMode { ignore_loaded: true, dry_run: true, ..RemovalMode::default() };
        let (result, lines) = run(&plan, mode, &mut kernel(&[("m", &["x"])]));
        assert_eq!((result, lines), (Ok(()), vec!["rmmod m".to_owned()]));
    }

    #[test]
    fn a_failure_of_a_holder_fails_the_removal_and_that_of_a_soft_dependency_does_not() {
        let text = "softdep m post: t bi";
        let soft = plan(&["m:", "t:"], text, &RemovalRequest::default());
        let mut both = kernel(&[("m", &[]), ("t", &["x"])]);
        let (result, lines) = run(&soft, RemovalMode::default(), &mut both);
        assert_eq!((result, lines.join("; ")), (Ok(()), "ignored: Module t is in use.; rmmod m".to_owned()));

        let request = RemovalRequest { holders: vec![name("h")], ..RemovalRequest::default() };
        let mut held = kernel(&[("m", &["h"]), ("h", &["x"])]);
        let (result, _) = run(&plan(&["m:"], "", &request), RemovalMode::default(), &mut held);
        assert_eq!(result, Err(RemovalError::InUse(name("h"))));
        let mut held = kernel(&[("m", &["h"]), ("h", &[])]);
        assert_eq!(run(&plan(&["m:"], "", &request), RemovalMode::default(), &mut held).0, Ok(()));
        assert!(held.modules.is_empty());
    }

    #[test]
    fn a_module_that_was_removed_with_its_holder_is_a_success() {
        let request = RemovalRequest { holders: vec![name("h")], ..RemovalRequest::default() };
        let plan = plan(&["h: m", "m: d", "d:"], "", &request);
        let mut kernel = kernel(&[("h", &[]), ("m", &["h"]), ("d", &["m"])]);
        let (result, lines) = run(&plan, RemovalMode::default(), &mut kernel);
        assert_eq!((result, lines.join("; ")), (Ok(()), "rmmod h; rmmod m; rmmod d".to_owned()));
        assert!(kernel.modules.is_empty());
    }

    #[test]
    fn a_failure_of_a_holder_of_a_soft_dependency_ends_only_the_soft_frame() {
        let steps = vec![
            RemovalStep::Begin {
                module: name("m"),
                command: false,
                builtin: false,
                listed: false,
                fatal: true,
                end: 6,
            },
            RemovalStep::Begin {
                module: name("s"),
                command: false,
                builtin: false,
                listed: true,
                fatal: false,
                end: 5,
            },
            RemovalStep::Begin { module: name("h"), command: false, builtin: false, listed: true, fatal: true, end: 4 },
            RemovalStep::Unload { module: name("h"), command: None },
            RemovalStep::Unload { module: name("s"), command: None },
            RemovalStep::Unload { module: name("m"), command: None },
        ];
        let mut kernel = kernel(&[("m", &[]), ("s", &[]), ("h", &["x"])]);
        let (result, _) = run(&RemovalPlan { steps, problems: Vec::new() }, RemovalMode::default(), &mut kernel);
        assert_eq!((result, kernel.loaded()), (Ok(()), vec!["h".to_owned(), "s".to_owned()]));
    }

    #[test]
    fn pauses_grow_and_the_last_error_is_returned() {
        let plan = plan(&["m:"], "", &RemovalRequest::default());
        let mode = RemovalMode { wait: Some(Duration::from_millis(10)), ..RemovalMode::default() };
        let mut busy = kernel(&[("m", &[])]);
        busy.modules.get_mut(&name("m")).unwrap().busy_for = 2;
        assert_eq!(run(&plan, mode, &mut busy).0, Ok(()));
        let mut stuck = kernel(&[("m", &["x"])]);
        let refused = RemovalError::Refused { module: name("m"), errno: Errno::AGAIN, disabled: false };
        assert_eq!(run(&plan, mode, &mut stuck).0, Err(refused.clone()));
        assert_eq!(refused.to_string(), "could not remove 'm': Resource temporarily unavailable");
        let pauses: Vec<u128> = stuck
            .calls
            .iter()
            .filter_map(|call| if let Call::Sleep(time) = call { Some(time.as_millis()) } else { None })
            .collect();
        assert_eq!(pauses, [2, 4, 4]);
    }

    #[test]
    fn a_remove_command_runs_without_options_even_if_the_module_is_not_loaded() {
        let plan = plan(&["m:"], "remove m bye $CMDLINE_OPTS x", &RemovalRequest::default());
        let mut kernel = kernel(&[]);
        let (result, lines) = run(&plan, RemovalMode::default(), &mut kernel);
        assert_eq!((result, lines), (Ok(()), vec!["remove bye  x".to_owned()]));
        assert_eq!(kernel.calls, [Call::Run("bye  x".to_owned(), name("m"))]);
        kernel.command_failure = Some(CommandFailure::Exited(3));
        assert!(run(&plan, RemovalMode::default(), &mut kernel).0.is_err());
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let plan = plan(&["m: d", "d:"], "", &RemovalRequest::default());
        let mut kernel = kernel(&[("m", &[]), ("d", &["m"])]);
        let (result, lines) = run(&plan, RemovalMode { dry_run: true, ..RemovalMode::default() }, &mut kernel);
        assert_eq!((result, lines, kernel.calls.len()), (Ok(()), vec!["rmmod m".to_owned()], 0));
    }
}
