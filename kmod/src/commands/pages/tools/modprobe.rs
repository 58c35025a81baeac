//! `modprobe`'s page.

use super::{EXIT_STATUS, FORCE, MODVERSION, OPTIONS, VERMAGIC};
use crate::commands::modprobe::arguments::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        ("all", "Goes on after failures: a name that nothing has is a warning then. No parameters can be given."),
        (
            "remove",
            "With each module goes what it needed, as far as nobody else uses it. Several may be named; a fatal error \
             ends the run unless `-a` or `-q` is given, too.",
        ),
        ("remove-holders", "Only those that use it directly. Implies `-r`."),
        (
            "wait",
            "The pauses between the attempts grow from 2 milliseconds on. MSEC may be written with `0x` or `0` in \
             front, for 16 or 8 as base. When the time is over and the module still there, that is a failure.",
        ),
        (
            "first-time",
            "Without it a module that is loaded (or built in) already, or with `-r` one that is not there, is a \
             success, since nothing has to be done.",
        ),
        (
            "ignore-install",
            "When loading, this is about the named module only: those that it needs keep theirs. It does not lift a \
             `mask` of `kmod.d`(5).",
        ),
        (
            "use-blacklist",
            "Without it the blacklist stops only what is found through an alias. A module that is stopped by it is \
             left out silently, and that is a success.",
        ),
        FORCE,
        MODVERSION,
        VERMAGIC,
        ("show-alias", "One on each line; nothing is loaded, and the blacklist does not count."),
        (
            "show-depends",
            "Lines that begin with `insmod`, `install` or `builtin`, in the order in which modules would be loaded. \
             Nothing is loaded, no command is run.",
        ),
        ("show-config", "All files of the configuration and the kernel command line, then the aliases of the indexes."),
        ("show-modversions", "Lines of checksum and symbol. The operand is a file or a module's name."),
        ("show-exports", "Lines of checksum and symbol. The operand is a file or a module's name."),
        ("dry-run", "All is looked up, but no module is loaded or removed and no command is run."),
        (
            "config",
            "Also the commands that the configuration runs get it, in `MODPROBE_OPTIONS`. `kmod.d`(5) is read all the \
             same. What does not exist is passed over.",
        ),
        ("dirname", "Configuration, /proc and /sys stay those of this system."),
        ("syslog", "Also when standard error was closed at start. Facility `daemon`."),
        ("quiet", "Wrong use is told all the same. The exit status says what happened."),
        ("verbose", "What is done is printed on standard output. May be repeated."),
    ],
    operands: Operands::Modules,
};

static PAGE: Page = Page {
    name: "modprobe",
    section: 8,
    about: "load and remove modules with all that belongs to them",
    synopsis: &[
        "modprobe [OPTION...] MODULE [PARAMETER...]",
        "modprobe [OPTION...] -a MODULE...",
        "modprobe [OPTION...] -r MODULE...",
        "modprobe -c",
        "modprobe [OPTION...] --show-modversions|--show-exports MODULE",
    ],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`modprobe` loads MODULE after the modules that it depends on, with the options that the \
                     configuration has for each, or removes it. In names `-` and `_` are the same.",
                ),
                Block::Text(
                    "MODULE is a module's name or an alias, as the kernel and device managers use it. What it stands \
                     for is looked up in this order, and the first place that knows it decides: `alias` lines of the \
                     configuration; modules of the module directory; symbols, for names that begin with `symbol:`; \
                     `install` and `remove` lines; aliases of modules; modules that are built into the kernel, and \
                     their aliases. All modules that it stands for there are loaded, and the last one decides on \
                     success.",
                ),
                Block::Text(
                    "A MODULE that begins with `/` or `./` is a module file; what it depends on is looked up by its \
                     name. But when the kernel starts `modprobe`, its word is always a name.",
                ),
                Block::Text(
                    "The PARAMETERs come behind the options of the configuration. A value with blanks is put in double \
                     quotes, as the kernel wants it.",
                ),
                Block::Text(
                    "What the kernel has against a module stands in its log; see dmesg(1). As far as that may be read, \
                     the error message names the symbol or the parameter.",
                ),
            ],
        },
        OPTIONS,
        Section {
            title: "ENVIRONMENT",
            blocks: &[
                Block::Item(
                    "`MODPROBE_OPTIONS`",
                    "Options that are read before those of the command line, split into words as a shell does it. \
                     Commands of the configuration get it with `-C`, `-q`, `-s` and `-v` added as they were given.",
                ),
                Block::Item(
                    "`MODPROBE_MODULE`",
                    "Set for commands of the configuration: the module that they are for.",
                ),
                Block::Item(
                    "`KMOD_LOG`",
                    "A number, or `err`, `info`, `debug`: how grave messages about the configuration have to be to be \
                     shown. 3 without it; with 2 they are gone.",
                ),
                Block::Item("`POSIXLY_CORRECT`", "When set, options end at the first operand."),
            ],
        },
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[
                Block::Item(
                    "`/lib/modules/RELEASE/modules.*`",
                    "The indexes that `depmod`(8) writes; see `modules.dep`(5).",
                ),
                Block::Item("`/etc/modprobe.d/*.conf`", "The configuration; see `modprobe.d`(5)."),
                Block::Item("`/etc/kmod.d/*.conf`", "Masks; see `kmod.d`(5)."),
                Block::Item(
                    "`/proc/cmdline`",
                    "`MODULE.PARAMETER=VALUE` is an option, `modprobe.blacklist=A,B` a blacklist.",
                ),
                Block::Item("`/sys/module`", "What is loaded."),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text("Load a module with a parameter; see what would be loaded for a device; remove a module:"),
                Block::Example(
                    "modprobe loop max_loop=16\n\
                     modprobe -D \"$(cat /sys/class/net/eth0/device/modalias)\"\n\
                     modprobe -r -w 2000 loop",
                ),
            ],
        },
    ],
    see_also: &[
        ("modprobe.d", 5),
        ("kmod.d", 5),
        ("modules.dep", 5),
        ("depmod", 8),
        ("insmod", 8),
        ("lsmod", 8),
        ("modinfo", 8),
        ("rmmod", 8),
    ],
};
