//! Section 5: the configuration files and the files that depmod writes.

use super::{Block, Page, Section};

/// All pages of files.
pub static PAGES: &[Page] = &[MODPROBE_D, KMOD_D, DEPMOD_D, MODULES_DEP];

const MODPROBE_D: Page = Page {
    name: "modprobe.d",
    section: 5,
    about: "modprobe configuration",
    synopsis: &[
        "/etc/modprobe.d/*.conf",
        "/run/modprobe.d/*.conf",
        "/usr/local/lib/modprobe.d/*.conf",
        "/usr/lib/modprobe.d/*.conf",
        "/lib/modprobe.d/*.conf",
    ],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "The files are read in the order of their names, regardless of directory. A file overrides files of \
                     the same name in directories further down the list in SYNOPSIS.",
                ),
                Block::Text(
                    "Each line is a directive. A line that ends in `\\` continues on the next line. A line that starts \
                     with `#` is a comment. Invalid lines are reported and ignored. In module names `-` and `_` are \
                     equivalent. PATTERN can contain `*`, `?` and `[...]`.",
                ),
            ],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[
                Block::Item(
                    "`alias` PATTERN MODULE",
                    "A name that matches PATTERN resolves to MODULE, even if there is a module of that name.",
                ),
                Block::Item(
                    "`options` MODULE PARAMETER...",
                    "Pass these parameters to MODULE whenever it is loaded. MODULE can also be the alias by which the \
                     module is requested. All matching lines apply, in their order.",
                ),
                Block::Item(
                    "`blacklist` MODULE",
                    "Ignore the aliases of MODULE. It can still be loaded by its name (but see `-b` in `modprobe`(8)) \
                     and as a dependency. To prevent it from being loaded at all, see `kmod.d`(5).",
                ),
                Block::Item(
                    "`install` PATTERN COMMAND",
                    "Run COMMAND with the shell instead of loading the module. `$CMDLINE_OPTS` in COMMAND is replaced by \
                     the module parameters. The first matching line applies. If COMMAND fails or is killed by a \
                     signal, loading the module fails.",
                ),
                Block::Item("`remove` PATTERN COMMAND", "Likewise, run COMMAND instead of removing the module."),
                Block::Item(
                    "`softdep` PATTERN `pre:` MODULE... `post:` MODULE...",
                    "Load the modules listed after `pre:` before the matching module, and those after `post:` after it. \
                     Missing modules are skipped, and a failure of a soft dependency is not an error. All matching \
                     lines apply.",
                ),
                Block::Item(
                    "`weakdep` PATTERN MODULE...",
                    "The matching module may request these modules itself. `modprobe`(8) does not load them, but \
                     initramfs generators include them.",
                ),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[Block::Example(
                "# Make this the first sound card.\noptions snd-hda-intel index=0\nsoftdep snd-hda-intel pre: snd-seq",
            )],
        },
    ],
    see_also: &[("modprobe", 8), ("kmod.d", 5), ("modules.dep", 5)],
};

const KMOD_D: Page = Page {
    name: "kmod.d",
    section: 5,
    about: "modules that modprobe must not load",
    synopsis: &[
        "/etc/kmod.d/*.conf",
        "/run/kmod.d/*.conf",
        "/usr/local/lib/kmod.d/*.conf",
        "/usr/lib/kmod.d/*.conf",
        "/lib/kmod.d/*.conf",
    ],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "These files contain directives that only kmodlab's `modprobe`(8) supports. The search path, the \
                     order and the overriding of files are the same as for `modprobe.d`(5), but `-C` does not replace \
                     these files. They have separate directories because other tools report unknown directives in \
                     `modprobe.d` as errors.",
                ),
                Block::Text("A line that starts with `#` is a comment."),
            ],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[Block::Item(
                "`mask` PATTERN",
                "Never load a module whose name matches PATTERN, whether by name, path or alias, or as a dependency or \
                 soft dependency. Its install command does not run. Neither `-i` nor `-f` overrides a \
                 mask. A module that depends on a masked module is not loaded either, and the error message names the \
                 line with the mask. A masked soft dependency is skipped with a warning. A module that is already \
                 loaded stays loaded. PATTERN is matched against both the name of the module file and the module names \
                 stored in it. If these cannot be read, the module is not loaded.",
            )],
        },
        Section {
            title: "NOTES",
            blocks: &[
                Block::Text(
                    "No module is loaded while one of these files or directories cannot be read completely: because of an \
                     error, because it is not a regular file, or because it is larger than 64 MiB or has a line longer \
                     than 1 MiB. Each attempt to load a module then prints an error that names the file or directory, \
                     even with `-q`. A link to `/dev/null` is not an error.",
                ),
                Block::Text(
                    "No other problem blocks loading. An unknown directive and a `mask` line without a valid PATTERN are \
                     ignored, and a `mask` line with more than one argument masks only the first; each prints an error that \
                     names the file and the line, unless `-q` is given.",
                ),
                Block::Text(
                    "A mask does not affect `insmod`(8) or programs that load modules through libkmod, such as udev. The \
                     kernel parameter `module_blacklist=` blocks those as well.",
                ),
            ],
        },
        Section { title: "EXAMPLES", blocks: &[Block::Example("# Never load these.\nmask firewire-*\nmask n_gsm")] },
    ],
    see_also: &[("modprobe", 8), ("modprobe.d", 5), ("insmod", 8)],
};

const DEPMOD_D: Page = Page {
    name: "depmod.d",
    section: 5,
    about: "depmod configuration",
    synopsis: &[
        "/etc/depmod.d/*.conf",
        "/run/depmod.d/*.conf",
        "/usr/local/lib/depmod.d/*.conf",
        "/usr/lib/depmod.d/*.conf",
        "/lib/depmod.d/*.conf",
    ],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[Block::Text(
                "These files specify where `depmod`(8) searches for modules, and which file it selects if several \
                 contain a module of the same name. The search path, the order, the overriding of files and the syntax \
                 are the same as for `modprobe.d`(5).",
            )],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[
                Block::Item(
                    "`search` DIRECTORY...",
                    "Search these directories below the module directory, highest priority first. `built-in` means all \
                     directories that are not listed, `external` the directories on `external` lines. The default is `updates \
                     built-in`.",
                ),
                Block::Item(
                    "`override` MODULE RELEASE DIRECTORY",
                    "Select MODULE in DIRECTORY, regardless of `search`, for kernel releases that match RELEASE: `*`, or \
                     a regular expression, which can match any part of the release.",
                ),
                Block::Item(
                    "`external` RELEASE DIRECTORY",
                    "Also search DIRECTORY, which must be an absolute path, for kernel releases that match RELEASE.",
                ),
                Block::Item(
                    "`exclude` NAME...",
                    "Skip files and directories with these names. `build` and `source` are always skipped.",
                ),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[Block::Example("search updates extra built-in\noverride loop 6.12.* updates/test")],
        },
    ],
    see_also: &[("depmod", 8), ("modules.dep", 5), ("modprobe.d", 5)],
};

const MODULES_DEP: Page = Page {
    name: "modules.dep",
    section: 5,
    about: "module lists and indexes written by depmod",
    synopsis: &["/lib/modules/RELEASE/modules.*"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[Block::Text(
                "`depmod`(8) writes lists of the modules of a kernel release. Most lists have two forms: text for people \
                 and programs, and a binary index whose name ends in `.bin`, in which a name can be looked up without \
                 reading the whole file. `modprobe`(8) reads an index, or the text if there is no index.",
            )],
        },
        Section {
            title: "FILES",
            blocks: &[
                Block::Item(
                    "`modules.dep`, `modules.dep.bin`",
                    "One line `PATH: PATH...` for each module: its file and the files of all its dependencies, of which \
                     the last one is loaded first. Paths are absolute or relative to the module directory.",
                ),
                Block::Item(
                    "`modules.alias`, `modules.alias.bin`",
                    "The aliases of modules, as lines `alias PATTERN MODULE`.",
                ),
                Block::Item(
                    "`modules.symbols`, `modules.symbols.bin`",
                    "The symbols that modules export, as lines `alias symbol:SYMBOL MODULE`.",
                ),
                Block::Item(
                    "`modules.softdep`, `modules.weakdep`",
                    "The soft and weak dependencies of modules, in the syntax of `modprobe.d`(5).",
                ),
                Block::Item("`modules.devname`", "The device nodes that load a module when opened."),
                Block::Item(
                    "`modules.builtin.bin`, `modules.builtin.alias.bin`",
                    "The modules that are built into the kernel, and their aliases.",
                ),
                Block::Item(
                    "`modules.order`, `modules.builtin`, `modules.builtin.modinfo`",
                    "Written by the kernel build and read by `depmod`(8).",
                ),
            ],
        },
    ],
    see_also: &[("depmod", 8), ("modprobe", 8), ("modprobe.d", 5), ("depmod.d", 5)],
};
