//! Which columns the table of each object has. Free text stands last, so that `awk` finds the rest by number.

use std::net::{IpAddr, SocketAddr};

use super::super::table::Align::{Left, Right};
use super::super::table::{Column, NOTHING, or_nothing, render};
use crate::control::api::{
    DropStatus, FdbEntryStatus, PortStatus, SessionStatus, State, TunnelStatus, WorkerStatus, XdpMode,
};

/// The table of tunnels, and under it their warnings.
pub(super) fn tunnels(rows: &[TunnelStatus]) -> String {
    const COLUMNS: [Column; 16] = [
        ("NAME", Left),
        ("STATE", Left),
        ("ENCAP", Left),
        ("LOCAL", Left),
        ("REMOTE", Left),
        ("ID", Right),
        ("PEER-ID", Right),
        ("PORT", Left),
        ("NEXT-HOP", Left),
        ("PATH-MTU", Right),
        ("SAID-BY", Left),
        ("PATH", Left),
        ("ICMP-ERRORS", Right),
        ("SPREAD", Left),
        ("SESSIONS", Left),
        ("REASON", Left),
    ];
    let row = |row: &TunnelStatus| {
        [
            row.name.clone(),
            row.state.to_string(),
            row.encap.to_string(),
            endpoint(row.local, row.udp_sport),
            if row.remote.is_unspecified() {
                NOTHING.to_owned()
            } else {
                endpoint(row.remote, row.udp_dport)
            },
            row.tunnel_id.to_string(),
            row.peer_tunnel_id.to_string(),
            or_nothing(leaves_by(row)),
            or_nothing(row.next_hop),
            or_nothing(row.path_mtu),
            or_nothing(row.path.mtu_source),
            path(row).to_owned(),
            row.path.icmp_errors.values().sum::<u64>().to_string(),
            spread(row.spread_active).to_owned(),
            if row.sessions.is_empty() { NOTHING.to_owned() } else { row.sessions.join(",") },
            or_nothing(row.reason.as_ref()),
        ]
    };
    let table = render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>());
    table + &warnings(rows.iter().map(|row| (&row.name, &row.warnings)))
}

/// Whether ICMP says that the peer cannot be reached; of a tunnel that sends nothing it says nothing.
const fn path(row: &TunnelStatus) -> &'static str {
    match (row.path.unreachable, row.state) {
        (true, _) => "unreachable",
        (false, State::Up) => "clear",
        (false, State::Down) => NOTHING,
    }
}

/// Whether packets that arrive are spread over the workers now.
const fn spread(is_spread: bool) -> &'static str {
    if is_spread { "yes" } else { "no" }
}

/// The port that packets leave by, with their VLAN when they have one.
fn leaves_by(row: &TunnelStatus) -> Option<String> {
    let port = row.port.as_ref()?;
    Some(row.vlan.map_or_else(|| port.clone(), |vlan| format!("{port}.{vlan}")))
}

/// An address, with its port when it has one.
fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

/// The table of sessions.
pub(super) fn sessions(rows: &[SessionStatus]) -> String {
    const COLUMNS: [Column; 19] = [
        ("NAME", Left),
        ("STATE", Left),
        ("TUNNEL", Left),
        ("BRIDGE", Left),
        ("VLAN", Right),
        ("ID", Right),
        ("PEER-ID", Right),
        ("RX-FRAMES", Right),
        ("RX-BYTES", Right),
        ("TX-FRAMES", Right),
        ("TX-BYTES", Right),
        ("HEARD", Right),
        ("OVERHEAD", Right),
        ("PATH-MTU", Right),
        ("MAX-FRAME", Right),
        ("INNER-MTU", Right),
        ("DROPS", Right),
        ("SPREAD", Left),
        ("REASON", Left),
    ];
    let row = |row: &SessionStatus| {
        [
            row.name.clone(),
            row.state.to_string(),
            row.tunnel.clone(),
            or_nothing(row.bridge.as_ref()),
            or_nothing(row.vlan),
            row.session_id.to_string(),
            row.peer_session_id.to_string(),
            row.rx_frames.to_string(),
            row.rx_bytes.to_string(),
            row.tx_frames.to_string(),
            row.tx_bytes.to_string(),
            row.last_heard_s.map_or_else(|| "never".to_owned(), |s| format!("{s}s")),
            row.overhead_bytes.to_string(),
            or_nothing(row.path_mtu_bytes),
            or_nothing(row.max_frame_bytes),
            or_nothing(row.inner_mtu),
            row.drops.values().sum::<u64>().to_string(),
            spread(row.spread).to_owned(),
            or_nothing(row.reason.as_ref()),
        ]
    };
    render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>())
}

/// The table of ports, and under it their warnings.
pub(super) fn ports(rows: &[PortStatus]) -> String {
    const COLUMNS: [Column; 14] = [
        ("NAME", Left),
        ("STATE", Left),
        ("INTERFACE", Left),
        ("ROLE", Left),
        ("DRIVER", Left),
        ("MODE", Left),
        ("CHECKSUM", Left),
        ("QUEUES", Right),
        ("MTU", Right),
        ("RX-FRAMES", Right),
        ("RX-BYTES", Right),
        ("TX-FRAMES", Right),
        ("TX-BYTES", Right),
        ("REASON", Left),
    ];
    let row = |row: &PortStatus| {
        [
            row.name.clone(),
            row.state.to_string(),
            row.interface.clone(),
            row.role.to_string(),
            or_nothing(row.driver.as_ref()),
            mode(row.xdp_mode, row.zero_copy),
            or_nothing(row.tx_checksum),
            row.queues.to_string(),
            or_nothing(row.mtu),
            row.rx_frames.to_string(),
            row.rx_bytes.to_string(),
            row.tx_frames.to_string(),
            row.tx_bytes.to_string(),
            or_nothing(row.reason.as_ref()),
        ]
    };
    let table = render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>());
    table + &warnings(rows.iter().map(|row| (&row.name, &row.warnings)))
}

/// One line per warning, of rows with this name and these warnings.
fn warnings<'r>(rows: impl Iterator<Item = (&'r String, &'r Vec<String>)>) -> String {
    rows.flat_map(|(name, texts)| texts.iter().map(move |text| format!("warning: {name}: {text}\n")))
        .collect()
}

/// What was obtained from kernel and driver, in one word.
fn mode(xdp_mode: Option<XdpMode>, zero_copy: bool) -> String {
    let way = if zero_copy { "zero-copy" } else { "copy" };
    xdp_mode.map_or_else(|| NOTHING.to_owned(), |mode| format!("{mode}/{way}"))
}

/// The table of FDB entries.
pub(super) fn fdb(rows: &[FdbEntryStatus]) -> String {
    const COLUMNS: [Column; 6] =
        [("BRIDGE", Left), ("MAC", Left), ("MEMBER", Left), ("VLAN", Right), ("AGE", Right), ("KIND", Left)];
    let row = |row: &FdbEntryStatus| {
        [
            row.bridge.clone(),
            row.mac.clone(),
            row.member.clone(),
            or_nothing(row.vlan),
            format!("{}s", row.age_s),
            row.kind.to_string(),
        ]
    };
    render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>())
}

/// The table of workers, and under it their warnings.
pub(super) fn workers(rows: &[WorkerStatus]) -> String {
    const COLUMNS: [Column; 21] = [
        ("ID", Right),
        ("CPU", Right),
        ("STATE", Left),
        ("RECEIVED", Right),
        ("TAKEN", Right),
        ("FORWARDED", Right),
        ("FLOODED", Right),
        ("DROPPED", Right),
        ("HANDED", Right),
        ("REASSEMBLED", Right),
        ("COPIES", Right),
        ("BATCHES", Right),
        ("POLLS", Right),
        ("SLEEPS", Right),
        ("WAKEUPS", Right),
        ("FREE", Right),
        ("FILL", Right),
        ("TX", Right),
        ("PARKED", Right),
        ("CHUNKS", Right),
        ("CONSERVED", Left),
    ];
    let row = |row: &WorkerStatus| {
        [
            row.id.to_string(),
            or_nothing(row.cpu),
            row.state.to_string(),
            row.received.to_string(),
            row.taken.to_string(),
            row.forwarded.to_string(),
            row.flooded.to_string(),
            row.dropped.to_string(),
            row.handed.to_string(),
            row.reassembled.to_string(),
            row.copies.to_string(),
            row.batches.to_string(),
            row.polls.to_string(),
            row.sleeps.to_string(),
            row.wakeups.to_string(),
            row.chunks.free.to_string(),
            row.chunks.fill.to_string(),
            row.chunks.tx.to_string(),
            row.chunks.parked.to_string(),
            row.chunks.total.to_string(),
            if row.chunks.conserved { "yes" } else { "no" }.to_owned(),
        ]
    };
    let table = render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>());
    let names: Vec<String> = rows.iter().map(|row| format!("worker {}", row.id)).collect();
    table + &warnings(names.iter().zip(rows.iter().map(|row| &row.warnings)))
}

/// The table of drop reasons.
pub(super) fn drops(rows: &[DropStatus]) -> String {
    const COLUMNS: [Column; 4] = [("FRAMES", Right), ("COPIES", Right), ("REASON", Left), ("MEANING", Left)];
    let row = |row: &DropStatus| {
        [row.frames.to_string(), row.copies.to_string(), row.reason.clone(), row.text.clone()]
    };
    render(&COLUMNS, &rows.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
