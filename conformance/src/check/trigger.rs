//! The system calls that make a kernel request a module, as actions for the agent (docs/facts/kernel.md#site-01 and
//! the rows after it).

use agent::proto::Action;

/// A protocol family without a module: 3, `AF_AX25`, which is removed or not packaged. Requests `net-pf-3`.
pub const UNKNOWN_FAMILY: i32 = 3;

/// `socket(UNKNOWN_FAMILY, SOCK_STREAM, 0)`: requests `net-pf-3`; needs no privilege.
#[must_use]
pub fn unknown_socket() -> Action {
    socket(UNKNOWN_FAMILY, libc::SOCK_STREAM)
}

/// `socket(family, kind, 0)`.
#[must_use]
pub fn socket(family: i32, kind: i32) -> Action {
    Action::Socket { family, kind, protocol: 0 }
}

/// Mounts this file system type on `/mnt`: requests `fs-TYPE`.
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

/// `ioctl(SIOCGIFVLAN)`: requests `8021q`; needs no privilege (`include/uapi/linux/sockios.h`).
#[must_use]
pub fn vlan_ioctl() -> Action {
    const SIOCGIFVLAN: u32 = 0x8982;
    Action::SocketIoctl { code: SIOCGIFVLAN, argument: Vec::new() }
}
