//! `kmod static-nodes`: lists the device nodes of modules.devname, for systemd-tmpfiles or for people. Opening such a node makes
//! the kernel load its module, so a system creates the nodes at boot, before the driver could request them.
//!
//! As in C kmod, the messages do not start with the name of the tool.

use super::options::{About, Apply, Flag, Order};
use super::output::print_error;
use super::{Failed, Invocation, help_flag, module_directory};
use crate::config::show_path;
use crate::name::Escaped;
use crate::sys::{strerror, strerror_io};
use crate::tree::text::{DeviceNode, devname_lines};
use crate::tree::{Tree, TreeError};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The parsed options.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    format: Option<OsString>,
    output: Option<PathBuf>,
}

/// The tool's usage and options.
pub static ABOUT: About<Arguments> = About {
    usage: "kmod static-nodes [options]",
    flags: &[
        Flag {
            short: Some('f'),
            long: "format",
            old: &[],
            apply: Apply::Value("FORMAT", |a, format| {
                // The first invalid value is reported.
                if a.format.as_deref().is_none_or(|format| Format::of(format).is_some()) {
                    a.format = Some(format);
                }
            }),
            help: "print in this format: human (the default),\ntmpfiles (for systemd-tmpfiles) or devname (as in\nmodules.devname)",
        },
        Flag {
            short: Some('o'),
            long: "output",
            old: &[],
            apply: Apply::Value("FILE", |a, file| a.output = Some(file.into())),
            help: "write to FILE; create its directory if necessary",
        },
        help_flag(),
    ],
};

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Five lines per node.
    Human,
    /// Lines of tmpfiles.d(5).
    Tmpfiles,
    /// Lines of modules.devname.
    Devname,
}

impl Format {
    fn of(name: &OsStr) -> Option<Self> {
        match name.as_bytes() {
            b"human" => Some(Self::Human),
            b"tmpfiles" => Some(Self::Tmpfiles),
            b"devname" => Some(Self::Devname),
            _ => None,
        }
    }
}

/// Runs the command for the running kernel.
///
/// # Errors
/// Any failure, after a message.
pub fn run(invocation: &Invocation) -> Result<(), Failed> {
    run_in(&Tree::new(module_directory(None, None)), invocation)
}

/// Runs the command for a module directory.
///
/// # Errors
/// Any failure, after a message.
pub fn run_in(tree: &Tree, invocation: &Invocation) -> Result<(), Failed> {
    let mut arguments = Arguments::default();
    let operands = invocation.operands().to_vec();
    // As C kmod does: it ignores operands and everything that follows them.
    if invocation.parse_in(Order::OptionsFirst, &ABOUT, &|| ABOUT.help(), operands, &mut arguments)?.is_none() {
        return Ok(());
    }
    let mut output = invocation.output();
    let name = arguments.format.as_deref().unwrap_or(OsStr::new("human"));
    let Some(format) = Format::of(name) else {
        print_error(&format!("Unknown format: '{}'.\n", Escaped(name.as_bytes())));
        output.write(ABOUT.help().as_bytes());
        let _already_failing = output.flush();
        return Err(Failed);
    };
    let path = tree.dir().join("modules.devname");
    let text = match tree.devname_text() {
        Ok(Some(text)) => text,
        Ok(None) => {
            print_error(&format!("Warning: {} not found - ignoring\n", show_path(&path)));
            return Ok(());
        }
        Err(TreeError::Io { cause, .. }) => {
            print_error(&format!("Error: could not open {} - {}\n", show_path(&path), strerror_io(&cause)));
            return Err(Failed);
        }
        Err(error) => {
            print_error(&format!("Error: {error}\n"));
            return Err(Failed);
        }
    };
    let mut result = Ok(());
    let mut written = Vec::new();
    for (_, node) in devname_lines(&text) {
        match node {
            Ok(node) => {
                let text = node_text(&node, format);
                if arguments.output.is_none() {
                    output.write(text.as_bytes());
                } else if written.try_reserve(text.len()).is_ok() {
                    written.extend_from_slice(text.as_bytes());
                } else {
                    print_error(&format!("Error: {}: {}\n", show_path(&path), strerror(Errno::NOMEM)));
                    return Err(Failed);
                }
            }
            Err(line) => {
                print_error(&format!("Error: invalid devname entry: {}\n", Escaped(line)));
                result = Err(Failed);
            }
        }
    }
    match &arguments.output {
        None => output.flush().map_err(|_| Failed)?,
        Some(path) => write_file(path, &written).map_err(|message| {
            print_error(&message);
            Failed
        })?,
    }
    result
}

/// Formats one node.
fn node_text(node: &DeviceNode<'_>, format: Format) -> String {
    let (module, path) = (Escaped(node.module), Escaped(node.path));
    let (letter, kind) = if node.is_block { ('b', "block device") } else { ('c', "character device") };
    let (major, minor) = (node.major, node.minor);
    match format {
        Format::Human => format!(
            "Module: {module}\n\tDevice node: /dev/{path}\n\t\tType: {kind}\n\t\tMajor: {major}\n\t\tMinor: {minor}\n"
        ),
        Format::Tmpfiles => {
            let directory = match node.path.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => format!("d /dev/{} 0755 - - -\n", Escaped(&node.path[..slash])),
                None => String::new(),
            };
            format!("{directory}{letter}! /dev/{path} 0600 - - - {major}:{minor}\n")
        }
        Format::Devname => format!("{module} {path} {letter}{major}:{minor}\n"),
    }
}

/// Replaces a file atomically: a reader sees the old content or the new. If the path exists and is not a regular file (but a
/// pipe, a device or a link), the content is written into it.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("Error: {what} {} - {}", show_path(path), strerror_io(&error));
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        let made = fs::create_dir_all(parent);
        made.map_err(|error| failed("could not create parent directory for", error) + ".\n")?;
    }
    let written = match fs::symlink_metadata(path) {
        Ok(data) if !data.is_file() => fs::File::create(path).and_then(|mut file| file.write_all(bytes)),
        _ => replace(path, bytes),
    };
    written.map_err(|error| failed("could not create", error) + "\n")
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else { return fs::write(path, bytes) };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    // Left over from an earlier process with the same PID.
    let _may_be_missing = fs::remove_file(&temporary);
    let fill = || {
        fs::File::create_new(&temporary)?.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    fill().inspect_err(|_| {
        let _best_effort = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_option() {
        insta::assert_snapshot!(super::ABOUT.help());
    }

    #[test]
    fn nodes_are_printed_in_each_format() {
        let text = |format| {
            let mut out = Vec::new();
            for line in [&b"fuse fuse c10:229"[..], b"b a/b-c/d b259:65536"] {
                out.extend(node_text(&DeviceNode::parse(line).unwrap(), format).into_bytes());
            }
            String::from_utf8(out).unwrap().replace('\t', "<tab>")
        };
        assert_eq!(text(Format::Devname), "fuse fuse c10:229\nb a/b-c/d b259:65536\n");
        assert_eq!(
            text(Format::Tmpfiles),
            "c! /dev/fuse 0600 - - - 10:229\nd /dev/a/b-c 0755 - - -\nb! /dev/a/b-c/d 0600 - - - 259:65536\n"
        );
        insta::assert_snapshot!(text(Format::Human), @r"
        Module: fuse
        <tab>Device node: /dev/fuse
        <tab><tab>Type: character device
        <tab><tab>Major: 10
        <tab><tab>Minor: 229
        Module: b
        <tab>Device node: /dev/a/b-c/d
        <tab><tab>Type: block device
        <tab><tab>Major: 259
        <tab><tab>Minor: 65536
        ");
    }
}
