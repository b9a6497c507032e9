//! What the steering program counts: one counter per way a frame can leave it.
//!
//! Place on the path: the program adds one to exactly one counter for every frame it sees, so the sum of all counters is
//! the number of frames that reached the port while the program was attached. The gateway reads them from the map
//! [`STATS`](crate::abi::STATS). Not here: what happens to a frame after it reached the engine, and frames that the
//! kernel drops because a socket's RX ring was full (the kernel counts those, per socket).

/// A counter of the steering program; the discriminant is its index in the map [`STATS`](crate::abi::STATS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stat {
    /// Underlay: a data packet of a known endpoint went to the engine.
    EngineTunnel = 0,
    /// Underlay: a fragment of a known endpoint's packet went to the engine.
    EngineFragment = 1,
    /// Access: a frame that the port's VLAN set covers went to the engine.
    EngineAccess = 2,
    /// The port is not in the map of ports; the kernel got the frame.
    PassUnknownPort = 3,
    /// Access: the port's VLAN set does not cover the frame; the kernel got it.
    PassUncoveredVlan = 4,
    /// Underlay: neither IPv4 nor IPv6 (ARP, LLDP, three or more VLAN tags); the kernel got it.
    PassNotIp = 5,
    /// Underlay: IP, but not of a known endpoint; the kernel got it.
    PassNotTunnel = 6,
    /// Underlay: a control message of a known endpoint; the kernel got it.
    PassControl = 7,
    /// The frame ends, or its linear part ends, inside a header that decides; the kernel got it.
    PassTruncated = 8,
    /// Underlay: a header contradicts itself (IP version, header length); the kernel got it.
    PassMalformed = 9,
    /// Underlay: more IPv6 extension headers than are followed; the kernel got it.
    PassDeepHeaders = 10,
    /// Underlay: the engine's, but no socket serves the queue; the kernel got it.
    PassNoSocket = 11,
    /// Access: the engine's, but no socket serves the queue; dropped.
    DropNoSocket = 12,
}

impl Stat {
    /// The count of counters, and so of entries in the map [`STATS`](crate::abi::STATS).
    pub const COUNT: usize = Self::ALL.len();

    /// Every counter, in the order of its index.
    pub const ALL: [Self; 13] = [
        Self::EngineTunnel,
        Self::EngineFragment,
        Self::EngineAccess,
        Self::PassUnknownPort,
        Self::PassUncoveredVlan,
        Self::PassNotIp,
        Self::PassNotTunnel,
        Self::PassControl,
        Self::PassTruncated,
        Self::PassMalformed,
        Self::PassDeepHeaders,
        Self::PassNoSocket,
        Self::DropNoSocket,
    ];

    /// The index in the map [`STATS`](crate::abi::STATS).
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The stable name, as in `--json` output, metrics and log records.
    ///
    /// Range: 1 to [`NAME_BYTES`](Self::NAME_BYTES) bytes of `a` to `z` and `_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EngineTunnel => "engine_tunnel",
            Self::EngineFragment => "engine_fragment",
            Self::EngineAccess => "engine_access",
            Self::PassUnknownPort => "pass_unknown_port",
            Self::PassUncoveredVlan => "pass_uncovered_vlan",
            Self::PassNotIp => "pass_not_ip",
            Self::PassNotTunnel => "pass_not_tunnel",
            Self::PassControl => "pass_control",
            Self::PassTruncated => "pass_truncated",
            Self::PassMalformed => "pass_malformed",
            Self::PassDeepHeaders => "pass_deep_headers",
            Self::PassNoSocket => "pass_no_socket",
            Self::DropNoSocket => "drop_no_socket",
        }
    }

    /// The longest [`name`](Self::name).
    pub const NAME_BYTES: usize = 20;

    /// One line for a person, without a full stop.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::EngineTunnel => "tunnel data packets handed to the engine",
            Self::EngineFragment => "fragments of tunnel packets handed to the engine",
            Self::EngineAccess => "access frames handed to the engine",
            Self::PassUnknownPort => "frames left to the kernel: port not configured",
            Self::PassUncoveredVlan => "access frames left to the kernel: VLAN not in a bridge domain",
            Self::PassNotIp => "underlay frames left to the kernel: neither IPv4 nor IPv6",
            Self::PassNotTunnel => "underlay packets left to the kernel: not of a configured tunnel",
            Self::PassControl => "tunnel control messages left to the kernel",
            Self::PassTruncated => "frames left to the kernel: end inside a header",
            Self::PassMalformed => "underlay packets left to the kernel: header contradicts itself",
            Self::PassDeepHeaders => "underlay packets left to the kernel: too many IPv6 extension headers",
            Self::PassNoSocket => "tunnel packets left to the kernel: no socket on the receive queue",
            Self::DropNoSocket => "access frames dropped: no socket on the receive queue",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn every_counter_stands_at_its_own_index() {
        for (position, stat) in Stat::ALL.iter().enumerate() {
            assert_eq!(stat.index() as usize, position, "{}", stat.name());
        }
    }

    #[test]
    fn names_are_unique_and_fit_a_log_record() {
        for (position, stat) in Stat::ALL.iter().enumerate() {
            let name = stat.name();
            assert!(!name.is_empty() && name.len() <= Stat::NAME_BYTES, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(!Stat::ALL[position + 1..].iter().any(|other| other.name() == name), "{name} twice");
        }
    }

    #[test]
    fn texts_are_unique_and_without_full_stop() {
        for (position, stat) in Stat::ALL.iter().enumerate() {
            assert!(!stat.text().is_empty() && !stat.text().ends_with('.'), "{}", stat.name());
            assert!(!Stat::ALL[position + 1..].iter().any(|other| other.text() == stat.text()));
        }
    }
}
