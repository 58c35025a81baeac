//! The man page of `modinfo`.

use super::{EXIT_STATUS, OPTIONS};
use crate::commands::modinfo::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        (
            "field",
            "Each value is printed on a separate line, without the name of the field. If a module does not \
             have the field, nothing is printed.",
        ),
        ("parameters", "Each is printed on a separate line, with its description and type."),
        ("null", "This format is intended for programs."),
        ("modname", "This selects a module even if its name is also an alias of other modules."),
        ("basedir", "The module directory is then `DIR/lib/modules/RELEASE`."),
    ],
    operands: Operands::ModuleOrFile,
};

static PAGE: Page = Page {
    name: "modinfo",
    section: 8,
    about: "show information about modules",
    synopsis: &["modinfo [OPTION...] MODULE|FILE..."],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`modinfo` prints the information that modules contain: their authors, license, aliases, \
                     parameters, dependencies and signature. It verifies nothing, not even the signature.",
                ),
                Block::Text(
                    "An operand that is an existing file whose name ends in `.ko`, optionally followed by `.gz`, `.xz` \
                     or `.zst`, is read as a module file. Any other operand is a module name or an alias, which is \
                     looked up in the module directory of the running kernel. All modules that an alias resolves to are shown. \
                     Aliases in `modprobe.d`(5) are ignored. Information about built-in modules comes from \
                     `modules.builtin.modinfo`.",
                ),
                Block::Text(
                    "If several options select a field, the last one applies. If an operand cannot be shown, `modinfo` \
                     continues with the next.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text(
                    "Print the parameters of a module, the license of a file, and the files of all modules for a device:",
                ),
                Block::Example(
                    "modinfo -p loop\n\
                     modinfo -F license ./hello.ko\n\
                     modinfo -n \"$(cat /sys/class/net/eth0/device/modalias)\"",
                ),
            ],
        },
    ],
    see_also: &[("modprobe", 8), ("modules.dep", 5), ("lsmod", 8), ("kmod", 8)],
};
