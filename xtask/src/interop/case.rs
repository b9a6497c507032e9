//! What a case is: sites in a row, a gateway at each, a pseudowire between every two neighbours.
//!
//! Each end of a tunnel or pseudowire has settings of its own, so that a case can also be one whose ends do not fit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::own::{Exercise, Setting};

/// A gateway of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Gateway {
    /// spanwire, the one that nearly all cases are about.
    First,
    /// spanwire, for the cases with three sites.
    Second,
    /// The kernel's own `l2tp_eth`, in the guest.
    Kernel,
}

impl Gateway {
    /// Those that spanwire runs.
    pub(super) const OURS: [Self; 2] = [Self::First, Self::Second];

    /// Its name: that of its namespace and, where spanwire runs it, of the gateway.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "gw1",
            Self::Second => "gw2",
            Self::Kernel => "gw",
        }
    }

    /// The namespace in the guest of the stations behind it.
    pub(super) fn stations(self) -> &'static str {
        match self {
            Self::First => "pc1",
            Self::Second => "pc2",
            Self::Kernel => "pck",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        self != Self::Kernel
    }

    /// Number of its address in the underlay.
    fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
            Self::Kernel => 3,
        }
    }
}

/// Addresses that each gateway has of each family. Range: up to 25.
pub(super) const PLACES: u8 = 12;

/// Those between which the path is a narrow one; between the same places of two gateways, that is.
pub(super) const NARROW_PLACES: [u8; 4] = [1, 5, 6, 7];

/// Address family of the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// A gateway's address in the underlay.
    pub(super) fn address(self, gateway: Gateway) -> IpAddr {
        self.place(gateway, 0)
    }

    /// A gateway's other address in the underlay.
    pub(super) fn other_address(self, gateway: Gateway) -> IpAddr {
        self.place(gateway, 1)
    }

    /// One of a gateway's addresses. Range: below [`PLACES`].
    pub(super) fn place(self, gateway: Gateway, place: u8) -> IpAddr {
        self.numbered(10 * place + gateway.number())
    }

    fn numbered(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 200, 0, number).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 0x200, 0, 0, 0, 0, 0, number.into()).into(),
        }
    }

    /// Length of the underlay's prefix.
    pub(super) fn prefix_length(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    pub(super) fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }
}

/// What carries the L2TPv3 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encap {
    Udp,
    Ip,
}

impl Encap {
    pub(super) const BOTH: [Self; 2] = [Self::Udp, Self::Ip];

    /// The word of `ip l2tp`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Ip => "ip",
        }
    }
}

/// A tunnel between two gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tunnel {
    /// Its place among all tunnels of the matrix.
    pub(super) number: u16,
    pub(super) encap: Encap,
    pub(super) family: Family,
    pub(super) gateways: [Gateway; 2],
    pub(super) ends: [TunnelEnd; 2],
}

/// One gateway's settings of a tunnel, in the words of `ip l2tp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TunnelEnd {
    pub(super) local: IpAddr,
    pub(super) remote: IpAddr,
    pub(super) tunnel_id: u32,
    pub(super) peer_tunnel_id: u32,
    pub(super) udp_sport: u16,
    pub(super) udp_dport: u16,
    pub(super) checksums: Checksums,
}

/// Whether UDP checksums are sent and demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checksums {
    /// `udp_csum`, over IPv4.
    pub(super) udp: bool,
    /// `udp6_csum_tx`, over IPv6.
    pub(super) udp6_tx: bool,
    /// `udp6_csum_rx`, over IPv6.
    pub(super) udp6_rx: bool,
}

impl Checksums {
    /// What holds when nothing is said.
    pub(super) const DEFAULT: Self = Self { udp: false, udp6_tx: true, udp6_rx: true };
}

impl Tunnel {
    /// The end of a gateway, which may be another one than its end of a wire in the tunnel.
    pub(super) fn end(&self, gateway: Gateway) -> &TunnelEnd {
        &self.ends[usize::from(self.gateways[1] == gateway)]
    }

    /// Whether packets from a gateway have a UDP checksum; `None` without UDP.
    pub(super) fn sends_checksum(&self, gateway: Gateway) -> Option<bool> {
        let checksums = self.end(gateway).checksums;
        match (self.encap, self.family) {
            (Encap::Ip, _) => None,
            (Encap::Udp, Family::V4) => Some(checksums.udp),
            (Encap::Udp, Family::V6) => Some(checksums.udp6_tx),
        }
    }
}

/// A pseudowire between two neighbouring sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wire {
    /// Its place among all pseudowires of the matrix.
    pub(super) number: u32,
    /// The tunnel that each end puts it into: the same one, but where the case is about that.
    pub(super) tunnels: [u16; 2],
    pub(super) gateways: [Gateway; 2],
    pub(super) ends: [SessionEnd; 2],
}

impl Wire {
    /// Which end a gateway is.
    pub(super) fn end(&self, gateway: Gateway) -> usize {
        usize::from(self.gateways[1] == gateway)
    }

    /// The name of its session at both ends.
    pub(super) fn name(&self) -> String {
        format!("w{}", self.number)
    }
}

/// One gateway's settings of a session, in the words of `ip l2tp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionEnd {
    pub(super) session_id: u32,
    pub(super) peer_session_id: u32,
    /// Hexadecimal, or empty.
    pub(super) cookie: String,
    /// Hexadecimal, or empty.
    pub(super) peer_cookie: String,
    /// `default` or `none`.
    pub(super) l2spec_type: &'static str,
    /// `none`, `send`, `recv` or `both`.
    pub(super) seq: &'static str,
}

impl SessionEnd {
    /// Length of the L2TPv3 header of packets that this end receives. Units: bytes.
    pub(super) fn header_bytes(&self, encap: Encap) -> u64 {
        let flags = if encap == Encap::Udp { 4 } else { 0 };
        let sublayer = if self.l2spec_type == "default" { 4 } else { 0 };
        flags + 4 + self.peer_cookie.len() as u64 / 2 + sublayer
    }

    /// Whether this end drops received frames for their numbers.
    pub(super) fn demands_numbers(&self) -> bool {
        matches!(self.seq, "recv" | "both")
    }

    /// Whether the frames that this end sends are numbered by its own setting.
    pub(super) fn numbers(&self) -> bool {
        matches!(self.seq, "send" | "both")
    }
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// Its place in the matrix.
    pub(super) number: u16,
    pub(super) name: String,
    /// The gateway of each site. Two or three.
    pub(super) sites: Vec<Gateway>,
    /// Between each site and the next.
    pub(super) wires: Vec<Wire>,
    /// Whether the longest frames do not fit the path between the gateways.
    pub(super) narrow: bool,
    /// Keys of ours that `ip l2tp` has no words for, in the first site's gateway.
    pub(super) settings: Vec<Setting>,
    /// What is done besides pings.
    pub(super) exercise: Option<Exercise>,
    pub(super) expected: Expected,
}

/// How a case has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Every frame arrives and both ends count the same.
    Passes,
    /// Nothing arrives, and what the kernel sent is counted thus.
    Refused(Refusal),
}

/// Where frames that do not fit end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Of those from the kernel.
    pub(super) ours: Ours,
    /// Of those from us.
    pub(super) theirs: Theirs,
    /// The option of ours without which the case would pass.
    pub(super) rests_on: Option<&'static str>,
}

/// What becomes of frames from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// Accepted: the kernel refuses ours, so that no ping is answered.
    Accepted,
    /// Dropped for this reason, counted at the session too.
    Session(&'static str),
    /// Dropped for this reason before the session is known.
    Total(&'static str),
    /// Taken for other frames than they are, which are dropped for this reason on their way into the LAN.
    Misread(&'static str),
    /// Left to the host's kernel by the steering program, under this decision.
    Steering(&'static str),
}

/// What becomes of our frames at the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theirs {
    /// Accepted: we refuse the kernel's, so that no ping is answered.
    Accepted,
    /// Dropped, and counted as faulty at the session.
    Session,
    /// Not given to the session.
    Unseen,
    /// Taken for other frames than they are.
    Misread,
}
