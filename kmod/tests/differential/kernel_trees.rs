//! Cases with all modules of Debian's kernels: every file that depmod writes, every module, every built-in module, a sample of
//! aliases.

use std::fs;
use std::path::Path;

use kmod::object::{Limits, Module};

use crate::Named;
use crate::case::Case;
use crate::setup::Setup;

/// The number of names in one command.
const BATCH: usize = 200;
/// One module of this number has an alias looked up.
const SAMPLE: usize = 15;

/// The lists of the kernel build.
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
    case = case.run("depmod REL").query("modprobe -S REL -c");
    let batch = |case: Case, command: &str, names: &[String]| {
        names.chunks(BATCH).fold(case, |case, names| case.query(&format!("{command} {}", names.join(" "))))
    };
    case = batch(case, "modprobe -S REL -aD", &modules);
    case = batch(case, "modprobe -S REL -aR", &builtin);
    case = batch(case, "modinfo -k REL", &modules);
    case = batch(case, "modinfo -k REL", &builtin);
    let sample: Vec<String> = order.lines().step_by(SAMPLE).filter_map(|line| an_alias(&path.join(line))).collect();
    batch(case, "modprobe -S REL -aR", &sample)
}

/// Returns a name that a device could request: the module's first alias, with `0` for each star.
fn an_alias(uncompressed: &Path) -> Option<String> {
    let compressed = |suffix: &str| Path::new(&format!("{}{suffix}", uncompressed.display())).to_owned();
    let file = ["", ".xz", ".zst"].map(compressed).into_iter().find(|path| path.is_file())?;
    let module = Module::open(&file, &Limits::default()).ok()?;
    let elf = module.elf().ok()?;
    let info = elf.modinfo().ok()?;
    let alias = info.values(b"alias").find(|alias| !alias.contains(&b'['))?;
    Some(String::from_utf8_lossy(alias).replace('*', "0"))
}
