//! Judges an interface: link, XDP, MTU, what merges and strips, NAPI. Queues and how they are fed stand in [`queue_rows`].

use xsk::nic::{Feature, XdpCapabilities};

use super::change::{Change, Setting, Value};
use super::port::{Findings, Sysfs};
use super::queue_rows;
use super::row::Row;
use super::tree::Tree;
use crate::config::tuning::{GRO_FLUSH_TIMEOUT_NS, NAPI_DEFER_HARD_IRQS};
use crate::supervisor::host;

/// The larger of the two sizes of a chunk. Units: bytes.
const LARGEST_CHUNK: usize = 4096;

/// The rows of an interface, for a process with these CPUs.
pub(super) fn rows(found: &Findings, tree: &Tree, allowed: &[usize]) -> Vec<Row> {
    let mut rows = vec![driver(found), link(found)];
    rows.extend(controller(found));
    rows.extend(occupant(found));
    rows.extend([xdp(found), zero_copy(found), udp_checksums(found), mtu(found)]);
    rows.extend(queue_rows::rows(found, tree, allowed));
    rows.push(napi(found, tree));
    rows.extend([merging(found), tags(found)]);
    rows.extend(checksums(found));
    rows
}

fn driver(found: &Findings) -> Row {
    let sysfs = found.sysfs.clone().unwrap_or_default();
    let mut parts = vec![found.facts.driver.clone()];
    if !found.facts.bus.is_empty() {
        parts.push(format!("at {}", found.facts.bus));
    }
    parts.extend(sysfs.numa_node.map(|node| format!("NUMA node {node}")));
    parts.extend(sysfs.speed_mbps.map(|speed| format!("{speed} Mb/s")));
    Row::ok("driver", parts.join(", "))
}

fn link(found: &Findings) -> Row {
    let name = &found.interface.name;
    match (found.is_up, found.has_carrier) {
        (true, true) => Row::ok("link", "up"),
        (true, false) => Row::obstacle("link", "no carrier")
            .because("nothing answers at the other end")
            .by_hand("plug the cable in, or set the other end up"),
        (false, _) => Row::obstacle("link", "down").by_hand(format!("ip link set {name} up")),
    }
}

/// Only where it is a member of something.
fn controller(found: &Findings) -> Option<Row> {
    let controller = found.controller.as_ref()?;
    let row = Row::obstacle("member of", controller.clone())
        .because("the kernel takes its frames too")
        .by_hand(format!("ip link set {} nomaster", found.interface.name));
    Some(row)
}

/// Only where there is a program that is not a gateway's.
fn occupant(found: &Findings) -> Option<Row> {
    let thing = "XDP program";
    let occupant = found.occupant.as_ref()?;
    if occupant.name.is_none() {
        return Some(Row::untold(thing, format!("there is one, {occupant}; root is told whose")));
    }
    let row = Row::obstacle(thing, occupant.to_string())
        .because("an interface has one at a time")
        .by_hand(occupant.cure(&found.interface.name));
    Some(row)
}

fn xdp(found: &Findings) -> Row {
    let thing = "native XDP";
    match found.xdp {
        Some(XdpCapabilities { native: true, rx_multi_buffer, .. }) => {
            let many = if rx_multi_buffer { "with" } else { "without" };
            Row::ok(thing, format!("yes, {many} multi-buffer"))
        }
        Some(_) if found.facts.driver == "veth" => Row::better(thing, "no")
            .because("a veth has it when it has as many receive queues as its other end has transmit queues")
            .by_hand(format!("ethtool -L {} rx N, or at the other end ethtool -L INTERFACE tx N", found.interface.name)),
        Some(_) => Row::better(thing, "no")
            .because("the kernel makes a buffer of its own for every frame before the gateway gets it; takes another driver or card"),
        None => Row::untold(thing, "kernels tell from 6.3 on; `spanwire port show` tells what a gateway obtained"),
    }
}

fn zero_copy(found: &Findings) -> Row {
    let thing = "zero-copy";
    match found.xdp {
        Some(able) if able.zero_copy => {
            let chunks = able.zero_copy_segments.max(1);
            let plural = if chunks == 1 { "" } else { "s" };
            Row::ok(thing, format!("yes, frames of {chunks} chunk{plural}"))
                .because("as the driver says; `spanwire port show` tells what a gateway obtained")
        }
        Some(_) => Row::better(thing, "no").because(
            "every frame is copied once on its way in and once on its way out; takes another driver or card",
        ),
        None => {
            Row::untold(thing, "kernels tell from 6.3 on; `spanwire port show` tells what a gateway obtained")
        }
    }
}

/// Who makes them for packets that leave here; in copy mode the card can as well, but not by itself.
fn udp_checksums(found: &Findings) -> Row {
    let (thing, gateway) = ("UDP checksums", "made by the gateway");
    let Some(able) = found.xdp else {
        return Row::untold(thing, "kernels tell from 6.8 on; `spanwire port show` tells who makes them");
    };
    let is_on = |name| found.feature(name).is_some_and(|state| state.active);
    let by_card = is_on("tx-checksum-ip-generic") || (is_on("tx-checksum-ipv4") && is_on("tx-checksum-ipv6"));
    match able {
        XdpCapabilities { zero_copy: true, tx_checksum: true, .. } => {
            Row::ok(thing, "made by the card").because("with zero-copy, Linux 6.11 and `tx_checksum` as it is by default")
        }
        XdpCapabilities { zero_copy: true, .. } => {
            Row::ok(thing, gateway).because("the driver fills none in with zero-copy")
        }
        _ if by_card && found.facts.driver != "veth" => Row::better(thing, gateway)
            .because("the card can make them of packets that the kernel copies: `tx_checksum = \"on\"` of the port, Linux 6.11"),
        _ => Row::ok(thing, gateway).because("the device fills none in"),
    }
}

fn mtu(found: &Findings) -> Row {
    let (thing, name, mtu) = ("MTU", &found.interface.name, found.facts.mtu);
    if let Some(problem) = host::mtu_problem(name, mtu, LARGEST_CHUNK) {
        return Row::obstacle(thing, mtu.to_string()).because(problem);
    }
    if !host::needs_multi_buffer(mtu, LARGEST_CHUNK) {
        return Row::ok(thing, mtu.to_string());
    }
    let largest = host::largest_mtu(LARGEST_CHUNK, 1);
    let lower = format!("ip link set {name} mtu {largest}");
    match found.xdp {
        Some(XdpCapabilities { native: true, rx_multi_buffer: false, .. }) => {
            Row::obstacle(thing, mtu.to_string())
                .because("frames of this size span several chunks, which the driver cannot in native XDP")
                .by_hand(lower)
        }
        Some(XdpCapabilities { zero_copy: true, zero_copy_segments: 0 | 1, .. }) => {
            Row::better(thing, mtu.to_string())
                .because("frames of this size span several chunks, which the driver cannot with zero-copy")
                .by_hand(lower)
        }
        _ => Row::ok(thing, mtu.to_string())
            .because("frames of this size span several chunks: multi-buffer, kernel 6.6"),
    }
}

fn napi(found: &Findings, tree: &Tree) -> Row {
    let thing = "NAPI deferral";
    let Some(Sysfs { napi_defer_hard_irqs: Some(defer), gro_flush_timeout_ns: Some(timeout), .. }) =
        found.sysfs
    else {
        return Row::untold(thing, OTHER_NAMESPACE);
    };
    let text = format!("{defer} polls, {timeout} ns");
    if defer > 0 && timeout > 0 {
        return Row::ok(thing, text);
    }
    let change = |file: &str, to: u32| {
        let path = tree.path(&format!("sys/class/net/{}/{file}", found.interface.name));
        let setting = Setting::InterfaceFile(found.interface.clone(), path);
        Change { setting, to: Value::Text(to.to_string()) }
    };
    Row::better(thing, text)
        .because("it spares a card interrupts under load, for up to the time-out of delay after it; a gateway sets it itself with `busy_poll_us`, which \
                  needs it; a veth gains nothing")
        .by(vec![
            change("napi_defer_hard_irqs", NAPI_DEFER_HARD_IRQS),
            change("gro_flush_timeout", GRO_FLUSH_TIMEOUT_NS),
        ])
}

/// Why `/sys/class/net` is not believed.
pub(super) const OTHER_NAMESPACE: &str =
    "/sys shows another network namespace; `ip netns exec NAMESPACE spanwire doctor` mounts the right one";

/// Merging by the card.
fn merging(found: &Findings) -> Row {
    let thing = "merging (LRO)";
    let of = |name: &'static str| found.feature(name).filter(|state| state.active).map(|state| (name, state));
    let on: Vec<_> = ["rx-lro", "rx-gro-hw"].into_iter().filter_map(of).collect();
    if on.is_empty() {
        return Row::ok(thing, "off");
    }
    let names = on.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let change = |(name, _): &(&str, Feature)| Change {
        setting: Setting::Feature(found.interface.clone(), (*name).to_owned()),
        to: Value::Switch(false),
    };
    let changes: Vec<_> = on.iter().filter(|(_, state)| state.changeable).map(change).collect();
    if changes.is_empty() {
        return Row::ok(thing, format!("on: {names}")).because("the driver has no switch for it");
    }
    Row::better(thing, format!("on: {names}"))
        .because("the card hands over several frames as one; most drivers refuse native XDP meanwhile")
        .by(changes)
}

/// Tags that the card takes out of the frame.
fn tags(found: &Findings) -> Row {
    let thing = "VLAN tags";
    let is_on = |name| found.feature(name).is_some_and(|state| state.active);
    if is_on("rx-vlan-hw-parse") || is_on("rx-vlan-stag-hw-parse") {
        return Row::ok(thing, "taken out by the card")
            .because("a gateway has them left in on its access ports, and puts that back at its end");
    }
    Row::ok(thing, "left in the frame")
}

/// Only of a veth.
fn checksums(found: &Findings) -> Option<Row> {
    (found.facts.driver == "veth").then(|| {
        Row::untold("checksums", "a veth's other end leaves them, and segmentation, to hardware that is not there, unless told not to")
            .by_hand("at the other end: ethtool -K INTERFACE tx off tso off gso off")
    })
}

#[cfg(test)]
mod tests {
    use super::super::port::tests::findings;
    use super::super::row::Verdict;
    use super::*;

    fn judge(row: &Row) -> (Verdict, &str, Option<&str>) {
        (row.verdict, &row.found, row.command.as_deref())
    }

    #[test]
    fn the_driver_is_told_with_its_place_and_speed() {
        let mut found = findings();
        assert_eq!(driver(&found).found, "igb, at 0000:01:00.0, NUMA node 0, 1000 Mb/s");
        found.sysfs = None;
        found.facts.bus = String::new();
        assert_eq!(driver(&found).found, "igb");
    }

    #[test]
    fn a_link_that_is_down_or_a_member_of_a_bridge_stands_in_the_way() {
        let mut found = findings();
        assert_eq!(judge(&link(&found)), (Verdict::Ok, "up", None));
        assert!(controller(&found).is_none());
        found.controller = Some("br0".into());
        let member = controller(&found).unwrap();
        assert_eq!(judge(&member), (Verdict::StandsInTheWay, "br0", Some("ip link set eth1 nomaster")));
        found.has_carrier = false;
        assert_eq!(link(&found).verdict, Verdict::StandsInTheWay);
        found.is_up = false;
        assert_eq!(judge(&link(&found)), (Verdict::StandsInTheWay, "down", Some("ip link set eth1 up")));
    }

    #[test]
    fn xdp_is_told_as_the_driver_tells_it() {
        let mut found = findings();
        assert_eq!(judge(&xdp(&found)), (Verdict::Ok, "yes, without multi-buffer", None));
        assert_eq!(judge(&zero_copy(&found)), (Verdict::Ok, "yes, frames of 1 chunk", None));
        found.xdp = Some(XdpCapabilities::default());
        found.facts.driver = "veth".into();
        assert!(xdp(&found).why.contains("as its other end has transmit queues"));
        found.facts.driver = "igb".into();
        assert!(xdp(&found).why.contains("another driver or card"));
        assert_eq!(
            (xdp(&found).verdict, zero_copy(&found).verdict),
            (Verdict::CouldBeBetter, Verdict::CouldBeBetter)
        );
        found.xdp = None;
        assert_eq!(
            (xdp(&found).verdict, zero_copy(&found).verdict),
            (Verdict::CannotBeTold, Verdict::CannotBeTold)
        );
    }

    #[test]
    fn udp_checksums_are_the_card_s_where_it_can_and_the_way_there_is_told() {
        let mut found = findings();
        let row = |found: &Findings| {
            let row = udp_checksums(found);
            (row.verdict, row.found.clone(), row.why.contains("tx_checksum"))
        };
        let gateway = String::from("made by the gateway");
        assert_eq!(row(&found), (Verdict::Ok, gateway.clone(), false), "the driver cannot");
        let able = XdpCapabilities { tx_checksum: true, ..found.xdp.unwrap() };
        found.xdp = Some(able);
        assert_eq!(row(&found), (Verdict::Ok, "made by the card".into(), true));
        found.xdp = Some(XdpCapabilities { zero_copy: false, ..able });
        assert_eq!(row(&found), (Verdict::Ok, gateway.clone(), false), "copy mode, and the card cannot");
        let on = Feature { active: true, requested: true, changeable: true };
        found.features = vec![("tx-checksum-ipv4", on)];
        assert_eq!(row(&found).0, Verdict::Ok, "half of it");
        for features in
            [vec![("tx-checksum-ipv4", on), ("tx-checksum-ipv6", on)], vec![("tx-checksum-ip-generic", on)]]
        {
            found.features = features;
            assert_eq!(row(&found), (Verdict::CouldBeBetter, gateway.clone(), true));
        }
        found.facts.driver = "veth".into();
        assert_eq!(row(&found), (Verdict::Ok, gateway, false), "it only claims to");
        found.xdp = None;
        assert_eq!(row(&found).0, Verdict::CannotBeTold);
    }

    #[test]
    fn a_large_mtu_is_judged_by_what_the_driver_does_with_several_chunks() {
        let mut found = findings();
        assert_eq!(mtu(&found).verdict, Verdict::Ok);
        found.facts.mtu = 9000;
        let command = Some("ip link set eth1 mtu 3818");
        assert_eq!(judge(&mtu(&found)), (Verdict::StandsInTheWay, "9000", command));
        let able = XdpCapabilities { rx_multi_buffer: true, ..found.xdp.unwrap() };
        found.xdp = Some(able);
        assert_eq!(judge(&mtu(&found)), (Verdict::CouldBeBetter, "9000", command));
        found.xdp = Some(XdpCapabilities { zero_copy_segments: 8, ..able });
        assert_eq!(mtu(&found).verdict, Verdict::Ok);
        found.facts.mtu = 3818;
        found.xdp = None;
        assert_eq!(mtu(&found).verdict, Verdict::Ok);
    }

    #[test]
    fn napi_deferral_is_off_when_one_of_the_two_is() {
        let tree = Tree::of_this_machine();
        let mut found = findings();
        let mut sysfs = found.sysfs.clone().unwrap();
        let row = napi(&found, &tree);
        let command = "echo 2 > /sys/class/net/eth1/napi_defer_hard_irqs; \
                       echo 200000 > /sys/class/net/eth1/gro_flush_timeout";
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, "0 polls, 0 ns", Some(command)));
        sysfs.napi_defer_hard_irqs = Some(2);
        found.sysfs = Some(sysfs.clone());
        assert_eq!(napi(&found, &tree).verdict, Verdict::CouldBeBetter);
        sysfs.gro_flush_timeout_ns = Some(1);
        found.sysfs = Some(sysfs);
        assert_eq!(napi(&found, &tree).verdict, Verdict::Ok);
        found.sysfs = None;
        assert_eq!(napi(&found, &tree).verdict, Verdict::CannotBeTold);
    }

    #[test]
    fn merging_by_the_card_is_switched_off_where_it_can_be() {
        let mut found = findings();
        assert_eq!(judge(&merging(&found)), (Verdict::Ok, "off", None));
        let on = Feature { active: true, requested: true, changeable: true };
        found.features = vec![("rx-lro", on), ("rx-gro-hw", Feature { changeable: false, ..on })];
        let row = merging(&found);
        let command = Some("ethtool -K eth1 rx-lro off");
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, "on: rx-lro, rx-gro-hw", command));
        assert_eq!(row.changes.len(), 1);
    }

    #[test]
    fn checksums_are_a_matter_of_veths_only() {
        let mut found = findings();
        assert!(checksums(&found).is_none());
        found.facts.driver = "veth".into();
        assert!(checksums(&found).unwrap().command.unwrap().contains("ethtool -K"));
    }
}
