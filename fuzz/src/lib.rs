//! What all fuzz targets share: without further arguments a target starts from the committed inputs and with its dictionary.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Set in the environment of a target that has its arguments.
const STARTED: &str = "KMODLAB_FUZZ_STARTED";

/// Defines the fuzz target whose body is this function.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        libfuzzer_sys::fuzz_target!(init: $crate::start(env!("CARGO_BIN_NAME")), |data: &[u8]| $body(data));
    };
}

/// Starts the program again with its dictionary and the directories of its seeds and regressions, if the arguments leave them
/// out. `cargo fuzz run TARGET` names only `fuzz/corpus/TARGET`, where libFuzzer puts new inputs.
pub fn start(target: &str) {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if env::var_os(STARTED).is_some() {
        return;
    }
    let more = more_arguments(Path::new(env!("CARGO_MANIFEST_DIR")), target, &arguments);
    if let (false, Ok(program)) = (more.is_empty(), env::current_exe()) {
        let error = Command::new(program).args(arguments).args(more).env(STARTED, "1").exec();
        eprintln!("cannot start with the dictionary and the seeds of {target}: {error}");
    }
}

fn more_arguments(fuzz: &Path, target: &str, arguments: &[OsString]) -> Vec<OsString> {
    let is_given = |name: &str| arguments.iter().any(|argument| argument.as_bytes().starts_with(name.as_bytes()));
    // Merging and minimising work on exactly the named inputs.
    if ["-merge=1", "-set_cover_merge=1", "-minimize_crash=1", "-help=1"].into_iter().any(is_given) {
        return Vec::new();
    }
    let mut more = Vec::new();
    let dictionary = fuzz.join("dictionaries").join(target).with_extension("dict");
    if !is_given("-dict=") && dictionary.is_file() {
        more.push(["-dict=".into(), dictionary.into_os_string()].into_iter().collect());
    }
    let mut named = arguments.iter().filter(|argument| !argument.as_bytes().starts_with(b"-")).peekable();
    // A named file is a single input to run.
    if named.peek().is_some() && named.all(|name| Path::new(name).is_dir()) {
        let dirs = ["seeds", "regressions"].map(|dir| fuzz.join(dir).join(target));
        more.extend(dirs.into_iter().filter(|dir| dir.is_dir()).map(std::path::PathBuf::into_os_string));
    }
    more
}
