//! The generated trees, by subject.

mod cmdline;
mod config;
mod config_files;
mod damage;
mod depmod;
mod depmod_config;
mod depmod_files;
mod depmod_options;
mod inputs;
mod kmod_tool;
mod loaded;
mod lookup;
mod modinfo;
mod options;
mod random;
mod show;

use crate::Named;
use crate::case::{Case, replace};
use crate::testing::TinyModule;

type NamedCase = (&'static str, fn() -> Case);

/// Lists functions as named cases.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub const CASES: &[super::NamedCase] = &[$((stringify!($name), $name as fn() -> crate::case::Case)),*];
    };
}
use cases;

const GROUPS: [(&str, &[NamedCase]); 15] = [
    ("lookup", lookup::CASES),
    ("config", config::CASES),
    ("config", config_files::CASES),
    ("cmdline", cmdline::CASES),
    ("depmod", depmod::CASES),
    ("depmod", depmod_config::CASES),
    ("depmod", depmod_files::CASES),
    ("depmod", depmod_options::CASES),
    ("inputs", inputs::CASES),
    ("damage", damage::CASES),
    ("options", options::CASES),
    ("loaded", loaded::CASES),
    ("show", show::CASES),
    ("modinfo", modinfo::CASES),
    ("kmod", kmod_tool::CASES),
];

/// Returns all cases, named `group.name`.
pub(crate) fn all() -> Vec<Named> {
    let named = |(group, cases): (&str, &'static [NamedCase])| {
        let group = group.to_owned();
        cases.iter().map(move |&(name, make)| Named {
            name: format!("{group}.{}", name.replace('_', "-")),
            make: Box::new(make),
        })
    };
    GROUPS.into_iter().flat_map(named).chain(random::cases()).collect()
}

/// Returns a module with this name.
fn module(name: &str) -> TinyModule {
    TinyModule::named(name)
}

/// Returns a module file with a byte replaced by one that is not possible in text.
fn patched(module: &TinyModule, from: u8, to: u8) -> Vec<u8> {
    // Only between `e` and `f`, where the cases have it: binary fields of the file may contain the byte, too.
    replace(&module.build(), &[b'e', from, b'f'], &[b'e', to, b'f'])
}
