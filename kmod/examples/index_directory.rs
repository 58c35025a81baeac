//! Indexes a module directory as `depmod` does, then looks up a module in it:
//! `cargo run --example index_directory -- DIRECTORY [NAME]`.

use std::path::PathBuf;

use kmod::depmod::{self, Options};
use kmod::name::ModuleName;
use kmod::tree::Tree;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        return Err("usage: index_directory DIRECTORY [NAME], for example with a copy of /lib/modules/6.1.0".into());
    };
    let directory = directory.canonicalize()?;
    let summary = depmod::run(&Options::new(&directory))?;
    for notice in &summary.notices {
        eprintln!("{}: {notice}", notice.priority().word());
    }
    println!("{} modules, {} files written", summary.modules, summary.written.len());
    if let Some(name) = arguments.next() {
        let name = ModuleName::new(name.as_encoded_bytes())?;
        match Tree::new(directory).module(&name)? {
            Some(module) => println!("{} needs {:?}", module.path.display(), module.deps),
            None => println!("module {name} not found"),
        }
    }
    Ok(())
}
