//! Words: what stands in rows where there is a choice of some. The same in JSON and in tables.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether an object carries frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It carries frames.
    Up,
    /// It does not; the row's `reason` says why.
    #[default]
    Down,
}

/// What carries the L2TPv3 packets of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encap {
    /// UDP.
    Udp,
    /// IP protocol 115.
    Ip,
}

/// Who says how large a tunnel's packets may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtuSource {
    /// The interface that packets leave by.
    Interface,
    /// The route to the peer.
    Route,
    /// Routers on the way, by ICMP.
    Icmp,
}

/// How a tunnel knows where its peer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerMode {
    /// From the configuration.
    #[default]
    Fixed,
    /// From the packets that it gets.
    Learn,
}

/// What a port faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The routed network.
    Underlay,
    /// A local LAN.
    Access,
    /// Both, told apart by VLAN.
    Both,
}

/// Where the XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's network stack, after an skb was allocated.
    Generic,
}

/// Who makes the UDP checksums of packets that leave by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumBy {
    /// The gateway, by a pass over every byte.
    Gateway,
    /// The kernel, as for any socket: by such a pass, or by the card.
    Kernel,
    /// The card.
    Card,
}

/// How an FDB entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FdbKind {
    /// Learned from a source address; it ages.
    Dynamic,
    /// Set by the configuration; it stays.
    Static,
}

/// What a worker thread does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It serves its queues.
    Running,
    /// It has ended.
    #[default]
    Stopped,
}

/// Writes a word enum as in JSON.
macro_rules! display_words {
    ($($name:ident { $($variant:ident => $word:literal),+ })+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }
    )+};
}

display_words! {
    State { Up => "up", Down => "down" }
    Encap { Udp => "udp", Ip => "ip" }
    MtuSource { Interface => "interface", Route => "route", Icmp => "icmp" }
    PeerMode { Fixed => "fixed", Learn => "learn" }
    Role { Underlay => "underlay", Access => "access", Both => "both" }
    XdpMode { Native => "native", Generic => "generic" }
    ChecksumBy { Gateway => "gateway", Kernel => "kernel", Card => "card" }
    FdbKind { Dynamic => "dynamic", Static => "static" }
    WorkerState { Running => "running", Stopped => "stopped" }
}
