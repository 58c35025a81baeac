//! The system calls that make a kernel request a module, as actions for the agent (docs/facts/kernel.md#site-01 and
//! the rows after it).

use agent::proto::{Action, SocketSpec};

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

/// `ioctl(SIOCGIFINDEX)` for an interface name of at most 15 bytes: requests `netdev-NAME`, and with `CAP_SYS_MODULE`
/// `NAME` as well (`include/uapi/linux/sockios.h`).
#[must_use]
pub fn interface_index(name: &[u8]) -> Action {
    const SIOCGIFINDEX: u32 = 0x8933;
    Action::InterfaceIoctl { code: SIOCGIFINDEX, name: name.to_vec() }
}

/// `ioctl(SIOCGIFBR)`: requests `bridge`; needs no privilege (`include/uapi/linux/sockios.h`).
#[must_use]
pub fn bridge_ioctl() -> Action {
    const SIOCGIFBR: u32 = 0x8940;
    Action::SocketIoctl { code: SIOCGIFBR, argument: Vec::new() }
}

/// A TCP socket over IPv4.
const TCP: SocketSpec = SocketSpec { family: libc::AF_INET, kind: libc::SOCK_STREAM, protocol: 0 };

/// `setsockopt(TCP_CONGESTION)`: requests `tcp_NAME`.
#[must_use]
pub fn congestion_control(name: &[u8]) -> Action {
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_CONGESTION);
    Action::SetSockOpt { socket: TCP, level, option, value: name.to_vec() }
}

/// `setsockopt(TCP_ULP)`: requests `tcp-ulp-NAME`.
#[must_use]
pub fn upper_layer_protocol(name: &[u8]) -> Action {
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_ULP);
    Action::SetSockOpt { socket: TCP, level, option, value: name.to_vec() }
}

/// `setsockopt(NETLINK_ADD_MEMBERSHIP)` for a group of netfilter (`enum nfnetlink_groups`): requests
/// `nfnetlink-subsys-NUMBER` without waiting for the helper.
#[must_use]
pub fn nfnetlink_group(group: i32) -> Action {
    let socket = SocketSpec { family: libc::AF_NETLINK, kind: libc::SOCK_RAW, protocol: libc::NETLINK_NETFILTER };
    let (level, option) = (libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP);
    Action::SetSockOpt { socket, level, option, value: group.to_ne_bytes().to_vec() }
}

/// `ioctl(TIOCSETD)` on a new pseudo-terminal, from this `ptmx`: requests `tty-ldisc-NUMBER`.
#[must_use]
pub fn line_discipline(ptmx: &str, number: i32) -> Action {
    // include/uapi/asm-generic/ioctls.h
    const TIOCSETD: u32 = 0x5423;
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    Action::Ioctl { path: ptmx.as_bytes().to_vec(), flags, code: TIOCSETD, argument: number.to_ne_bytes().to_vec() }
}
