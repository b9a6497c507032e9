//! What a running gateway tells about itself: the rows of every `show` command.
//!
//! One struct per row, one field per JSON key. The field names and the words of the enums are the stable interface of
//! `--json` and of the control socket: fields may be added, none is renamed or removed within a major version.
//! Counters count from the start of the gateway. Cookies are never shown, only their lengths.
//!
//! Not here: how rows are collected (the supervisor), carried ([`crate::control::server`]) or printed ([`crate::cli`]).

mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use words::{ChecksumBy, Encap, FdbKind, MtuSource, PeerMode, Role, State, WorkerState, XdpMode};

/// Counts by name, in the order of the names: drop reasons, steering decisions.
pub type Counts = BTreeMap<String, u64>;

/// The gateway process (`{"show":"gateway"}`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Name from the configuration, or the host's name.
    pub name: String,
    /// Version of the running program.
    pub version: String,
    /// Seconds since the gateway started.
    pub uptime_s: u64,
    /// Process id.
    pub pid: u32,
    /// What its workers do when there is nothing to do: `busy`, `adaptive` or `interrupt`.
    pub mode: String,
}

/// What is known of the way to a tunnel's peer, beside the MTU itself (`path` of a tunnel).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Who says the path MTU: the interface's MTU, the route's own, or ICMP errors; null while it is unknown.
    pub mtu_source: Option<MtuSource>,
    /// Whether the route has `mtu lock`: over IPv4 nothing is then learned.
    pub mtu_locked: bool,
    /// Seconds until what was learned is forgotten; null unless it was learned.
    pub mtu_expires_s: Option<u32>,
    /// Whether ICMP said within the last 30 seconds that the peer cannot be reached, and nothing was heard from it since.
    pub unreachable: bool,
    /// ICMP errors about the tunnel's packets, by kind; kinds that never occurred are left out.
    pub icmp_errors: Counts,
    /// The latest of them: what it said, and who sent it; null when there was none.
    pub last_icmp_error: Option<String>,
    /// Seconds since then.
    pub last_icmp_error_s: Option<u64>,
}

/// One L2TPv3 tunnel (`tunnel show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelStatus {
    /// Name from the configuration.
    pub name: String,
    /// Whether packets can be sent to the peer.
    pub state: State,
    /// Why it is down; null while it is up.
    pub reason: Option<String>,
    /// What carries the packets.
    pub encap: Encap,
    /// Our outer address.
    pub local: IpAddr,
    /// The peer's outer address: with `learn` the one it was last heard from, else the configured one; the unspecified address
    /// while none is known.
    pub remote: IpAddr,
    /// Our UDP port; null with IP encapsulation.
    pub udp_sport: Option<u16>,
    /// The peer's UDP port, likewise; null with IP encapsulation, and while none is known.
    pub udp_dport: Option<u16>,
    /// Whether the peer's address and port are fixed or learned from its packets.
    pub peer: PeerMode,
    /// Seconds since the peer was first heard at this address and port; null with `fixed`, and while it was not heard.
    pub peer_heard_s: Option<u64>,
    /// Times that the peer was heard at a new address or port; the first is not counted.
    pub peer_moves: u64,
    /// Sightings at a new address or port that were not followed, because the peer had moved less than a second before.
    pub peer_moves_held_back: u64,
    /// Our tunnel id.
    pub tunnel_id: u32,
    /// The peer's tunnel id.
    pub peer_tunnel_id: u32,
    /// Port that packets to the peer leave by; null while no route leads through a port.
    pub port: Option<String>,
    /// VLAN that they leave with on that port; null when they leave untagged.
    pub vlan: Option<u16>,
    /// Next hop of the route to the peer; the peer itself when it is on the link.
    pub next_hop: Option<IpAddr>,
    /// Link-layer address of the next hop; null until the kernel has resolved it.
    pub next_hop_mac: Option<String>,
    /// Largest IP packet that the route to the peer takes. Units: bytes.
    pub path_mtu: Option<u32>,
    /// What else is known of that route.
    pub path: PathStatus,
    /// What becomes of frames that do not fit the path MTU: `outer`, `inner` or `drop`.
    pub fragmentation: String,
    /// Whether outer IPv4 headers say "don't fragment".
    pub df: bool,
    /// Largest MSS that TCP connections may announce: `off`, `auto`, or a number of bytes.
    pub mss_clamp: String,
    /// Whether received packets are to go to all workers, by inner flow: `auto`, `on` or `off`.
    pub spread: String,
    /// Whether those of any session do now.
    pub spread_active: bool,
    /// Names of the tunnel's sessions.
    pub sessions: Vec<String>,
    /// What is wrong with the tunnel although it works, one sentence each.
    pub warnings: Vec<String>,
}

/// One L2TPv3 session, a pseudowire (`session show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Name from the configuration.
    pub name: String,
    /// Its tunnel.
    pub tunnel: String,
    /// The bridge domain that it is a member of; null when of none.
    pub bridge: Option<String>,
    /// The VLAN that the member carries; null when it carries whole frames.
    pub vlan: Option<u16>,
    /// Session id that the peer sends to us.
    pub session_id: u32,
    /// Session id that we send to the peer.
    pub peer_session_id: u32,
    /// Whether frames can be sent.
    pub state: State,
    /// Why it is down; null while it is up.
    pub reason: Option<String>,
    /// Frames received from the peer and accepted.
    pub rx_frames: u64,
    /// Bytes of those frames, outer headers not counted.
    pub rx_bytes: u64,
    /// Frames sent to the peer.
    pub tx_frames: u64,
    /// Bytes of those frames, outer headers not counted.
    pub tx_bytes: u64,
    /// Outer IP fragments that frames too large for the path were sent in.
    pub tx_fragments: u64,
    /// Seconds since the last accepted frame; null when there was none.
    pub last_heard_s: Option<u64>,
    /// Dropped frames of this session by reason; reasons that never occurred are left out.
    pub drops: Counts,
    /// What encapsulation adds to a frame: outer IP header up to and including the sublayer. Units: bytes.
    pub overhead_bytes: u32,
    /// Largest outer IP packet that the path takes; null while the path is unknown. Units: bytes.
    pub path_mtu_bytes: Option<u32>,
    /// Largest frame in the pseudowire that fits the path unfragmented, tags included; null while it is unknown. Units: bytes.
    pub max_frame_bytes: Option<u32>,
    /// Largest inner IP packet of an untagged frame that fits the path unfragmented; null while the path is unknown. A tag
    /// that the member pushes is counted. Units: bytes.
    pub inner_mtu: Option<u32>,
    /// TCP SYN segments, of either direction, whose MSS was lowered.
    pub mss_clamped: u64,
    /// Frames whose IPv4 packet left in several pieces, each in a frame of its own.
    pub inner_fragmented: u64,
    /// ICMP errors sent to the senders of frames that did not fit.
    pub icmp_sent: u64,
    /// ICMP errors that were due and not sent, because there had been enough in that second.
    pub icmp_limited: u64,
    /// L2-specific sublayer: `default` or `none`.
    pub l2spec_type: String,
    /// Length of the cookie that we send. Units: bytes.
    pub cookie_bytes: u8,
    /// Length of the cookie that we expect. Units: bytes.
    pub peer_cookie_bytes: u8,
    /// Whether a second cookie is accepted, `peer_cookie_also`.
    pub peer_cookie_also: bool,
    /// Of `rx_frames`, those that came with a second cookie.
    pub peer_cookie_also_frames: u64,
    /// Which packets are numbered: `none`, `send`, `recv` or `both`.
    pub seq: String,
    /// Frames dropped for their sequence number, or because they had none: `sequence_missing` and `out_of_sequence` of
    /// `drops` together.
    pub seq_discards: u64,
    /// Frames that came out of order, as far as the session looks: dropped ones, with `seq_observe` those that came late.
    pub oos_packets: u64,
    /// Times that a row of frames with far numbers was taken for the peer's new beginning.
    pub seq_resyncs: u64,
    /// Whether received packets go to all workers now, by inner flow.
    pub spread: bool,
    /// What was counted by sequence numbers; null without `seq_observe`.
    pub observed: Option<SequenceCounts>,
}

/// What a session counted by sequence numbers, without dropping anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceCounts {
    /// Frames that had a number.
    pub numbered: u64,
    /// Numbers that did not come while the 64 behind them did.
    pub lost: u64,
    /// Frames with a lower number than one that came before.
    pub reordered: u64,
    /// Frames with a number that came before.
    pub duplicates: u64,
}

/// What a `session set` changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChanged {
    /// The session.
    pub name: String,
    /// Keys whose values are others than before.
    pub changed: Vec<String>,
    /// Whether the next start has the new values too: false, the configuration file is not changed.
    pub persistent: bool,
}

/// What the kernel counted for the AF_XDP sockets of a port (`XDP_STATISTICS`), all queues added up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRings {
    /// Frames dropped for other reasons than a full ring.
    pub rx_dropped: u64,
    /// Frames dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times that the fill ring was found empty.
    pub fill_ring_empty: u64,
    /// Times that the TX ring was found empty.
    pub tx_ring_empty: u64,
    /// Descriptors of the fill ring that the kernel refused.
    pub rx_invalid_descs: u64,
    /// Descriptors of the TX ring that the kernel refused.
    pub tx_invalid_descs: u64,
}

/// One port (`port show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Name from the configuration.
    pub name: String,
    /// Network interface.
    pub interface: String,
    /// The kernel's number of the interface; null while it does not exist.
    pub ifindex: Option<u32>,
    /// What it faces.
    pub role: Role,
    /// Whether it carries frames.
    pub state: State,
    /// Why it is down; null while it is up.
    pub reason: Option<String>,
    /// Name of the NIC driver.
    pub driver: Option<String>,
    /// Where the XDP program runs; null while none is attached.
    pub xdp_mode: Option<XdpMode>,
    /// Whether the NIC reads and writes chunks itself.
    pub zero_copy: bool,
    /// Whether a frame may span several chunks; so it is when the MTU is more than one chunk holds.
    pub multi_buffer: bool,
    /// Why frames are copied between NIC and memory; null with zero-copy, and where it was not tried.
    pub copy_reason: Option<String>,
    /// Who makes UDP checksums of packets that leave here; null while no socket is open, and on access ports, which send none.
    pub tx_checksum: Option<ChecksumBy>,
    /// Why the gateway makes them; null where it does not.
    pub tx_checksum_reason: Option<String>,
    /// Queues that have a socket.
    pub queues: u32,
    /// MTU of the interface. Units: bytes.
    pub mtu: Option<u32>,
    /// MAC address of the interface.
    pub mac: Option<String>,
    /// Whether the gateway holds the interface in promiscuous mode.
    pub promiscuous: bool,
    /// Features that the gateway changed and puts back on exit, `name on` or `name off`; numbers too, `name 2`.
    pub changed_features: Vec<String>,
    /// Frames that the engine received.
    pub rx_frames: u64,
    /// Bytes of those frames.
    pub rx_bytes: u64,
    /// Frames that the engine handed to the kernel to send.
    pub tx_frames: u64,
    /// Bytes of those frames.
    pub tx_bytes: u64,
    /// Of the frames received, those that spanned several chunks.
    pub rx_chained: u64,
    /// Frames of several chunks that the kernel delivered and the engine could not take; not among the frames received.
    pub rx_discarded: u64,
    /// Of the frames sent, those that spanned several chunks.
    pub tx_chained: u64,
    /// What the XDP program decided, by decision.
    pub steering: Counts,
    /// What the kernel counted for the sockets.
    pub kernel_rings: KernelRings,
    /// What is wrong with the port or makes it slower than need be, one sentence each.
    pub warnings: Vec<String>,
}

/// One MAC address of a bridge domain (`fdb show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntryStatus {
    /// Bridge domain.
    pub bridge: String,
    /// MAC address, lower-case hexadecimal with colons.
    pub mac: String,
    /// Port or session that leads to it.
    pub member: String,
    /// VLAN of the member; null when the member carries whole frames.
    pub vlan: Option<u16>,
    /// Seconds since a frame from it was last seen.
    pub age_s: u64,
    /// How the entry came to be.
    pub kind: FdbKind,
}

/// Where the chunks are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkCounts {
    /// Held by the worker, empty.
    pub free: u64,
    /// Lent to the kernel to receive into.
    pub fill: u64,
    /// Lent to the kernel to send from.
    pub tx: u64,
    /// With fragments of outer packets that wait for the others.
    pub parked: u64,
    /// All that the worker answers for.
    pub total: u64,
    /// Whether the sum is right: no chunk lost, none twice.
    pub conserved: bool,
}

/// One worker thread (`worker show`). `received` and `taken` together are the sum of `forwarded`, `flooded`, `dropped`, `handed`,
/// `reassembled` and `parked`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Number of the worker; of every port it serves the queues whose number, divided by the count of workers, leaves it.
    pub id: u32,
    /// CPU that it is pinned to; null when it is not pinned.
    pub cpu: Option<u32>,
    /// What it does.
    pub state: WorkerState,
    /// Batches processed.
    pub batches: u64,
    /// Frames received.
    pub received: u64,
    /// Of those, forwarded to one member.
    pub forwarded: u64,
    /// Of those, flooded.
    pub flooded: u64,
    /// Of those, dropped.
    pub dropped: u64,
    /// Fragments of outer packets given to the worker that puts them together.
    pub handed: u64,
    /// Fragments of outer packets taken over from the workers that received them.
    pub taken: u64,
    /// Fragments that became part of another frame: of each packet put together, all but one.
    pub reassembled: u64,
    /// Fragments that wait for the others of their packet.
    pub parked: u64,
    /// Outer packets put together from fragments.
    pub reassembled_packets: u64,
    /// Outer fragments sent beyond the first of each packet.
    pub extra_fragments: u64,
    /// Copies made for flooding.
    pub copies: u64,
    /// Rounds over the queues.
    pub polls: u64,
    /// Times that it found nothing to do and slept.
    pub sleeps: u64,
    /// System calls that made the kernel send or look for empty chunks.
    pub wakeups: u64,
    /// Addresses that were not learned because the FDB was full.
    pub fdb_full: u64,
    /// Where its chunks are.
    pub chunks: ChunkCounts,
    /// What keeps it from having its CPU for itself, one sentence each.
    pub warnings: Vec<String>,
}

/// One reason for which frames are dropped (`drop show`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropStatus {
    /// Name of the reason, as in the `drops` of a session.
    pub reason: String,
    /// What it means, one line.
    pub text: String,
    /// Frames dropped for it.
    pub frames: u64,
    /// The same by worker, in the order of the worker ids.
    pub by_worker: Vec<u64>,
    /// Destinations of floods that were left out for it; the frame itself may have left by others.
    pub copies: u64,
}
