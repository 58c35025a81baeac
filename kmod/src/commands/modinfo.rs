//! `modinfo`: what modules say of themselves, by name, alias or file.
//!
//! No configuration is read: an alias of modprobe.d is none here.

pub mod listing;
mod reading;

use super::options::{About, Apply, Flag};
use super::output::Output;
use super::{Failed, Invocation, help_flag, module_directory, version_flag};
use crate::config::Config;
use crate::log::{Log, Priority};
use crate::name::{Escaped, ModuleName};
use crate::object::{Limits, Scratch, compress};
use crate::resolve::find;
use crate::tree::{Tree, TreeError, text::builtin_modinfo_entries};
use listing::{Listing, Style};
use reading::Problem;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// So many arguments are looked up before their modules are read and shown.
const ROUND: usize = 256;

/// What was given, options only.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    style: Style,
    modname: bool,
    release: Option<OsString>,
    root: Option<PathBuf>,
}

/// A flag that asks for one field.
const fn field_flag(short: char, long: &'static str, apply: fn(&mut Arguments), help: &'static str) -> Flag<Arguments> {
    Flag { short: Some(short), long, old: &[], apply: Apply::Set(apply), help }
}

fn only(arguments: &mut Arguments, field: &[u8]) {
    arguments.style.field = Some(field.to_vec());
}

/// The command.
pub static ABOUT: About<Arguments> = About {
    usage: "modinfo [options] MODULE|FILE...",
    flags: &[
        field_flag('a', "author", |a| only(a, b"author"), "only the authors"),
        field_flag('d', "description", |a| only(a, b"description"), "only the description"),
        field_flag('l', "license", |a| only(a, b"license"), "only the licence"),
        field_flag('p', "parameters", |a| only(a, b"parm"), "only the parameters"),
        field_flag('n', "filename", |a| only(a, b"filename"), "only the file's path"),
        field_flag('0', "null", |a| a.style.null = true, "end entries with NUL, not with a newline"),
        field_flag('m', "modname", |a| a.modname = true, "arguments are names of modules, not aliases or files"),
        Flag {
            short: Some('F'),
            long: "field",
            old: &[],
            apply: Apply::Take("FIELD", |a, field| a.style.field = Some(field.into_vec())),
            help: "only the values of this field, as they are",
        },
        Flag {
            short: Some('k'),
            long: "set-version",
            old: &[],
            apply: Apply::Take("RELEASE", |a, release| a.release = Some(release)),
            help: "the kernel's release, instead of the running one",
        },
        Flag {
            short: Some('b'),
            long: "basedir",
            old: &[],
            apply: Apply::Take("DIR", |a, root| a.root = Some(root.into())),
            help: "where the root with /lib/modules is",
        },
        version_flag(),
        help_flag(),
    ],
};

/// Runs it.
///
/// # Errors
/// [`Failed`] after a message, when any of the modules could not be shown.
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
    let mut session =
        Session { arguments, tree, output: invocation.output(), log, scratch: Scratch::default(), told: Vec::new() };
    let mut result = Ok(());
    for some in operands.chunks(ROUND) {
        let mut wanted = Vec::new();
        for operand in some {
            result = session.find(operand, &mut wanted).and(result);
        }
        let paths: Vec<_> = wanted.iter().map(|module| module.path.as_deref()).collect();
        let ready = if session.arguments.style.is_filename() {
            Vec::new()
        } else {
            reading::read_ahead(&session.arguments.style, &paths)
        };
        let ready = ready.into_iter().chain(std::iter::repeat_with(|| None));
        for (module, ready) in wanted.iter().zip(ready) {
            result = session.show(module, ready).and(result);
        }
    }
    result.and(session.output.flush().map_err(|_| Failed))
}

/// One run, after the arguments were understood.
struct Session {
    arguments: Arguments,
    tree: Tree,
    output: Output,
    log: Log,
    /// The memory of the last module that was decompressed.
    scratch: Scratch,
    told: Vec<String>,
}

/// A module to be shown: its name, if it has one, and its file, unless it is built in.
struct Wanted {
    name: Option<ModuleName>,
    path: Option<PathBuf>,
}

impl Session {
    /// The modules that an argument asks for.
    fn find(&mut self, operand: &OsStr, wanted: &mut Vec<Wanted>) -> Result<(), Failed> {
        if !self.arguments.modname && is_module_file(operand) {
            // A file that is called just `.ko` has no module's name, and is read all the same.
            let name = ModuleName::from_path(operand.as_bytes()).ok();
            wanted.push(Wanted { name, path: Some(below_working_directory(operand)) });
            return Ok(());
        }
        let found = if self.arguments.modname { self.by_name(operand) } else { self.by_alias(operand)? };
        if found.is_empty() {
            let what = if self.arguments.modname { "Module name" } else { "Module" };
            self.log.error(format_args!("{what} {} not found.", Escaped(operand.as_bytes())));
            return Err(Failed);
        }
        let mut result = Ok(());
        for module in found {
            match self.tree.module(&module) {
                // What the index of modules does not know is built in.
                Ok(entry) => wanted.push(Wanted { name: Some(module), path: entry.map(|entry| entry.path) }),
                Err(problem) => {
                    self.tell(&problem);
                    result = Err(Failed);
                }
            }
        }
        result
    }

    /// All that a name stands for.
    fn by_alias(&mut self, operand: &OsStr) -> Result<Vec<ModuleName>, Failed> {
        let found = find(&self.tree, &Config::default(), operand.as_bytes()).map_err(|_| {
            self.log.error(format_args!("Module alias {} not found.", Escaped(operand.as_bytes())));
            Failed
        })?;
        found.problems.iter().for_each(|problem| self.tell(problem));
        Ok(found.hits.into_iter().map(|hit| hit.module).collect())
    }

    /// The module of this name. What a kernel has built in answers to its aliases, too, as it does with the C tool.
    fn by_name(&mut self, operand: &OsStr) -> Vec<ModuleName> {
        let Ok(name) = ModuleName::new(operand.as_bytes()) else { return Vec::new() };
        let look = || {
            if self.tree.module(&name)?.is_some() || self.tree.is_builtin(&name)? {
                return Ok(vec![name.clone()]);
            }
            self.tree.builtin_aliases(name.as_bytes())
        };
        look().unwrap_or_else(|problem| {
            self.tell(&problem);
            Vec::new()
        })
    }

    /// One module, which may have been read before.
    fn show(&mut self, module: &Wanted, ready: Option<Result<Listing, Problem>>) -> Result<(), Failed> {
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
                if !problem.is_plain() {
                    self.log.library_error(&problem);
                }
                let why = problem.text();
                self.log.error(format_args!("could not get modinfo from '{}': {why}", Escaped(name)));
                Err(Failed)
            }
        }
    }

    fn builtin_listing(&self, name: &[u8]) -> Result<Listing, Problem> {
        // An old kernel does not say what it has built in.
        let all = self.tree.builtin_modinfo()?.unwrap_or_default();
        let own = builtin_modinfo_entries(&all).filter(|(module, ..)| *module == name);
        Ok(self.arguments.style.list(own.map(|(_, key, value)| (key, value)), None))
    }

    /// Each problem once: one broken index is met by every name that is looked up.
    fn tell(&mut self, problem: &TreeError) {
        let problem = problem.to_string();
        if !self.told.contains(&problem) {
            self.log.error(&problem);
            self.told.push(problem);
        }
    }
}

/// Whether an argument is a module's file and no name.
fn is_module_file(operand: &OsStr) -> bool {
    let name = operand.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    compress::uncompressed_name(name).is_some() && std::fs::metadata(operand).is_ok_and(|data| data.is_file())
}

/// A path from the root on, otherwise as it was given.
fn below_working_directory(operand: &OsStr) -> PathBuf {
    match std::env::current_dir() {
        // `join` lets an absolute path stand as it is.
        Ok(directory) => directory.join(operand),
        Err(_) => operand.into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_names_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }
}
