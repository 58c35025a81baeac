//! The subject's programs as the kernel starts them.

use crate::behaviour::{About, Behaviour, Check, Group, Need};
use crate::errno;
use crate::fact::Many;
use crate::lab::Lab;
use crate::trigger::mount;
use agent::proto::{Action, GuestMillis};

pub(super) const BEHAVIOURS: &[Behaviour] = &[Behaviour {
    id: "tool.starts-bare",
    catalogue: "TOOL-01",
    group: Group::Tool,
    statement: "modprobe works with no descriptor open and no /dev, as the kernel starts it in an early initramfs",
    source: "call_usermodehelper_exec_async() opens nothing for the helper (kernel/umh.c)",
    about: About::Both,
    needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
    check: starts_bare,
}];

fn starts_bare(lab: &mut Lab<'_>) -> Check {
    lab.set_path(b"/sbin/modprobe")?;
    lab.arrange_in_init(Action::Umount(b"/dev".to_vec(), libc::MNT_DETACH))?;
    let null = lab.observe(Action::Read { path: b"/dev/null".to_vec(), max: 1 })?;
    lab.expect("/dev/null", null.result, errno::ENOENT);
    let absent = Action::ExecClosed {
        program: b"/sbin/modprobe".to_vec(),
        argv: ["/sbin/modprobe", "-q", "--", "no-such-module"].map(|arg| arg.as_bytes().to_vec()).to_vec(),
        env: Vec::new(),
        chroot: None,
        limit: GuestMillis(10_000),
    };
    let modprobe = lab.observe(absent)?;
    lab.expect("modprobe of an absent module", modprobe.result, "exit 1");
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs, asked for by the kernel", Many(states), Many(vec!["Live"]));
    Ok(())
}
