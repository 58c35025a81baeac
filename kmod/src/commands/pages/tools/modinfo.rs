//! `modinfo`'s page.

use super::{EXIT_STATUS, OPTIONS};
use crate::commands::modinfo::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        ("field", "One on each line, without its name. A field that a module does not have gives nothing."),
        ("parameters", "One on each line, with what it means and its type."),
        ("null", "For programs that read the output."),
        ("modname", "So a module can be asked for whose name is an alias of others, too."),
        ("basedir", "The module directory is then `DIR/lib/modules/RELEASE`."),
    ],
    operands: Operands::ModuleOrFile,
};

static PAGE: Page = Page {
    name: "modinfo",
    section: 8,
    about: "show what modules say of themselves",
    synopsis: &["modinfo [OPTION...] MODULE|FILE..."],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`modinfo` prints what is written in modules: who made them, under which licence, which aliases \
                     and parameters they have, what they depend on, and who signed them. Nothing of it is checked, the \
                     signature neither.",
                ),
                Block::Text(
                    "An operand that ends in `.ko`, or in this and the suffix of a compression, and is a file, is read. \
                     Any other one is a module's name or an alias, to be looked up in the module directory of the \
                     running kernel; all modules that an alias stands for are shown. Aliases of `modprobe.d`(5) do not \
                     count. Of a module that is built into the kernel, what its build wrote down is shown.",
                ),
                Block::Text(
                    "Of several options that ask for one field the last one counts. After an operand that cannot be \
                     shown the others are shown all the same.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text("The parameters of a module; the licence of a file; all files of what a device needs:"),
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
