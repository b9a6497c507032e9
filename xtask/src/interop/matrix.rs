//! All cases, in the order in which they are printed.
//!
//! Tunnels over UDP are one per case, those over IP one per pair of addresses: there every option belongs to the session, and
//! one pair of addresses cannot have two. The kernel's side mirrors ours, unless the case is about a difference.

use std::net::IpAddr;

use super::case::{Case, Checksums, Encap, Expected, Family, Gateway, SessionEnd, Tunnel, TunnelEnd, Wire};

/// All cases, and the tunnels that they use.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    pub(super) tunnels: Vec<Tunnel>,
    pub(super) cases: Vec<Case>,
    wire_count: u32,
}

/// Names of the cookie settings, and the lengths of the cookie that we send and of the one that the kernel sends, in bytes.
const COOKIES: [(&str, [usize; 2]); 5] = [
    ("cookie0", [0, 0]),
    ("cookie4", [4, 4]),
    ("cookie8", [8, 8]),
    ("cookie4-8", [4, 8]),
    ("cookie8-0", [8, 0]),
];

/// Our word for sequence numbers, and the kernel's. Ours is never `recv` alone: the kernel stops to number when it receives a
/// packet without a number, whatever its own word is.
const SEQUENCES: [[&str; 2]; 4] = [["none", "none"], ["send", "recv"], ["both", "send"], ["both", "both"]];

/// The nibbles that all cookies are cut from; two wires never have the same cookies.
const COOKIE_PATTERN: [u64; 2] = [0xa1b2_c3d4_e5f6_0718, 0x0f1e_2d3c_4b5a_6978];

/// What a session is told besides its ids and cookies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) cookie_bytes: [usize; 2],
    pub(super) l2spec_type: &'static str,
    pub(super) seq: [&'static str; 2],
}

/// No cookie, the default sublayer, no numbers.
pub(super) const PLAIN: Options =
    Options { cookie_bytes: [0, 0], l2spec_type: "default", seq: ["none", "none"] };

/// Cookies of eight bytes, for the cases that are about something else.
pub(super) const COOKIE8: Options = Options { cookie_bytes: [8, 8], ..PLAIN };

/// We are at one end, the kernel is at the other.
pub(super) const PAIR: [Gateway; 2] = [Gateway::First, Gateway::Kernel];

/// The whole matrix.
pub(super) fn all() -> Matrix {
    let mut matrix = Matrix::default();
    for encap in Encap::BOTH {
        for family in Family::BOTH {
            matrix.add_options(encap, family);
        }
    }
    for encap in Encap::BOTH {
        for family in Family::BOTH {
            matrix.add_one_tunnel(encap, family);
            matrix.add_ids(encap, family);
            matrix.add_pairings(encap, family);
            matrix.add_own(encap, family);
        }
    }
    Family::BOTH.into_iter().for_each(|family| matrix.add_chains(family));
    for encap in Encap::BOTH {
        for family in Family::BOTH {
            matrix.add_mismatches(encap, family);
        }
    }
    matrix
}

/// The head of a case's name.
pub(super) fn head(encap: Encap, family: Family) -> String {
    format!("{}{}", encap.word(), family.digit())
}

/// Every setting of our checksums that has a meaning, with its name, and the kernel's that fits.
fn checksums(encap: Encap, family: Family) -> Vec<(String, [Checksums; 2])> {
    let word = |on: bool| if on { "on" } else { "off" };
    let default = Checksums::DEFAULT;
    match (encap, family) {
        (Encap::Ip, _) => vec![(String::new(), [default; 2])],
        (Encap::Udp, Family::V4) => {
            let named = |udp| (format!("/csum-{}", word(udp)), [Checksums { udp, ..default }; 2]);
            [false, true].map(named).into()
        }
        (Encap::Udp, Family::V6) => {
            let named = |[tx, rx]: [bool; 2]| {
                let ours = Checksums { udp6_tx: tx, udp6_rx: rx, ..default };
                let theirs = Checksums { udp6_tx: rx, udp6_rx: tx, ..default };
                (format!("/csum-tx-{}/csum-rx-{}", word(tx), word(rx)), [ours, theirs])
            };
            [[true, true], [true, false], [false, true], [false, false]].map(named).into()
        }
    }
}

impl Matrix {
    /// Every combination of options. Sequence numbers need the default sublayer.
    fn add_options(&mut self, encap: Encap, family: Family) {
        for (checksum_name, ends) in checksums(encap, family) {
            for (cookie_name, cookie_bytes) in COOKIES {
                for (l2spec_type, sequences) in [("default", &SEQUENCES[..]), ("none", &SEQUENCES[..1])] {
                    for seq in sequences {
                        let name = format!(
                            "{}/{cookie_name}/l2spec-{l2spec_type}/seq-{}{checksum_name}",
                            head(encap, family),
                            seq.join("-")
                        );
                        let tunnel = self.tunnel(encap, family, PAIR, ends);
                        let wire = self.wire(tunnel, PAIR, Options { cookie_bytes, l2spec_type, seq: *seq });
                        self.case(name, PAIR.into(), vec![wire], Expected::Passes);
                    }
                }
            }
        }
    }

    /// Three LANs in one tunnel, each by a session with other options.
    fn add_one_tunnel(&mut self, encap: Encap, family: Family) {
        let tunnel = self.tunnel(encap, family, PAIR, [Checksums::DEFAULT; 2]);
        let options =
            [PLAIN, Options { l2spec_type: "none", ..COOKIE8 }, Options { cookie_bytes: [8, 4], ..PLAIN }];
        for (number, options) in options.into_iter().enumerate() {
            let wire = self.wire(tunnel, PAIR, options);
            let name = format!("{}/three-sessions/{}", head(encap, family), number + 1);
            self.case(name, PAIR.into(), vec![wire], Expected::Passes);
        }
    }

    /// Words that differ at the two ends and fit all the same: of sequence numbers, and of checksums over IPv4.
    fn add_pairings(&mut self, encap: Encap, family: Family) {
        for seq in [["none", "send"], ["send", "none"], ["send", "send"], ["send", "both"]] {
            let tunnel = self.tunnel(encap, family, PAIR, [Checksums::DEFAULT; 2]);
            let wire = self.wire(tunnel, PAIR, Options { seq, ..COOKIE8 });
            let name = format!("{}/pairing/seq-{}", head(encap, family), seq.join("-"));
            self.case(name, PAIR.into(), vec![wire], Expected::Passes);
        }
        if (encap, family) != (Encap::Udp, Family::V4) {
            return;
        }
        let checksums = |udp| Checksums { udp, ..Checksums::DEFAULT };
        for (name, ends) in [("csum-on-off", [true, false]), ("csum-off-on", [false, true])] {
            let tunnel = self.tunnel(encap, family, PAIR, ends.map(checksums));
            let wire = self.wire(tunnel, PAIR, COOKIE8);
            self.case(format!("udp4/pairing/{name}"), PAIR.into(), vec![wire], Expected::Passes);
        }
    }

    /// Session ids at the ends of their range. Without UDP, a gateway's ids are unique among all of its tunnels: there each
    /// address family has one half of the cases, and they are tried apart from those with UDP.
    fn add_ids(&mut self, encap: Encap, family: Family) {
        for (name, ids, only) in
            [("ids-1-and-max", [1, u32::MAX], Family::V4), ("ids-max-and-1", [u32::MAX, 1], Family::V6)]
        {
            if encap == Encap::Ip && family != only {
                continue;
            }
            let tunnel = self.tunnel(encap, family, PAIR, [Checksums::DEFAULT; 2]);
            let mut wire = self.wire(tunnel, PAIR, COOKIE8);
            set_ids(&mut wire, ids);
            let name = format!("{}/{name}", head(encap, family));
            self.case(name, PAIR.into(), vec![wire], Expected::Passes);
        }
    }

    /// Three sites in a row, the first two joined over UDP, the last two over IP; the kernel in each of the places.
    fn add_chains(&mut self, family: Family) {
        use Gateway::{First, Kernel, Second};
        let places = [
            ("kernel-first", [Kernel, First, Second]),
            ("kernel-in-the-middle", [First, Kernel, Second]),
            ("kernel-last", [First, Second, Kernel]),
        ];
        for (name, sites) in places {
            let mut wires = Vec::new();
            for (encap, place) in [(Encap::Udp, 0), (Encap::Ip, 1)] {
                let gateways = [sites[place], sites[place + 1]];
                let tunnel = self.tunnel(encap, family, gateways, [Checksums::DEFAULT; 2]);
                wires.push(self.wire(tunnel, gateways, COOKIE8));
            }
            let name = format!("chain{}/{name}", family.digit());
            self.case(name, sites.into(), wires, Expected::Passes);
        }
    }

    /// A tunnel, or the one that these gateways have over IP already.
    pub(super) fn tunnel(
        &mut self,
        encap: Encap,
        family: Family,
        gateways: [Gateway; 2],
        checksums: [Checksums; 2],
    ) -> u16 {
        let addresses = gateways.map(|gateway| family.address(gateway));
        self.tunnel_between(encap, family, gateways, addresses, checksums)
    }

    /// The same between addresses that are given.
    pub(super) fn tunnel_between(
        &mut self,
        encap: Encap,
        family: Family,
        gateways: [Gateway; 2],
        addresses: [IpAddr; 2],
        checksums: [Checksums; 2],
    ) -> u16 {
        let same = |tunnel: &&Tunnel| {
            let known = tunnel.ends.each_ref().map(|end| end.local);
            tunnel.encap == encap && (known == addresses || known == [addresses[1], addresses[0]])
        };
        if let Some(known) = self.tunnels.iter().filter(|_| encap == Encap::Ip).find(same) {
            return known.number;
        }
        let number = u16::try_from(self.tunnels.len()).expect("a matrix of hundreds");
        let ids = [1000, 5000].map(|base: u32| base + u32::from(number));
        let ports = [20_000, 30_000].map(|base: u16| base + number);
        let end = |own: usize, other: usize| TunnelEnd {
            local: addresses[own],
            remote: addresses[other],
            tunnel_id: ids[own],
            peer_tunnel_id: ids[other],
            udp_sport: ports[own],
            udp_dport: ports[other],
            checksums: checksums[own],
        };
        self.tunnels.push(Tunnel { number, encap, family, gateways, ends: [end(0, 1), end(1, 0)] });
        number
    }

    /// A pseudowire whose ends fit.
    pub(super) fn wire(&mut self, tunnel: u16, gateways: [Gateway; 2], options: Options) -> Wire {
        let number = self.wire_count;
        self.wire_count += 1;
        let ids = [0x0a00_0001 + number, 0xcb00_0001 + number];
        let cookie = |end: usize| {
            let whole = COOKIE_PATTERN[end] ^ u64::from(number).rotate_right(16) ^ u64::from(number);
            format!("{whole:016x}")[..2 * options.cookie_bytes[end]].to_owned()
        };
        let cookies = [cookie(0), cookie(1)];
        let end = |own: usize, other: usize| SessionEnd {
            session_id: ids[own],
            peer_session_id: ids[other],
            cookie: cookies[own].clone(),
            peer_cookie: cookies[other].clone(),
            l2spec_type: options.l2spec_type,
            seq: options.seq[own],
        };
        Wire { number, tunnels: [tunnel; 2], gateways, ends: [end(0, 1), end(1, 0)] }
    }

    pub(super) fn case(&mut self, name: String, sites: Vec<Gateway>, wires: Vec<Wire>, expected: Expected) {
        let number = u16::try_from(self.cases.len()).expect("a matrix of hundreds");
        let (settings, exercise) = (Vec::new(), None);
        self.cases.push(Case { number, name, sites, wires, narrow: false, settings, exercise, expected });
    }
}

/// Gives a wire other ids.
fn set_ids(wire: &mut Wire, ids: [u32; 2]) {
    for (own, other) in [(0, 1), (1, 0)] {
        wire.ends[own].session_id = ids[own];
        wire.ends[own].peer_session_id = ids[other];
    }
}

#[cfg(test)]
mod tests;
