//! Anchor: a socket that stands for a tunnel in the kernel, so that the kernel believes ICMP errors about its packets.
//!
//! The engine sends tunnel packets past the kernel. An ICMP error about one of them quotes a packet that the kernel never
//! saw, and the kernel looks for the socket it could have come from: a UDP socket of these addresses and ports, or a raw
//! socket of protocol 115 and these addresses. Where there is one, it notes a smaller path MTU as an exception of the route
//! to the destination, and queues the error for the socket. Where there is none, the error is ignored, as a forged one should be.
//!
//! An anchor is such a socket and nothing else. It never sends, and a filter drops what arrives for it before it is queued:
//! tunnel packets go to the engine, and what the steering program leaves to the kernel (control messages) is nobody's. The kernel
//! then sends no "port unreachable" about those.
//!
//! Source: Linux v6.12, `__udp4_lib_err` in net/ipv4/udp.c, `raw_err` in net/ipv4/raw.c, `__udp6_lib_err` in net/ipv6/udp.c,
//! `rawv6_err` in net/ipv6/raw.c, `__ip_rt_update_pmtu` in net/ipv4/route.c.
//!
//! Place on the path: none; the main thread holds one per tunnel that is up. What is not here: what follows from an error.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover, set_ipv6_v6only,
    set_socket_recv_buffer_size, set_socket_reuseaddr, socket_error,
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use crate::sys;

/// IP protocol number of L2TPv3 without UDP.
const PROTOCOL_L2TP: u32 = 115;

/// Memory for errors that were not taken yet; the kernel doubles it. One error takes up to a page. Units: bytes.
const QUEUE_BYTES: usize = 32 << 10;

/// The two ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunnelEnds {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address, of the same IP version.
    pub remote: IpAddr,
    /// Our UDP port and the peer's; `None` for IP protocol 115.
    pub udp_ports: Option<(u16, u16)>,
}

/// An ICMP or ICMPv6 error about a packet of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Whether type and code are those of ICMPv6.
    pub is_ipv6: bool,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// For "fragmentation needed" and "packet too big": the MTU it names. Units: bytes.
    pub mtu: u32,
    /// Who sent it.
    pub offender: Option<IpAddr>,
}

/// Why there is no anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Another socket of this machine has the UDP port.
    #[error("UDP port {port} of {local} is in use")]
    PortInUse {
        /// Our address.
        local: IpAddr,
        /// Our port.
        port: u16,
    },
    /// The kernel refused something else.
    #[error("{operation}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Opens a tunnel's anchor. It does not block.
///
/// The UDP port is taken for this process alone, unless `is_shared`: then other sockets that were told so too may have it,
/// each with another peer. See [`share`].
///
/// # Errors
///
/// [`AnchorError`].
pub fn open(ends: &TunnelEnds, is_shared: bool) -> Result<OwnedFd, AnchorError> {
    let is_ipv6 = ends.local.is_ipv6();
    let anchor = socket_for(ends).map_err(refused("open a socket"))?;
    // First of all: not one packet is to be queued, and not one error is to be missed.
    sys::refuse_data(anchor.as_fd()).map_err(refused("attach a filter to a socket"))?;
    sys::report_errors(anchor.as_fd(), is_ipv6).map_err(refused("ask for the errors of a socket"))?;
    follow_path_mtu(&anchor, is_ipv6).map_err(refused("follow a socket's path MTU"))?;
    set_socket_recv_buffer_size(&anchor, QUEUE_BYTES)
        .map_err(|error| refused("limit a socket's memory")(error.into()))?;
    share(&anchor, is_shared)?;
    let (local_port, remote_port) = ends.udp_ports.unwrap_or_default();
    bind(&anchor, &SocketAddr::new(ends.local, local_port)).map_err(|error| match error {
        rustix::io::Errno::ADDRINUSE => AnchorError::PortInUse { local: ends.local, port: local_port },
        other => refused("bind a socket to the tunnel's local end")(other.into()),
    })?;
    connect(&anchor, &SocketAddr::new(ends.remote, remote_port))
        .map_err(|error| refused("connect a socket to the tunnel's remote end")(error.into()))?;
    Ok(anchor)
}

/// Lets other sockets have an anchor's address and port from now on, or no longer; those that have it keep it.
///
/// # Errors
///
/// [`AnchorError::Refused`].
pub fn share(anchor: &impl AsFd, is_shared: bool) -> Result<(), AnchorError> {
    set_socket_reuseaddr(anchor, is_shared).map_err(|error| refused("share a socket's port")(error.into()))
}

/// Takes an anchor's oldest error; `None`: there is none now. Never waits.
///
/// # Errors
///
/// What the kernel said; the anchor is then of no more use.
pub fn next_error(anchor: &impl AsFd) -> io::Result<Option<IcmpError>> {
    while let Some(control) = sys::next_error(anchor.as_fd())? {
        // Errors of other origins (our own kernel's) are no news from the path.
        if let Some(error) = read(&control.bytes()) {
            return Ok(Some(error));
        }
    }
    // An error that found the queue full left its mark on the socket, which would be ready for ever.
    let _mark = socket_error(anchor)?;
    Ok(None)
}

fn refused(operation: &'static str) -> impl FnOnce(io::Error) -> AnchorError {
    move |source| AnchorError::Refused { operation, source }
}

fn socket_for(ends: &TunnelEnds) -> io::Result<OwnedFd> {
    let family = if ends.local.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, protocol) = match ends.udp_ports {
        Some(_) => (SocketType::DGRAM, Some(ipproto::UDP)),
        None => (SocketType::RAW, core::num::NonZero::new(PROTOCOL_L2TP).map(Protocol::from_raw)),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)?;
    if ends.local.is_ipv6() && ends.udp_ports.is_some() {
        // A raw socket has one family only, and refuses to be told so.
        set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// "Do": the kernel then updates the path MTU and reports that it did. With "interface" and "omit" it does neither, with
/// "don't" it only updates.
fn follow_path_mtu(socket: &OwnedFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?;
    } else {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?;
    }
    Ok(())
}

/// Length of a control message's header: length, level, type. Units: bytes.
const CONTROL_HEADER_BYTES: usize = size_of::<usize>() + 2 * size_of::<i32>();

/// Offset of the offender's address behind the error (`SO_EE_OFFENDER`). Units: bytes.
const OFFENDER_OFFSET: usize = 16;

/// The ICMP error in a socket's control messages, if there is one.
///
/// ```text
///  control message            struct sock_extended_err                            sockaddr
/// | length | level | type |  | errno 4 | origin | type | code | 0 | info 4 | data 4 |  | offender ... |
/// ```
fn read(mut control: &[u8]) -> Option<IcmpError> {
    loop {
        let (length, header) = control.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let (level, header) = header.split_first_chunk()?;
        let (kind, _) = header.split_first_chunk()?;
        let data = control.get(CONTROL_HEADER_BYTES..length)?;
        match (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)) {
            (libc::SOL_IP, libc::IP_RECVERR) => return read_error(data, libc::SO_EE_ORIGIN_ICMP, false),
            (libc::SOL_IPV6, libc::IPV6_RECVERR) => return read_error(data, libc::SO_EE_ORIGIN_ICMP6, true),
            _ => control = control.get(length.next_multiple_of(size_of::<usize>())..)?,
        }
    }
}

fn read_error(data: &[u8], origin: u8, is_ipv6: bool) -> Option<IcmpError> {
    let &[_, _, _, _, from, kind, code, _, info_0, info_1, info_2, info_3, ..] = data else { return None };
    (from == origin).then(|| IcmpError {
        is_ipv6,
        kind,
        code,
        mtu: u32::from_ne_bytes([info_0, info_1, info_2, info_3]),
        offender: data.get(OFFENDER_OFFSET..).and_then(|address| offender(address, is_ipv6)),
    })
}

/// The address in a `sockaddr_in` or `sockaddr_in6`; `None` when it is none ("family unspecified").
fn offender(address: &[u8], is_ipv6: bool) -> Option<IpAddr> {
    let (family, rest) = address.split_first_chunk()?;
    let expected = if is_ipv6 { libc::AF_INET6 } else { libc::AF_INET };
    if i32::from(u16::from_ne_bytes(*family)) != expected {
        return None;
    }
    if is_ipv6 {
        // Port and flow information stand in front of it.
        rest.get(6..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into())
    } else {
        rest.get(2..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
    }
}

impl IcmpError {
    /// Whether it says that a packet was too big for the path, and how large it may be.
    #[must_use]
    pub const fn too_big(&self) -> bool {
        matches!((self.is_ipv6, self.kind, self.code), (false, 3, 4) | (true, 2, _))
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.is_ipv6 { "ICMPv6" } else { "ICMP" };
        write!(f, "{version} type {} code {}", self.kind, self.code)?;
        if self.too_big() {
            write!(f, ", MTU {}", self.mtu)?;
        }
        self.offender.map_or(Ok(()), |offender| write!(f, " from {offender}"))
    }
}

#[cfg(test)]
mod tests;
