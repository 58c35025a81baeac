//! The body of the fuzz target `depmod_cache`.

use arbitrary::{Arbitrary, Unstructured};
use kmod::depmod::Options;
use kmod::depmod::cache::view::{CachedModule, modules, sealed, write};

/// The first byte of a structured input; any other input replaces the entries of a cache.
const STRUCTURED: u8 = b'S';

/// The input is what is between the head and the checksum of a cache, or `S` and the parameters of a cache that is then
/// damaged.
///
/// # Panics
/// Panics if a promise about depmod's cache is broken.
pub fn depmod_cache(data: &[u8]) {
    let options = Options::new("/nonexistent");
    if let Some((&STRUCTURED, bytes)) = data.split_first() {
        let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
        recipe.check(&options);
    }
    assert_eq!(modules(data, &options), None, "a cache without a head is accepted");
    if let Some(found) = modules(&sealed(data, &options), &options) {
        let again = modules(&write(&found, &options), &options);
        assert_eq!(again.as_ref(), Some(&found), "the modules, written again, read differently");
        let bytes: usize = found.iter().map(size).sum();
        assert!(bytes <= data.len(), "{bytes} bytes were read from {}", data.len());
    }
}

/// The size of all names of a module.
fn size(module: &CachedModule) -> usize {
    let info = module.info.iter().map(|(_, value)| value.len() + 1);
    let exports = module.exports.iter().map(|(name, _)| name.len() + 1);
    let imports = module.imports.iter().map(|(name, ..)| name.len() + 1);
    module.path.len() + info.chain(exports).chain(imports).sum::<usize>()
}

type Symbol = (Vec<u8>, Option<u64>);

#[derive(Debug, Arbitrary)]
struct Module {
    identity: [u64; 7],
    info: Vec<(u8, Vec<u8>)>,
    exports: Vec<Symbol>,
    imports: Vec<(Vec<u8>, bool, Option<u64>)>,
}

#[derive(Debug, Arbitrary)]
struct Recipe {
    modules: Vec<(Vec<u8>, Module)>,
    place: usize,
    change: u8,
}

impl Recipe {
    fn check(self, options: &Options) {
        let mut made: Vec<CachedModule> = Vec::new();
        for (path, module) in self.modules {
            let Module { identity, info, exports, imports } = module;
            let key = |number: u8| ["alias", "softdep", "weakdep"][usize::from(number % 3)];
            let info = info.into_iter().map(|(number, value)| (key(number), value)).collect();
            // depmod lists a path once.
            if !made.iter().any(|other| other.path == path) {
                made.push(CachedModule { path, identity, info, exports, imports });
            }
        }
        let file = write(&made, options);
        made.sort_unstable();
        assert_eq!(modules(&file, options).as_ref(), Some(&made), "a written cache reads differently");

        let other = Options { incremental: true, quick: true, ..options.clone() };
        assert_eq!(modules(&file, &other).as_ref(), Some(&made), "an irrelevant option invalidates the cache");

        let place = self.place % file.len();
        assert_eq!(modules(&file[..place], options), None, "a truncated cache is accepted");
        let mut damaged = file;
        damaged[place] ^= self.change.max(1);
        assert_eq!(modules(&damaged, options), None, "a damaged cache is accepted");
    }
}
