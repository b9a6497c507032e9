//! The fields of our outer IP headers that are settings: time to live, traffic class, "don't fragment".

use toml::Value;

use super::Evidence;
use crate::interop::capture::Packet;
use crate::interop::case::{Case, Gateway, Wire};
use crate::interop::exercises::MARK;
use crate::interop::own::Exercise;

/// What is in an outer header where no setting says otherwise.
const DEFAULT_TTL: i64 = 64;

/// Bits of the traffic class that are ECN.
const ECN: u8 = 0b11;

/// EtherTypes of an IPv4 packet and of a tag, and the length of the tag.
const IPV4: [u8; 2] = [8, 0];
const TAG: [u8; 2] = [0x81, 0];
const TAG_BYTES: usize = 4;

impl Evidence<'_> {
    /// Whether each packet of ours has the marks that the settings say.
    pub(super) fn mark_faults(&self, case: &Case, wire: &Wire) -> Vec<String> {
        let end = wire.end(Gateway::First);
        if wire.gateways[end] != Gateway::First || !wire.gateways.contains(&Gateway::Kernel) {
            return Vec::new();
        }
        let head_bytes = {
            let session = &wire.ends[end];
            let sublayer = if session.l2spec_type == "default" { 4 } else { 0 };
            session.cookie.len() / 2 + sublayer
        };
        let packets = self.packets(wire, end);
        let mut faults = Vec::new();
        let wrong =
            packets.iter().filter_map(|packet| wrong_mark(case, packet, packet.rest.get(head_bytes..)));
        faults.extend(wrong.take(1).map(|fault| format!("{}: {fault}", wire.name())));
        let is_marked =
            |packet: &&Packet| packet.rest.get(head_bytes..).and_then(inner_traffic_class) == Some(MARK);
        if case.exercise == Some(Exercise::Marked) && !packets.iter().any(|packet| is_marked(&packet)) {
            faults.push(format!("{}: no marked frame was seen", wire.name()));
        }
        faults
    }
}

/// What is wrong with a packet that carries a frame.
fn wrong_mark(case: &Case, packet: &Packet, frame: Option<&[u8]>) -> Option<String> {
    let ttl = case.setting("ttl").and_then(Value::as_integer).unwrap_or(DEFAULT_TTL);
    if i64::from(packet.ttl) != ttl {
        return Some(format!("a packet of gw1 has time to live {} and not {ttl}", packet.ttl));
    }
    let df = case.setting("df").and_then(Value::as_bool).unwrap_or(false);
    if packet.df != df {
        return Some(format!("a packet of gw1 has DF {} and not {df}", packet.df));
    }
    let inner = frame.and_then(inner_traffic_class).unwrap_or(0);
    let is_copied = |key: &str| case.setting(key).and_then(Value::as_str) == Some("copy");
    let number = case.setting("dscp").and_then(Value::as_integer).and_then(|dscp| u8::try_from(dscp).ok());
    let dscp = if is_copied("dscp") { inner & !ECN } else { number.unwrap_or(0) << 2 };
    let ecn = if is_copied("ecn") { inner & ECN } else { 0 };
    (packet.traffic_class != dscp | ecn).then(|| {
        let (has, expected) = (packet.traffic_class, dscp | ecn);
        format!("a packet of gw1 has traffic class {has:#04x} and not {expected:#04x}, the frame's is {inner:#04x}")
    })
}

/// The traffic class of the IPv4 packet in a frame, tagged or not.
fn inner_traffic_class(frame: &[u8]) -> Option<u8> {
    let frame = frame.get(12..)?;
    let packet = if frame.starts_with(&TAG) { frame.get(TAG_BYTES..)? } else { frame };
    packet.strip_prefix(&IPV4)?.get(1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::judge::tests::{Made, answered};

    /// An IPv4 packet with the mark, in a frame with a tag.
    fn marked_frame() -> Vec<u8> {
        [&[2; 12][..], &TAG, &[0, 100], &IPV4, &[0x45, MARK]].concat()
    }

    /// A case whose packets are as they have to be, the last of each end with a marked frame behind the head.
    fn made(name: &str, marks: (u8, u8, bool), marked: u8) -> (Made, Case) {
        let (mut made, case) = Made::passing(name);
        let packets = made.packets(&case, 0);
        for packet in packets.iter_mut() {
            (packet.ttl, packet.traffic_class, packet.df) = marks;
        }
        let last = packets.last_mut().unwrap();
        last.rest.extend(marked_frame());
        last.traffic_class = marked;
        (made, case)
    }

    const GOOD: [(&str, (u8, u8, bool), u8); 4] = [
        ("udp4/marks/default", (64, 0, false), 0),
        ("ip6/marks/ttl-dscp", (33, 40, false), 40),
        ("udp6/marks/copied", (64, 0, false), MARK),
        ("ip4/marks/df", (64, 0, true), 0),
    ];

    #[test]
    fn packets_with_the_marks_of_the_settings_have_no_fault() {
        for (name, marks, marked) in GOOD {
            let (made, case) = made(name, marks, marked);
            assert_eq!(made.faults(&case, &answered()), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn every_other_mark_is_a_fault() {
        for (name, (ttl, class, df), marked) in GOOD {
            for (marks, marked) in [
                ((ttl + 1, class, df), marked),
                ((ttl, class + 4, df), marked),
                ((ttl, class | 1, df), marked),
                ((ttl, class, !df), marked),
                ((ttl, class, df), marked ^ 2),
                ((ttl, class, df), marked ^ 8),
            ] {
                let (made, case) = made(name, marks, marked);
                assert_eq!(made.faults(&case, &answered()).len(), 1, "{name}: {marks:?} {marked}");
            }
        }
    }

    #[test]
    fn a_case_without_its_marked_frame_proves_nothing() {
        let (mut made, case) = made("udp4/marks/copied", (64, 0, false), MARK);
        made.packets(&case, 0).pop();
        let faults = made.faults(&case, &answered());
        assert!(faults.iter().any(|fault| fault.contains("no marked frame")), "{faults:?}");
    }
}
