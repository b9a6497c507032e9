//! What the driver of an interface says that it can do with XDP, asked of the kernel's `netdev` netlink family.
//!
//! Drivers have answered since 6.3, for multi-buffer since 6.6. What is not here: whether a port needs it.
//! Source: linux/netdev.h and linux/genetlink.h, v6.6.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::GENERIC;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

/// Message type of the family that knows all others.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_XDP_ACT_BASIC: u64 = 1 << 0;
const NETDEV_XDP_ACT_RX_SG: u64 = 1 << 5;

const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
/// `struct nlmsghdr` and `struct genlmsghdr`. Units: bytes.
const HEADERS_BYTES: usize = 16 + 4;
/// How long the kernel may take to answer, which it does at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// What a driver can do with XDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XdpCapabilities {
    /// It runs XDP programs itself.
    pub native: bool,
    /// It hands frames of several buffers to a program that it runs itself.
    pub rx_multi_buffer: bool,
    /// Segments that a frame may have in zero-copy mode; 0 without that mode. Units: segments.
    pub zero_copy_segments: u32,
}

/// Asks what the driver of an interface can do.
///
/// # Errors
///
/// When the kernel is too old to answer, or there is no such interface.
pub fn xdp_capabilities(ifindex: u32) -> io::Result<XdpCapabilities> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    let name = attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let answer = ask(&socket, &request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name))?;
    let family = attributes(&answer)
        .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
        .and_then(|(_, value)| value.first_chunk())
        .map(|id| u16::from_ne_bytes(*id))
        .ok_or_else(|| io::Error::other("the kernel's answer has no family number"))?;
    let device = attribute(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
    ask(&socket, &request(family, NETDEV_CMD_DEV_GET, &device)).map(|answer| read(&answer))
}

/// Reads the attributes of a device.
fn read(answer: &[u8]) -> XdpCapabilities {
    let mut able = XdpCapabilities::default();
    for (kind, value) in attributes(answer) {
        match (kind, value.first_chunk(), value.first_chunk()) {
            (NETDEV_A_DEV_XDP_FEATURES, _, Some(bits)) => {
                let bits = u64::from_ne_bytes(*bits);
                able.native = bits & NETDEV_XDP_ACT_BASIC != 0;
                able.rx_multi_buffer = bits & NETDEV_XDP_ACT_RX_SG != 0;
            }
            (NETDEV_A_DEV_XDP_ZC_MAX_SEGS, Some(count), _) => {
                able.zero_copy_segments = u32::from_ne_bytes(*count);
            }
            _ => {}
        }
    }
    able
}

/// One request and the attributes of its answer.
fn ask(socket: &OwnedFd, request: &[u8]) -> io::Result<Vec<u8>> {
    send(socket, request, SendFlags::empty())?;
    let mut bytes = [0; 8192];
    let (len, _) = recv(socket, &mut bytes, RecvFlags::empty())?;
    payload(&bytes[..len])
}

/// The attributes of a message, or the error that it is.
fn payload(message: &[u8]) -> io::Result<Vec<u8>> {
    let cut = || io::Error::other("the kernel's answer is cut short");
    let kind = message.get(4..6).and_then(<[u8]>::first_chunk).ok_or_else(cut)?;
    if u16::from_ne_bytes(*kind) == NLMSG_ERROR {
        let number = message.get(16..20).and_then(<[u8]>::first_chunk).ok_or_else(cut)?;
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(*number).saturating_neg()));
    }
    message.get(HEADERS_BYTES..).map(<[u8]>::to_vec).ok_or_else(cut)
}

/// A request of a family, with its attributes.
fn request(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADERS_BYTES + attributes.len()).expect("a few bytes");
    let mut message = Vec::from(len.to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port; the kernel fills in the port.
    message.extend([0; 8]);
    // Command, version, reserved.
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    message
}

/// An attribute: length, kind, value, padding to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).expect("a few bytes");
    let mut bytes = Vec::from(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The attributes in a run of them, up to the first that is cut short.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let [len0, len1, kind0, kind1] = *bytes.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([len0, len1]));
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        // The two highest bits say how the value is to be read, not what it is.
        Some((u16::from_ne_bytes([kind0, kind1]) & 0x3FFF, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_segments_are_read_whatever_else_is_there() {
        let answer = [
            attribute(NETDEV_A_DEV_IFINDEX, &7u32.to_ne_bytes()),
            attribute(0x4000 | NETDEV_A_DEV_XDP_FEATURES, &0x2Bu64.to_ne_bytes()),
            attribute(99, &[1, 2, 3]),
            attribute(NETDEV_A_DEV_XDP_ZC_MAX_SEGS, &8u32.to_ne_bytes()),
        ]
        .concat();
        let able = XdpCapabilities { native: true, rx_multi_buffer: true, zero_copy_segments: 8 };
        assert_eq!(read(&answer), able);
        assert_eq!(read(&attribute(NETDEV_A_DEV_XDP_FEATURES, &[0x20])), XdpCapabilities::default());
    }

    #[test]
    fn an_answer_cut_anywhere_is_read_as_far_as_it_goes() {
        let answer = attribute(NETDEV_A_DEV_XDP_FEATURES, &u64::MAX.to_ne_bytes());
        for len in 0..answer.len() {
            assert_eq!(read(&answer[..len]), XdpCapabilities::default(), "{len}");
        }
        assert_eq!(read(&[0, 0, 3, 0, 1]), XdpCapabilities::default(), "a length of nothing");
        for len in 0..HEADERS_BYTES {
            assert!(payload(&[0; HEADERS_BYTES][..len]).is_err());
        }
    }

    #[test]
    fn an_error_is_the_kernels_number() {
        let mut message = request(NLMSG_ERROR, 0, &[]);
        message[16..20].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        assert_eq!(payload(&message).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
