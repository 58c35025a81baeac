//! Manual pages and shell completions, made from the option tables of the commands and the longer texts beside them.
//!
//! Nothing here is reached from the program, so that it does not grow by it; the example `pages` writes the files and
//! `ci/install` installs them.
//!
//! ```text
//!   tools   the page of each tool: its table, and the text around it
//!   files   the pages of the files that the tools read and write
//!   roff    a page as manual page
//!   shells  a tool's completions for bash, zsh and fish
//! ```

pub mod files;
pub mod roff;
pub mod shells;
pub mod tools;

use super::options::{About, Apply};

/// One manual page. In its texts, what stands between back quotes is literal, and shown so.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Its name.
    pub name: &'static str,
    /// The section of the manual.
    pub section: u8,
    /// What the name stands for, on one line.
    pub about: &'static str,
    /// The lines of the synopsis.
    pub synopsis: &'static [&'static str],
    /// The sections, in order.
    pub sections: &'static [Section],
    /// Other pages.
    pub see_also: &'static [(&'static str, u8)],
}

/// A section of a page.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its title, in capitals.
    pub title: &'static str,
    /// What stands in it.
    pub blocks: &'static [Block],
}

/// A part of a section.
#[derive(Debug, Clone, Copy)]
pub enum Block {
    /// A paragraph.
    Text(&'static str),
    /// A term, and what it means.
    Item(&'static str, &'static str),
    /// Lines to be shown as they are.
    Example(&'static str),
    /// The options of the tool whose page it is.
    Options,
}

/// A tool: its page, its options, and what its operands are.
#[derive(Debug)]
pub struct Tool {
    /// The page.
    pub page: &'static Page,
    /// The options of its table.
    pub options: fn() -> Vec<Entry>,
    /// What the page says of an option, by its long name, behind the line of the help.
    pub more: &'static [(&'static str, &'static str)],
    /// What its operands are.
    pub operands: Operands,
}

/// What the operands of a tool are, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// A module of the module directory, then its parameters; behind `-r` or `--remove` a loaded one.
    Modules,
    /// Loaded modules.
    Loaded,
    /// Modules of the module directory, or module files.
    ModuleOrFile,
    /// A module file, then its parameters.
    ModuleFile,
    /// A kernel release, then files.
    Release,
    /// One of these words.
    Commands(&'static [(&'static str, &'static str)]),
    /// None.
    Nothing,
}

/// What the value of an option is, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A directory.
    Directory,
    /// A file or directory.
    File,
    /// A kernel release.
    Release,
    /// One of these words.
    Words(&'static str),
    /// Something that cannot be guessed.
    Other,
}

/// A flag of a table, without what it does.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `-x`
    pub short: Option<char>,
    /// `--long`
    pub long: &'static str,
    /// Its old names.
    pub old: &'static [&'static str],
    /// The name of its value in the help.
    pub value: Option<&'static str>,
    /// The lines of the help.
    pub help: &'static str,
}

impl Entry {
    /// The help on one line.
    #[must_use]
    pub fn line(&self) -> String {
        self.help.replace('\n', " ")
    }

    /// What its value is, told by the value's name.
    #[must_use]
    pub fn kind(&self) -> Option<Value> {
        self.value.map(|value| match value {
            "DIR" => Value::Directory,
            "FILE" | "PATH" => Value::File,
            "FORMAT" => Value::Words("human tmpfiles devname"),
            "VERSION" | "RELEASE" => Value::Release,
            _ => Value::Other,
        })
    }
}

impl<A> About<A> {
    /// The flags without what they do.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |flag: &super::options::Flag<A>| Entry {
            short: flag.short,
            long: flag.long,
            old: flag.old,
            value: if let Apply::Take(value, _) = flag.apply { Some(value) } else { None },
            help: flag.help,
        };
        self.flags.iter().map(entry).collect()
    }
}

/// Every file, with its path below `share`.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    let page = |page: &Page| format!("man/man{}/{}.{}", page.section, page.name, page.section);
    let mut all = Vec::new();
    for tool in tools::TOOLS {
        let name = tool.page.name;
        all.push((page(tool.page), roff::page(tool.page, Some(tool))));
        all.push((format!("bash-completion/completions/{name}"), shells::bash(tool)));
        all.push((format!("zsh/site-functions/_{name}"), shells::zsh(tool)));
        all.push((format!("fish/vendor_completions.d/{name}.fish"), shells::fish(tool)));
    }
    all.extend(tools::SUBCOMMANDS.iter().map(|tool| (page(tool.page), roff::page(tool.page, Some(tool)))));
    all.extend(files::PAGES.iter().map(|file| (page(file), roff::page(file, None))));
    all
}

#[cfg(test)]
mod tests;
