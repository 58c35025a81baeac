//! Executes the plan of a load, step by step.

use super::insert::insert_file;
use super::{Force, Kernel, LoadError, Report, State, replace};
use crate::resolve::{Action, LoadPlan, LoadStep, Masked};

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

#[cfg(test)]
mod tests {
    use super::super::model::Call;
    use super::super::testing::{Lines, kernel, name};
    use super::super::{CommandFailure, ModelKernel};
    use super::*;
    use crate::config::Config;
    use crate::resolve::{Hit, LoadRequest, load_plan};
    use std::path::Path;

    fn plan(lines: &[&str], text: &str, module: &str) -> LoadPlan {
        let mut config = Config::default();
        config.add_file(Path::new("x"), text.as_bytes(), &mut Vec::new());
        let tree = crate::resolve::model::ModelTree::new(lines);
        load_plan(&tree, &config, &Hit { module: name(module), alias: None }, &LoadRequest::default())
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
}
