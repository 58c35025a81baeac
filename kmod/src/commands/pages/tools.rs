//! Section 8: the tools. The options come from the tables of the tools; this module adds the rest.

mod depmod;
mod modinfo;
mod modprobe;
mod request;

use super::{Block, Entry, Operands, Page, Section, Tool};
use crate::commands;

/// All tools.
pub static TOOLS: &[Tool] = &[
    modprobe::TOOL,
    depmod::TOOL,
    modinfo::TOOL,
    Tool {
        page: &INSMOD,
        options: || commands::insmod::ABOUT.entries(),
        more: &[FORCE, MODVERSION, VERMAGIC],
        operands: Operands::ModuleFile,
    },
    Tool { page: &RMMOD, options: || commands::rmmod::ABOUT.entries(), more: &[], operands: Operands::Loaded },
    Tool { page: &LSMOD, options: || commands::lsmod::ABOUT.entries(), more: &[], operands: Operands::Nothing },
    Tool {
        page: &KMOD,
        options: || commands::kmod::ABOUT.entries(),
        more: &[],
        operands: Operands::Commands(commands::kmod::COMMANDS),
    },
    request::TOOL,
];

/// The commands of `kmod` that have a separate page, named `kmod-COMMAND`.
pub static SUBCOMMANDS: &[Tool] = &[Tool {
    page: &STATIC_NODES,
    options: || commands::static_nodes::ABOUT.entries(),
    more: &[("output", "FILE is replaced atomically.")],
    operands: Operands::Nothing,
}];

/// Returns the options of a command of `kmod`.
#[must_use]
pub fn options_of_command(command: &str) -> Vec<Entry> {
    match command {
        "list" => commands::lsmod::ABOUT.entries(),
        "static-nodes" => commands::static_nodes::ABOUT.entries(),
        _ => Vec::new(),
    }
}

const FORCE: (&str, &str) = (
    "force",
    "A module that was built for another kernel can crash this one and corrupt data. Forced loading taints the kernel.",
);
const MODVERSION: (&str, &str) = (
    "force-modversion",
    "The kernel compares the checksums of the symbols that a module uses with its own if both were built with \
     CONFIG_MODVERSIONS.",
);
const VERMAGIC: (&str, &str) = (
    "force-vermagic",
    "The version magic is a string with the release and the main build options of the kernel that the module was built \
     for.",
);

const OPTIONS: Section = Section { title: "OPTIONS", blocks: &[Block::Options] };

const EXIT_STATUS: Section =
    Section { title: "EXIT STATUS", blocks: &[Block::Text("0 on success, 1 on any failure, including usage errors.")] };

static INSMOD: Page = Page {
    name: "insmod",
    section: 8,
    about: "load a module file into the kernel",
    synopsis: &["insmod [OPTION...] FILE [PARAMETER...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`insmod` loads the module FILE into the kernel with the given parameters. It does not load \
                     dependencies, read configuration or resolve names. Use `modprobe`(8) for that.",
                ),
                Block::Text(
                    "FILE can be compressed with gzip, xz or zstd. The kernel decompresses it if it supports that; \
                     otherwise `insmod` does.",
                ),
                Block::Text(
                    "A PARAMETER has the form `NAME=VALUE`. A value that contains spaces is passed in double quotes, as \
                     the kernel expects.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
    ],
    see_also: &[("modprobe", 8), ("rmmod", 8), ("lsmod", 8), ("kmod", 8)],
};

static RMMOD: Page = Page {
    name: "rmmod",
    section: 8,
    about: "remove modules from the kernel",
    synopsis: &["rmmod [OPTION...] MODULE..."],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`rmmod` removes each MODULE, which is a name or the path of a module file. If one cannot be \
                     removed, it continues with the next.",
                ),
                Block::Text(
                    "`rmmod` does not remove dependencies or read configuration. Use `modprobe -r` for that. It is an \
                     error if a module is in use, built in or not loaded.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[Block::Item("`/sys/module/MODULE`", "Whether a module is loaded, and which modules use it.")],
        },
    ],
    see_also: &[("modprobe", 8), ("insmod", 8), ("lsmod", 8), ("kmod", 8)],
};

static LSMOD: Page = Page {
    name: "lsmod",
    section: 8,
    about: "list the loaded modules",
    synopsis: &["lsmod [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[Block::Text(
                "`lsmod` prints the content of `/proc/modules` as a table: for each loaded module its name, its size in \
                 bytes, its use count, and the modules that use it.",
            )],
        },
        OPTIONS,
        EXIT_STATUS,
        Section { title: "FILES", blocks: &[Block::Item("`/proc/modules`", "The kernel's list of loaded modules.")] },
    ],
    see_also: &[("modprobe", 8), ("insmod", 8), ("rmmod", 8), ("kmod", 8)],
};

static KMOD: Page = Page {
    name: "kmod",
    section: 8,
    about: "multi-call program for the module tools",
    synopsis: &["kmod [OPTION...]", "kmod COMMAND [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`kmod` implements `modprobe`(8), `depmod`(8), `insmod`(8), `rmmod`(8), `lsmod`(8) and `modinfo`(8), \
                     which are links to it: the name under which it is invoked selects the tool. Invoked as `kmod`, it \
                     runs one of the commands below.",
                ),
                Block::Text("Options before COMMAND belong to `kmod`, options after it to the command."),
            ],
        },
        OPTIONS,
        Section {
            title: "COMMANDS",
            blocks: &[
                Block::Item("`help`", "Print a summary of the options and commands."),
                Block::Item("`list`", "List the loaded modules. The options are those of `lsmod`(8)."),
                Block::Item(
                    "`static-nodes`",
                    "List the device nodes that load a module when opened; see `kmod-static-nodes`(8).",
                ),
            ],
        },
        EXIT_STATUS,
    ],
    see_also: &[
        ("modprobe", 8),
        ("depmod", 8),
        ("insmod", 8),
        ("rmmod", 8),
        ("lsmod", 8),
        ("modinfo", 8),
        ("kmod-static-nodes", 8),
    ],
};

static STATIC_NODES: Page = Page {
    name: "kmod-static-nodes",
    section: 8,
    about: "list the device nodes that load a module when opened",
    synopsis: &["kmod static-nodes [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "For some drivers, opening the device node loads the driver's module. Such a node must exist before \
                     the driver is loaded, so the driver cannot create it. `kmod static-nodes` prints these nodes from the \
                     `modules.devname` of the running kernel, so that a system can create them at boot.",
                ),
                Block::Text(
                    "An invalid line in the list is reported and skipped; the exit status is then 1. A missing list is \
                     reported, but is not a failure.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[Block::Item(
                "`/lib/modules/RELEASE/modules.devname`",
                "Written by `depmod`(8); see `modules.dep`(5).",
            )],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[Block::Example("kmod static-nodes --format=tmpfiles --output=/run/tmpfiles.d/static-nodes.conf")],
        },
    ],
    see_also: &[("kmod", 8), ("depmod", 8), ("modules.dep", 5)],
};
