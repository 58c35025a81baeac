//! System calls on sockets that make the kernel request a module.

use super::files;
use crate::sys;
use agent::proto::SocketSpec;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};
use rustix::net::{RecvFlags, SendFlags};

/// Creates an IPv4 socket; the protocol is built in, so this requests no module.
fn inet_socket() -> Result<OwnedFd> {
    sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
}

/// Creates a socket.
pub fn open_socket(spec: &SocketSpec) -> Result<OwnedFd> {
    sys::socket(spec.family, spec.kind, spec.protocol)
}

/// Size of the ioctl argument: `struct ifreq` has 40 bytes, the largest argument used here 64.
const ARGUMENT: usize = 64;

/// Pads `bytes` with zeros; EINVAL unless there is room for at least `spare` zeros.
fn padded<const N: usize>(bytes: &[u8], spare: usize) -> Result<[u8; N]> {
    let mut buffer = [0; N];
    if bytes.len() + spare > N {
        return Err(Errno::INVAL);
    }
    buffer[..bytes.len()].copy_from_slice(bytes);
    Ok(buffer)
}

/// Calls an ioctl with a `struct ifreq` that contains this name.
pub fn interface_ioctl(code: u32, name: &[u8]) -> Result<()> {
    let name: [u8; libc::IFNAMSIZ] = padded(name, 1)?;
    socket_ioctl(code, &name)
}

/// Calls an ioctl with these bytes, padded with zeros.
pub fn socket_ioctl(code: u32, argument: &[u8]) -> Result<()> {
    let mut argument: [u8; ARGUMENT] = padded(argument, 0)?;
    sys::ioctl(inet_socket()?, code, &mut argument).map(drop)
}

/// Opens a file and calls an ioctl on it with these bytes, padded with zeros.
pub fn file_ioctl(path: &[u8], flags: OFlags, code: u32, argument: &[u8]) -> Result<i64> {
    let mut argument: [u8; ARGUMENT] = padded(argument, 0)?;
    sys::ioctl(files::open(path, flags)?, code, &mut argument)
}

/// `IPT_SO_GET_INFO` of linux/netfilter_ipv4/ip_tables.h.
const IPT_SO_GET_INFO: i32 = 64;
/// `struct ipt_getinfo`: name[32], valid_hooks, hook_entry[5], underflow[5], num_entries, size.
const IPT_GETINFO: usize = 32 + 4 * 13;

/// Requests the description of a table; the kernel requires the exact length.
pub fn ipt_get_info(table: &[u8]) -> Result<()> {
    let name: [u8; 32] = padded(table, 1)?;
    let mut info: [u8; IPT_GETINFO] = padded(&name, 0)?;
    sys::getsockopt(inet_socket()?, libc::IPPROTO_IP, IPT_SO_GET_INFO, &mut info).map(drop)
}

/// bind(2) of an `AF_ALG` socket.
pub fn alg_bind(kind: &[u8], name: &[u8]) -> Result<()> {
    let address = alg_address(kind, name)?;
    sys::bind(sys::socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)?, &address)
}

/// `struct sockaddr_alg`: family, type[14], feat, mask, name[64].
fn alg_address(kind: &[u8], name: &[u8]) -> Result<[u8; 88]> {
    let kind: [u8; 14] = padded(kind, 1)?;
    let name: [u8; 64] = padded(name, 1)?;
    let mut address = [0; 88];
    address[..2].copy_from_slice(&(libc::AF_ALG as u16).to_ne_bytes());
    address[2..16].copy_from_slice(&kind);
    address[24..].copy_from_slice(&name);
    Ok(address)
}

/// `CTRL_CMD_GETFAMILY` by name: success, or the errno of the kernel's answer.
pub fn genl_get_family(name: &[u8]) -> Result<()> {
    const CTRL: u16 = 16;
    exchange(libc::NETLINK_GENERIC, &message(CTRL, libc::NLM_F_REQUEST as u16, &get_family(name)?)?)
}

/// Sends a message that requests an acknowledgement: success, or the errno of the kernel's first answer.
pub fn netlink(protocol: i32, kind: u16, flags: u16, payload: &[u8]) -> Result<()> {
    let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    exchange(protocol, &message(kind, flags, payload)?)
}

/// Sends a message on a new socket and returns the errno of the first answer.
fn exchange(protocol: i32, message: &[u8]) -> Result<()> {
    let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    rustix::net::send(&socket, message, SendFlags::empty())?;
    let mut answer = [0_u8; 8192];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    answer_errno(&answer[..length])
}

/// Encodes a netlink message: `nlmsghdr` with sequence number 1 and port 0, then the payload.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Result<Vec<u8>> {
    let total = u32::try_from(16 + payload.len()).map_err(|_| Errno::MSGSIZE)?;
    let mut message = Vec::with_capacity(16 + payload.len());
    message.extend(total.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(payload);
    Ok(message)
}

/// Encodes `genlmsghdr` and one attribute `CTRL_ATTR_FAMILY_NAME` with its NUL.
fn get_family(name: &[u8]) -> Result<Vec<u8>> {
    const GETFAMILY: u8 = 3;
    const VERSION: u8 = 1;
    const FAMILY_NAME: u16 = 2;
    let attribute = 4 + name.len() + 1;
    let total = 4 + attribute.next_multiple_of(4);
    let attribute = u16::try_from(attribute).map_err(|_| Errno::MSGSIZE)?;
    let mut payload = Vec::with_capacity(total);
    payload.extend([GETFAMILY, VERSION, 0, 0]);
    payload.extend(attribute.to_ne_bytes());
    payload.extend(FAMILY_NAME.to_ne_bytes());
    payload.extend(name);
    payload.resize(total, 0);
    Ok(payload)
}

/// Returns the errno in an answer; EBADMSG if it is not a netlink message.
fn answer_errno(message: &[u8]) -> Result<()> {
    let kind = message.get(4..6).ok_or(Errno::BADMSG)?;
    if u16::from_ne_bytes([kind[0], kind[1]]) != libc::NLMSG_ERROR as u16 {
        return Ok(());
    }
    let error = message.get(16..20).ok_or(Errno::BADMSG)?;
    match i32::from_ne_bytes([error[0], error[1], error[2], error[3]]) {
        0 => Ok(()),
        negative => Err(Errno::from_raw_os_error(negative.wrapping_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_request_is_one_aligned_message() {
        let expected = b"\x1c\0\0\0\x10\0\x01\0\x01\0\0\0\0\0\0\0\x03\x01\0\0\x08\0\x02\0abc\0";
        assert_eq!(message(16, 1, &get_family(b"abc").unwrap()).unwrap(), expected);
        let odd = get_family(b"abcd").unwrap();
        assert_eq!((odd.len(), odd[4], &odd[8..]), (16, 9, &b"abcd\0\0\0\0"[..]));
        assert_eq!(get_family(&[b'x'; 70_000]), Err(Errno::MSGSIZE));
    }

    #[test]
    fn a_netlink_error_is_an_errno_and_any_other_answer_is_success() {
        let mut error = vec![0_u8; 36];
        error[4] = 2;
        error[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(answer_errno(&error), Err(Errno::NOENT));
        error[4] = 16;
        assert_eq!(answer_errno(&error), Ok(()));
        assert_eq!(answer_errno(&error[..5]), Err(Errno::BADMSG));
    }

    #[test]
    fn an_alg_address_has_type_and_name_at_their_offsets() {
        let address = alg_address(b"hash", b"qq(x)").unwrap();
        assert_eq!((&address[..7], &address[16..30]), (&b"\x26\0hash\0"[..], &b"\0\0\0\0\0\0\0\0qq(x)\0"[..]));
        assert!(alg_address(&[b'a'; 13], &[b'b'; 63]).is_ok());
        assert_eq!(alg_address(&[b'a'; 14], b""), Err(Errno::INVAL));
        assert_eq!(alg_address(b"", &[b'b'; 64]), Err(Errno::INVAL));
    }

    #[test]
    fn a_name_without_room_for_its_nul_is_an_error() {
        assert_eq!(interface_ioctl(0, &[b'a'; 16]), Err(Errno::INVAL));
        assert_eq!(ipt_get_info(&[b'a'; 32]), Err(Errno::INVAL));
        assert_eq!(socket_ioctl(0, &[0; 65]), Err(Errno::INVAL));
    }
}
