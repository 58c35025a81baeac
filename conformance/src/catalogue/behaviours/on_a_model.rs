//! Checks on a model of a guest: each passes on the right kernel with the right tools, and fails on wrong ones.

use crate::catalogue::select::select;
use crate::run::event::Row;
use crate::run::verdict::Verdict;
use crate::testing::{Kernel, Model, ScriptedMachines, Tools, pair, request, write_index};

/// Runs a check on the model.
fn row(id: &str, kernel: Kernel, tools: Tools) -> Row {
    let dir = tempfile::tempdir().unwrap();
    let modules = write_index(dir.path());
    let machines = ScriptedMachines::new(move |_| Model::new(kernel, tools)).pairs(move |kernel, subject| {
        let mut pair = pair(kernel, subject);
        pair.modules = Some(modules.clone());
        pair
    });
    machines.run(&request(&select(&[id.to_owned()]).unwrap())).row().clone()
}

fn assert_passes(id: &str) {
    let row = row(id, Kernel::default(), Tools::default());
    assert_eq!(row.verdict, Verdict::Pass, "{row:#?}");
}

fn assert_fails_on(id: &str, kernel: Kernel) {
    let row = row(id, kernel, Tools::default());
    assert_eq!(row.verdict, Verdict::Fail, "{kernel:?}: {row:#?}");
}

fn assert_fails_with(id: &str, tools: Tools) {
    let row = row(id, Kernel::default(), tools);
    assert_eq!(row.verdict, Verdict::Fail, "{tools:?}: {row:#?}");
}

#[test]
fn checks_of_the_path_fail_on_a_kernel_that_parses_it_differently() {
    let right = Kernel::default();
    for id in ["path.next-request", "path.newline", "path.terminator", "path.length"] {
        assert_passes(id);
    }
    assert_fails_on("path.next-request", Kernel { path_changes: false, ..right });
    assert_fails_on("path.newline", Kernel { newline_ends_path: false, ..right });
    assert_fails_on("path.terminator", Kernel { newline_ends_path: false, ..right });
    assert_fails_on("path.length", Kernel { path_length: 254, ..right });
    assert_fails_on("path.length", Kernel { path_length: 4096, ..right });
}

#[test]
fn checks_of_the_limit_fail_on_a_kernel_with_another_limit_or_duration() {
    let right = Kernel::default();
    for id in ["loop.cut-at-50", "loop.takes-five-seconds", "loop.wording", "loop.usable-afterwards"] {
        assert_passes(id);
    }
    assert_fails_on("loop.cut-at-50", Kernel { limit: 49, ..right });
    assert_fails_on("loop.takes-five-seconds", Kernel { cut_off: 30_000, ..right });
    assert_fails_on("loop.takes-five-seconds", Kernel { cut_off: 0, ..right });
    assert_fails_on("loop.cut-at-50", Kernel { limit: 51, ..right });
    assert_fails_on("loop.wording", Kernel { warns: false, ..right });
}

#[test]
fn checks_of_dependencies_fail_with_a_modprobe_that_ignores_them() {
    let right = Tools::default();
    for id in ["dep.no-directory", "dep.order"] {
        assert_passes(id);
    }
    assert_fails_with("dep.order", Tools { dependencies: false, ..right });
    assert_fails_with("dep.order", Tools { works: false, ..right });
    assert_fails_with("dep.no-directory", Tools { works: false, ..right });
}

#[test]
fn checks_of_loading_fail_with_a_modprobe_that_loads_something_else() {
    let right = Tools::default();
    for id in ["load.by-name", "load.by-alias", "load.dependencies"] {
        assert_passes(id);
        assert_fails_with(id, Tools { works: false, ..right });
    }
    assert_fails_with("load.by-alias", Tools { aliases: false, ..right });
    assert_fails_with("load.dependencies", Tools { dependencies: false, ..right });
}

#[test]
fn checks_of_removal_fail_with_a_modprobe_that_removes_nothing() {
    assert_passes("unload.by-name");
    assert_fails_with("unload.by-name", Tools { removes: false, ..Tools::default() });
}

#[test]
fn checks_of_the_configuration_fail_with_a_modprobe_that_ignores_it() {
    let right = Tools::default();
    for id in ["config.options", "config.blacklist"] {
        assert_passes(id);
    }
    assert_fails_with("config.options", Tools { options: false, ..right });
    assert_fails_with("config.blacklist", Tools { blacklist: false, ..right });
}

#[test]
fn checks_of_the_programs_fail_with_a_modprobe_that_always_succeeds() {
    let right = Tools::default();
    assert_passes("tool.modprobe-unit");
    assert_fails_with("tool.modprobe-unit", Tools { works: false, ..right });
    assert_fails_with("tool.modprobe-unit", Tools { blacklist: false, ..right });
}
