//! Cases whose two ends do not fit: nothing may arrive, and every frame has to be counted for what is wrong with it.

use super::case::{Checksums, Encap, Expected, Family, Gateway, Ours, Refusal, Theirs, Wire};
use super::matrix::{COOKIE8, Matrix, Options, PAIR, PLAIN, head};

/// A mismatch of two sessions: its name, what it is made of, what is changed in it, and where the frames end.
type Mismatch = (&'static str, Options, fn(&mut Wire), Ours, Theirs);

const SESSION_MISMATCHES: [Mismatch; 5] = [
    (
        "cookie-differs",
        COOKIE8,
        |wire| {
            let ours = &mut wire.ends[0];
            ours.cookie = other_last_digit(&ours.cookie);
            ours.peer_cookie = other_last_digit(&ours.peer_cookie);
        },
        Ours::Session("cookie_mismatch"),
        Theirs::Session,
    ),
    (
        "cookie-missing",
        COOKIE8,
        |wire| {
            let theirs = &mut wire.ends[1];
            theirs.cookie.clear();
            theirs.peer_cookie.clear();
        },
        Ours::Session("cookie_mismatch"),
        Theirs::Misread,
    ),
    // The first frame is a broadcast: read as a sublayer, its first four bytes have the bit of a control message.
    (
        "l2spec-missing",
        PLAIN,
        |wire| wire.ends[1].l2spec_type = "none",
        Ours::Session("vccv"),
        Theirs::Misread,
    ),
    // Four zero bytes in front of the frame shift its broadcast destination into the place of the source.
    (
        "l2spec-surplus",
        PLAIN,
        |wire| wire.ends[0].l2spec_type = "none",
        Ours::Misread("invalid_source"),
        Theirs::Misread,
    ),
    (
        "session-unknown",
        PLAIN,
        |wire| {
            for end in &mut wire.ends {
                end.peer_session_id ^= 0x0010_0000;
            }
        },
        Ours::Total("unknown_session"),
        Theirs::Unseen,
    ),
];

/// A cookie that differs in its last digit: every byte has to be looked at.
fn other_last_digit(cookie: &str) -> String {
    let (head, last) = cookie.split_at(cookie.len() - 1);
    format!("{head}{}", if last == "0" { '1' } else { '0' })
}

impl Matrix {
    /// The cases of one encapsulation over one family.
    pub(super) fn add_mismatches(&mut self, encap: Encap, family: Family) {
        for (what, options, change, ours, theirs) in SESSION_MISMATCHES {
            let tunnel = self.tunnel(encap, family, PAIR, [Checksums::DEFAULT; 2]);
            let mut wire = self.wire(tunnel, PAIR, options);
            change(&mut wire);
            self.refused(encap, family, what, wire, Refusal { ours, theirs, rests_on: None });
        }
        self.add_sequence_mismatches(encap, family);
        match encap {
            Encap::Ip => self.add_wrong_address(family),
            Encap::Udp => self.add_wrong_port(family),
        }
        if (encap, family) == (Encap::Udp, Family::V6) {
            self.add_checksum_mismatches();
        }
    }

    fn refused(&mut self, encap: Encap, family: Family, what: &str, wire: Wire, refusal: Refusal) {
        let name = format!("{}/refused/{what}", head(encap, family));
        self.case(name, PAIR.into(), vec![wire], Expected::Refused(refusal));
    }

    /// One end demands numbers, the other sends none.
    fn add_sequence_mismatches(&mut self, encap: Encap, family: Family) {
        let demanded = Refusal {
            ours: Ours::Session("sequence_missing"),
            theirs: Theirs::Accepted,
            rests_on: Some("seq"),
        };
        let refused = Refusal { ours: Ours::Accepted, theirs: Theirs::Session, rests_on: None };
        for (what, seq, refusal) in [
            ("seq-missing", ["recv", "none"], demanded),
            // The kernel stops to number when it receives our first packet, which has no number.
            ("seq-recv-alone", ["recv", "send"], demanded),
            ("seq-demanded", ["none", "recv"], refused),
        ] {
            let tunnel = self.tunnel(encap, family, PAIR, [Checksums::DEFAULT; 2]);
            let wire = self.wire(tunnel, PAIR, Options { seq, ..PLAIN });
            self.refused(encap, family, what, wire, refusal);
        }
    }

    /// The kernel's session is in a tunnel from its other address, which we have a tunnel with too. The kernel looks at the
    /// session id only and takes what we send.
    fn add_wrong_address(&mut self, family: Family) {
        let tunnel = self.tunnel(Encap::Ip, family, PAIR, [Checksums::DEFAULT; 2]);
        let other = self.tunnel_between(
            Encap::Ip,
            family,
            PAIR,
            [family.address(Gateway::First), family.other_address(Gateway::Kernel)],
            [Checksums::DEFAULT; 2],
        );
        let mut wire = self.wire(tunnel, PAIR, PLAIN);
        wire.tunnels[1] = other;
        let refusal = Refusal { ours: Ours::Total("wrong_source"), theirs: Theirs::Accepted, rests_on: None };
        self.refused(Encap::Ip, family, "source-of-another-tunnel", wire, refusal);
    }

    /// The kernel sends from another UDP port than the tunnel's, so its packets are none of ours.
    fn add_wrong_port(&mut self, family: Family) {
        let tunnel = self.tunnel(Encap::Udp, family, PAIR, [Checksums::DEFAULT; 2]);
        self.tunnels[usize::from(tunnel)].ends[0].udp_dport += 10_000;
        let wire = self.wire(tunnel, PAIR, PLAIN);
        let refusal =
            Refusal { ours: Ours::Steering("pass_not_tunnel"), theirs: Theirs::Unseen, rests_on: None };
        self.refused(Encap::Udp, family, "port-differs", wire, refusal);
    }

    /// One end sends no checksums over IPv6, the other demands them.
    fn add_checksum_mismatches(&mut self) {
        let default = Checksums::DEFAULT;
        let silent = Checksums { udp6_tx: false, ..default };
        let demanded = Refusal {
            ours: Ours::Total("udp_checksum_missing"),
            theirs: Theirs::Accepted,
            rests_on: Some("udp6_csum_rx"),
        };
        let refused = Refusal { ours: Ours::Accepted, theirs: Theirs::Unseen, rests_on: None };
        for (what, checksums, refusal) in
            [("csum-missing", [default, silent], demanded), ("csum-demanded", [silent, default], refused)]
        {
            let tunnel = self.tunnel(Encap::Udp, Family::V6, PAIR, checksums);
            let wire = self.wire(tunnel, PAIR, PLAIN);
            self.refused(Encap::Udp, Family::V6, what, wire, refusal);
        }
    }
}
