//! What is recorded: every encapsulation, cookie length and sublayer, then single cases beside them.

/// One tunnel with one session between the two namespaces, and the captures of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// Stem of its two files.
    pub(super) name: String,
    /// `udp` or `ip`.
    encap: &'static str,
    /// Whether the underlay is IPv6.
    is_v6: bool,
    /// Cookie that a sends and b expects, then the one that b sends and a expects; in hexadecimal, or empty.
    cookies: [&'static str; 2],
    /// `default` or `none`.
    sublayer: &'static str,
    /// Further words of the tunnel's command.
    tunnel_option: &'static str,
    /// Further words of the session's command.
    session_option: &'static str,
    /// Whether one frame of 1514 bytes is recorded, which the underlay takes in fragments only, instead of four that fit.
    fragments: bool,
}

/// The two gateways, as namespaces.
pub(super) const SIDES: [&str; 2] = ["a", "b"];

/// UDP port, tunnel id and session id of each side.
const OWN: [(u16, u32, u32); 2] = [(5001, 1000, 167_772_161), (6001, 2000, 3_405_691_582)];

/// Addresses of each side, IPv4 and IPv6.
const ADDRESSES: [[&str; 2]; 2] = [["10.200.100.2", "10.200.100.6"], ["fd00:200:100::2", "fd00:200:100::6"]];

/// Cookies of each length, a's and b's.
const COOKIES: [(&str, [&str; 2]); 3] = [
    ("nocookie", ["", ""]),
    ("cookie4", ["a1b2c3d4", "5e6f7081"]),
    ("cookie8", ["a1b2c3d4e5f60718", "0f1e2d3c4b5a6978"]),
];

/// What a case is, where it says nothing.
const PLAIN: Case = Case {
    name: String::new(),
    encap: "udp",
    is_v6: false,
    cookies: ["", ""],
    sublayer: "default",
    tunnel_option: "",
    session_option: "",
    fragments: false,
};

/// All cases, in the order they are recorded in.
pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for encap in ["udp", "ip"] {
        for (length, cookies) in COOKIES {
            for sublayer in ["default", "none"] {
                let name = format!("{encap}-{length}-{sublayer}");
                cases.push(Case { name, encap, cookies, sublayer, ..PLAIN });
            }
        }
    }
    let plain =
        |name: &str| cases.iter().find(|case| case.name == name).cloned().expect("a case of the matrix");
    let checksum = Case {
        name: "udp-cookie4-default-checksum".to_owned(),
        tunnel_option: " udp_csum on",
        ..plain("udp-cookie4-default")
    };
    let sequence =
        |name| Case { name: format!("{name}-sequence"), session_option: " seq send", ..plain(name) };
    let unequal = Case {
        name: "udp-cookie4and8-default".to_owned(),
        cookies: ["a1b2c3d4", "0f1e2d3c4b5a6978"],
        ..plain("udp-nocookie-default")
    };
    let further = [unequal, checksum, sequence("udp-nocookie-default"), sequence("ip-cookie8-default")];
    cases.extend(further);
    cases.extend(over_ipv6());
    cases.extend(in_fragments());
    cases
}

/// Over IPv6: with checksums, which are the default there, without, and without UDP; numbered, too.
fn over_ipv6() -> Vec<Case> {
    let (cookies, is_v6, session_option) = (COOKIES[2].1, true, " seq send");
    let case = |name: &str, encap| Case { name: name.to_owned(), encap, is_v6, cookies, ..PLAIN };
    let no_checksum = " udp6_csum_tx off udp6_csum_rx off";
    vec![
        case("udp6-cookie8-default-checksum", "udp"),
        Case { tunnel_option: no_checksum, ..case("udp6-cookie8-default", "udp") },
        Case { sublayer: "none", ..case("ip6-cookie8-none", "ip") },
        Case { session_option, ..case("udp6-cookie8-default-checksum-sequence", "udp") },
        Case { session_option, ..case("ip6-cookie8-default-sequence", "ip") },
    ]
}

/// A frame that does not fit, over every carrier.
fn in_fragments() -> Vec<Case> {
    let (cookies, fragments) = (COOKIES[2].1, true);
    let case = |(encap, is_v6, name): (&'static str, bool, &str)| {
        let name = format!("{name}-cookie8-default-fragments");
        Case { name, encap, is_v6, cookies, fragments, ..PLAIN }
    };
    let carriers = [("udp", false, "udp"), ("ip", false, "ip"), ("udp", true, "udp6"), ("ip", true, "ip6")];
    carriers.map(case).into()
}

impl Case {
    /// The `ip l2tp` commands of one side: tunnel, then session.
    pub(super) fn commands(&self, side: usize) -> [String; 2] {
        let (own, peer) = (OWN[side], OWN[1 - side]);
        let addresses = ADDRESSES[usize::from(self.is_v6)];
        let ports = if self.encap == "udp" {
            format!(" udp_sport {} udp_dport {}", own.0, peer.0)
        } else {
            String::new()
        };
        let tunnel = format!(
            "ip l2tp add tunnel tunnel_id {} peer_tunnel_id {} encap {} local {} remote {}{ports}{}",
            own.1,
            peer.1,
            self.encap,
            addresses[side],
            addresses[1 - side],
            self.tunnel_option
        );
        let cookie = |word: &str, value: &str| {
            if value.is_empty() { String::new() } else { format!(" {word} {value}") }
        };
        let session = format!(
            "ip l2tp add session name lan0 tunnel_id {} session_id {} peer_session_id {}{}{} l2spec_type {}{}",
            own.1,
            own.2,
            peer.2,
            cookie("cookie", self.cookies[side]),
            cookie("peer_cookie", self.cookies[1 - side]),
            self.sublayer,
            self.session_option
        );
        [tunnel, session]
    }

    /// What it is, in one line.
    pub(super) fn summary(&self) -> String {
        let bytes = |cookie: &str| cookie.len() / 2;
        let [from_a, from_b] = self.cookies.map(bytes);
        let cookies = match (from_a, from_b) {
            (0, 0) => "no cookie".to_owned(),
            (a, b) if a == b => format!("cookies of {a} bytes, other ones each way"),
            (a, b) => format!("cookies of {a} bytes from a and {b} bytes from b"),
        };
        format!(
            "over {}{}, {cookies}, sublayer {}{}{}{}",
            self.encap.to_uppercase(),
            if self.is_v6 { " and IPv6" } else { "" },
            self.sublayer,
            if self.has_checksum() { ", UDP checksum" } else { "" },
            if self.session_option.is_empty() { "" } else { ", sequence numbers" },
            if self.fragments { ", one frame of 1514 bytes in fragments" } else { "" }
        )
    }

    /// Whether there are UDP checksums: over IPv6 unless told otherwise, over IPv4 when asked for.
    fn has_checksum(&self) -> bool {
        self.encap == "udp" && self.is_v6 == self.tunnel_option.is_empty()
    }

    /// The files it ends in.
    pub(super) fn files(&self) -> [String; 2] {
        [format!("{}.lan.pcap", self.name), format!("{}.underlay.pcap", self.name)]
    }
}

/// The part of the guest's script that differs from case to case.
pub(super) fn script(cases: &[Case]) -> String {
    let mut text = String::new();
    for case in cases {
        text += &format!("begin {}\n", case.name);
        if case.is_v6 {
            text += "over_ipv6\n";
        }
        for (side, namespace) in SIDES.iter().enumerate() {
            for command in case.commands(side) {
                let words = command.trim_start_matches("ip ");
                text += &format!("$ip -n {namespace} {words}\n");
            }
        }
        let record = if case.fragments { "record_fragments" } else { "record" };
        text += &format!("{record} {}\n", case.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_of_a_case_mirror_each_other() {
        let cases = all();
        assert_eq!(cases.len(), 25);
        let case = cases.iter().find(|case| case.name == "udp-cookie4and8-default").unwrap();
        let [tunnel, session] = case.commands(0);
        assert_eq!(
            tunnel,
            "ip l2tp add tunnel tunnel_id 1000 peer_tunnel_id 2000 encap udp local 10.200.100.2 \
             remote 10.200.100.6 udp_sport 5001 udp_dport 6001"
        );
        assert_eq!(
            session,
            "ip l2tp add session name lan0 tunnel_id 1000 session_id 167772161 peer_session_id 3405691582 \
             cookie a1b2c3d4 peer_cookie 0f1e2d3c4b5a6978 l2spec_type default"
        );
        let [_, session] = case.commands(1);
        assert!(session.contains("session_id 3405691582 peer_session_id 167772161"), "{session}");
        assert!(session.contains("cookie 0f1e2d3c4b5a6978 peer_cookie a1b2c3d4"), "{session}");
    }

    #[test]
    fn no_two_cases_write_the_same_file() {
        let mut files: Vec<_> = all().iter().flat_map(Case::files).collect();
        files.sort_unstable();
        let count = files.len();
        files.dedup();
        assert_eq!((files.len(), count), (50, 50));
    }
}
