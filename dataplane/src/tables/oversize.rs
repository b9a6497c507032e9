//! Oversize: what a session does about frames that do not fit its path, before they exist and when they do.
//!
//! Place on the path: `send` and `decap` look at a session's [`MssLimit`], `too_big` at its [`Fragmentation`].
//! Deliberately not here: how large the path is (`next_hops`), how outer packets are cut up and put together.

use wire::overhead::{IPV4_BYTES, IPV6_BYTES};

/// TCP header without options. Units: bytes.
const TCP_BYTES: usize = 20;

/// No segment size below this is announced: Linux does not send smaller ones either (`TCP_MIN_SND_MSS` in
/// `include/net/tcp.h`). Units: bytes.
const LEAST_MSS: u16 = 48;

/// What becomes of a frame that is larger than the path takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fragmentation {
    /// The outer packet is cut up; the peer puts it together.
    #[default]
    Outer,
    /// The inner IPv4 packet is cut up where its sender allows it, and the receiving host puts it together. Otherwise
    /// as [`Fragmentation::Drop`].
    Inner,
    /// It is dropped, and its sender is told by ICMP how large a packet may be.
    Drop,
}

/// What a session does about the maximum segment size that TCP connections through it announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MssClamp {
    /// Nothing: frames are delivered as they are (RFC 4719 §3.1).
    #[default]
    Off,
    /// It is lowered to what the path takes.
    Path,
    /// It is lowered to this. Units: bytes. Range: 536..=65495.
    To(u16),
}

/// [`MssClamp`] of a session whose path is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssLimit {
    /// None.
    #[default]
    Unlimited,
    /// What fits a frame of this length. Units: bytes, Ethernet header and tags included.
    Frame(u16),
    /// This segment size. Units: bytes.
    Segment(u16),
}

/// IP version of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InnerIp {
    V4,
    V6,
}

impl MssClamp {
    /// The limit on a path whose largest frame is known. Units: bytes.
    #[must_use]
    pub fn limit(self, max_frame_bytes: usize) -> MssLimit {
        match self {
            Self::Off => MssLimit::Unlimited,
            Self::Path => MssLimit::Frame(u16::try_from(max_frame_bytes).unwrap_or(u16::MAX)),
            Self::To(segment) => MssLimit::Segment(segment),
        }
    }
}

impl MssLimit {
    /// Largest segment of a connection between hosts whose frames have `link_bytes` of Ethernet header and tags.
    ///
    /// Headers without options: a sender subtracts its options from the MSS by itself (RFC 9293 §3.7.1).
    #[inline]
    pub(crate) fn segment_bytes(self, link_bytes: usize, ip: InnerIp) -> Option<u16> {
        let ip_bytes = match ip {
            InnerIp::V4 => IPV4_BYTES,
            InnerIp::V6 => IPV6_BYTES,
        };
        match self {
            Self::Unlimited => None,
            Self::Segment(segment) => Some(segment),
            Self::Frame(frame) => {
                let segment = usize::from(frame).saturating_sub(link_bytes + ip_bytes + TCP_BYTES);
                Some(u16::try_from(segment).unwrap_or(u16::MAX).max(LEAST_MSS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_s_limit_is_what_is_left_of_its_largest_frame() {
        // Path 1500 less IPv4 20, UDP 8, flags 4, session id 4, sublayer 4.
        let limit = MssClamp::Path.limit(1460);
        assert_eq!(limit.segment_bytes(14, InnerIp::V4), Some(1406));
        assert_eq!(limit.segment_bytes(18, InnerIp::V4), Some(1402), "one tag");
        assert_eq!(limit.segment_bytes(22, InnerIp::V6), Some(1378), "two tags, IPv6");
    }

    #[test]
    fn no_limit_is_so_small_that_a_sender_could_not_keep_it() {
        assert_eq!(MssClamp::Path.limit(0).segment_bytes(14, InnerIp::V6), Some(48));
        assert_eq!(MssClamp::Path.limit(100_000).segment_bytes(14, InnerIp::V4), Some(u16::MAX - 54));
    }

    #[test]
    fn a_fixed_limit_is_the_same_for_every_frame_and_off_is_none() {
        assert_eq!(MssClamp::To(1200).limit(600).segment_bytes(22, InnerIp::V6), Some(1200));
        assert_eq!(MssClamp::Off.limit(600).segment_bytes(14, InnerIp::V4), None);
    }
}
