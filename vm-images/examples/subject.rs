//! Looks at the module tools at a path and tells what they would bring into a guest; nothing is run:
//!
//! ```text
//! cargo run -p vm-images --example subject -- PATH [LIBRARY-DIRECTORY…]
//! ```

use std::error::Error;
use std::path::PathBuf;
use vm_images::{Source, Subject};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let path = arguments.next().ok_or("name a program or a directory of tools")?;
    let subject = Subject::from_path(&path, &arguments.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
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
