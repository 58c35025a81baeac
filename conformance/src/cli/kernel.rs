//! `kmodlab kernel`.

use super::args::{Common, KernelCommand};
use super::{Failure, Outcome, lookup, setup, signals};
use crate::event::SkippedKernel;
use crate::verdict::exit;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use vm_images::{Kernel, Progress};

pub(super) fn kernel(common: &Common, command: &KernelCommand) -> Outcome {
    let catalogue = lookup::catalogue()?;
    match command {
        KernelCommand::List => {
            let mut text = String::new();
            for entry in catalogue.kernels() {
                let from = match (&entry.source, &entry.config) {
                    (Some(source), Some(config)) => format!("built from {source} with configs/{config}"),
                    _ => format!("{} from {}", entry.packages.join(" or "), entry.suites.join(" or ")),
                };
                let aliases = ["default", "oldest", "newest"]
                    .iter()
                    .filter(|alias| catalogue.resolve(alias).is_ok_and(|named| named.name == entry.name));
                let names: Vec<&str> = aliases.copied().collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{:<20} {from}{names}", entry.name);
            }
            super::list::print(&text)
        }
        KernelCommand::Fetch { names, refresh } => {
            let names = if names.is_empty() { vec!["default".to_owned()] } else { names.clone() };
            obtain(common, &names, *refresh)
        }
        KernelCommand::Build { names } => obtain(common, names, false),
    }
}

fn obtain(common: &Common, names: &[String], refresh: bool) -> Outcome {
    let catalogue = lookup::catalogue()?;
    names.iter().try_for_each(|name| catalogue.resolve(name).map(|_| ()).map_err(Failure::usage))?;
    let cache = setup::cache(common)?;
    let progress = |progress: Progress| {
        // Nobody to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "{progress}");
    };
    let stop = signals::watch(|| {})?;
    let mut options = lookup::options(common, &cache, &progress, &stop);
    options.refresh = refresh;
    let mut code = exit::OK;
    for name in names {
        let line = match signals::or_interrupted(&stop, lookup::named_kernel(&catalogue, name, &options))? {
            Ok(kernel) => found(name, &kernel),
            Err(SkippedKernel { name, reason }) => {
                code = exit::UNJUDGED;
                format!("{name}: {reason}\n")
            }
        };
        super::list::print(&line)?;
    }
    Ok(code)
}

fn found(name: &str, kernel: &Kernel) -> String {
    let package = kernel
        .package
        .as_ref()
        .map_or_else(String::new, |package| format!("  {} {} ({})", package.package, package.version, package.suite));
    let mut text = format!("{name:<20} {}{package}\n  {}\n", kernel.release, kernel.image.display());
    if let Some(modules) = &kernel.modules {
        let _ = writeln!(text, "  {}", modules.display());
    }
    for note in &kernel.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}
