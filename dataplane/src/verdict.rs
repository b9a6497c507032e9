//! What became of a frame: exactly one [`Verdict`] per received frame, exactly one [`DropReason`] per drop.
//!
//! Place on the path: every stage may end a frame's way here; the last one counts it.
//! Not in it: packets that the XDP program handed to the kernel stack. They never reach a worker;
//! the program counts them.

/// The fate of one received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Left on one port or pseudowire, because the FDB knows where its destination lives.
    Forwarded,
    /// Left on at least one member of the domain's flood set.
    Flooded,
    /// Left nowhere.
    Dropped(DropReason),
    /// Given to another worker, where it has its end: a fragment of an outer packet to the one that puts it together, a packet of a
    /// spread session to the one that has its flow.
    Handed,
    /// A fragment whose payload now stands in another one's chunk: all of a packet's but one, which has the packet's verdict.
    Reassembled,
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal, $text:literal;)+) => {
        /// Why a frame was dropped. One counter each; `name` is the counter's stable name in `--json`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of a frame's way through the engine.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Number of reasons; counter arrays have this length.
            pub const COUNT: usize = Self::ALL.len();

            /// Stable name of the counter, as `--json` prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line for people: what was wrong with the frame.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its Ethernet header and tags, or a tag with the reserved VLAN id 4095.
    EthernetMalformed => "ethernet_malformed", "shorter than its Ethernet header and VLAN tags, or VLAN 4095";
    /// A frame in several chunks whose headers are not all in the first.
    HeadersSplit => "headers_split", "headers spread over several chunks";
    /// The port carries no attachment circuit for the frame's VLAN.
    VlanNotMember => "vlan_not_member", "its VLAN on this port belongs to no bridge domain";
    /// Underlay packet whose EtherType the engine does not decapsulate.
    NotIp => "not_ip", "underlay frame that is not IP";
    /// IPv4 header: version, header length, total length.
    IpMalformed => "ip_malformed", "outer IP header is truncated or inconsistent";
    /// IPv4 header checksum is wrong.
    IpChecksum => "ip_checksum", "outer IPv4 header checksum is wrong";
    /// A source route, or an IPv6 option whose type says that a receiver who does not know it discards the packet (RFC 8200 §4.2).
    IpOptions => "ip_options", "outer packet is source-routed, or has an option that must not be ignored";
    /// An IP protocol no tunnel uses.
    NotTunnelProtocol => "not_tunnel_protocol", "outer packet is neither UDP nor IP protocol 115";
    /// Empty, not a multiple of 8 bytes although more follow, or beyond 65535 bytes (RFC 791 §3.2, RFC 8200 §4.5).
    FragmentMalformed => "fragment_malformed", "outer fragment is empty, uneven, or ends beyond 65535 bytes";
    /// Smaller than any path needs (RFC 791 §3.2, RFC 8200 §5).
    FragmentTiny => "fragment_tiny", "outer fragment is smaller than any path asks for";
    /// The queue to the worker that puts its packet together, or that has its inner flow, is full; or the fragment's tunnel has its share of it.
    HandOverFull => "hand_over_full", "queue to the worker that has its fragments or its flow has no room for it";
    /// The same fragment was there already; its packet is none the worse.
    FragmentDuplicate => "fragment_duplicate", "outer fragment came twice";
    /// Overlaps another fragment of its packet, which is refused as a whole (RFC 5722 §4).
    FragmentOverlap => "fragment_overlap", "outer fragments of one packet overlap";
    /// Two fragments say different things about where the packet ends.
    FragmentLength => "fragment_length", "outer fragments disagree about the length of their packet";
    /// More fragments than an honest sender makes.
    FragmentTooMany => "fragment_too_many", "outer packet comes in too many fragments";
    /// One fragment met congestion, another says that its sender does not speak ECN (RFC 3168 §5.3).
    FragmentEcn => "fragment_ecn", "outer fragments of one packet contradict each other about ECN";
    /// The whole packet fits no chunk, and its fragments stand in too many.
    ReassembledTooBig => "reassembled_too_big", "outer packet takes more chunks than a frame can have";
    /// The other fragments did not come in time.
    FragmentTimeout => "fragment_timeout", "the other fragments of the outer packet did not come in time";
    /// Its sender began too many packets after this one.
    FragmentShare => "fragment_share", "sender has too many unfinished outer packets, and this was its oldest";
    /// The table of unfinished packets is full, and its sender has most of it.
    ReassemblyFull => "reassembly_full", "too many unfinished outer packets of all senders together";
    /// UDP header: length against the IP payload.
    UdpMalformed => "udp_malformed", "outer UDP header is truncated or inconsistent";
    /// UDP checksum present and wrong.
    UdpChecksum => "udp_checksum", "outer UDP checksum is wrong";
    /// UDP over IPv6 without a checksum, for a tunnel that wants one (`udp6_csum_rx`; RFC 6935 §5).
    UdpChecksumMissing => "udp_checksum_missing", "outer UDP over IPv6 has no checksum, and the tunnel wants one";
    /// Shorter than the L2TPv3 data header.
    L2tpTruncated => "l2tp_truncated", "shorter than its L2TPv3 header";
    /// Version field over UDP is not 3.
    L2tpVersion => "l2tp_version", "L2TP version over UDP is not 3";
    /// Session ID 0 or T bit: the kernel owns control messages.
    L2tpControl => "l2tp_control", "L2TPv3 control message";
    /// No session has this id.
    UnknownSession => "unknown_session", "no session has this session id";
    /// The session exists, but between other addresses or ports.
    WrongSource => "wrong_source", "the session belongs to a tunnel with other addresses or ports";
    /// Cookie differs from the one we gave the peer.
    CookieMismatch => "cookie_mismatch", "cookie differs from the session's peer_cookie";
    /// V bit of the sublayer: a VCCV message, not a frame (RFC 5085 §5.1).
    Vccv => "vccv", "VCCV control message, which no static session uses";
    /// B or E bit of the sublayer: a part of a frame (RFC 4623 §5).
    Pwe3Fragment => "pwe3_fragment", "part of a frame that the peer cut up, which no static session does";
    /// No S bit in a session that demands sequence numbers.
    SequenceMissing => "sequence_missing", "has no sequence number, and the session's seq demands one";
    /// Another sequence number than the expected one, in a session that demands them in order.
    OutOfSequence => "out_of_sequence", "its sequence number is not the expected one, and the session's seq demands order";
    /// Ends inside the cookie, sublayer or inner Ethernet header.
    PayloadTruncated => "payload_truncated", "ends before the inner Ethernet frame is whole";
    /// Congestion was noted on the way, and the inner packet is not ECN-capable (RFC 6040 §4.2).
    CeOverNotEct => "ce_over_not_ect", "congestion noted on the way to a packet that is not ECN-capable";
    /// The session is in no bridge domain.
    SessionUnbridged => "session_unbridged", "the session is a member of no bridge domain";
    /// Multicast or all-zero source address.
    InvalidSource => "invalid_source", "source MAC address is multicast or zero";
    /// 01-80-C2-00-00-01..0F: never forwarded by a bridge (IEEE 802.1Q table 8-1).
    ReservedMulticast => "reserved_multicast", "link-local destination that bridges do not forward";
    /// The destination lives where the frame came from.
    SamePort => "same_port", "destination is on the member the frame came from";
    /// Source and destination member are in one split-horizon group.
    SplitHorizon => "split_horizon", "destination is in the same split-horizon group";
    /// The flood set without the ingress member is empty.
    NoDestination => "no_destination", "no other member of the bridge domain is up";
    /// The member towards the destination is gone or down.
    MemberDown => "member_down", "the pseudowire or port towards the destination is down";
    /// The frame with its outer headers is larger than the path's MTU.
    TooBig => "too_big", "larger than the path MTU of the tunnel, or the port's MTU";
    /// Not enough headroom in front of, or room behind, the frame.
    NoHeadroom => "no_headroom", "no room in the chunk for the outer headers";
    /// No free chunk for a flood's copy. The last member of a flood gets the frame itself, so copies alone end like this.
    NoChunk => "no_chunk", "no free chunk for a copy";
    /// A frame in more chunks than the egress port sends as one frame.
    TooManySegments => "too_many_segments", "in more chunks than the egress port can send as one frame";
    /// The transmit ring of the egress port is full.
    TxRingFull => "tx_ring_full", "transmit ring of the egress port is full";
    /// This worker serves no queue of the egress port.
    NoTxQueue => "no_tx_queue", "the egress port is not attached";
}

impl DropReason {
    /// Position in counter arrays.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_position_in_all() {
        for (position, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), position);
        }
    }

    #[test]
    fn names_are_unique_snake_case() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        assert!(
            names
                .iter()
                .all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
    }
}
