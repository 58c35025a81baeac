//! `kmodlab doctor`: what is missing on this machine, and what to do about it.

use super::args::{Common, GuestArgs};
use super::error::CliError;
use super::{Outcome, lookup, setup};
use crate::verdict::exit;
use harness::accel::Kvm;
use vm_images::{Kernel, Subject};

pub(super) fn doctor(common: &Common) -> Outcome {
    let checks = [
        ("QEMU", setup::qemu(common).map(|qemu| format!("{} {}", qemu.path.display(), qemu.version))),
        ("guest programs", setup::guest_dir(common).map(|dir| dir.display().to_string())),
        ("cache", setup::cache(common).map(|cache| cache.dir().display().to_string())),
    ]
    .map(|(name, found)| (name, found.map_err(|failure| failure.message())));
    let mut text = String::new();
    let mut code = exit::OK;
    for (name, found) in checks {
        let (word, detail) = match found {
            Ok(detail) => ("ok", detail),
            Err(detail) => {
                code = exit::INCONCLUSIVE;
                ("missing", detail)
            }
        };
        text.push_str(&format!("{word:<8} {name}: {detail}\n"));
    }
    let kernel = default_kernel(common);
    let (word, detail) = match &kernel {
        Ok(kernel) => ("ok", format!("{} is in the cache", kernel.release)),
        Err(reason) => ("later", format!("{reason}; the first run fetches it")),
    };
    text.push_str(&format!("{word:<8} default kernel: {detail}\n"));
    let kvm = kernel.map_err(|_| "not tried without a kernel".to_owned()).and_then(|kernel| kvm(common, &kernel));
    let (word, detail) = match kvm {
        Ok(()) => ("ok", "it boots a guest (--accel kvm)".to_owned()),
        Err(reason) => ("no", format!("{reason}; TCG is the default and needs none")),
    };
    text.push_str(&format!("{word:<8} KVM: {detail}\n"));
    super::list::print(&text)?;
    Ok(code)
}

fn default_kernel(common: &Common) -> Result<Kernel, String> {
    let cache = setup::cache(common).map_err(text)?;
    let catalogue = lookup::catalogue().map_err(text)?;
    let silent = |_: vm_images::Progress| {};
    let never = std::sync::atomic::AtomicBool::new(false);
    let mut options = lookup::options(common, &cache, &silent, &never);
    options.offline = true;
    vm_images::fetch(&catalogue, "default", &options).map_err(|error| harness::error_chain(&error))
}

/// Boots the default kernel with KVM; the answer is kept for this boot of the host.
fn kvm(common: &Common, kernel: &Kernel) -> Result<(), String> {
    let host = setup::host(common, &GuestArgs::default(), false, None).map_err(text)?;
    let ours = Subject::ours(&setup::guest_dir(common).map_err(text)?).map_err(|error| harness::error_chain(&error))?;
    match setup::probe_kvm(&host, kernel, &ours).map_err(text)? {
        Kvm::Works => Ok(()),
        Kvm::Broken(reason) => Err(reason),
    }
}

fn text(failure: CliError) -> String {
    failure.message()
}
