//! Says what modprobe would do for a name, and what the modules say of themselves, without asking the kernel for anything:
//! `cargo run --example resolve -- DIRECTORY NAME`, where DIRECTORY is one such as /lib/modules/6.1.0.

use std::path::PathBuf;

use kmod::config::{Config, ConfigSource};
use kmod::name::Escaped;
use kmod::object::{Limits, Module};
use kmod::resolve::{Action, LoadRequest, find, load_plan};
use kmod::tree::Tree;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(name)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("say which module directory, and a name or an alias".into());
    };
    // Only here is read what the configuration consists of; the tree reads an index when it is first asked for it.
    let (config, warnings) = Config::load(&ConfigSource::system(&directory));
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let tree = Tree::new(directory);

    let found = find(&tree, &config, name.as_encoded_bytes())?;
    found.problems.iter().for_each(|problem| eprintln!("{problem}"));
    if found.hits.is_empty() {
        return Err(format!("nothing is known by the name {}", Escaped(name.as_encoded_bytes())).into());
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
