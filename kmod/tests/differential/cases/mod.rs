//! The made trees, by what they are about.

mod cmdline;
mod config;
mod config_files;
mod damage;
mod depmod;
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

type Made = (&'static str, fn() -> Case);

/// Names of functions as named cases.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub const CASES: &[super::Made] = &[$((stringify!($name), $name as fn() -> crate::case::Case)),*];
    };
}
use cases;

const GROUPS: [(&str, &[Made]); 12] = [
    ("lookup", lookup::CASES),
    ("config", config::CASES),
    ("config", config_files::CASES),
    ("cmdline", cmdline::CASES),
    ("depmod", depmod::CASES),
    ("inputs", inputs::CASES),
    ("damage", damage::CASES),
    ("options", options::CASES),
    ("loaded", loaded::CASES),
    ("show", show::CASES),
    ("modinfo", modinfo::CASES),
    ("kmod", kmod_tool::CASES),
];

/// All of them: `group.name`.
pub(crate) fn all() -> Vec<Named> {
    let named = |(group, cases): (&str, &'static [Made])| {
        let group = group.to_owned();
        cases.iter().map(move |&(name, make)| Named {
            name: format!("{group}.{}", name.replace('_', "-")),
            make: Box::new(make),
        })
    };
    GROUPS.into_iter().flat_map(named).chain(random::cases()).collect()
}

/// A module of this name.
fn module(name: &str) -> TinyModule {
    TinyModule::named(name)
}

/// The file of a module with one byte in place of another: for bytes that no text has.
fn patched(module: &TinyModule, from: u8, to: u8) -> Vec<u8> {
    // Only between `e` and `f`, as the cases write it: the numbers of the file have that byte, too.
    replace(&module.build(), &[b'e', from, b'f'], &[b'e', to, b'f'])
}
