//! The pages of the tools, section 8. The options come from the tables of the commands; here stands what is round them.

mod depmod;
mod modinfo;
mod modprobe;

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
];

/// Commands of `kmod` that have options and a page of their own, called `kmod-COMMAND`.
pub static SUBCOMMANDS: &[Tool] = &[Tool {
    page: &STATIC_NODES,
    options: || commands::static_nodes::ABOUT.entries(),
    more: &[("output", "It is written under another name first and then renamed.")],
    operands: Operands::Nothing,
}];

/// The options behind a command of `kmod`.
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
    "A module that was built for another kernel can crash this one, and corrupt data. The kernel is tainted.",
);
const MODVERSION: (&str, &str) = (
    "force-modversion",
    "The kernel compares checksums of the symbols that a module uses with its own, if both were built with them.",
);
const VERMAGIC: (&str, &str) = (
    "force-vermagic",
    "The version magic is a text with the release and main settings of the kernel that a module was built for.",
);

const OPTIONS: Section = Section { title: "OPTIONS", blocks: &[Block::Options] };

const EXIT_STATUS: Section = Section {
    title: "EXIT STATUS",
    blocks: &[Block::Text("0 when all that was asked for was done, 1 after any failure and after wrong use.")],
};

static INSMOD: Page = Page {
    name: "insmod",
    section: 8,
    about: "load one module file into the kernel",
    synopsis: &["insmod [OPTION...] FILE [PARAMETER...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`insmod` gives FILE to the kernel, with the parameters behind it. It knows no dependencies, reads \
                     no configuration and looks for no names: that is what `modprobe`(8) is for.",
                ),
                Block::Text(
                    "FILE may be compressed (gzip, xz, zstd). It is decompressed by the kernel if that can do it, else \
                     before the kernel gets it.",
                ),
                Block::Text(
                    "A PARAMETER has the form `NAME=VALUE`. The value of a parameter that holds blanks is put in \
                     double quotes, as the kernel wants it.",
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
                    "`rmmod` removes each MODULE, which is a name or the path of a module file. It goes on after one \
                     that it could not remove.",
                ),
                Block::Text(
                    "What the module needed stays, and what its configuration says is not read; `modprobe -r` looks \
                     after both. A module that is in use, that is built in, or that is not there is told and left.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[Block::Item("`/sys/module/MODULE`", "whether a module is there, and what uses it")],
        },
    ],
    see_also: &[("modprobe", 8), ("insmod", 8), ("lsmod", 8), ("kmod", 8)],
};

static LSMOD: Page = Page {
    name: "lsmod",
    section: 8,
    about: "show the modules that are loaded",
    synopsis: &["lsmod [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[Block::Text(
                "`lsmod` prints a line for each loaded module: its name, its size in bytes, how many users it has, and \
                 which modules are among them. It says what `/proc/modules` says.",
            )],
        },
        OPTIONS,
        EXIT_STATUS,
        Section { title: "FILES", blocks: &[Block::Item("`/proc/modules`", "the list of the kernel")] },
    ],
    see_also: &[("modprobe", 8), ("insmod", 8), ("rmmod", 8), ("kmod", 8)],
};

static KMOD: Page = Page {
    name: "kmod",
    section: 8,
    about: "one program that is all module tools",
    synopsis: &["kmod [OPTION...]", "kmod COMMAND [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`kmod` is the program behind `modprobe`(8), `depmod`(8), `insmod`(8), `rmmod`(8), `lsmod`(8) and \
                     `modinfo`(8): it does what the name says under which it is started. Under its own name it has a few \
                     commands.",
                ),
                Block::Text("Its own options stand before COMMAND; what stands behind belongs to the command."),
            ],
        },
        OPTIONS,
        Section {
            title: "COMMANDS",
            blocks: &[
                Block::Item("`help`", "Print a short help."),
                Block::Item("`list`", "List the loaded modules; takes the options of `lsmod`(8)."),
                Block::Item("`static-nodes`", "List device nodes; see `kmod-static-nodes`(8)."),
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
    about: "list the device nodes whose opening loads a module",
    synopsis: &["kmod static-nodes [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "A driver that is a module cannot make its device node before it is loaded, and would be loaded \
                     when that node is opened. `kmod static-nodes` prints such nodes from the list `modules.devname` of \
                     the running kernel, so that a system can make them while it starts.",
                ),
                Block::Text(
                    "A line of the list that is none is told and left out. That there is no list is told, too, and is \
                     no failure.",
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
