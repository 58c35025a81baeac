//! Executes the plans on a simulated kernel and checks its state.

use super::laws::{Oracle, name_of};
use super::recipe::Recipe;
use kmod::execute::model::{Call, Loaded};
use kmod::execute::{LoadError, LoadMode, ModelKernel, RemovalError, RemovalMode, Report, load, remove};
use kmod::name::ModuleName;
use kmod::object::Compression;
use kmod::resolve::{Action, LoadPlan, RemovalPlan, RemovalStep};
use std::collections::BTreeSet;

type Names = BTreeSet<ModuleName>;

/// Discards all messages.
struct NullReport;

impl Report for NullReport {
    fn action(&mut self, _line: &[u8]) {}
    fn masked(&mut self, _text: &dyn std::fmt::Display) {}
    fn ignored(&mut self, _failure: &dyn std::fmt::Display) {}
}

/// Loads and removes the module, each twice.
pub(super) fn check_both(recipe: &Recipe, oracle: &Oracle<'_>, plan: &LoadPlan, removal: &RemovalPlan) {
    let files = recipe.files().map(|path| (path, Compression::None)).collect();
    let mut kernel = ModelKernel { files, ..ModelKernel::default() };
    for (module, used) in recipe.preloaded() {
        kernel.modules.insert(module, Loaded { users: i64::from(used), ..Loaded::default() });
    }
    let before = names(&kernel);
    if !plan.blacklisted {
        check_load(oracle, plan, &mut kernel, &before);
    }
    // Like the kernel: a loaded module holds its dependencies.
    let loaded = names(&kernel);
    for holder in &loaded {
        for need in oracle.needs(holder) {
            // Modules that depend on each other could never be removed.
            if let Some(needed) = kernel.modules.get_mut(&need).filter(|_| !oracle.closure(&need).contains(holder)) {
                needed.holders.push(holder.clone());
            }
        }
    }
    let all_gone = recipe.is_from_depmod() && before.is_empty() && oracle.config.softdeps.is_empty();
    check_removal(oracle, removal, &mut kernel, all_gone);
}

fn names(kernel: &ModelKernel) -> Names {
    kernel.modules.keys().cloned().collect()
}

fn check_load(oracle: &Oracle<'_>, plan: &LoadPlan, kernel: &mut ModelKernel, before: &Names) {
    let result = load(plan, LoadMode::default(), kernel, &mut NullReport);
    let after = names(kernel);
    // `check_load` of the oracle has checked which modules the plan calls built in.
    let builtin: Names = plan.steps.iter().filter(|step| step.builtin).map(|step| step.module.clone()).collect();
    let present =
        |module: &ModuleName| before.contains(module) || builtin.contains(module) || oracle.is_builtin(module);
    if present(&plan.module) {
        assert_eq!((result, kernel.calls.len()), (Ok(()), 0), "a loaded module is loaded again");
        return;
    }
    let is_masked = |module: &ModuleName| oracle.masked(module).iter().any(|masked| !present(masked));
    let stopped = is_masked(&plan.module);
    assert_eq!(matches!(result, Err(LoadError::Masked { .. })), stopped, "whether a mask stops the load");
    if stopped {
        assert!(kernel.calls.is_empty(), "a masked load is partly done");
        return;
    }
    let mut done = before.clone();
    for call in &kernel.calls {
        match call {
            Call::Finit { module, .. } => {
                assert!(!present(module) && done.insert(module.clone()), "{module} is loaded although it is present");
                assert!(!is_masked(module), "{module} is loaded although it is masked");
            }
            Call::Run(command, module) => {
                assert!(!present(module) && !is_masked(module), "a command for {module}, which is present or masked");
                assert!(command.starts_with("put ") && !command.contains('$'), "not an install command: {command}");
            }
            other => panic!("a load must not call {other:?}"),
        }
    }
    assert_eq!(done, after);
    match result {
        Ok(()) => {
            for step in &plan.steps {
                let (module, file) = (&step.module, inserted(&step.action));
                let can = file.is_some_and(|path| kernel.files.contains_key(path)) && !is_masked(module);
                assert!(!can || present(module) || after.contains(module), "{module} could be loaded but is not");
                let must = step.required && file.is_some() && !step.builtin;
                assert!(!must || after.contains(module), "{module} is required but not loaded");
                assert!(file.is_none_or(|path| name_of(path) == *module));
            }
        }
        Err(LoadError::Open { path, .. }) => assert!(!kernel.files.contains_key(&path)),
        Err(LoadError::NoFile(module)) => assert!(plan.steps.iter().any(|step| step.module == module && step.required)),
        Err(other) => panic!("a load cannot cause this error: {other}"),
    }
    if after.contains(&plan.module) {
        let calls = kernel.calls.len();
        assert_eq!(load(plan, LoadMode::default(), kernel, &mut NullReport), Ok(()));
        assert_eq!(kernel.calls.len(), calls, "a second run is not a no-op");
    }
}

fn inserted(action: &Action) -> Option<&std::path::PathBuf> {
    match action {
        Action::Insert(path) => Some(path),
        Action::Run(_) | Action::None => None,
    }
}

fn check_removal(oracle: &Oracle<'_>, plan: &RemovalPlan, kernel: &mut ModelKernel, all_gone: bool) {
    let before = kernel.clone();
    kernel.calls.clear();
    let target = &oracle.hit.module;
    let result = remove(plan, RemovalMode::default(), kernel, &mut NullReport);
    let after = names(kernel);
    let deleted: Vec<&ModuleName> = kernel
        .calls
        .iter()
        .filter_map(|call| match call {
            Call::Delete(module) => Some(module),
            _ => None,
        })
        .collect();
    assert_eq!(
        deleted.len() + after.len(),
        before.modules.len(),
        "the removal tried a module that is in use or not loaded"
    );
    for module in &deleted {
        let in_plan = |step: &RemovalStep| match step {
            RemovalStep::Unload { module: unloaded, .. } => unloaded == *module,
            RemovalStep::Sweep(modules) => modules.contains(module),
            RemovalStep::Begin { .. } => false,
        };
        assert!(plan.steps.iter().any(in_plan), "{module} is removed but not planned");
        assert_eq!(before.modules[*module].users, 0, "{module} is removed although it is in use");
    }
    let builtin = oracle.is_builtin(target);
    let commanded = plan.steps.iter().any(|step| matches!(step, RemovalStep::Begin { command: true, .. }));
    let own_command = matches!(plan.steps.first(), Some(RemovalStep::Begin { command: true, .. }));
    match result {
        Ok(()) => assert!(own_command || !after.contains(target), "{target} is still loaded"),
        Err(RemovalError::Builtin(module)) => assert!(builtin && module == *target),
        Err(RemovalError::InUse(module)) => {
            assert!(module == *target && after.contains(target));
            let loaded = &kernel.modules[target];
            assert!(loaded.users > 0 || !loaded.holders.is_empty());
        }
        Err(other) => panic!("a removal cannot cause this error: {other}"),
    }
    if all_gone && before.modules.contains_key(target) && !commanded && !builtin {
        assert!(after.is_empty(), "{after:?} are still loaded");
    }
    if !commanded && !after.contains(target) {
        let calls = kernel.calls.len();
        let again = remove(plan, RemovalMode::default(), kernel, &mut NullReport);
        assert!(builtin || again == Ok(()));
        assert_eq!(kernel.calls.len(), calls, "a second run is not a no-op");
    }
}
