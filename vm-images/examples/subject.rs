//! Looks at module tools, at a path or of the catalogue, and tells what they would bring into a guest; nothing is run:
//!
//! ```text
//! cargo run -p vm-images --example subject -- PATH|NAME [LIBRARY-DIRECTORY…]
//! ```

use std::error::Error;
use std::path::PathBuf;
use vm_images::{Cache, Options, Source, Subject};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let path = arguments.next().ok_or("name a program, a directory of tools, or a subject of the catalogue")?;
    let subject = if path.exists() || path.components().count() > 1 {
        Subject::from_path(&path, &arguments.collect::<Vec<_>>())
    } else {
        let cache = Cache::default_dir(|name| std::env::var_os(name)).ok_or("there is no HOME for a cache")?;
        Subject::fetch(&path.to_string_lossy(), &Options::new(Cache::open(cache)?))
    };
    let subject = subject.map_err(|error| error.to_string())?;
    println!("{} answers to {}", subject.name(), subject.commands().join(" "));
    for file in subject.files() {
        match &file.source {
            Source::Link(target) => println!("  {} -> {target}", file.guest_path.display()),
            Source::Host(host) => println!("  {} = {}", file.guest_path.display(), host.display()),
            Source::Bytes(bytes) => println!("  {}: {} bytes", file.guest_path.display(), bytes.len()),
        }
    }
    Ok(())
}
