//! The pages of files, section 5: the configuration, and what depmod writes.

use super::{Block, Page, Section};

/// All of them.
pub static PAGES: &[Page] = &[MODPROBE_D, KMOD_D, DEPMOD_D, MODULES_DEP];

const MODPROBE_D: Page = Page {
    name: "modprobe.d",
    section: 5,
    about: "configuration of modprobe",
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
                    "All files are read in the order of their names, whatever directory they lie in. A file hides \
                     those of the same name in directories that stand further down in the list above.",
                ),
                Block::Text(
                    "A line is one directive. A line that ends in `\\` goes on in the next one; a line that begins \
                     with `#` is a comment. What is no directive is told and passed over. In names of modules `-` and \
                     `_` are the same. PATTERNs may hold `*`, `?` and `[...]`.",
                ),
            ],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[
                Block::Item(
                    "`alias` PATTERN MODULE",
                    "Names that match PATTERN stand for MODULE, and for no module of that name.",
                ),
                Block::Item(
                    "`options` MODULE PARAMETER...",
                    "MODULE gets these parameters whenever it is loaded. MODULE may be the alias by which it is asked \
                     for. All lines count, in their order.",
                ),
                Block::Item(
                    "`blacklist` MODULE",
                    "Aliases do not lead to MODULE. It can still be loaded by its name (but see `-b`), and as a \
                     dependency: to keep it out, see `kmod.d`(5).",
                ),
                Block::Item(
                    "`install` PATTERN COMMAND",
                    "COMMAND is run by the shell in place of loading the module. `$CMDLINE_OPTS` in it is replaced by \
                     the options. The first line that matches counts. A command that fails, or that a signal ends, is \
                     a failure.",
                ),
                Block::Item("`remove` PATTERN COMMAND", "The same in place of removing it."),
                Block::Item(
                    "`softdep` PATTERN `pre:` MODULE... `post:` MODULE...",
                    "The modules behind `pre:` are loaded before, those behind `post:` after it, as far as they are \
                     there; that one of them fails is no failure. All lines count.",
                ),
                Block::Item(
                    "`weakdep` PATTERN MODULE...",
                    "The module may ask for these itself. `modprobe`(8) does not load them; who makes an image of a \
                     system takes them in.",
                ),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[Block::Example(
                "# sound card 0 first\noptions snd-hda-intel index=0\nsoftdep snd-hda-intel pre: snd-seq",
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
                    "These files hold what only the `modprobe`(8) of kmodlab knows. They are found, sorted and hidden \
                     as those of `modprobe.d`(5), but `-C` does not replace them. They lie in directories of their own \
                     because other tools complain about words in `modprobe.d` that they do not know.",
                ),
                Block::Text("A line that begins with `#` is a comment."),
            ],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[Block::Item(
                "`mask` PATTERN",
                "A module whose name matches PATTERN is not loaded: not by its name, not by a path, not by an alias, \
                 not as a dependency, not as a soft dependency. Its install command does not run. Neither `-i` nor \
                 `-f` lifts it. What needs such a module is not loaded either, and the message names the line; as a \
                 soft dependency it is left out with a warning. A module that is there already stays.",
            )],
        },
        Section {
            title: "NOTES",
            blocks: &[Block::Text(
                "Loads that do not go through `modprobe`(8) are not stopped: `insmod`(8), and programs that load modules \
                 themselves through libkmod, such as udev. The kernel's own `module_blacklist=` stops those, too.",
            )],
        },
        Section { title: "EXAMPLES", blocks: &[Block::Example("# not on this machine\nmask firewire-*\nmask n_gsm")] },
    ],
    see_also: &[("modprobe", 8), ("modprobe.d", 5), ("insmod", 8)],
};

const DEPMOD_D: Page = Page {
    name: "depmod.d",
    section: 5,
    about: "configuration of depmod",
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
                "The files say where `depmod`(8) looks for modules, and which file counts where several have modules of \
                 one name. They are found, sorted and hidden as those of `modprobe.d`(5), and written in the same way.",
            )],
        },
        Section {
            title: "DIRECTIVES",
            blocks: &[
                Block::Item(
                    "`search` DIRECTORY...",
                    "Directories below that of the release; earlier ones have the better right. `built-in` stands for \
                     all that are not named, `external` for those of `external` lines. Without this line: `updates \
                     built-in`.",
                ),
                Block::Item(
                    "`override` MODULE RELEASE DIRECTORY",
                    "MODULE in DIRECTORY has the best right, for releases that match RELEASE: `*`, or a regular \
                     expression that may match anywhere in the release.",
                ),
                Block::Item(
                    "`external` RELEASE DIRECTORY",
                    "Also looks in DIRECTORY, an absolute path, for matching releases.",
                ),
                Block::Item(
                    "`exclude` NAME...",
                    "Files and directories of such a name are passed over; `build` and `source` always are.",
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
    about: "what depmod writes and modprobe reads",
    synopsis: &["/lib/modules/RELEASE/modules.*"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[Block::Text(
                "`depmod`(8) writes lists of the modules of a release. Most come twice: as text, to be read by people \
                 and programs, and as an index in a file that ends in `.bin`, in which one name is found without \
                 reading all of it. `modprobe`(8) reads the indexes, and the text where there is no index.",
            )],
        },
        Section {
            title: "FILES",
            blocks: &[
                Block::Item(
                    "`modules.dep`, `modules.dep.bin`",
                    "`PATH: PATH...` for each module: its file, and the files of all that it needs, of which the last one \
                     is loaded first. Paths are relative to the directory, or absolute.",
                ),
                Block::Item("`modules.alias`, `modules.alias.bin`", "`alias PATTERN MODULE`: the aliases of modules."),
                Block::Item(
                    "`modules.symbols`, `modules.symbols.bin`",
                    "`alias symbol:SYMBOL MODULE`: what modules export.",
                ),
                Block::Item(
                    "`modules.softdep`, `modules.weakdep`",
                    "Soft and weak dependencies of modules, as in `modprobe.d`(5).",
                ),
                Block::Item("`modules.devname`", "Device nodes that load a module when they are opened."),
                Block::Item(
                    "`modules.builtin.bin`, `modules.builtin.alias.bin`",
                    "What is built into the kernel, and its aliases.",
                ),
                Block::Item(
                    "`modules.order`, `modules.builtin`, `modules.builtin.modinfo`",
                    "Written by the build of the kernel, and read by `depmod`(8).",
                ),
            ],
        },
    ],
    see_also: &[("depmod", 8), ("modprobe", 8), ("modprobe.d", 5), ("depmod.d", 5)],
};
