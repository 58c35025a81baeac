//! The body of the fuzz target `depmod_cache`.

use arbitrary::{Arbitrary, Unstructured};
use kmod::depmod::Options;
use kmod::depmod::cache::view::{CachedModule, modules, sealed, write};

/// What a structured input begins with; everything else stands in the place of the entries.
const STRUCTURED: u8 = b'S';

/// The input is what stands between the head and the checksum of a cache; or, behind `S`, the making of one, then damaged.
///
/// # Panics
/// When a promise about depmod's cache is broken.
pub fn depmod_cache(data: &[u8]) {
    let options = Options::new("/nonexistent");
    if let Some((&STRUCTURED, bytes)) = data.split_first() {
        let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
        recipe.check(&options);
    }
    assert_eq!(modules(data, &options), None, "bytes without a head are believed");
    if let Some(found) = modules(&sealed(data, &options), &options) {
        // What was understood, written anew, is understood in the same way.
        assert_eq!(
            modules(&write(&found, &options), &options).as_ref(),
            Some(&found),
            "it reads back as something else"
        );
        let bytes: usize = found.iter().map(size).sum();
        assert!(bytes <= data.len(), "{bytes} bytes come out of {}", data.len());
    }
}

/// The bytes of names that a module has.
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
        assert_eq!(modules(&file, options).as_ref(), Some(&made), "what was written is not what is read");

        let other = Options { incremental: true, quick: true, ..options.clone() };
        assert_eq!(modules(&file, &other).as_ref(), Some(&made), "an option that changes nothing that is read counts");

        let place = self.place % file.len();
        assert_eq!(modules(&file[..place], options), None, "a cut file is believed");
        let mut damaged = file;
        damaged[place] ^= self.change.max(1);
        assert_eq!(modules(&damaged, options), None, "a changed byte is not noticed");
    }
}
