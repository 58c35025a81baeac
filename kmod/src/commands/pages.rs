//! Man pages and shell completions, generated from the option tables of the tools and the texts of the pages.
//!
//! The program does not use this module and thus does not contain these texts. The example `pages` writes the files, and
//! `ci/install` installs them.
//!
//! ```text
//!   tools   the man pages of the tools
//!   files   the man pages of the files that the tools read and write
//!   roff    formatting of a man page
//!   shells  the completions of a tool for bash, zsh and fish
//! ```

pub mod files;
pub mod roff;
pub mod shells;
pub mod tools;

use super::options::{About, Apply};

/// A man page. In its texts, back quotes mark literal text.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The name of the page.
    pub name: &'static str,
    /// The section of the manual.
    pub section: u8,
    /// The description in the NAME section, on one line.
    pub about: &'static str,
    /// The lines of the synopsis.
    pub synopsis: &'static [&'static str],
    /// The sections, in order.
    pub sections: &'static [Section],
    /// Related pages.
    pub see_also: &'static [(&'static str, u8)],
}

/// A section of a page.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its title, in capitals.
    pub title: &'static str,
    /// Its content.
    pub blocks: &'static [Block],
}

/// A part of a section.
#[derive(Debug, Clone, Copy)]
pub enum Block {
    /// A paragraph.
    Text(&'static str),
    /// A term and its description.
    Item(&'static str, &'static str),
    /// Preformatted lines.
    Example(&'static str),
    /// The options of the tool that the page describes.
    Options,
}

/// A tool: its page, its options and the kind of its operands.
#[derive(Debug)]
pub struct Tool {
    /// The man page.
    pub page: &'static Page,
    /// Returns the options of its table.
    pub options: fn() -> Vec<Entry>,
    /// Additional text for options, by their long names. The page prints it after the help text.
    pub more: &'static [(&'static str, &'static str)],
    /// The kind of its operands.
    pub operands: Operands,
}

/// The kind of a tool's operands, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    /// A module of the module directory, then its parameters; after `-r` or `--remove`, loaded modules.
    Modules,
    /// Loaded modules.
    Loaded,
    /// Modules of the module directory, or module files.
    ModuleOrFile,
    /// A module file, then its parameters.
    ModuleFile,
    /// A kernel release, then files.
    Release,
    /// One of these commands.
    Commands(&'static [(&'static str, &'static str)]),
    /// None.
    Nothing,
}

/// The kind of an option's value, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A directory.
    Directory,
    /// A file or directory.
    File,
    /// A kernel release.
    Release,
    /// One of these space-separated choices.
    Choices(&'static str),
    /// Anything else.
    Other,
}

/// An option of a table, without its effect.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `-x`
    pub short: Option<char>,
    /// `--long`
    pub long: &'static str,
    /// Its alternative names.
    pub old: &'static [&'static str],
    /// The name of its value in the help.
    pub value: Option<&'static str>,
    /// The lines of its help text.
    pub help: &'static str,
}

impl Entry {
    /// Returns the help text on one line.
    #[must_use]
    pub fn line(&self) -> String {
        self.help.replace('\n', " ")
    }

    /// Returns the kind of its value, which follows from the value's name.
    #[must_use]
    pub fn kind(&self) -> Option<Value> {
        self.value.map(|value| match value {
            "DIR" => Value::Directory,
            "FILE" | "PATH" => Value::File,
            "FORMAT" => Value::Choices("human tmpfiles devname"),
            "RELEASE" => Value::Release,
            _ => Value::Other,
        })
    }
}

impl<A> About<A> {
    /// Returns the options without their effects.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |flag: &super::options::Flag<A>| Entry {
            short: flag.short,
            long: flag.long,
            old: flag.old,
            value: if let Apply::Value(value, _) = flag.apply { Some(value) } else { None },
            help: flag.help,
        };
        self.flags.iter().map(entry).collect()
    }
}

/// Returns every file with its path below `share`.
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
