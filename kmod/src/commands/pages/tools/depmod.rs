//! The man page of `depmod`.

use super::{EXIT_STATUS, OPTIONS};
use crate::commands::depmod::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        ("all", "With this option, FILE operands are ignored."),
        (
            "incremental",
            "The file `modules.kmodlab-cache`, next to the lists, stores what was read from each module. A module is \
             considered unchanged if its inode, size and times are the same. The output is identical to that of a full \
             run.",
        ),
        ("basedir", "The module directory is then `DIR/lib/modules/RELEASE`. The output is written there as well."),
        ("moduledir", "DIR is always relative to the root directory, even if it starts with `/`."),
        ("outdir", "The output is written to `DIR/lib/modules/RELEASE`, which is created if necessary."),
        ("symvers", "Only the symbols that the kernel itself exports are used. This option overrides `-F`."),
        ("filesyms", "This makes it possible to check symbols before the kernel is booted."),
        ("errsyms", "Unknown weak symbols are not reported."),
        ("show", "All text lists are printed one after another. The binary indexes are omitted."),
        ("warn", "Duplicate module names are not reported."),
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
                    "`depmod` reads the modules below `/lib/modules/RELEASE` and writes their dependencies, aliases, \
                     exported symbols and other data for `modprobe`(8). RELEASE defaults to the running kernel.",
                ),
                Block::Text(
                    "If FILE operands are given, which must be absolute paths, only these modules are indexed, and the \
                     configuration is not read.",
                ),
                Block::Text(
                    "Each output file is replaced atomically: a reader never sees an incomplete file, and a failed run \
                     keeps the old files. `depmod` refuses to index a dependency cycle: it reports the cycle and \
                     writes no file. An invalid module file is reported and listed without further data.",
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
                    "Input files from the kernel build: the order of modules, and the built-in modules.",
                ),
                Block::Item("`modules.kmodlab-cache`", "The cache of `--incremental`. It can be removed at any time."),
                Block::Item("`modules.dep`, `modules.alias` and others", "The output; see `modules.dep`(5)."),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text("Index the modules of the running kernel, then those of a mounted system image:"),
                Block::Example("depmod\ndepmod -b /mnt/image -F /mnt/image/boot/System.map-6.12.1 6.12.1"),
            ],
        },
    ],
    see_also: &[("depmod.d", 5), ("modules.dep", 5), ("modprobe", 8), ("kmod", 8)],
};
