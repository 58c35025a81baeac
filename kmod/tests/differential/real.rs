//! Whole trees of Debian's kernels: every file that depmod writes, every module, every built-in, a sample of aliases.

use std::fs;
use std::path::Path;

use kmod::object::{Limits, Module};

use crate::Named;
use crate::case::Case;
use crate::setup::Setup;

/// So many names in one command.
const BATCH: usize = 200;
/// Of every so manieth module an alias is looked up.
const SAMPLE: usize = 15;

/// The kernel build's own lists.
const LISTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

pub(crate) fn cases(setup: &Setup) -> Vec<Named> {
    let named = |(release, path): &(String, std::path::PathBuf)| {
        let (release, path) = (release.clone(), path.clone());
        Named { name: format!("tree.{release}"), make: Box::new(move || tree(&release, &path)) }
    };
    setup.trees.iter().map(named).collect()
}

fn tree(release: &str, path: &Path) -> Case {
    let mut case = Case::of(release.to_owned());
    let read = |name: &str| fs::read(path.join(name)).unwrap_or_default();
    for list in LISTS {
        case = case.file(list, read(list));
    }
    case.binds.push((path.join("kernel"), format!("/lib/modules/{release}/kernel").into()));
    let order = String::from_utf8_lossy(&read("modules.order")).into_owned();
    let stem = |line: &str| {
        let file = line.rsplit('/').next().unwrap_or_default();
        file.split('.').next().unwrap_or_default().to_owned()
    };
    let modules: Vec<String> = order.lines().map(stem).collect();
    let builtin: Vec<String> = String::from_utf8_lossy(&read("modules.builtin")).lines().map(stem).collect();
    case = case.run("depmod REL").ask("modprobe -S REL -c");
    let batch = |case: Case, command: &str, names: &[String]| {
        names.chunks(BATCH).fold(case, |case, names| case.ask(&format!("{command} {}", names.join(" "))))
    };
    case = batch(case, "modprobe -S REL -aD", &modules);
    case = batch(case, "modprobe -S REL -aR", &builtin);
    case = batch(case, "modinfo -k REL", &modules);
    case = batch(case, "modinfo -k REL", &builtin);
    let sample: Vec<String> = order.lines().step_by(SAMPLE).filter_map(|line| an_alias(&path.join(line))).collect();
    batch(case, "modprobe -S REL -aR", &sample)
}

/// A name that a device could ask for: the module's first alias, each star filled in.
fn an_alias(uncompressed: &Path) -> Option<String> {
    let compressed = |suffix: &str| Path::new(&format!("{}{suffix}", uncompressed.display())).to_owned();
    let file = ["", ".xz", ".zst"].map(compressed).into_iter().find(|path| path.is_file())?;
    let module = Module::open(&file, &Limits::default()).ok()?;
    let elf = module.elf().ok()?;
    let info = elf.modinfo().ok()?;
    let alias = info.values(b"alias").find(|alias| !alias.contains(&b'['))?;
    Some(String::from_utf8_lossy(alias).replace('*', "0"))
}
