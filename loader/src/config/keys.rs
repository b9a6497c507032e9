//! Every key of the configuration file, once: path, type, range, unit, default, meaning.
//!
//! Three users: the check for unknown keys (`tree`), the reader of values (`section`) and the reference page
//! (`reference`). A key that is not here does not exist.

use super::model::{self, Encap, FRAGMENTATION_WORDS, Mode, PeerMode, Role, SUBLAYER_WORDS, Seq, Spread};
use super::mss::{MAX_MSS, MIN_MSS, MSS_CLAMP_WORDS};
use super::names::MAX_INTERFACE_BYTES;
use super::outer::{DEFAULT_TTL, Dscp, Ecn};
use super::tuning::{self, TxChecksum, WorkMode};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Path, with `NAME` where the user chooses a name.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// Unit of the value; empty when it has none.
    pub unit: &'static str,
    /// What holds when the key is absent.
    pub default: Absent,
    /// Meaning, in one or two sentences.
    pub text: &'static str,
}

/// What may stand at a key.
#[derive(Debug)]
pub enum Kind {
    /// Text with a rule of its own.
    Text(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address, as text.
    Address,
    /// Hexadecimal digits, as text: 8 or 16 of them.
    Cookie,
    /// `true` or `false`.
    Boolean,
    /// An integer from `min` to `max`.
    Integer {
        /// Least value.
        min: u32,
        /// Greatest value.
        max: u32,
    },
    /// An integer that is a power of two from `min` to `max`.
    PowerOfTwo {
        /// Least value.
        min: u32,
        /// Greatest value.
        max: u32,
    },
    /// One of these integers.
    OneOf(&'static [u32]),
    /// One of these words, as text, or an integer from `min` to `max`.
    WordOrInteger {
        /// The words.
        words: &'static [&'static str],
        /// Least value.
        min: u32,
        /// Greatest value.
        max: u32,
    },
    /// A list of integers from `min` to `max`.
    IntegerList {
        /// Least value of an item.
        min: u32,
        /// Greatest value of an item.
        max: u32,
    },
    /// A list of texts with a rule of their own.
    TextList(&'static str),
}

/// What holds when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The file is at fault.
    Required,
    /// This number.
    Integer(u32),
    /// This word.
    Word(&'static str),
    /// This.
    Boolean(bool),
    /// Something found out at start, or nothing at all, in words.
    Text(&'static str),
}

impl Key {
    /// Last part of the path: the key as it stands in its table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Path of the key's table.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }
}

/// Stands in a path where the user chooses the name.
pub const NAME: &str = "NAME";

macro_rules! keys {
    ($($id:ident = $path:literal, $kind:expr, $unit:literal, $default:expr, $text:expr;)+) => {
        $(#[doc = concat!("`", $path, "`")]
        pub const $id: Key = Key { path: $path, kind: $kind, unit: $unit, default: $default, text: $text };)+

        /// Every key, table by table, in the order of the reference page.
        pub const KEYS: &[Key] = &[$($id,)+];
    };
}

const ID: Kind = Kind::Integer { min: 1, max: u32::MAX };
const UDP_PORT: Kind = Kind::Integer { min: 1, max: 65_535 };
const RING: Kind = Kind::PowerOfTwo { min: 64, max: 32_768 };
const AGEING: Kind = Kind::Integer { min: *model::AGEING_S.start(), max: *model::AGEING_S.end() };
const NO_COOKIE: Absent = Absent::Text("no cookie");

/// Words of `role`.
pub const ROLES: &[&str] = &words::<_, { Role::WORDS.len() }>(Role::WORDS);
/// Words of a port's `mode`.
pub const MODES: &[&str] = &words::<_, { Mode::WORDS.len() }>(Mode::WORDS);
/// Words of the gateway's `mode`.
pub const WORK_MODES: &[&str] = &words::<_, { WorkMode::WORDS.len() }>(WorkMode::WORDS);
/// Words of `tx_checksum`.
pub const TX_CHECKSUMS: &[&str] = &words::<_, { TxChecksum::WORDS.len() }>(TxChecksum::WORDS);
/// Words of `encap`.
pub const ENCAPS: &[&str] = &words::<_, { Encap::WORDS.len() }>(Encap::WORDS);
/// Words of `mss_clamp`.
pub const MSS_CLAMPS: &[&str] = &words::<_, { MSS_CLAMP_WORDS.len() }>(MSS_CLAMP_WORDS);
/// Words of `peer`.
pub const PEERS: &[&str] = &words::<_, { PeerMode::WORDS.len() }>(PeerMode::WORDS);
/// Words of `dscp`.
pub const DSCPS: &[&str] = &words::<_, { Dscp::WORDS.len() }>(Dscp::WORDS);
/// Words of `ecn`.
pub const ECNS: &[&str] = &words::<_, { Ecn::WORDS.len() }>(Ecn::WORDS);
/// Words of `fragmentation`.
pub const FRAGMENTATIONS: &[&str] = &words::<_, { FRAGMENTATION_WORDS.len() }>(FRAGMENTATION_WORDS);
/// Words of `spread`.
pub const SPREADS: &[&str] = &words::<_, { Spread::WORDS.len() }>(Spread::WORDS);
/// Words of `l2spec_type`.
pub const L2SPEC_TYPES: &[&str] = &words::<_, { SUBLAYER_WORDS.len() }>(SUBLAYER_WORDS);

/// Words of `seq`.
pub const SEQS: &[&str] = &words::<_, { Seq::WORDS.len() }>(Seq::WORDS);

/// The words of a list of words and meanings.
const fn words<T: Copy, const COUNT: usize>(meanings: &[(&'static str, T)]) -> [&'static str; COUNT] {
    let mut words = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        words[index] = meanings[index].0;
        index += 1;
    }
    words
}

keys! {
    GATEWAY_NAME = "gateway.name", Kind::Text("1 to 64 letters, digits, \"_\", \"-\" and \".\""), "",
        Absent::Text("the host name"),
        "Name of this gateway; part of the default control socket's path.";
    GATEWAY_WORKERS = "gateway.workers", Kind::Integer { min: 1, max: 64 }, "threads",
        Absent::Text("the length of `cpus`; else as many as the ports' common queue count and the CPUs allow"),
        "Number of workers. Of *n* workers, worker *w* serves the queues *w*, *w* + *n*, ... of every port.";
    GATEWAY_CPUS = "gateway.cpus", Kind::IntegerList { min: 0, max: 1023 }, "",
        Absent::Text("chosen at start: near the ports, a core each, away from other gateways' workers"),
        "CPU that each worker is pinned to, worker 0 first. As many as there are workers, each once.";
    GATEWAY_CONTROL_SOCKET = "gateway.control_socket", Kind::Text("absolute path, at most 107 bytes"), "",
        Absent::Text("`/run/spanwire/<name>.sock`"),
        "Unix socket on which the other subcommands reach this gateway.";
    GATEWAY_MODE = "gateway.mode", Kind::Choice(WORK_MODES), "", Absent::Word("adaptive"),
        "What a worker does when there is nothing to do. `busy`: looks again for ever, and its CPU is at 100 %. `adaptive`: looks again \
         for a short while, then sleeps until a frame comes. `interrupt`: sleeps at once.";
    GATEWAY_BATCH = "gateway.batch", Kind::Integer { min: 1, max: tuning::BATCH }, "frames",
        Absent::Integer(tuning::BATCH),
        "Frames that a worker takes from a queue at a time. Fewer mean less delay behind others, and more cost per frame.";

    UMEM_CHUNKS = "umem.chunks", Kind::Integer { min: 256, max: 1_048_576 }, "chunks",
        Absent::Text("what all rings of all queues hold, and 2048 per worker"),
        "Number of frame slots in the memory that all sockets share. No power of two is needed. Fewer than the default are refused.";
    UMEM_CHUNK_BYTES = "umem.chunk_bytes", Kind::OneOf(&[2048, 4096]), "bytes",
        Absent::Text("the smaller that fits the ports' MTU, else 4096"),
        "Size of a slot: a frame and the outer headers in front of it. A frame that one slot does not hold spans several.";
    UMEM_HUGE_PAGES = "umem.huge_pages", Kind::Boolean, "", Absent::Boolean(false),
        "Back the memory by huge pages that were reserved, and fail without; `false`: by such as the kernel gives when asked.";

    PORT_INTERFACE = "port.NAME.interface", Kind::Text("interface name, at most 15 bytes"), "",
        Absent::Text("the port's name"),
        "Linux interface to attach to. No interface may be named by two ports.";
    PORT_ROLE = "port.NAME.role", Kind::Choice(ROLES), "", Absent::Required,
        "Which network the port faces: `underlay` carries tunnels, `access` is a LAN, `both` carries tunnels \
         and has VLANs that are LANs.";
    PORT_MODE = "port.NAME.mode", Kind::Choice(MODES), "", Absent::Word("auto"),
        "The least that is accepted. `auto`: the best that works. `zero-copy` or `native`: that or a refusal \
         to start, with the reason. `generic`: generic XDP even where native would work.";
    PORT_RX_RING = "port.NAME.rx_ring", RING, "descriptors", Absent::Integer(model::DEFAULT_RING),
        "Size of each receive ring and fill ring.";
    PORT_TX_RING = "port.NAME.tx_ring", RING, "descriptors", Absent::Integer(model::DEFAULT_RING),
        "Size of each transmit ring and completion ring.";
    PORT_NEED_WAKEUP = "port.NAME.need_wakeup", Kind::Boolean, "", Absent::Boolean(true),
        "Whether the kernel says when it wants a system call. `false`: it is called for every batch that is sent.";
    PORT_BUSY_POLL_US = "port.NAME.busy_poll_us", Kind::Integer { min: 0, max: 10_000 }, "microseconds",
        Absent::Integer(0),
        "Preferred busy polling: the workers' system calls poll the driver, each for this long at most, and its interrupts stay off \
         meanwhile. `0`: off. Native XDP on a card's driver only; it defers the port's interrupts too.";
    PORT_BUSY_POLL_BUDGET = "port.NAME.busy_poll_budget", Kind::Integer { min: 1, max: 65_535 }, "frames",
        Absent::Integer(tuning::BUSY_POLL_BUDGET),
        "Frames that one such poll takes at most.";
    PORT_NAPI_DEFER_HARD_IRQS = "port.NAME.napi_defer_hard_irqs", Kind::Integer { min: 0, max: 1_000 }, "polls",
        Absent::Text("as found; with `busy_poll_us`, 2 where it is 0"),
        "Polls without a frame before the driver's interrupt is switched on again. Set while the port is attached, and put back.";
    PORT_GRO_FLUSH_TIMEOUT_NS = "port.NAME.gro_flush_timeout_ns", Kind::Integer { min: 0, max: 1_000_000_000 }, "nanoseconds",
        Absent::Text("as found; with `busy_poll_us`, 200000 where it is 0"),
        "Time after which a driver whose interrupt is deferred is polled all the same. Set while the port is attached, and put back.";
    PORT_TX_CHECKSUM = "port.NAME.tx_checksum", Kind::Choice(TX_CHECKSUMS), "", Absent::Word("auto"),
        "Who makes UDP checksums of packets that leave here, which cost a pass over every byte. `auto`: the card, where its driver does in \
         zero-copy mode, else the gateway. `on`: the card, or in copy mode the kernel, which leaves it to the card where that can; else a \
         refusal to start, with the reason. `off`: the gateway. Card and kernel take part from Linux 6.11 on.";

    TUNNEL_LOCAL = "tunnel.NAME.local", Kind::Address, "", Absent::Required,
        "This gateway's underlay address. It may be missing on the host for now: the tunnel is down until it is there.";
    TUNNEL_REMOTE = "tunnel.NAME.remote", Kind::Address, "", Absent::Text("required with `peer = \"fixed\"`"),
        "The peer's underlay address; with `peer = \"learn\"` a first guess.";
    TUNNEL_PEER = "tunnel.NAME.peer", Kind::Choice(PEERS), "", Absent::Word("fixed"),
        "`fixed`: the peer is at `remote` and `udp_dport`, and nothing is taken from elsewhere. `learn`: it is where its packets come \
         from, and is followed when that changes, as behind NAT; only over UDP, and each session needs a `peer_cookie` of 8 bytes.";
    TUNNEL_ID = "tunnel.NAME.tunnel_id", ID, "", Absent::Required,
        "This gateway's id of the tunnel; no two tunnels share one.";
    TUNNEL_PEER_ID = "tunnel.NAME.peer_tunnel_id", ID, "", Absent::Required,
        "The peer's id of the tunnel.";
    TUNNEL_ENCAP = "tunnel.NAME.encap", Kind::Choice(ENCAPS), "", Absent::Word("udp"),
        "What carries the L2TPv3 header: `udp`, or `ip` for IP protocol 115.";
    TUNNEL_UDP_SPORT = "tunnel.NAME.udp_sport", UDP_PORT, "", Absent::Text("required with `encap = \"udp\"`"),
        "This gateway's UDP port. Only with `encap = \"udp\"`.";
    TUNNEL_UDP_DPORT = "tunnel.NAME.udp_dport", UDP_PORT, "", Absent::Text("required with `encap = \"udp\"` and `peer = \"fixed\"`"),
        "The peer's UDP port. Only with `encap = \"udp\"`; with `peer = \"learn\"` a first guess, together with `remote`.";
    TUNNEL_UDP_CSUM = "tunnel.NAME.udp_csum", Kind::Boolean, "", Absent::Boolean(false),
        "UDP checksum in sent packets, which costs a pass over every byte. Received ones are checked wherever they are there. \
         Only over UDP and IPv4.";
    TUNNEL_UDP6_CSUM_TX = "tunnel.NAME.udp6_csum_tx", Kind::Boolean, "", Absent::Boolean(true),
        "The same over IPv6. Without it the peer must be one that takes packets without checksum. Only over UDP and IPv6.";
    TUNNEL_UDP6_CSUM_RX = "tunnel.NAME.udp6_csum_rx", Kind::Boolean, "", Absent::Boolean(true),
        "Whether received packets must have a checksum; `false` takes those without one too (RFC 6935). Only over UDP and IPv6.";
    TUNNEL_TTL = "tunnel.NAME.ttl", Kind::Integer { min: 1, max: 255 }, "hops", Absent::Integer(DEFAULT_TTL as u32),
        "IPv4 time to live, or IPv6 hop limit, of sent packets.";
    TUNNEL_DSCP = "tunnel.NAME.dscp", Kind::WordOrInteger { words: DSCPS, min: 0, max: 63 }, "", Absent::Integer(0),
        "Differentiated services field of sent packets. `copy`: that of the IP packet in the frame, tagged or not; 0 for other frames.";
    TUNNEL_ECN = "tunnel.NAME.ecn", Kind::Choice(ECNS), "", Absent::Word("zero"),
        "Congestion notification (RFC 6040). `zero`, as a Linux peer does: none is sent, what comes in is ignored. `copy`: copied \
         from the IP packet in the frame, and what the way here noted is noted in the frame; for a peer that does the same.";
    TUNNEL_FRAGMENTATION = "tunnel.NAME.fragmentation", Kind::Choice(FRAGMENTATIONS), "", Absent::Word("outer"),
        "What becomes of a frame that does not fit the path MTU together with its outer headers. `outer`: the outer \
         packet leaves in IP fragments, which the peer puts together. `drop`: it is dropped, counted as `too_big`, and its sender \
         is told by ICMP what fits. `inner`: IPv4 packets that may be are cut up before they are encapsulated, and the receiving host \
         puts them together; everything else as with `drop`.";
    TUNNEL_DF = "tunnel.NAME.df", Kind::Boolean, "", Absent::Boolean(false),
        "Set \"don't fragment\" in outer IPv4 headers, so that no router cuts a packet up. Not with \
         `fragmentation = \"outer\"`, and not over IPv6, whose routers never do.";
    TUNNEL_MSS_CLAMP = "tunnel.NAME.mss_clamp",
        Kind::WordOrInteger { words: MSS_CLAMPS, min: MIN_MSS, max: MAX_MSS }, "bytes", Absent::Word("off"),
        "Largest segment that TCP connections through the tunnel may announce, in either direction: a SYN that announces more is \
         changed. `auto`: what fits the path MTU unfragmented, tags in the frame included. `off`: frames are delivered as they are.";
    TUNNEL_SPREAD = "tunnel.NAME.spread", Kind::Choice(SPREADS), "", Absent::Word("auto"),
        "Whether received packets go to all workers, by the flow of the frame in them; each flow stays in order. Without it the worker \
         on whose queue they arrive has them all. `auto`: while they are more than that worker can do. Never those of a session that \
         looks at received numbers (`seq` `recv` or `both`, `seq_observe`).";

    SESSION_ID = "tunnel.NAME.session.NAME.session_id", ID, "", Absent::Required,
        "Id in the packets that this gateway receives. Unique in its tunnel, and among all tunnels with `encap = \"ip\"`.";
    SESSION_PEER_ID = "tunnel.NAME.session.NAME.peer_session_id", ID, "", Absent::Required,
        "Id in the packets that this gateway sends: the peer's `session_id`.";
    SESSION_COOKIE = "tunnel.NAME.session.NAME.cookie", Kind::Cookie, "", NO_COOKIE,
        "Cookie written into sent packets: the peer's `peer_cookie`.";
    SESSION_PEER_COOKIE = "tunnel.NAME.session.NAME.peer_cookie", Kind::Cookie, "", NO_COOKIE,
        "Cookie that received packets must carry: the peer's `cookie`.";
    SESSION_PEER_COOKIE_ALSO = "tunnel.NAME.session.NAME.peer_cookie_also", Kind::Cookie, "",
        Absent::Text("no second cookie"),
        "A second cookie that received packets may carry instead, as long as `peer_cookie`: while the peer changes over to it.";
    SESSION_L2SPEC_TYPE = "tunnel.NAME.session.NAME.l2spec_type", Kind::Choice(L2SPEC_TYPES), "",
        Absent::Word("default"),
        "L2-specific sublayer, both ways: `default` is 4 bytes, `none` is absent. Must be the same at the peer.";
    SESSION_SEQ = "tunnel.NAME.session.NAME.seq", Kind::Choice(SEQS), "", Absent::Word("none"),
        "Sequence numbers: `send` numbers sent packets; `recv` drops received ones that have no number or not the expected \
         one; `both` does both. Needs `l2spec_type = \"default\"`.";
    SESSION_SEQ_OBSERVE = "tunnel.NAME.session.NAME.seq_observe", Kind::Boolean, "", Absent::Boolean(false),
        "Count what was lost, came late or came twice by the numbers of received packets, and drop nothing for them. Not with \
         `seq` `recv` or `both`.";

    BRIDGE_MEMBERS = "bridge.NAME.members", Kind::TextList("`NAME` or `NAME.VLAN`, VLAN 1 to 4094"), "",
        Absent::Required,
        "Ports and sessions that form one LAN. `NAME`: all its frames, tags untouched. `NAME.10`: only VLAN 10 of it; \
         the tag is popped on ingress and pushed on egress.";
    BRIDGE_AGEING_S = "bridge.NAME.ageing_s", AGEING, "seconds",
        Absent::Integer(model::DEFAULT_AGEING_S),
        "Time after which an address that was not heard again is forgotten.";
    BRIDGE_FDB_ENTRIES = "bridge.NAME.fdb_entries", Kind::Integer { min: 16, max: 16_777_216 }, "addresses",
        Absent::Integer(model::DEFAULT_FDB_ENTRIES),
        "Most addresses that are learned; further ones are flooded to.";
}

const _: () = assert!(MAX_INTERFACE_BYTES == 15, "the text of PORT_INTERFACE states it");

/// What may stand in the table at pattern `table`: its keys and sub-tables, `NAME` among them.
pub(crate) fn children(table: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = match table {
            "" => Some(key.path),
            _ => key.path.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(child) = rest.and_then(|rest| rest.split('.').next())
            && !names.contains(&child)
        {
            names.push(child);
        }
    }
    names
}

/// Whether the pattern names a table (or a key, or nothing).
pub(crate) fn is_table(pattern: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_a_table_are_keys_and_sub_tables() {
        assert_eq!(children(""), ["gateway", "umem", "port", "tunnel", "bridge"]);
        assert_eq!(children("port"), ["NAME"]);
        assert_eq!(children("umem"), ["chunks", "chunk_bytes", "huge_pages"]);
        assert!(children("tunnel.NAME").contains(&"session"));
        assert!(is_table("tunnel.NAME.session") && !is_table("umem.chunks") && !is_table("um"));
    }

    #[test]
    fn every_default_is_in_its_range() {
        for key in KEYS {
            match (&key.kind, key.default) {
                (Kind::Integer { min, max }, Absent::Integer(value)) => {
                    assert!((*min..=*max).contains(&value));
                }
                (Kind::PowerOfTwo { min, max }, Absent::Integer(value)) => {
                    assert!((*min..=*max).contains(&value) && value.is_power_of_two());
                }
                (Kind::WordOrInteger { min, max, .. }, Absent::Integer(value)) => {
                    assert!((*min..=*max).contains(&value));
                }
                (Kind::Choice(words) | Kind::WordOrInteger { words, .. }, Absent::Word(word)) => {
                    assert!(words.contains(&word));
                }
                (_, Absent::Integer(_) | Absent::Word(_)) => panic!("{}: default of another type", key.path),
                _ => {}
            }
        }
    }

    #[test]
    fn the_default_socket_is_stated_as_the_code_makes_it() {
        let socket = crate::control::locate::default_socket("<name>");
        assert_eq!(GATEWAY_CONTROL_SOCKET.default, Absent::Text("`/run/spanwire/<name>.sock`"));
        assert_eq!(format!("`{}`", socket.display()), "`/run/spanwire/<name>.sock`");
    }

    #[test]
    fn no_path_stands_twice() {
        let mut paths: Vec<_> = KEYS.iter().map(|key| key.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), KEYS.len());
    }
}
