//! The man page of `modprobe`.

use super::{EXIT_STATUS, FORCE, MODVERSION, OPTIONS, VERMAGIC};
use crate::commands::modprobe::arguments::ABOUT;
use crate::commands::pages::{Block, Operands, Page, Section, Tool};

pub(super) const TOOL: Tool = Tool {
    page: &PAGE,
    options: || ABOUT.entries(),
    more: &[
        ("all", "A failure does not end the run, and an unknown name is only a warning. Parameters cannot be given."),
        (
            "remove",
            "The dependencies of a module are removed as well if nothing else uses them. Every operand is a module. A \
             fatal error ends the run unless `-a` or `-q` is given.",
        ),
        ("remove-holders", "Only direct users are removed. Without `-r` this option has no effect."),
        (
            "wait",
            "The pauses between attempts start at 2 milliseconds and grow. A prefix of `0x` or `0` selects base 16 or \
             8. `modprobe` fails if the module is still loaded after MSEC milliseconds.",
        ),
        (
            "first-time",
            "By default, `modprobe` succeeds if the module is already loaded or built in (with `-r`: not loaded).",
        ),
        (
            "ignore-install",
            "When loading, this affects only the named module, not its dependencies. It does not override a `mask` from \
             `kmod.d`(5).",
        ),
        (
            "use-blacklist",
            "By default the blacklist applies only to modules that an alias resolves to. A blacklisted module is \
             skipped silently, which is not a failure.",
        ),
        FORCE,
        MODVERSION,
        VERMAGIC,
        ("show-alias", "Each is printed on a separate line. Nothing is loaded, and the blacklist is ignored."),
        (
            "show-depends",
            "The output consists of `insmod`, `install` and `builtin` lines in load order; with `-r`, of `rmmod` and \
             `remove` lines. Nothing is loaded or removed, and no command runs.",
        ),
        (
            "show-config",
            "The configuration includes the kernel command line. The aliases from the module directory follow.",
        ),
        ("show-modversions", "Each line contains a checksum and a symbol. The operand is a file or a module name."),
        ("show-exports", "Each line contains a checksum and a symbol. The operand is a file or a module name."),
        ("dry-run", "Names are resolved, but no module is loaded or removed and no command runs."),
        (
            "config",
            "Install and remove commands inherit this option in `MODPROBE_OPTIONS`. `kmod.d`(5) is always read. A \
             missing PATH is ignored.",
        ),
        (
            "dirname",
            "The module directory is then `DIR/lib/modules/RELEASE`. The configuration, /proc and /sys are still those of the running system.",
        ),
        ("syslog", "This is the default if standard error is closed at startup. The facility is `daemon`."),
        (
            "quiet",
            "Usage errors are still printed. The exit status is unaffected. If the kernel started `modprobe`, which always passes this option, errors are written to the kernel log with the process id and the requested name, at most ten in five seconds; only a module that does not exist or is blacklisted causes none.",
        ),
        ("verbose", "Steps are printed on standard output."),
    ],
    operands: Operands::Modules,
};

static PAGE: Page = Page {
    name: "modprobe",
    section: 8,
    about: "load and remove modules with their dependencies",
    synopsis: &[
        "modprobe [OPTION...] MODULE [PARAMETER...]",
        "modprobe [OPTION...] -a MODULE...",
        "modprobe [OPTION...] -r MODULE...",
        "modprobe [OPTION...] -c",
        "modprobe [OPTION...] --show-modversions|--show-exports MODULE",
    ],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "`modprobe` loads MODULE after its dependencies, each with the parameters from the configuration, or \
                     removes it. In module names `-` and `_` are equivalent.",
                ),
                Block::Text(
                    "MODULE is a module name or an alias, as used by the kernel and device managers. It is looked up in \
                     this order, and the first match applies: `alias` lines in the configuration; modules in the \
                     module directory; exported symbols, for names that start with `symbol:`; `install` and `remove` \
                     lines; aliases of modules; built-in modules and their aliases. If an alias resolves to several \
                     modules, all are loaded, and the last one determines the exit status.",
                ),
                Block::Text(
                    "A MODULE that starts with `/` or `./` is the path of a module file, whose dependencies are looked \
                     up by its name. When the kernel runs `modprobe`, the operand is always a name.",
                ),
                Block::Text(
                    "PARAMETER operands follow the parameters from the configuration. A value that contains spaces is \
                     passed in double quotes, as the kernel expects.",
                ),
                Block::Text(
                    "If the kernel rejects a module, the kernel log contains the reason; see dmesg(1). If `modprobe` can read \
                     the log, the error message includes the reason, for example the symbol or the parameter.",
                ),
            ],
        },
        OPTIONS,
        Section {
            title: "ENVIRONMENT",
            blocks: &[
                Block::Item(
                    "`MODPROBE_OPTIONS`",
                    "Options that precede those on the command line, separated and quoted as in a shell. Install and \
                     remove commands inherit it with the given `-C`, `-q`, `-s` and `-v` options added.",
                ),
                Block::Item("`MODPROBE_MODULE`", "Set for install and remove commands: the name of the module."),
                Block::Item(
                    "`KMOD_LOG`",
                    "The level of messages about configuration files: a number as in syslog(3), `err`, `info` or `debug`. \
                     The default is 3. A lower number hides these messages.",
                ),
                Block::Item("`POSIXLY_CORRECT`", "If set, the first operand ends the options."),
            ],
        },
        EXIT_STATUS,
        Section {
            title: "FILES",
            blocks: &[
                Block::Item(
                    "`/lib/modules/RELEASE/modules.*`",
                    "The indexes written by `depmod`(8); see `modules.dep`(5).",
                ),
                Block::Item("`/etc/modprobe.d/*.conf`", "The configuration; see `modprobe.d`(5)."),
                Block::Item("`/etc/kmod.d/*.conf`", "Masks; see `kmod.d`(5)."),
                Block::Item(
                    "`/proc/cmdline`",
                    "`MODULE.PARAMETER=VALUE` sets a parameter; `modprobe.blacklist=A,B` blacklists modules.",
                ),
                Block::Item("`/sys/module`", "The loaded modules."),
            ],
        },
        Section {
            title: "EXAMPLES",
            blocks: &[
                Block::Text(
                    "Load a module with a parameter, print what would be loaded for a device, and remove a module:",
                ),
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
