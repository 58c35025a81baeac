//! `kmodlab doctor`: checks that this machine can run guests, and reports what is missing with hints.

use super::args::Common;
use super::error::CliError;
use super::setup::Tools;
use super::{Outcome, lookup, setup};
use crate::run::allowed_findings::AllowedFindings;
use crate::run::request::GuestOptions;
use crate::run::verdict::exit;
use crate::text::error_chain;
use harness::HarnessError;
use harness::accel::Kvm;
use vm_images::{FetchError, Kernel, Subject};

pub(super) fn doctor(common: &Common) -> Outcome {
    let checks = [
        ("QEMU", setup::qemu(common).map(|qemu| format!("{} {}", qemu.path.display(), qemu.version))),
        ("guest programs", setup::guest_dir(common).map(|dir| dir.display().to_string())),
        ("cache", setup::cache(common).map(|cache| cache.dir().display().to_string())),
    ];
    let mut text = String::new();
    let mut code = exit::OK;
    for (name, found) in checks {
        let (status, detail) = match found {
            Ok(detail) => ("ok", detail),
            Err(error) => {
                code = exit::INCONCLUSIVE;
                let hints: String =
                    error.hints(common.offline).iter().map(|hint| format!("\n  hint: {hint}")).collect();
                ("missing", reason(&error) + &hints)
            }
        };
        text.push_str(&line(status, name, &detail));
    }
    let kernel = default_kernel(common);
    text.push_str(&match &kernel {
        Ok(kernel) => line("ok", "default kernel", &format!("{} is in the cache", kernel.release)),
        Err(reason) => line("absent", "default kernel", &format!("{reason}; the first run fetches it")),
    });
    let kvm = kernel.map_err(|_| None).and_then(|kernel| kvm(common, &kernel).map_err(Some));
    text.push_str(&match kvm {
        Err(None) => line("unknown", "KVM", "not tested without the default kernel"),
        Ok(()) => line("ok", "KVM", "boots a guest (--accel kvm)"),
        Err(Some(reason)) => line("no", "KVM", &format!("{reason}; kmodlab uses emulation (TCG) by default")),
    });
    super::print(&text)?;
    Ok(code)
}

fn line(status: &str, name: &str, detail: &str) -> String {
    format!("{status:<8} {name}: {detail}\n")
}

fn default_kernel(common: &Common) -> Result<Kernel, String> {
    let cache = setup::cache(common).map_err(message)?;
    let catalogue = lookup::catalogue().map_err(message)?;
    let silent = |_: vm_images::Progress| {};
    let never = std::sync::atomic::AtomicBool::new(false);
    let mut options = lookup::options(common, &cache, &silent, &never);
    options.offline = true;
    vm_images::fetch(&catalogue, "default", &options).map_err(|error| match error {
        FetchError::Unavailable { name, .. } => format!("{name} is not in the cache"),
        error => error_chain(&error),
    })
}

/// Boots the default kernel with KVM. The result is cached until the host reboots.
fn kvm(common: &Common, kernel: &Kernel) -> Result<(), String> {
    let tools = Tools::open(common).map_err(message)?;
    let guest = GuestOptions::default();
    let host = tools.host(&guest, &AllowedFindings::default(), None, None).map_err(message)?;
    let guest_dir = setup::guest_dir(common).map_err(message)?;
    let ours = Subject::ours(&guest_dir).map_err(|error| error_chain(&error))?;
    match setup::probe_kvm(&host, kernel, &ours).map_err(message)? {
        Kvm::Works => Ok(()),
        Kvm::Broken(reason) => Err(reason),
    }
}

/// Returns the message of an error after the name of its check, which is not repeated.
fn reason(error: &CliError) -> String {
    match error.error.downcast_ref() {
        Some(HarnessError::QemuMissing { path }) => format!("cannot find {}", path.display()),
        _ => error.message(),
    }
}

fn message(error: CliError) -> String {
    error.message()
}
