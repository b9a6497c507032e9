//! Ledger: what ICMP said about one tunnel's packets, by kind, and the last of it.
//!
//! Anybody who knows a tunnel's addresses and ports can forge ICMP errors. So nothing here takes a tunnel down.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use xsk::anchor::IcmpError;

/// How long an error that says "not reachable" is taken for the state of the path.
const UNREACHABLE_FOR: Duration = Duration::from_secs(30);

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal, $text:literal;)+) => {
        /// What an ICMP or ICMPv6 error says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum IcmpKind {
            $($(#[$doc])+ $variant,)+
        }

        impl IcmpKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Stable name, as `--json` prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The same for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

kinds! {
    /// A packet is larger than a link of the path takes.
    TooBig => "too_big", "packet too big";
    /// A router has no route to the peer's network.
    NetUnreachable => "net_unreachable", "network unreachable";
    /// The last router does not reach the peer.
    HostUnreachable => "host_unreachable", "host unreachable";
    /// The peer knows no protocol 115.
    ProtocolUnreachable => "protocol_unreachable", "protocol unreachable";
    /// The peer has no socket on the UDP port.
    PortUnreachable => "port_unreachable", "port unreachable";
    /// A router or the peer refuses it by rule.
    Prohibited => "prohibited", "administratively prohibited";
    /// TTL or hop limit ran out on the way.
    TimeExceeded => "time_exceeded", "time exceeded";
    /// The peer did not get all fragments of a packet.
    ReassemblyTimeExceeded => "reassembly_time_exceeded", "fragment reassembly time exceeded";
    /// A header field is wrong.
    ParameterProblem => "parameter_problem", "parameter problem";
    /// Anything else.
    Other => "other", "other ICMP error";
}

impl IcmpKind {
    /// What an error says. Source: RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1, RFC 4443 §3.
    #[must_use]
    pub const fn of(error: &IcmpError) -> Self {
        match (error.is_ipv6, error.kind, error.code) {
            (false, 3, 4) | (true, 2, _) => Self::TooBig,
            (false, 3, 0 | 6 | 11) | (true, 1, 0) => Self::NetUnreachable,
            (false, 3, 1 | 7 | 8 | 12) | (true, 1, 2 | 3) => Self::HostUnreachable,
            (false, 3, 2) | (true, 4, 1) => Self::ProtocolUnreachable,
            (false, 3, 3) | (true, 1, 4) => Self::PortUnreachable,
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => Self::Prohibited,
            (false, 11, 1) | (true, 3, 1) => Self::ReassemblyTimeExceeded,
            (false, 11, _) | (true, 3, _) => Self::TimeExceeded,
            (false, 12, _) | (true, 4, _) => Self::ParameterProblem,
            _ => Self::Other,
        }
    }

    /// Whether it says that packets do not reach the peer. What puts fragments together is the peer itself.
    #[must_use]
    pub const fn is_unreachable(self) -> bool {
        !matches!(self, Self::TooBig | Self::ReassemblyTimeExceeded | Self::Other)
    }
}

/// The ICMP errors about one tunnel.
#[derive(Clone, Debug, Default)]
pub struct IcmpLedger {
    counts: [u64; IcmpKind::ALL.len()],
    last: Option<Last>,
    /// When the path was last said to end before the peer.
    unreachable: Option<Instant>,
}

/// The latest error.
#[derive(Clone, Copy, Debug)]
struct Last {
    kind: IcmpKind,
    mtu: u32,
    offender: Option<IpAddr>,
    when: Instant,
}

impl IcmpLedger {
    /// Notes an error.
    pub fn note(&mut self, error: &IcmpError, now: Instant) {
        let kind = IcmpKind::of(error);
        self.counts[kind as usize] += 1;
        self.last = Some(Last { kind, mtu: error.mtu, offender: error.offender, when: now });
        if kind.is_unreachable() {
            self.unreachable = Some(now);
        }
    }

    /// Number of errors by kind; kinds that never occurred are left out.
    pub fn counts(&self) -> impl Iterator<Item = (IcmpKind, u64)> {
        IcmpKind::ALL.iter().copied().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// The latest error: what it said, who sent it, and how long ago. Units: seconds.
    #[must_use]
    pub fn last(&self, now: Instant) -> Option<(String, u64)> {
        let last = self.last?;
        let mut text = last.kind.text().to_owned();
        if last.kind == IcmpKind::TooBig {
            text += &format!(", MTU {}", last.mtu);
        }
        if let Some(offender) = last.offender {
            text += &format!(", from {offender}");
        }
        Some((text, now.saturating_duration_since(last.when).as_secs()))
    }

    /// Whether the path was said to end before the peer lately, and the peer was not heard since. `heard`: when it was last.
    #[must_use]
    pub fn is_unreachable(&self, now: Instant, heard: Option<Instant>) -> bool {
        self.unreachable.is_some_and(|when| {
            now.saturating_duration_since(when) < UNREACHABLE_FOR && heard.is_none_or(|heard| heard <= when)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(is_ipv6: bool, kind: u8, code: u8) -> IcmpError {
        IcmpError { is_ipv6, kind, code, mtu: 1400, offender: Some("10.200.100.1".parse().unwrap()) }
    }

    #[test]
    fn every_kind_has_its_own_name_and_place() {
        for (position, kind) in IcmpKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, position);
            assert_eq!(IcmpKind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1);
        }
    }

    #[test]
    fn every_kind_is_explained_in_the_guide() {
        let guide = include_str!("../../../docs/src/guide/mtu.md");
        for kind in IcmpKind::ALL {
            assert!(guide.contains(&format!("| `{}` |", kind.name())), "{kind:?}");
        }
    }

    #[test]
    fn types_and_codes_of_both_versions_are_told_apart() {
        use IcmpKind::*;
        let expected = [
            (error(false, 3, 4), TooBig),
            (error(true, 2, 0), TooBig),
            (error(false, 3, 0), NetUnreachable),
            (error(true, 1, 0), NetUnreachable),
            (error(false, 3, 1), HostUnreachable),
            (error(true, 1, 3), HostUnreachable),
            (error(false, 3, 2), ProtocolUnreachable),
            (error(true, 4, 1), ProtocolUnreachable),
            (error(false, 3, 3), PortUnreachable),
            (error(true, 1, 4), PortUnreachable),
            (error(false, 3, 13), Prohibited),
            (error(true, 1, 1), Prohibited),
            (error(false, 11, 0), TimeExceeded),
            (error(true, 3, 0), TimeExceeded),
            (error(false, 11, 1), ReassemblyTimeExceeded),
            (error(true, 3, 1), ReassemblyTimeExceeded),
            (error(false, 12, 0), ParameterProblem),
            (error(true, 4, 0), ParameterProblem),
            (error(false, 4, 0), Other),
            (error(true, 100, 0), Other),
        ];
        for (error, kind) in expected {
            assert_eq!(IcmpKind::of(&error), kind, "{error}");
        }
    }

    #[test]
    fn errors_are_counted_by_kind_and_the_last_one_is_told() {
        let (mut ledger, start) = (IcmpLedger::default(), Instant::now());
        assert_eq!(ledger.last(start), None);
        ledger.note(&error(false, 3, 1), start);
        ledger.note(&error(false, 3, 1), start);
        ledger.note(&error(false, 3, 4), start + Duration::from_secs(1));
        let counts: Vec<_> = ledger.counts().collect();
        assert_eq!(counts, [(IcmpKind::TooBig, 1), (IcmpKind::HostUnreachable, 2)]);
        let last = ledger.last(start + Duration::from_secs(5));
        assert_eq!(last, Some(("packet too big, MTU 1400, from 10.200.100.1".to_owned(), 4)));
    }

    #[test]
    fn a_path_is_unreachable_until_the_peer_is_heard_or_nothing_was_said_for_a_while() {
        let (mut ledger, start) = (IcmpLedger::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        ledger.note(&error(false, 3, 4), at(10));
        assert!(!ledger.is_unreachable(at(10), None), "too big arrives in part");
        ledger.note(&error(false, 11, 1), at(10));
        assert!(!ledger.is_unreachable(at(10), None), "the peer itself misses a fragment");
        ledger.note(&error(false, 3, 1), at(10));
        assert!(ledger.is_unreachable(at(11), None) && ledger.is_unreachable(at(11), Some(at(9))));
        assert!(!ledger.is_unreachable(at(12), Some(at(11))), "heard since");
        assert!(ledger.is_unreachable(at(39), None) && !ledger.is_unreachable(at(40), None));
    }
}
