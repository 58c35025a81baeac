//! `modinfo`: prints the metadata of modules, which are selected by name, alias or file.
//!
//! No configuration is read, so aliases of modprobe.d are unknown here.

pub mod listing;
mod reading;

use super::options::{About, Apply, Flag};
use super::output::Output;
use super::{Failed, Invocation, help_flag, module_directory, version_flag};
use crate::config::Config;
use crate::execute::OpenError;
use crate::file::out_of_memory;
use crate::log::{Log, Priority};
use crate::name::{Escaped, ModuleName};
use crate::object::{Limits, Scratch, compress};
use crate::resolve::find;
use crate::tree::{Tree, TreeError, text::builtin_modinfo_entries};
use listing::{Listing, Style};
use reading::Problem;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// The number of operands that are resolved before their modules are read and printed.
const BATCH: usize = 256;

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    style: Style,
    modname: bool,
    release: Option<OsString>,
    root: Option<PathBuf>,
}

/// Defines an option that selects one field.
const fn field_flag(short: char, long: &'static str, apply: fn(&mut Arguments), help: &'static str) -> Flag<Arguments> {
    Flag { short: Some(short), long, old: &[], apply: Apply::Set(apply), help }
}

fn only(arguments: &mut Arguments, field: &[u8]) {
    arguments.style.field = Some(field.to_vec());
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "modinfo [options] MODULE|FILE...",
    flags: &[
        field_flag('a', "author", |a| only(a, b"author"), "print only the authors"),
        field_flag('d', "description", |a| only(a, b"description"), "print only the description"),
        field_flag('l', "license", |a| only(a, b"license"), "print only the license"),
        field_flag('p', "parameters", |a| only(a, b"parm"), "print only the parameters"),
        field_flag('n', "filename", |a| only(a, b"filename"), "print only the path of the file"),
        field_flag('0', "null", |a| a.style.null = true, "end entries with NUL instead of a newline"),
        field_flag('m', "modname", |a| a.modname = true, "treat operands as module names, not aliases or files"),
        Flag {
            short: Some('F'),
            long: "field",
            old: &[],
            apply: Apply::Value("FIELD", |a, field| a.style.field = Some(field.into_vec())),
            help: "print only the values of this field, unescaped",
        },
        Flag {
            short: Some('k'),
            long: "set-version",
            old: &[],
            apply: Apply::Value("RELEASE", |a, release| a.release = Some(release)),
            help: "use the modules of this kernel release",
        },
        Flag {
            short: Some('b'),
            long: "basedir",
            old: &[],
            apply: Apply::Value("DIR", |a, root| a.root = Some(root.into())),
            help: "use DIR as the root directory for modules",
        },
        version_flag(),
        help_flag(),
    ],
};

/// Runs the tool.
///
/// # Errors
/// Any module that could not be shown, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let Some(operands) = invocation.parse(&ABOUT, invocation.operands().to_vec(), &mut arguments)? else {
        return Ok(());
    };
    let mut log = invocation.log("modinfo", Priority::Warning, false);
    if operands.is_empty() {
        log.error("missing module or filename.");
        return Err(Failed);
    }
    let tree = Tree::new(module_directory(arguments.root.as_deref(), arguments.release.as_deref()));
    let mut session = Session {
        arguments,
        tree,
        output: invocation.output(),
        log,
        scratch: Scratch::default(),
        reported: Vec::new(),
    };
    let mut result = Ok(());
    for batch in operands.chunks(BATCH) {
        let mut targets = Vec::new();
        for operand in batch {
            result = session.find(operand, &mut targets).and(result);
        }
        let paths: Vec<_> = targets.iter().map(|module| module.path.as_deref()).collect();
        let ready = if session.arguments.style.is_filename() {
            Vec::new()
        } else {
            reading::read_ahead(&session.arguments.style, &paths)
        };
        let ready = ready.into_iter().chain(std::iter::repeat_with(|| None));
        for (module, ready) in targets.iter().zip(ready) {
            result = session.show(module, ready).and(result);
        }
    }
    result.and(session.output.flush().map_err(|_| Failed))
}

/// The state of one run, once its arguments are parsed.
struct Session {
    arguments: Arguments,
    tree: Tree,
    output: Output,
    log: Log,
    /// Memory that decompression reuses from module to module.
    scratch: Scratch,
    /// The problems that were printed.
    reported: Vec<String>,
}

/// A module to be shown: its name, if it has one, and its file, unless it is built in.
struct Target {
    name: Option<ModuleName>,
    path: Option<PathBuf>,
}

impl Session {
    /// Resolves an operand to modules.
    fn find(&mut self, operand: &OsStr, targets: &mut Vec<Target>) -> Result<(), Failed> {
        if !self.arguments.modname && is_module_file(operand) {
            // A file named just `.ko` yields no module name, but can be read.
            let name = ModuleName::from_path(operand.as_bytes()).ok();
            targets.push(Target { name, path: Some(below_working_directory(operand)) });
            return Ok(());
        }
        let found = if self.arguments.modname { self.by_name(operand) } else { self.by_alias(operand)? };
        if found.is_empty() {
            if let Some(cause) = not_a_file(operand).filter(|_| !self.arguments.modname) {
                self.log.error(format_args!("could not get modinfo from '{}': {cause}", Escaped(operand.as_bytes())));
                return Err(Failed);
            }
            let what = if self.arguments.modname { "Module name" } else { "Module" };
            self.log.error(format_args!("{what} {} not found.", Escaped(operand.as_bytes())));
            return Err(Failed);
        }
        let mut result = Ok(());
        for module in found {
            match self.tree.module(&module) {
                // A module without an entry in modules.dep is built in.
                Ok(entry) => targets.push(Target { name: Some(module), path: entry.map(|entry| entry.path) }),
                Err(problem) => {
                    self.report(&problem);
                    result = Err(Failed);
                }
            }
        }
        result
    }

    /// Resolves a name or alias.
    fn by_alias(&mut self, operand: &OsStr) -> Result<Vec<ModuleName>, Failed> {
        let found = find(&self.tree, &Config::default(), operand.as_bytes()).map_err(|_| {
            self.log.error(format_args!("Module alias {} not found.", Escaped(operand.as_bytes())));
            Failed
        })?;
        found.problems.iter().for_each(|problem| self.report(problem));
        Ok(found.hits.into_iter().map(|hit| hit.module).collect())
    }

    /// Looks up a module by its name. As in C kmod, built-in modules are found by their aliases as well.
    fn by_name(&mut self, operand: &OsStr) -> Vec<ModuleName> {
        let Ok(name) = ModuleName::new(operand.as_bytes()) else { return Vec::new() };
        let look = || {
            if self.tree.module(&name)?.is_some() || self.tree.is_builtin(&name)? {
                return Ok(vec![name.clone()]);
            }
            self.tree.builtin_aliases(name.as_bytes())
        };
        look().unwrap_or_else(|problem| {
            self.report(&problem);
            Vec::new()
        })
    }

    /// Prints one module, which may have been read ahead.
    fn show(&mut self, module: &Target, ready: Option<Result<Listing, Problem>>) -> Result<(), Failed> {
        let style = &self.arguments.style;
        let name = module.name.as_ref().map(ModuleName::as_bytes).unwrap_or_default();
        let path = module.path.as_deref();
        self.output.write(&style.heading(name, path.map(|path| path.as_os_str().as_bytes())));
        if style.is_filename() {
            return Ok(());
        }
        let listing = match (ready, path) {
            (Some(ready), _) => ready,
            (None, Some(path)) => reading::read(style, path, &Limits::default(), &mut self.scratch),
            (None, None) => self.builtin_listing(name),
        };
        match listing {
            Ok(listing) => {
                self.output.write(&listing.text);
                for entry in &listing.invalid {
                    self.log.error(format_args!("Found invalid \"{}\": missing ':'", Escaped(entry)));
                }
                Ok(())
            }
            Err(problem) => {
                if !problem.is_plain_errno() {
                    self.log.library_error(&problem);
                }
                let why = problem.errno_text();
                self.log.error(format_args!("could not get modinfo from '{}': {why}", Escaped(name)));
                Err(Failed)
            }
        }
    }

    fn builtin_listing(&self, name: &[u8]) -> Result<Listing, Problem> {
        // Old kernels have no modules.builtin.modinfo.
        let all = self.tree.builtin_modinfo()?.unwrap_or_default();
        let own = builtin_modinfo_entries(&all).filter(|(module, ..)| *module == name);
        let listing = self.arguments.style.list(own.map(|(_, key, value)| (key, value)), None);
        if listing.out_of_memory {
            let path = self.tree.dir().join("modules.builtin.modinfo");
            return Err(TreeError::Io { path, cause: out_of_memory(()) }.into());
        }
        Ok(listing)
    }

    /// Prints each problem once: every lookup encounters the same damaged index.
    fn report(&mut self, problem: &TreeError) {
        let problem = problem.to_string();
        if !self.reported.contains(&problem) {
            self.log.error(&problem);
            self.reported.push(problem);
        }
    }
}

/// Reports whether an operand is a module file rather than a name.
fn is_module_file(operand: &OsStr) -> bool {
    let name = operand.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    compress::uncompressed_name(name).is_some() && std::fs::metadata(operand).is_ok_and(|data| data.is_file())
}

/// Reports why an operand with a slash, which is the path of something that exists, is not a module file.
fn not_a_file(operand: &OsStr) -> Option<OpenError> {
    let data = std::fs::metadata(operand).ok().filter(|data| !data.is_file() && operand.as_bytes().contains(&b'/'))?;
    Some(if data.is_dir() { OpenError::Errno(Errno::ISDIR) } else { OpenError::NotRegular })
}

/// Makes a path absolute, otherwise unchanged.
fn below_working_directory(operand: &OsStr) -> PathBuf {
    match std::env::current_dir() {
        // `join` returns an absolute path unchanged.
        Ok(directory) => directory.join(operand),
        Err(_) => operand.into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
