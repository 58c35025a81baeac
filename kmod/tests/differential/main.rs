//! Compares our tools with C kmod 34.2 and 30: runs the same commands in the same small root and reports every difference.
//! `ci/differential` fetches the C tools and runs this test; without them it is skipped, with a message.
//!
//! ```text
//!   case, cases/   the cases: files and commands, as data
//!   generate       random cases, and what is listed of their differences
//!   kernel_trees   cases with all modules of Debian's kernels
//!   setup          the tools
//!   sandbox        runs a case with one tool, in separate namespaces: without privileges, isolated from this machine
//!   results        serialises the results
//!   normalise      removes differences without meaning
//!   compare        compares two results line by line
//!   accepted       accepted.txt: the intended differences, each with its reason in docs/reference/compatibility.md
//!   verdict        compares all results with accepted.txt
//! ```
//!
//! `cargo test -p kmodlab-kmod --test differential NAME…` runs the cases whose names contain NAME.
//! `-- --show` prints everything that each tool did.
//! `KMOD_DIFFERENTIAL_UPDATE=1` rewrites accepted.txt; new differences get the reason `?`, which fails.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used, missing_docs)]

mod accepted;
mod case;
mod cases;
mod compare;
mod generate;
mod kernel_trees;
mod normalise;
mod results;
mod sandbox;
mod setup;
mod verdict;

// The generator of small modules is part of the library's unit tests; parts of it are unused here.
#[allow(dead_code)]
#[path = "../../src/object/testing.rs"]
mod testing;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use case::Case;
use results::Row;
use setup::Setup;

/// A case with its name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) make: Box<dyn Fn() -> Case + Send + Sync>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name, tool, root] = &arguments[..] {
        if flag == "--sandbox" {
            return sandboxed(name, tool, Path::new(root));
        }
    }
    if let [flag, root, rest @ ..] = &arguments[..] {
        if flag == "--random-worker" {
            let done = Setup::from_env().and_then(|setup| generate::worker::main(Path::new(root), rest, &setup));
            return code(done);
        }
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("differential: test");
        return ExitCode::SUCCESS;
    }
    let skip = |reason: String| {
        let required = env::var_os("KMOD_DIFFERENTIAL_REQUIRED").is_some();
        eprintln!("differential: {}: {reason}", if required { "cannot run" } else { "skipped" });
        println!("test result: ok. 0 passed; 0 failed; 1 ignored;");
        if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    };
    let setup = match Setup::from_env() {
        Ok(setup) => setup,
        Err(reason) => return skip(reason),
    };
    match generate::Request::parse(&arguments) {
        Ok(None) => {}
        Ok(Some(request)) => {
            return match namespaces() {
                Ok(()) => generate::run(&request, &setup),
                Err(reason) => skip(reason),
            };
        }
        Err(error) => return code(Err(error)),
    }
    let all = all_cases(&setup);
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<&Named> = all
        .iter()
        .filter(|case| wanted.is_empty() || wanted.iter().any(|name| case.name.contains(&name[..])))
        .collect();
    if chosen.is_empty() {
        println!("test result: ok. 0 passed; 0 failed; 0 ignored;");
        return ExitCode::SUCCESS;
    }
    if let Err(reason) = namespaces() {
        return skip(reason);
    }
    let began = Instant::now();
    let results = run_all(&chosen, &setup);
    if arguments.iter().any(|argument| argument == "--show") {
        verdict::show(&chosen, &results, &setup);
    }
    let judged = verdict::judge(&chosen, &results, &setup, wanted.is_empty(), began);
    if !wanted.is_empty() {
        return judged;
    }
    let random = generate::check(&setup);
    if judged == ExitCode::SUCCESS { random } else { judged }
}

fn code(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn all_cases(setup: &Setup) -> Vec<Named> {
    let mut all = kernel_trees::cases(setup);
    all.extend(cases::all());
    all
}

/// Checks that this machine allows user namespaces.
fn namespaces() -> Result<(), String> {
    let done = unshare().arg("true").stdin(Stdio::null()).output();
    match done {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("no user namespace: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("no `unshare` (package util-linux): {error}")),
    }
}

/// C kmod prints descriptor numbers in some messages: close those that this program inherited from its caller.
const CLOSE_INHERITED: &str = r#"exec "$@" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-"#;

fn unshare() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", CLOSE_INHERITED, "sh", "unshare", "--user", "--map-root-user", "--mount", "--"]);
    command
}

/// The results of each case and tool, or why there are none.
pub(crate) type Results = BTreeMap<(String, String), Result<Vec<Row>, String>>;

fn run_all(chosen: &[&Named], setup: &Setup) -> Results {
    let jobs: Vec<(&Named, &str)> =
        chosen.iter().flat_map(|case| setup.tools().map(move |tool| (*case, tool))).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Results::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let root = tempfile::tempdir().unwrap();
                while let Some((case, tool)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rows = run_one(case, tool, root.path());
                    results.lock().unwrap().insert((case.name.clone(), (*tool).to_owned()), rows);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn run_one(case: &Named, tool: &str, root: &Path) -> Result<Vec<Row>, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = unshare();
    command.arg(this).args(["--sandbox", &case.name, tool]).arg(root).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => results::read(&mut &output.stdout[..]).map_err(|error| format!("cannot read its results: {error}")),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn sandboxed(name: &str, tool: &str, root: &Path) -> ExitCode {
    let done = Setup::from_env().and_then(|setup| {
        let case = all_cases(&setup).into_iter().find(|case| case.name == name).ok_or("no such case")?;
        sandbox::main(&(case.make)(), tool, &setup, root).map_err(|error| error.to_string())
    });
    code(done)
}
