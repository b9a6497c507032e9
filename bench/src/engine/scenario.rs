//! Scenario: what is varied from case to case, and the base that everything else is compared with.

use std::fmt;

use serde::Serialize;

/// Most sessions that one bridge domain has beside its LAN port.
pub const MAX_SESSIONS: u32 = 65_000;

/// The way that frames take through the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the LAN into pseudowires.
    Encap,
    /// Out of pseudowires to the LAN.
    Decap,
    /// Out of pseudowires into pseudowires over IP.
    Relay,
    /// From port to port without an engine: what the ports in memory cost by themselves.
    Ports,
}

impl Way {
    /// The ways through the engine.
    pub const ENGINE: [Self; 3] = [Self::Encap, Self::Decap, Self::Relay];

    fn name(self) -> &'static str {
        match self {
            Self::Encap => "encap",
            Self::Decap => "decap",
            Self::Relay => "relay",
            Self::Ports => "ports without engine",
        }
    }
}

/// Length of the inner frames, without check sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameLength {
    /// All of one length. Range: 64 to 1518.
    Bytes(u16),
    /// Seven of 64, four of 594, one of 1518 bytes, mixed: the "simple IMIX" of RFC 6985's examples, as frames.
    Imix,
}

/// What carries the packets of the pseudowires that frames come from or, with [`Way::Encap`], go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// UDP over IPv4 without UDP checksum.
    Udp,
    /// UDP over IPv4 with UDP checksum, which is a pass over every byte.
    UdpChecksum,
    /// The same, with the underlay port to make the pass: the engine writes the sum of the pseudo-header.
    UdpChecksumOffloaded,
    /// IP protocol 115 over IPv4.
    Ip,
    /// UDP over IPv6 without UDP checksum, to peers that agreed to that.
    UdpIpv6,
}

impl Carrier {
    /// Whether packets have a UDP checksum, whoever makes it.
    #[must_use]
    pub const fn has_checksum(self) -> bool {
        matches!(self, Self::UdpChecksum | Self::UdpChecksumOffloaded)
    }
}

/// One case. Cookies of eight bytes and the default sublayer throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scenario {
    /// The way.
    pub way: Way,
    /// Length of the inner frames.
    pub frame: FrameLength,
    /// Stations that the FDB knows: half of them at either end of the way, at least one. Each frame is of the next one.
    pub macs: u32,
    /// Sessions that there are, used in turn. `Range:` 1 to [`MAX_SESSIONS`]. [`Way::Relay`] has half of them at either end,
    /// at least one.
    pub sessions: u32,
    /// Frames that a port hands over at most. The engine takes 64 at a time.
    pub burst: u32,
    /// What carries the packets.
    pub carrier: Carrier,
    /// Frames of a pass, each in a chunk of its own: how much of the frame memory is walked over.
    pub frames: u32,
    /// Whether the frame memory stands on 2 MiB pages that were reserved; otherwise on such as the kernel gives when asked.
    pub huge_pages: bool,
}

/// Frames of a pass of the base: as many as wait in a usual receive ring.
pub const BASE_FRAMES: u32 = 1024;

impl Scenario {
    /// The base of a way: 64 bytes, 1000 stations, one session (a relay: one at either end), batches of 64, pages as the kernel gives them when asked.
    #[must_use]
    pub const fn base(way: Way) -> Self {
        Self {
            way,
            frame: FrameLength::Bytes(64),
            macs: 1000,
            sessions: 1,
            burst: 64,
            carrier: Carrier::Udp,
            frames: BASE_FRAMES,
            huge_pages: false,
        }
    }

    /// Stations at either end.
    #[must_use]
    pub fn stations(&self) -> u32 {
        (self.macs / 2).max(1)
    }

    /// Sessions that frames come from or, with [`Way::Encap`], go to.
    #[must_use]
    pub fn a_sessions(&self) -> u32 {
        if self.way == Way::Relay { (self.sessions / 2).max(1) } else { self.sessions }
    }

    /// Sessions that relayed frames go to.
    #[must_use]
    pub fn b_sessions(&self) -> u32 {
        if self.way == Way::Relay { self.a_sessions() } else { 0 }
    }
}

impl fmt::Display for Scenario {
    /// The way, and what differs from its base.
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Self::base(self.way);
        text.write_str(self.way.name())?;
        match self.frame {
            FrameLength::Bytes(_) if self.frame == base.frame => {}
            FrameLength::Bytes(bytes) => write!(text, ", {bytes} B")?,
            FrameLength::Imix => text.write_str(", IMIX")?,
        }
        if self.macs != base.macs {
            write!(text, ", {}", counted(self.macs, "MAC"))?;
        }
        if self.sessions != base.sessions {
            write!(text, ", {}", counted(self.sessions, "session"))?;
        }
        if self.burst != base.burst {
            write!(text, ", batch {}", self.burst)?;
        }
        text.write_str(match self.carrier {
            Carrier::Udp => "",
            Carrier::UdpChecksum => ", UDP checksum",
            Carrier::UdpChecksumOffloaded => ", UDP checksum offloaded",
            Carrier::Ip => ", over IP",
            Carrier::UdpIpv6 => ", over UDP and IPv6",
        })?;
        if self.frames != base.frames {
            write!(text, ", {} frames", self.frames)?;
        }
        text.write_str(if self.huge_pages { ", huge pages" } else { "" })
    }
}

/// A number of things, a round one with as few digits as say it.
fn counted(number: u32, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if number >= 1_000_000 && number.is_multiple_of(1_000_000) => {
            format!("{} M {thing}s", number / 1_000_000)
        }
        _ if number >= 1000 && number.is_multiple_of(1000) => format!("{} k {thing}s", number / 1000),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_way_and_what_differs_from_its_base() {
        let base = Scenario::base(Way::Encap);
        assert_eq!(base.to_string(), "encap");
        let other = Scenario {
            way: Way::Relay,
            frame: FrameLength::Imix,
            macs: 1_000_000,
            sessions: 64_000,
            burst: 1,
            carrier: Carrier::Ip,
            frames: 8192,
            huge_pages: true,
        };
        let name = "relay, IMIX, 1 M MACs, 64 k sessions, batch 1, over IP, 8192 frames, huge pages";
        assert_eq!(other.to_string(), name);
    }

    #[test]
    fn a_relay_has_sessions_at_both_ends_and_at_least_one() {
        let relay = |sessions| {
            let relay = Scenario { sessions, ..Scenario::base(Way::Relay) };
            (relay.a_sessions(), relay.b_sessions())
        };
        assert_eq!((relay(1), relay(1000)), ((1, 1), (500, 500)));
        let encap = Scenario { sessions: 1000, ..Scenario::base(Way::Encap) };
        assert_eq!((encap.a_sessions(), encap.b_sessions()), (1000, 0));
    }
}
