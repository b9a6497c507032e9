//! What the tests of the control socket share: a directory of their own, rows, and a source that yields them.

mod api_json;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::api::*;
use super::change::CookieChange;
use super::source::StatusSource;

/// A fresh directory, removed when dropped.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("spanwire-control-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An up UDP tunnel and a down IP tunnel.
pub(crate) fn tunnels() -> Vec<TunnelStatus> {
    let udp = TunnelStatus {
        name: "t1000".to_owned(),
        state: State::Up,
        reason: None,
        encap: Encap::Udp,
        local: [10, 200, 100, 2].into(),
        remote: [10, 200, 100, 6].into(),
        udp_sport: Some(5001),
        udp_dport: Some(6001),
        peer: PeerMode::Learn,
        peer_heard_s: Some(17),
        peer_moves: 2,
        peer_moves_held_back: 1,
        tunnel_id: 1000,
        peer_tunnel_id: 1000,
        port: Some("eth0".to_owned()),
        vlan: Some(100),
        next_hop: Some([10, 200, 100, 1].into()),
        next_hop_mac: Some("02:00:00:00:00:01".to_owned()),
        path_mtu: Some(1400),
        path: path_with_errors(),
        fragmentation: "outer".to_owned(),
        df: false,
        mss_clamp: "auto".to_owned(),
        spread: "auto".to_owned(),
        spread_active: true,
        sessions: vec!["l2tpeth0".to_owned()],
        warnings: vec!["UDP port 5001 of 10.200.100.2 is in use by dnsmasq (process 7)".to_owned()],
    };
    let ip = TunnelStatus {
        name: "t2000".to_owned(),
        state: State::Down,
        reason: Some("no route to 10.200.100.10".to_owned()),
        encap: Encap::Ip,
        remote: [10, 200, 100, 10].into(),
        udp_sport: None,
        udp_dport: None,
        peer: PeerMode::Fixed,
        peer_heard_s: None,
        peer_moves: 0,
        peer_moves_held_back: 0,
        tunnel_id: 2000,
        peer_tunnel_id: 4_294_967_295,
        port: None,
        vlan: None,
        next_hop: None,
        next_hop_mac: None,
        path_mtu: None,
        path: PathStatus::default(),
        fragmentation: "drop".to_owned(),
        df: true,
        mss_clamp: "off".to_owned(),
        spread: "off".to_owned(),
        spread_active: false,
        sessions: vec!["l2tpeth1".to_owned()],
        warnings: Vec::new(),
        ..udp.clone()
    };
    vec![udp, ip]
}

/// A path that reported errors.
fn path_with_errors() -> PathStatus {
    PathStatus {
        mtu_source: Some(MtuSource::Icmp),
        mtu_locked: false,
        mtu_expires_s: Some(590),
        unreachable: true,
        icmp_errors: Counts::from([("host_unreachable".to_owned(), 1), ("too_big".to_owned(), 2)]),
        last_icmp_error: Some("host unreachable, from 10.200.100.1".to_owned()),
        last_icmp_error_s: Some(4),
    }
}

/// A session of which everything is told.
fn session_up() -> SessionStatus {
    SessionStatus {
        name: "l2tpeth0".to_owned(),
        tunnel: "t1000".to_owned(),
        bridge: Some("br0".to_owned()),
        vlan: Some(10),
        session_id: 1000,
        peer_session_id: 1001,
        state: State::Up,
        reason: None,
        rx_frames: 7,
        rx_bytes: 700,
        tx_frames: 12_345,
        tx_bytes: 1_234_500,
        tx_fragments: 24,
        last_heard_s: Some(3),
        drops: Counts::from([("cookie_mismatch".to_owned(), 2), ("wrong_source".to_owned(), 1)]),
        overhead_bytes: 48,
        path_mtu_bytes: Some(1400),
        max_frame_bytes: Some(1352),
        inner_mtu: Some(1334),
        mss_clamped: 5,
        inner_fragmented: 6,
        icmp_sent: 16,
        icmp_limited: 8,
        l2spec_type: "default".to_owned(),
        cookie_bytes: 8,
        peer_cookie_bytes: 4,
        peer_cookie_also: true,
        peer_cookie_also_frames: 6,
        seq: "send".to_owned(),
        seq_discards: 0,
        oos_packets: 2,
        seq_resyncs: 1,
        spread: true,
        observed: Some(SequenceCounts { numbered: 7, lost: 3, reordered: 2, duplicates: 1 }),
    }
}

/// One session per tunnel.
pub(crate) fn sessions() -> Vec<SessionStatus> {
    let up = session_up();
    let down = SessionStatus {
        name: "l2tpeth1".to_owned(),
        tunnel: "t2000".to_owned(),
        bridge: None,
        vlan: None,
        state: State::Down,
        reason: Some("tunnel t2000 is down: no route to 10.200.100.10".to_owned()),
        rx_frames: 0,
        rx_bytes: 0,
        tx_frames: 0,
        tx_bytes: 0,
        tx_fragments: 0,
        last_heard_s: None,
        drops: Counts::new(),
        path_mtu_bytes: None,
        max_frame_bytes: None,
        inner_mtu: None,
        peer_cookie_also: false,
        peer_cookie_also_frames: 0,
        seq: "none".to_owned(),
        oos_packets: 0,
        seq_resyncs: 0,
        spread: false,
        observed: None,
        mss_clamped: 0,
        inner_fragmented: 0,
        icmp_sent: 0,
        icmp_limited: 0,
        ..up.clone()
    };
    vec![up, down]
}

/// One port with a warning, one whose interface is missing.
pub(crate) fn ports() -> Vec<PortStatus> {
    let present = PortStatus {
        name: "lan".to_owned(),
        interface: "eth1".to_owned(),
        ifindex: Some(3),
        role: Role::Both,
        state: State::Up,
        reason: None,
        driver: Some("veth".to_owned()),
        xdp_mode: Some(XdpMode::Native),
        zero_copy: false,
        multi_buffer: true,
        copy_reason: Some("no driver support".to_owned()),
        tx_checksum: Some(ChecksumBy::Kernel),
        tx_checksum_reason: Some("copy mode".to_owned()),
        queues: 1,
        mtu: Some(1500),
        mac: Some("02:00:00:00:00:02".to_owned()),
        promiscuous: true,
        changed_features: vec!["rx-gro off".to_owned(), "rx-vlan-hw-parse off".to_owned()],
        rx_frames: 5,
        rx_bytes: 320,
        tx_frames: 6,
        tx_bytes: 384,
        rx_chained: 2,
        rx_discarded: 1,
        tx_chained: 3,
        steering: Counts::from([("to_engine".to_owned(), 5), ("to_kernel".to_owned(), 9)]),
        kernel_rings: KernelRings { rx_dropped: 1, ..KernelRings::default() },
        warnings: vec!["its veth peer leaves checksums to hardware".to_owned()],
    };
    let missing = PortStatus {
        name: "wan".to_owned(),
        interface: "eth0".to_owned(),
        ifindex: None,
        role: Role::Underlay,
        state: State::Down,
        reason: Some("there is no interface eth0".to_owned()),
        driver: None,
        xdp_mode: None,
        tx_checksum: None,
        queues: 0,
        mtu: None,
        mac: None,
        promiscuous: false,
        changed_features: Vec::new(),
        rx_frames: 0,
        rx_bytes: 0,
        tx_frames: 0,
        tx_bytes: 0,
        steering: Counts::new(),
        kernel_rings: KernelRings::default(),
        warnings: Vec::new(),
        ..present.clone()
    };
    vec![present, missing]
}

/// One entry on a port, one on a session with a VLAN.
pub(crate) fn fdb() -> Vec<FdbEntryStatus> {
    let on_port = FdbEntryStatus {
        bridge: "br0".to_owned(),
        mac: "02:00:00:00:00:0a".to_owned(),
        member: "lan".to_owned(),
        vlan: None,
        age_s: 0,
        kind: FdbKind::Dynamic,
    };
    let on_session = FdbEntryStatus {
        bridge: "br1".to_owned(),
        mac: "02:00:00:00:00:0b".to_owned(),
        member: "l2tpeth0".to_owned(),
        vlan: Some(10),
        age_s: 299,
        kind: FdbKind::Static,
    };
    vec![on_port, on_session]
}

/// One running worker.
pub(crate) fn workers() -> Vec<WorkerStatus> {
    vec![WorkerStatus {
        id: 0,
        cpu: Some(1),
        state: WorkerState::Running,
        batches: 4,
        received: 14,
        forwarded: 6,
        flooded: 2,
        dropped: 1,
        handed: 4,
        taken: 5,
        reassembled: 3,
        parked: 3,
        reassembled_packets: 2,
        extra_fragments: 7,
        copies: 2,
        polls: 99,
        sleeps: 4,
        wakeups: 3,
        fdb_full: 0,
        chunks: ChunkCounts { free: 100, fill: 2048, tx: 12, parked: 4, total: 2164, conserved: true },
        warnings: vec!["CPU 1 also has a worker".to_owned()],
    }]
}

/// One reason that occurred, one that did not.
pub(crate) fn drops() -> Vec<DropStatus> {
    let row = |reason: &str, text: &str, frames, by_worker: &[u64], copies| DropStatus {
        reason: reason.to_owned(),
        text: text.to_owned(),
        frames,
        by_worker: by_worker.to_vec(),
        copies,
    };
    vec![
        row("cookie_mismatch", "the cookie is not the session's", 3, &[2, 1], 5),
        row("truncated", "the frame ends within a header", 0, &[0, 0], 0),
    ]
}

/// A gateway that always has the rows above.
pub(crate) struct FixedSource;

impl StatusSource for FixedSource {
    fn gateway(&self) -> GatewayStatus {
        GatewayStatus {
            name: "gw-a".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_s: 61,
            pid: 4242,
            mode: "adaptive".to_owned(),
        }
    }
    fn tunnels(&self) -> Vec<TunnelStatus> {
        tunnels()
    }
    fn sessions(&self) -> Vec<SessionStatus> {
        sessions()
    }
    fn ports(&self) -> Vec<PortStatus> {
        ports()
    }
    fn bridges(&self) -> Vec<String> {
        vec!["br0".to_owned(), "br1".to_owned()]
    }
    fn fdb(&self, bridge: Option<&str>) -> Vec<FdbEntryStatus> {
        fdb().into_iter().filter(|entry| bridge.is_none_or(|bridge| bridge == entry.bridge)).collect()
    }
    fn workers(&self) -> Vec<WorkerStatus> {
        workers()
    }
    fn drops(&self) -> Vec<DropStatus> {
        drops()
    }
    fn set_cookies(&self, session: &str, _: &CookieChange) -> Result<SessionChanged, String> {
        match session {
            "l2tpeth0" => Ok(changed()),
            _ => Err(format!("{session} cannot be changed")),
        }
    }
}

/// What a request to change `l2tpeth0` is answered with.
pub(crate) fn changed() -> SessionChanged {
    SessionChanged { name: "l2tpeth0".to_owned(), changed: vec!["cookie".to_owned()], persistent: false }
}
