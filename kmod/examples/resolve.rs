//! Prints what modprobe would do for a name, with the modules' descriptions, without any request to the kernel:
//! `cargo run --example resolve -- DIRECTORY NAME`, where DIRECTORY is a module directory such as /lib/modules/6.1.0.

use std::path::PathBuf;

use kmod::config::{Config, ConfigSource};
use kmod::name::Escaped;
use kmod::object::{Limits, Module};
use kmod::resolve::{Action, LoadRequest, find, load_plan};
use kmod::tree::Tree;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(name)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: resolve DIRECTORY NAME".into());
    };
    // This reads the configuration. The tree reads each index at its first use.
    let (config, warnings) = Config::load(&ConfigSource::system(&directory));
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let tree = Tree::new(directory);

    let found = find(&tree, &config, name.as_encoded_bytes())?;
    found.problems.iter().for_each(|problem| eprintln!("{problem}"));
    if found.hits.is_empty() {
        return Err(format!("module {} not found", Escaped(name.as_encoded_bytes())).into());
    }
    for hit in &found.hits {
        let plan = load_plan(&tree, &config, hit, &LoadRequest::default());
        println!("{}{}", hit.module, if plan.blacklisted { ": blacklisted" } else { "" });
        for step in &plan.steps {
            println!("  {}", Escaped(step.line().unwrap_or_default()));
            let Action::Insert(path) = &step.action else { continue };
            let module = Module::open(path, &Limits::default())?;
            for description in module.elf()?.modinfo()?.values(b"description") {
                println!("    {}", Escaped(description));
            }
        }
    }
    Ok(())
}
