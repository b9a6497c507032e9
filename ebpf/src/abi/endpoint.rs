//! Tunnel endpoints: by what the packets of a tunnel are known, and what they carry.
//!
//! Place on the path: keys and values of the maps of endpoints, one for each family.

use core::net::{Ipv4Addr, Ipv6Addr};

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What identifies the packets of a tunnel: the key of its map, which is of one family.
///
/// Local is the gateway: the packet's destination. Ports are 0 for protocols without ports; and a UDP tunnel needs a second entry with
/// both ports 0 ([`for_fragments`](Self::for_fragments)), by which fragments are found. A tunnel that learns its peer has an entry with
/// remote address and port 0 ([`without_peer`](Self::without_peer)), by which it hears a peer that moved, but for its fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointKey {
    /// Between IPv4 addresses.
    V4(EndpointV4),
    /// Between IPv6 addresses.
    V6(EndpointV6),
}

/// What the keys of both families have in common, for code that is compiled for each by itself.
pub(crate) trait Endpoint: Copy + Into<EndpointKey> {
    /// [`EndpointKey::with_ports`].
    fn with_ports(self, local_port: u16, remote_port: u16) -> Self;

    /// [`EndpointKey::without_peer`].
    fn without_peer(self) -> Self;
}

/// A key of [`ENDPOINTS_V4`](super::ENDPOINTS_V4).
///
/// ```text
///  0          4            6             8       12       16
/// +----------+------------+-------------+-------+--------+
/// | protocol | local port | remote port | local | remote |
/// +----------+------------+-------------+-------+--------+
/// ```
///
/// Byte order: network. Short, because the kernel goes through all of it twice for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct EndpointV4 {
    /// A whole word, as the kernel's verifier takes no write to the stack that is not aligned.
    protocol: U32,
    local_port: U16,
    remote_port: U16,
    local: [u8; 4],
    remote: [u8; 4],
}

/// A key of [`ENDPOINTS_V6`](super::ENDPOINTS_V6).
///
/// ```text
///  0          4            6             8       24       40
/// +----------+------------+-------------+-------+--------+
/// | protocol | local port | remote port | local | remote |
/// +----------+------------+-------------+-------+--------+
/// ```
///
/// Byte order: network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct EndpointV6 {
    /// A whole word, as the kernel's verifier takes no write to the stack that is not aligned.
    protocol: U32,
    local_port: U16,
    remote_port: U16,
    local: [u8; 16],
    remote: [u8; 16],
}

impl EndpointKey {
    /// An IPv4 endpoint of a protocol without ports (115, 50), or the fragments' entry of one with ports.
    #[must_use]
    pub fn ipv4(protocol: u8, local: Ipv4Addr, remote: Ipv4Addr) -> Self {
        EndpointV4::new(protocol, local.octets(), remote.octets()).into()
    }

    /// An IPv6 endpoint of a protocol without ports (115, 50), or the fragments' entry of one with ports.
    #[must_use]
    pub fn ipv6(protocol: u8, local: Ipv6Addr, remote: Ipv6Addr) -> Self {
        EndpointV6::new(protocol, local.octets(), remote.octets()).into()
    }

    /// The same endpoint with ports.
    #[must_use]
    pub fn with_ports(self, local_port: u16, remote_port: u16) -> Self {
        match self {
            Self::V4(key) => key.with_ports(local_port, remote_port).into(),
            Self::V6(key) => key.with_ports(local_port, remote_port).into(),
        }
    }

    /// The entry by which this endpoint's fragments are found: the same without ports.
    #[must_use]
    pub fn for_fragments(self) -> Self {
        self.with_ports(0, 0)
    }

    /// The entry by which this endpoint's packets are found wherever they come from: the same without the peer's address and
    /// port.
    #[must_use]
    pub fn without_peer(self) -> Self {
        match self {
            Self::V4(key) => key.without_peer().into(),
            Self::V6(key) => key.without_peer().into(),
        }
    }
}

/// What the keys of both families can do.
macro_rules! endpoint {
    ($key:ident, $family:ident, $address_bytes:literal) => {
        impl $key {
            /// Bytes of a key.
            pub const BYTES: usize = size_of::<Self>();

            #[inline(always)]
            pub(crate) fn new(
                protocol: u8,
                local: [u8; $address_bytes],
                remote: [u8; $address_bytes],
            ) -> Self {
                let [local_port, remote_port] = [U16::ZERO; 2];
                Self { protocol: U32::new(u32::from(protocol)), local_port, remote_port, local, remote }
            }

            /// All of it in four words: protocol, ports, and the words of each address put on top of each other.
            #[inline(always)]
            pub(super) fn folded(&self) -> [u32; 4] {
                let Self { protocol, local_port, remote_port, local, remote } = *self;
                let ports: u32 = zerocopy::transmute!([local_port, remote_port]);
                let local: [u32; $address_bytes / 4] = zerocopy::transmute!(local);
                let remote: [u32; $address_bytes / 4] = zerocopy::transmute!(remote);
                let fold = |folded: u32, word: u32| folded ^ word;
                [protocol.get(), ports, local.into_iter().fold(0, fold), remote.into_iter().fold(0, fold)]
            }

            /// The bytes to write into the map.
            #[must_use]
            pub fn to_bytes(self) -> [u8; Self::BYTES] {
                zerocopy::transmute!(self)
            }
        }

        impl Endpoint for $key {
            #[inline(always)]
            fn with_ports(self, local_port: u16, remote_port: u16) -> Self {
                Self { local_port: U16::new(local_port), remote_port: U16::new(remote_port), ..self }
            }

            #[inline(always)]
            fn without_peer(self) -> Self {
                Self { remote_port: U16::ZERO, remote: [0; $address_bytes], ..self }
            }
        }

        impl From<$key> for EndpointKey {
            #[inline(always)]
            fn from(key: $key) -> Self {
                Self::$family(key)
            }
        }
    };
}

endpoint!(EndpointV4, V4, 4);
endpoint!(EndpointV6, V6, 16);

/// What an endpoint's packets carry, and so how its control messages are told from its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Payload {
    /// L2TPv3, over UDP or over IP: control messages stay with the kernel.
    L2tp = 1,
    /// ESP: everything is the engine's.
    Esp = 2,
}

/// A value of [`ENDPOINTS_V4`](super::ENDPOINTS_V4) and [`ENDPOINTS_V6`](super::ENDPOINTS_V6).
///
/// ```text
///  0         1          4
/// +---------+----------+
/// | payload | reserved |
/// +---------+----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct EndpointValue {
    payload: u8,
    reserved: [u8; 3],
}

impl EndpointValue {
    /// Bytes of a value.
    pub const BYTES: usize = size_of::<Self>();

    /// An endpoint whose packets carry `payload`.
    #[must_use]
    pub const fn new(payload: Payload) -> Self {
        Self { payload: payload as u8, reserved: [0; 3] }
    }

    /// Whether it is no endpoint's: all zeros.
    #[inline(always)]
    pub(super) const fn is_none(&self) -> bool {
        self.payload == 0
    }

    /// Whether the packets carry L2TPv3, whose control messages stay with the kernel.
    #[inline]
    #[must_use]
    pub fn is_l2tp(&self) -> bool {
        self.payload == Payload::L2tp as u8
    }

    /// The bytes to write into the map.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(self)
    }
}
