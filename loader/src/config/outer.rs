//! The outer headers of a tunnel's packets, as far as the user chooses them: read, checked, written.
//!
//! Place: part of [`super::model::Tunnel`]. One file from key to model and back, because none of it concerns anything else.
//! Not in it: addresses, ports and encapsulation, which say where packets go.

use super::keys::{self, Key};
use super::report::Report;
use super::section::Section;

/// What is sent in, and expected of, the headers in front of the L2TPv3 header. The default is what `ip l2tp` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// UDP over IPv4: whether sent packets have a checksum.
    pub udp_csum: bool,
    /// UDP over IPv6: whether sent packets have a checksum.
    pub udp6_csum_tx: bool,
    /// UDP over IPv6: whether received packets must have a checksum (RFC 6935).
    pub udp6_csum_rx: bool,
    /// IPv4 time to live or IPv6 hop limit of sent packets. Range: 1..=255.
    pub ttl: u8,
    /// Differentiated services field of sent packets.
    pub dscp: Dscp,
    /// Congestion notification, both ways.
    pub ecn: Ecn,
    /// Whether IPv4 headers of sent packets say "don't fragment".
    pub df: bool,
}

/// Differentiated services code point of sent packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dscp {
    /// That of the IP packet in the frame; 0 for frames without one.
    Copy,
    /// This one. Range: 0..=63.
    Fixed(u8),
}

/// Explicit congestion notification (RFC 6040).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Compatibility mode: sent as "not capable", ignored on receive.
    Zero,
    /// Normal mode: copied from the frame on the way out, combined with the frame's on the way in.
    Copy,
}

impl Default for Outer {
    fn default() -> Self {
        Self {
            udp_csum: false,
            udp6_csum_tx: true,
            udp6_csum_rx: true,
            ttl: DEFAULT_TTL,
            dscp: Dscp::Fixed(0),
            ecn: Ecn::Zero,
            df: false,
        }
    }
}

/// Default of `ttl`: that of the kernel (`net.ipv4.ip_default_ttl`, `net.ipv6.conf.*.hop_limit`).
pub const DEFAULT_TTL: u8 = 64;

impl Dscp {
    /// The file's words; a number is the other way to give it.
    pub const WORDS: &'static [(&'static str, Self)] = &[("copy", Self::Copy)];
}

impl Ecn {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] = &[("zero", Self::Zero), ("copy", Self::Copy)];
}

/// The keys of the tunnel's table; `None` when one is at fault.
pub(super) fn read(section: &Section<'_, '_>, report: &mut Report<'_>) -> Option<Outer> {
    let udp_csum = section.boolean(&keys::TUNNEL_UDP_CSUM, report);
    let udp6_csum_tx = section.boolean(&keys::TUNNEL_UDP6_CSUM_TX, report);
    let udp6_csum_rx = section.boolean(&keys::TUNNEL_UDP6_CSUM_RX, report);
    let octet = |value: u32| u8::try_from(value).ok();
    let ttl = section.integer(&keys::TUNNEL_TTL, report).and_then(octet);
    let fixed = |value| octet(value).map(Dscp::Fixed);
    let dscp = section.word_or_integer(&keys::TUNNEL_DSCP, Dscp::WORDS, fixed, report);
    let ecn = section.choice(&keys::TUNNEL_ECN, Ecn::WORDS, report);
    let df = section.boolean(&keys::TUNNEL_DF, report);
    Some(Outer {
        udp_csum: udp_csum?,
        udp6_csum_tx: udp6_csum_tx?,
        udp6_csum_rx: udp6_csum_rx?,
        ttl: ttl?,
        dscp: dscp?,
        ecn: ecn?,
        df: df?,
    })
}

/// Refuses keys of another encapsulation or address family than the tunnel at `path` has. `None`: not known.
pub(super) fn check(path: &str, is_udp: Option<bool>, is_ipv6: Option<bool>, report: &mut Report<'_>) {
    let over = |family: &'static str| move |is_ipv6: bool| (family == "IPv6") != is_ipv6;
    let keys: [(&Key, &str); 3] = [
        (&keys::TUNNEL_UDP_CSUM, "IPv4"),
        (&keys::TUNNEL_UDP6_CSUM_TX, "IPv6"),
        (&keys::TUNNEL_UDP6_CSUM_RX, "IPv6"),
    ];
    for (key, family) in keys {
        let path = format!("{path}.{}", key.name());
        if !report.has_place(&path) {
            continue;
        }
        if is_udp == Some(false) {
            let remedy = "remove it, or give encap = \"udp\"";
            report.fault(&path, "has no meaning with encap = \"ip\"", remedy);
        } else if is_ipv6.is_some_and(over(family)) {
            let problem = format!("is for tunnels over {family}, and this one has other addresses");
            let remedy = match family {
                "IPv4" => "remove it, or give udp6_csum_tx and udp6_csum_rx",
                _ => "remove it, or give udp_csum",
            };
            report.fault(&path, problem, remedy);
        }
    }
}

/// Key and value, as TOML, of everything that differs from the default.
pub(super) fn settings(outer: &Outer) -> Vec<(&'static Key, String)> {
    let default = Outer::default();
    let dscp = match outer.dscp {
        Dscp::Copy => String::from("\"copy\""),
        Dscp::Fixed(value) => value.to_string(),
    };
    let ecn = match outer.ecn {
        Ecn::Zero => "\"zero\"",
        Ecn::Copy => "\"copy\"",
    };
    let all = [
        (&keys::TUNNEL_UDP_CSUM, outer.udp_csum != default.udp_csum, outer.udp_csum.to_string()),
        (
            &keys::TUNNEL_UDP6_CSUM_TX,
            outer.udp6_csum_tx != default.udp6_csum_tx,
            outer.udp6_csum_tx.to_string(),
        ),
        (
            &keys::TUNNEL_UDP6_CSUM_RX,
            outer.udp6_csum_rx != default.udp6_csum_rx,
            outer.udp6_csum_rx.to_string(),
        ),
        (&keys::TUNNEL_TTL, outer.ttl != default.ttl, outer.ttl.to_string()),
        (&keys::TUNNEL_DSCP, outer.dscp != default.dscp, dscp),
        (&keys::TUNNEL_ECN, outer.ecn != default.ecn, ecn.to_owned()),
        (&keys::TUNNEL_DF, outer.df != default.df, outer.df.to_string()),
    ];
    all.into_iter().filter(|(_, differs, _)| *differs).map(|(key, _, value)| (key, value)).collect()
}
