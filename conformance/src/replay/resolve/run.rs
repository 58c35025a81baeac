//! The plans carried out on a kernel in memory, which is then what they promised.

use super::laws::{Wishes, name_of};
use super::recipe::Recipe;
use kmod::execute::model::{Call, Loaded};
use kmod::execute::{LoadError, LoadMode, ModelKernel, RemovalError, RemovalMode, Report, load, remove};
use kmod::name::ModuleName;
use kmod::object::Compression;
use kmod::resolve::{Action, LoadPlan, RemovalPlan, RemovalStep};
use std::collections::BTreeSet;

type Names = BTreeSet<ModuleName>;

/// Nobody listens.
struct Silence;

impl Report for Silence {
    fn action(&mut self, _line: &[u8]) {}
    fn masked(&mut self, _text: &dyn std::fmt::Display) {}
    fn ignored(&mut self, _failure: &dyn std::fmt::Display) {}
}

/// Loads, loads again, removes, removes again.
pub(super) fn both(recipe: &Recipe, wishes: &Wishes<'_>, plan: &LoadPlan, removal: &RemovalPlan) {
    let files = recipe.files().map(|path| (path, Compression::None)).collect();
    let mut kernel = ModelKernel { files, ..ModelKernel::default() };
    for (module, used) in recipe.preloaded() {
        kernel.modules.insert(module, Loaded { users: i64::from(used), ..Loaded::default() });
    }
    let before = names(&kernel);
    if !plan.blacklisted {
        loads(wishes, plan, &mut kernel, &before);
    }
    // As the kernel counts: who is there holds what it needs.
    let loaded = names(&kernel);
    for holder in &loaded {
        for need in wishes.needs(holder) {
            // Of modules that need each other none could ever go.
            if let Some(needed) = kernel.modules.get_mut(&need).filter(|_| !wishes.closure(&need).contains(holder)) {
                needed.holders.push(holder.clone());
            }
        }
    }
    let all_gone = recipe.is_depmods() && before.is_empty() && wishes.config.softdeps.is_empty();
    removes(wishes, removal, &mut kernel, all_gone);
}

fn names(kernel: &ModelKernel) -> Names {
    kernel.modules.keys().cloned().collect()
}

fn loads(wishes: &Wishes<'_>, plan: &LoadPlan, kernel: &mut ModelKernel, before: &Names) {
    let result = load(plan, LoadMode::default(), kernel, &mut Silence);
    let after = names(kernel);
    // Whether the plan may call a module built in was asked when it was made.
    let builtin: Names = plan.steps.iter().filter(|step| step.builtin).map(|step| step.module.clone()).collect();
    let there = |module: &ModuleName| before.contains(module) || builtin.contains(module) || wishes.is_builtin(module);
    if there(&plan.module) {
        assert_eq!((result, kernel.calls.len()), (Ok(()), 0), "there is nothing to do");
        return;
    }
    let in_force = |module: &ModuleName| wishes.masked(module).iter().any(|masked| !there(masked));
    let stopped = in_force(&plan.module);
    assert_eq!(matches!(result, Err(LoadError::Masked { .. })), stopped, "a mask stops the load, and nothing else so");
    if stopped {
        assert!(kernel.calls.is_empty(), "half a load is done though the whole is masked");
        return;
    }
    let mut done = before.clone();
    for call in &kernel.calls {
        match call {
            Call::Finit { module, .. } => {
                assert!(!there(module) && done.insert(module.clone()), "{module} is loaded though it is there");
                assert!(!in_force(module), "{module} is loaded though it is masked");
            }
            Call::Run(command, module) => {
                assert!(!there(module) && !in_force(module), "a command for {module}, which is there or masked");
                assert!(command.starts_with("put ") && !command.contains('$'), "not its command: {command}");
            }
            other => panic!("a load does not call {other:?}"),
        }
    }
    assert_eq!(done, after);
    match result {
        Ok(()) => {
            for step in &plan.steps {
                let (module, file) = (&step.module, inserted(&step.action));
                let can = file.is_some_and(|path| kernel.files.contains_key(path)) && !in_force(module);
                assert!(!can || there(module) || after.contains(module), "{module} could be loaded and is not");
                let must = step.required && file.is_some() && !step.builtin;
                assert!(!must || after.contains(module), "{module} is required and not there");
                assert!(file.is_none_or(|path| name_of(path) == *module));
            }
        }
        Err(LoadError::Open { path, .. }) => assert!(!kernel.files.contains_key(&path)),
        Err(LoadError::NoFile(module)) => assert!(plan.steps.iter().any(|step| step.module == module && step.required)),
        Err(other) => panic!("a load cannot fail so: {other}"),
    }
    if after.contains(&plan.module) {
        let calls = kernel.calls.len();
        assert_eq!(load(plan, LoadMode::default(), kernel, &mut Silence), Ok(()));
        assert_eq!(kernel.calls.len(), calls, "the second time something is done");
    }
}

fn inserted(action: &Action) -> Option<&std::path::PathBuf> {
    match action {
        Action::Insert(path) => Some(path),
        Action::Run(_) | Action::None => None,
    }
}

fn removes(wishes: &Wishes<'_>, plan: &RemovalPlan, kernel: &mut ModelKernel, all_gone: bool) {
    let before = kernel.clone();
    kernel.calls.clear();
    let target = &wishes.hit.module;
    let result = remove(plan, RemovalMode::default(), kernel, &mut Silence);
    let after = names(kernel);
    let deleted: Vec<&ModuleName> = kernel
        .calls
        .iter()
        .filter_map(|call| match call {
            Call::Delete(module) => Some(module),
            _ => None,
        })
        .collect();
    assert_eq!(deleted.len() + after.len(), before.modules.len(), "something was tried that was in use or not there");
    for module in &deleted {
        let in_plan = |step: &RemovalStep| match step {
            RemovalStep::Unload { module: unloaded, .. } => unloaded == *module,
            RemovalStep::Sweep(modules) => modules.contains(module),
            RemovalStep::Begin { .. } => false,
        };
        assert!(plan.steps.iter().any(in_plan), "{module} is removed, and no plan says so");
        assert_eq!(before.modules[*module].users, 0, "{module} is removed though it is used");
    }
    let builtin = wishes.is_builtin(target);
    let commanded = plan.steps.iter().any(|step| matches!(step, RemovalStep::Begin { command: true, .. }));
    let own_command = matches!(plan.steps.first(), Some(RemovalStep::Begin { command: true, .. }));
    match result {
        Ok(()) => assert!(own_command || !after.contains(target), "{target} is still there"),
        Err(RemovalError::Builtin(module)) => assert!(builtin && module == *target),
        Err(RemovalError::InUse(module)) => {
            assert!(module == *target && after.contains(target));
            let loaded = &kernel.modules[target];
            assert!(loaded.users > 0 || !loaded.holders.is_empty());
        }
        Err(other) => panic!("a removal cannot fail so: {other}"),
    }
    if all_gone && before.modules.contains_key(target) && !commanded && !builtin {
        assert!(after.is_empty(), "{after:?} are left behind");
    }
    if !commanded && !after.contains(target) {
        let calls = kernel.calls.len();
        let again = remove(plan, RemovalMode::default(), kernel, &mut Silence);
        assert!(builtin || again == Ok(()));
        assert_eq!(kernel.calls.len(), calls, "the second time something is done");
    }
}
