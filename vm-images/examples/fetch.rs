//! Fetches (or builds) kernels and subjects of the catalogue into a cache and prints the result:
//!
//! ```text
//! cargo run -p vm-images --example fetch -- [--cache DIR] [--offline] [--refresh] [--mirror URI] [--lock FILE] [NAME…]
//! ```
//!
//! Without names: everything that is not built from source. `--lock FILE` writes the resulting versions in the format of
//! kernels.lock.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;
use vm_images::{Cache, Catalogue, FetchError, Options, Subject, SubjectError, subject};

/// A few modules; Unix sockets are built into most kernels, and the last one does not exist.
const MODULES: [&str; 5] = ["8021q", "unix", "dummy", "tipc", "no_such_module"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut cache = Cache::default_dir(|name| std::env::var_os(name));
    let (mut offline, mut refresh, mut mirror, mut lock_file, mut names) = (false, false, None, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &argument[..] {
            "--cache" => cache = arguments.next().map(PathBuf::from),
            "--lock" => lock_file = arguments.next(),
            "--mirror" => mirror = arguments.next(),
            "--offline" => offline = true,
            "--refresh" => refresh = true,
            _ => names.push(argument),
        }
    }
    let mut options = Options::new(Cache::open(cache.ok_or("no cache directory: use --cache DIR")?)?);
    (options.offline, options.refresh, options.mirror) = (offline, refresh, mirror);
    options.progress = &|progress| eprintln!("  {progress}");
    let catalogue = Catalogue::builtin()?;
    if names.is_empty() {
        let kernels = catalogue.kernels().iter().filter(|entry| !entry.is_built()).map(|entry| entry.name.clone());
        names = kernels.chain(catalogue.subjects().iter().map(|entry| entry.name.clone())).collect();
    }
    let mut lock = catalogue.lock().clone();
    for name in names {
        let start = Instant::now();
        let package = if catalogue.subject(&name).is_ok() {
            match Subject::fetch(&name, &options) {
                Ok(subject) => {
                    println!(
                        "{name}: {} in {} files, {:.1?}",
                        subject.commands().join(" "),
                        subject.files().len(),
                        start.elapsed()
                    );
                    Some(subject::unpacked(&name, &options)?.package)
                }
                Err(error @ SubjectError::Unavailable { .. }) => {
                    println!("{error}");
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            let fetched = match catalogue.resolve(&name)?.is_built() {
                true => vm_images::build(&name, &options)?,
                false => match vm_images::fetch(&catalogue, &name, &options) {
                    Err(error @ FetchError::Unavailable { .. }) => {
                        println!("{error}");
                        continue;
                    }
                    other => other?,
                },
            };
            println!("{name}: {} at {}, {:.1?}", fetched.release, fetched.image.display(), start.elapsed());
            let start = Instant::now();
            let facts = fetched.facts(&options.cache)?;
            let throttles = facts.contains(b"throttling...");
            println!("  throttles: {throttles}, CONFIG_UNIX={:?}, {:.1?}", facts.config("UNIX"), start.elapsed());
            let start = Instant::now();
            let tree = vm_images::modules::select(&fetched, &MODULES, &options.cache)?;
            println!(
                "  {} built in {:?} missing {:?}, {:.1?}",
                tree.modules.join(" "),
                tree.builtin,
                tree.missing,
                start.elapsed()
            );
            fetched.package
        };
        if let Some(package) = package {
            lock.set(&name, package);
        }
    }
    if let Some(path) = lock_file {
        std::fs::write(path, lock.to_text()?)?;
    }
    Ok(())
}
