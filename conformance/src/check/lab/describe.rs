//! Actions as verb phrases, for messages such as `cannot mount tmpfs on /mnt: EPERM`.

use crate::text::escape;
use agent::proto::Action;

/// Describes an action as a verb phrase.
pub(crate) fn describe(action: &Action) -> String {
    match action {
        Action::Run { argv, .. } => format!("run {}", command(argv)),
        Action::ExecClosed { argv, .. } => format!("run {} without open descriptors", command(argv)),
        Action::Write { path, .. } | Action::WriteMany { path, .. } => format!("write {}", escape(path)),
        Action::Read { path, .. } | Action::ReadMany { path, .. } => format!("read {}", escape(path)),
        Action::MkdirAll(path) => format!("create the directory {}", escape(path)),
        Action::RemoveAll(path) => format!("remove {}", escape(path)),
        Action::Rename(from, to) => format!("rename {} to {}", escape(from), escape(to)),
        Action::Symlink(_, link) => format!("create the symlink {}", escape(link)),
        Action::Link(_, link) => format!("create the link {}", escape(link)),
        Action::Chmod(path, mode) => format!("change the mode of {} to {mode:o}", escape(path)),
        Action::List(path) => format!("list {}", escape(path)),
        Action::Stat(path) => format!("stat {}", escape(path)),
        Action::Mknod { path, .. } => format!("create the device node {}", escape(path)),
        Action::Open { path, .. } => format!("open {}", escape(path)),
        Action::Hold { path, .. } => format!("hold {} open", escape(path)),
        Action::Mount { source, target, flags, .. } if flags & libc::MS_BIND != 0 => {
            format!("bind {} to {}", escape(source), escape(target))
        }
        Action::Mount { target, fstype, .. } => format!("mount {} on {}", escape(fstype), escape(target)),
        Action::Umount(path, _) => format!("unmount {}", escape(path)),
        Action::Chdir(path) => format!("change the directory to {}", escape(path)),
        Action::Chroot(path) => format!("change the root to {}", escape(path)),
        Action::Unshare(_) => "unshare namespaces".to_owned(),
        Action::Sleep(millis) => format!("sleep for {millis} ms"),
        Action::Socket { family, .. } => format!("open a socket of family {family}"),
        Action::InterfaceIoctl { code, name } => format!("call ioctl {code:#x} for interface {}", escape(name)),
        Action::SocketIoctl { code, .. } => format!("call ioctl {code:#x} on a socket"),
        Action::SetSockOpt { level, option, .. } => format!("set option {option} of level {level} of a socket"),
        Action::GetSockOpt { level, option, .. } => format!("read option {option} of level {level} of a socket"),
        Action::Ioctl { path, code, .. } => format!("call ioctl {code:#x} on {}", escape(path)),
        Action::Fsopen(name) => format!("open a context for the file system {}", escape(name)),
        Action::Prctl { option, .. } => format!("call prctl {option}"),
        Action::SystemCall { number, .. } => format!("make system call {number}"),
        Action::Quotactl { command, special, .. } => format!("call quotactl {command:#x} on {}", escape(special)),
        Action::Netlink { protocol, kind, .. } => format!("send netlink message {kind} of protocol {protocol}"),
        Action::GenlGetFamily(name) => format!("look up the generic netlink family {}", escape(name)),
        Action::IptGetInfo(name) => format!("query the iptables table {}", escape(name)),
        Action::AlgBind { kind, name } => format!("bind an AF_ALG socket to {} {}", escape(kind), escape(name)),
        Action::FinitModule { path, .. } => format!("load {}", escape(path)),
        Action::InitModule { .. } => "load a module image".to_owned(),
        Action::DeleteModule { name, .. } => format!("remove the module {}", escape(name)),
        Action::Reset => "reset the guest".to_owned(),
        Action::Panic => "make the kernel panic".to_owned(),
        Action::Hang => "hang".to_owned(),
    }
}

fn command(argv: &[Vec<u8>]) -> String {
    argv.iter().map(|argument| escape(argument)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::lab::run_action;
    use crate::check::trigger;

    #[test]
    fn an_action_is_described_by_a_verb_phrase_without_its_data() {
        let write = Action::Write { path: b"/etc/modprobe.d/lab.conf".to_vec(), data: vec![0; 1000], flags: 0 };
        let described = [
            describe(&run_action(&["/sbin/modprobe", "-r", "loop"])),
            describe(&write),
            describe(&trigger::mount("squashfs")),
            describe(&trigger::unknown_socket()),
            describe(&Action::Symlink(b"/bin/agent".to_vec(), b"/run/lab/a\n".to_vec())),
        ];
        insta::assert_snapshot!(described.join("\n"));
    }
}
