//! `kmod-request(8)`.

use super::{Block, EXIT_STATUS, OPTIONS, Operands, Page, Section, Tool};
use crate::commands;

pub(super) const TOOL: Tool =
    Tool { page: &PAGE, options: || commands::request::ABOUT.entries(), more: &[], operands: Operands::Nothing };

static PAGE: Page = Page {
    name: "kmod-request",
    section: 8,
    about: "stop runaway loops of module requests",
    synopsis: &["kmod-request -q -- NAME", "kmod-request [OPTION...]"],
    sections: &[
        Section {
            title: "DESCRIPTION",
            blocks: &[
                Block::Text(
                    "The kernel starts `kmod-request` instead of `modprobe`(8) when `/proc/sys/kernel/modprobe` contains its \
                     path. If the request is part of a runaway loop, `kmod-request` refuses it. Otherwise it becomes the \
                     modprobe that its settings name, with the same arguments.",
                ),
                Block::Text(
                    "A loop arises when the program that handles a request makes a system call for which the kernel needs the \
                     same module again. The kernel starts 50 such helpers, waits for five seconds, and fails the last \
                     request. `kmod-request` fails the fourth one at once.",
                ),
                Block::Text(
                    "A request is refused when the helpers that wait for it, directly or through each other, have already \
                     requested the same name three times. Only helpers of which this is certain count: processes that the \
                     kernel started, as root in its own namespaces, each of which waits for the next. In doubt, the request \
                     is handled. The environment of the helper also contains `KMOD_REQUEST`.",
                ),
            ],
        },
        OPTIONS,
        Section {
            title: "SETTINGS",
            blocks: &[
                Block::Text("The file `/etc/kmod-request.conf` contains one setting per line. `#` starts a comment."),
                Block::Item("`helper` PATH", "Run this program. The default is `/sbin/modprobe`."),
                Block::Item(
                    "`chain` NUMBER",
                    "Refuse a request when its name occurs this often in the chain of waiting helpers. The default is 3.",
                ),
                Block::Item(
                    "`total` NUMBER",
                    "Refuse a request while more than this many helpers are running, including this one and those for core dumps, \
                     keys and control groups. Any user can make the \
                     kernel run helpers, and so cause such a refusal. The default is 0, which sets no limit.",
                ),
            ],
        },
        EXIT_STATUS,
        Section {
            title: "DIAGNOSTICS",
            blocks: &[
                Block::Text(
                    "Messages about requests are written to the kernel's log, errors of usage to standard error.",
                ),
                Block::Item(
                    "`kmod: runaway modprobe loop assumed and stopped:` NAME`[`PID`] >` ...",
                    "The request of the last process was refused. Each process waits for the next.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': cannot look for a loop:` ...",
                    "`/proc` cannot be read, or the age of the helpers is not certain. The request was handled.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': ignoring` ...",
                    "A line of the settings cannot be used.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': cannot read /etc/kmod-request.conf:` ...",
                    "The defaults apply.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': refused:` NUMBER `helpers are running`",
                    "There are more helpers than `total` allows.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': cannot run` PATH`:` ...",
                    "The request failed.",
                ),
                Block::Item(
                    "`kmod-request[`PID`]: request for '`NAME`': started by another kmod-request;` ...",
                    "The helper in the settings starts a guard. `/sbin/modprobe` handled the request.",
                ),
            ],
        },
        Section {
            title: "LIMITS",
            blocks: &[Block::Text(
                "A loop through a process that is not a descendant of a helper, such as a daemon that a helper asks, is not \
                 recognised. Unrelated helpers that start between those of a loop hide it, and so do kernel threads \
                 `kworker/uN:N` that are busy all the time. The kernel's limit applies in these cases.",
            )],
        },
        Section {
            title: "EXAMPLE",
            blocks: &[Block::Example("echo /opt/kmodlab/sbin/kmod-request > /proc/sys/kernel/modprobe")],
        },
    ],
    see_also: &[("modprobe", 8), ("kmod", 8)],
};
