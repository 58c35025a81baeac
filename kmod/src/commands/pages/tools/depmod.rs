//! `depmod`'s page.

use super::{EXIT_STATUS, OPTIONS};
use crate::commands::depmod::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        ("all", "FILEs that are given all the same are not looked at."),
        (
            "incremental",
            "What was read out of each module lies in `modules.kmodlab-cache` beside the lists. A module counts as \
             unchanged if its inode, size and times are the same. What is written is what a full run writes.",
        ),
        ("basedir", "The module directory is then `DIR/lib/modules/RELEASE`. What is written goes there, too."),
        ("moduledir", "It always lies below the base directory, also when it is written with a `/` in front."),
        ("outdir", "Files go to `DIR/lib/modules/RELEASE`, which is made if it does not exist."),
        ("symvers", "Of `Module.symvers`, what the kernel itself exports counts. Wins over `-F`."),
        ("filesyms", "So symbols can be checked before the kernel runs for the first time."),
        ("errsyms", "Weak symbols may be unknown."),
        ("show", "All text lists are printed in one, without the binary ones."),
        ("warn", "Two modules of one name are not told."),
    ],
    operands: Operands::Release,
};

static PAGE: Page = Page {
    name: "depmod",
    section: 8,
    about: "index the modules of a kernel release",
    synopsis: &["depmod [OPTION...] [RELEASE]", "depmod [OPTION...] RELEASE FILE..."],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`depmod` reads the modules below `/lib/modules/RELEASE` and writes down which module needs which \
                     other ones, which aliases and symbols each has, and what else `modprobe`(8) wants to know. \
                     RELEASE is that of the running kernel unless it is given.",
                ),
                Block::Text(
                    "With FILEs, which are absolute paths, only these modules are looked at, and the configuration is \
                     not read.",
                ),
                Block::Text(
                    "Each file is written under another name and then renamed: a reader never finds half of one, and a \
                     run that fails leaves the old ones. Modules that need each other in a circle cannot be loaded; \
                     they are told, and nothing is written. A file that is no module is told and listed all the same.",
                ),
            ],
        },
        OPTIONS,
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[
                Block::Item("`/etc/depmod.d/*.conf`", "The configuration; see `depmod.d`(5)."),
                Block::Item(
                    "`modules.order`, `modules.builtin`, `modules.builtin.modinfo`",
                    "Written by the build of the kernel and read here: the order of modules, and what is built in.",
                ),
                Block::Item(
                    "`modules.kmodlab-cache`",
                    "What `--incremental` remembers. It may be removed at any time.",
                ),
                Block::Item("`modules.dep`, `modules.alias` and others", "What is written; see `modules.dep`(5)."),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text("Index the modules of the running kernel; of an image of another system:"),
                Block::Example("depmod\ndepmod -b /mnt/image -F /mnt/image/boot/System.map-6.12.1 6.12.1"),
            ],
        },
    ],
    see_also: &[("depmod.d", 5), ("modules.dep", 5), ("modprobe", 8), ("kmod", 8)],
};
