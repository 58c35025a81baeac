//! The system calls that make a kernel ask for a module, as actions for the agent
//! (docs/facts/kernel.md, "what asks for a module").

use agent::proto::Action;

/// A protocol family that no Linux has a module for (`AF_AX25`, gone or never packaged; number 3): asks for `net-pf-3`.
pub const ABSENT_FAMILY: i32 = 3;

/// `socket(ABSENT_FAMILY, SOCK_STREAM, 0)`: asks for `net-pf-3`; needs no privilege.
#[must_use]
pub fn absent_socket() -> Action {
    socket(ABSENT_FAMILY, libc::SOCK_STREAM)
}

/// `socket(family, kind, 0)`.
#[must_use]
pub fn socket(family: i32, kind: i32) -> Action {
    Action::Socket { family, kind, protocol: 0 }
}

/// A mount of this file system type on `/mnt`: asks for `fs-TYPE`.
#[must_use]
pub fn mount(fstype: &str) -> Action {
    Action::Mount {
        source: b"none".to_vec(),
        target: b"/mnt".to_vec(),
        fstype: fstype.as_bytes().to_vec(),
        flags: 0,
        data: Vec::new(),
    }
}

/// `ioctl(SIOCGIFVLAN)`: asks for `8021q`; needs no privilege. (`include/uapi/linux/sockios.h`)
#[must_use]
pub fn vlan_ioctl() -> Action {
    const SIOCGIFVLAN: u32 = 0x8982;
    Action::SocketIoctl { code: SIOCGIFVLAN, argument: Vec::new() }
}
