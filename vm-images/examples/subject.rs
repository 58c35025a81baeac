//! Examines module tools, at a path or in the catalogue, and prints the files they need in a guest. Nothing is run:
//!
//! ```text
//! cargo run -p vm-images --example subject -- PATH|NAME [LIBRARY-DIRECTORY…]
//! ```

use std::error::Error;
use std::path::PathBuf;
use vm_images::{Cache, Options, Source, Subject};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let path = arguments.next().ok_or("usage: subject PATH|NAME [LIBRARY-DIRECTORY…]")?;
    let subject = if path.exists() || path.components().count() > 1 {
        Subject::from_path(&path, &arguments.collect::<Vec<_>>())
    } else {
        let cache = Cache::default_dir(|name| std::env::var_os(name)).ok_or("no cache directory: HOME is not set")?;
        Subject::fetch(&path.to_string_lossy(), &Options::new(Cache::open(cache)?))
    };
    let subject = subject?;
    println!("{} provides {}", subject.name(), subject.commands().join(" "));
    for file in subject.files() {
        match &file.source {
            Source::Link(target) => println!("  {} -> {target}", file.guest_path.display()),
            Source::Host(host) => println!("  {} = {}", file.guest_path.display(), host.display()),
            Source::Bytes(bytes) => println!("  {}: {} bytes", file.guest_path.display(), bytes.len()),
        }
    }
    Ok(())
}
