//! `kmodlab doctor`: what is missing on this machine, and what to do about it.

use super::args::Common;
use super::{Outcome, lookup, setup};
use crate::verdict::exit;
use harness::Spawner;
use vm_images::Kernel;

pub(super) fn doctor(common: &Common) -> Outcome {
    let checks = [
        ("QEMU", setup::qemu(common).map(|qemu| format!("{} {}", qemu.path.display(), qemu.version))),
        ("guest programs", setup::guest_dir(common).map(|dir| dir.display().to_string())),
        ("cache", setup::cache(common).map(|cache| cache.dir().display().to_string())),
    ]
    .map(|(name, found)| (name, found.map_err(|failure| format!("{:#}", failure.error))));
    let mut text = String::new();
    let mut code = exit::OK;
    for (name, found) in checks {
        let (word, detail) = match found {
            Ok(detail) => ("ok", detail),
            Err(detail) => {
                code = exit::UNJUDGED;
                ("missing", detail)
            }
        };
        text.push_str(&format!("{word:<8} {name}: {detail}\n"));
    }
    let (word, detail) = match default_kernel(common) {
        Ok(kernel) => ("ok", format!("{} is in the cache", kernel.release)),
        Err(reason) => ("later", format!("{reason}; the first run fetches it")),
    };
    text.push_str(&format!("{word:<8} default kernel: {detail}\n"));
    let (word, detail) = match kvm(common) {
        Ok(()) => ("ok", "it boots a guest (--accel kvm)".to_owned()),
        Err(reason) => ("no", format!("{reason}; TCG is the default and needs none")),
    };
    text.push_str(&format!("{word:<8} KVM: {detail}\n"));
    super::list::print(&text)?;
    Ok(code)
}

fn default_kernel(common: &Common) -> Result<Kernel, String> {
    let text = |failure: super::Failure| format!("{:#}", failure.error);
    let cache = setup::cache(common).map_err(text)?;
    let catalogue = lookup::catalogue().map_err(text)?;
    let silent = |_: vm_images::Progress| {};
    let mut options = lookup::options(common, &cache, &silent);
    options.offline = true;
    vm_images::fetch(&catalogue, "default", &options).map_err(|error| error.to_string())
}

fn kvm(common: &Common) -> Result<(), String> {
    let text = |failure: super::Failure| format!("{:#}", failure.error);
    let qemu = setup::qemu(common).map_err(text)?;
    let cache = setup::cache(common).map_err(text)?;
    let area = cache.area("accel").map_err(|error| error.to_string())?;
    let spawner = Spawner::start().map_err(|error| error.to_string())?;
    harness::accel::probe(&qemu, &spawner, &area).map_err(|error| error.to_string())
}
