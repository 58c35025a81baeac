//! Netlink messages that make a kernel request a module, as actions for the agent. Only what a trigger needs is encoded:
//! the fixed header of each message and its attributes (include/uapi/linux/netlink.h, rtnetlink.h, sock_diag.h).

use agent::proto::Action;

/// `NLM_F_CREATE | NLM_F_EXCL`.
const CREATE: u16 = 0x400 | 0x200;

/// Returns an attribute: length, type, value, padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // A name longer than an attribute can be is a mistake in a check; the kernel would reject the truncated length.
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Returns an attribute with a string and its NUL.
fn string(kind: u16, text: &[u8]) -> Vec<u8> {
    attribute(kind, &[text, b"\0"].concat())
}

fn route(kind: u16, header: &[u8], attributes: &[u8]) -> Action {
    Action::Netlink { protocol: libc::NETLINK_ROUTE, kind, flags: CREATE, payload: [header, attributes].concat() }
}

/// `RTM_NEWLINK` with this `IFLA_INFO_KIND`: requests `rtnl-link-KIND`.
#[must_use]
pub fn new_link(kind: &[u8]) -> Action {
    const INFO_KIND: u16 = 1;
    // `struct ifinfomsg`.
    route(libc::RTM_NEWLINK, &[0; 16], &attribute(libc::IFLA_LINKINFO, &string(INFO_KIND, kind)))
}

/// `struct tcmsg` for the root of the loopback interface.
fn traffic_control_header() -> Vec<u8> {
    const LOOPBACK: i32 = 1;
    const ROOT: u32 = u32::MAX;
    let mut header = vec![0; 4];
    header.extend(LOOPBACK.to_ne_bytes());
    header.extend([0; 4]);
    header.extend(ROOT.to_ne_bytes());
    header.extend([0; 4]);
    header
}

/// `TCA_KIND`.
const TCA_KIND: u16 = 1;

/// `RTM_NEWQDISC` of this kind on the loopback interface: requests `net-sch-KIND` (`sch_KIND` before 6.9).
#[must_use]
pub fn new_qdisc(kind: &[u8]) -> Action {
    route(libc::RTM_NEWQDISC, &traffic_control_header(), &string(TCA_KIND, kind))
}

/// `RTM_NEWTFILTER` of this kind at the root of the loopback interface, which has no queueing discipline with classes.
#[must_use]
pub fn new_filter(kind: &[u8]) -> Action {
    route(libc::RTM_NEWTFILTER, &traffic_control_header(), &string(TCA_KIND, kind))
}

/// `RTM_NEWACTION` of this kind: requests `net-act-KIND` (`act_KIND` before 6.9).
#[must_use]
pub fn new_action(kind: &[u8]) -> Action {
    const ACT_TAB: u16 = 1;
    const FIRST: u16 = 1;
    const ACT_KIND: u16 = 1;
    // `struct tcamsg`.
    route(libc::RTM_NEWACTION, &[0; 4], &attribute(ACT_TAB, &attribute(FIRST, &string(ACT_KIND, kind))))
}

/// `SOCK_DIAG_BY_FAMILY` for sockets of this family and protocol: requests `net-pf-16-proto-4-type-FAMILY` or
/// `net-pf-16-proto-4-type-FAMILY-PROTOCOL`.
#[must_use]
pub fn socket_diagnosis(family: u8, protocol: u8) -> Action {
    const BY_FAMILY: u16 = 20;
    // `struct inet_diag_req_v2`.
    let mut payload = vec![0; 56];
    (payload[0], payload[1]) = (family, protocol);
    Action::Netlink { protocol: libc::NETLINK_INET_DIAG, kind: BY_FAMILY, flags: 0, payload }
}

/// `RTM_GETROUTE` for an IPv4 address.
#[must_use]
pub fn get_route(address: [u8; 4]) -> Action {
    // `struct rtmsg`: the family, and the length of the address in bits.
    let mut header = [0; 12];
    (header[0], header[1]) = (libc::AF_INET as u8, 32);
    let payload = [&header[..], &attribute(libc::RTA_DST, &address)].concat();
    Action::Netlink { protocol: libc::NETLINK_ROUTE, kind: libc::RTM_GETROUTE, flags: 0, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(action: Action) -> Vec<u8> {
        let Action::Netlink { payload, .. } = action else { panic!("not a netlink message: {action:?}") };
        payload
    }

    #[test]
    fn the_kind_of_a_link_is_in_a_nested_attribute() {
        let link = payload(new_link(b"xx"));
        assert_eq!((&link[..16], &link[16..]), (&[0; 16][..], &b"\x0c\0\x12\0\x07\0\x01\0xx\0\0"[..]));
    }

    #[test]
    fn a_queueing_discipline_is_for_the_root_of_the_loopback_interface() {
        let qdisc = payload(new_qdisc(b"q"));
        assert_eq!(&qdisc[..20], b"\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(&qdisc[20..], b"\x06\0\x01\0q\0\0\0");
    }

    #[test]
    fn an_action_is_the_first_of_a_table() {
        assert_eq!(payload(new_action(b"a")), b"\0\0\0\0\x10\0\x01\0\x0c\0\x01\0\x06\0\x01\0a\0\0\0");
    }
}
