//! All fuzz targets in one program, for ci/mutants-fuzz, which builds once for each fault: `KMODLAB_FUZZ_TARGET` selects one.
#![no_main]

use std::env;
use std::sync::OnceLock;

static TARGET: OnceLock<laws::Body> = OnceLock::new();

fn start() {
    let name = env::var("KMODLAB_FUZZ_TARGET").unwrap_or_default();
    let found = laws::TARGETS.iter().find(|(target, _)| *target == name);
    let (name, body) = found.unwrap_or_else(|| panic!("KMODLAB_FUZZ_TARGET={name} is not a fuzz target"));
    TARGET.get_or_init(|| *body);
    kmodlab_fuzz::start(name);
}

libfuzzer_sys::fuzz_target!(init: start(), |data: &[u8]| {
    if let Some(body) = TARGET.get() {
        body(data);
    }
});
