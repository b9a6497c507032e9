//! Judges the queues of an interface: how many, how large, how packets are spread over them, and which CPU is interrupted for each.

use xsk::nic::{Channels, Coalescing, Flow, HashFields, RingSizes};

use super::change::{Change, Setting, Value};
use super::cpus;
use super::port::Findings;
use super::row::Row;
use super::tree::Tree;

/// Hardware rings that hold what arrives while a worker is busy with another batch. Units: descriptors.
const RING: u32 = 1024;
/// Delay of an interrupt beyond which latency shows. Units: microseconds.
const LONG_COALESCING_US: u32 = 100;

/// The rows of an interface's queues, for a process with these CPUs.
pub(super) fn rows(found: &Findings, tree: &Tree, allowed: &[usize]) -> Vec<Row> {
    let mut rows = vec![queues(found, allowed), rings(found)];
    if found.facts.rx_queues > 1 {
        rows.extend([
            spread(found),
            udp_hash(found, Flow::Udp4),
            udp_hash(found, Flow::Udp6),
            session_hash(found),
        ]);
    }
    rows.extend([
        steering(found),
        near_cpus(found, allowed),
        interrupts(found, tree, allowed),
        coalescing(found),
    ]);
    rows
}

fn queues(found: &Findings, allowed: &[usize]) -> Row {
    let thing = "queues";
    let (rx, tx) = (found.facts.rx_queues, found.facts.tx_queues);
    let Some(now) = found.channels else {
        return Row::ok(thing, format!("rx {rx} tx {tx}")).because(
            "the driver has no say in their number; a port serves as many workers as it has of either",
        );
    };
    let text = format!("{} (at most {})", Value::Queues(now), Value::Queues(at_most(&now)));
    let cpus = u32::try_from(allowed.len()).unwrap_or(u32::MAX);
    let more = Channels {
        rx: now.rx.max(now.max_rx.min(cpus)),
        tx: now.tx.max(now.max_tx.min(cpus)),
        combined: if now.rx + now.tx > 0 {
            now.combined
        } else {
            now.combined.max(now.max_combined.min(cpus))
        },
        ..now
    };
    if more == now {
        return Row::ok(thing, text);
    }
    let setting = Setting::Queues(found.interface.clone());
    Row::better(thing, text)
        .because("a port serves as many workers as it has receive and transmit queues, and this process may use more CPUs; \
                  native XDP on a veth needs as many receive queues as the other end has transmit queues")
        .by(vec![Change { setting, to: Value::Queues(more) }])
}

/// The largest numbers, as if they were in force.
fn at_most(channels: &Channels) -> Channels {
    let Channels { max_rx, max_tx, max_combined, .. } = *channels;
    Channels { rx: max_rx, tx: max_tx, combined: max_combined, ..*channels }
}

fn rings(found: &Findings) -> Row {
    let thing = "hardware rings";
    let Some(now) = found.rings.filter(|rings| rings.max_rx > 0) else {
        return Row::ok(thing, "none that can be set");
    };
    let RingSizes { max_rx, max_tx, rx, tx } = now;
    let text = format!("{} (at most rx {max_rx} tx {max_tx})", Value::Rings(now));
    let larger = RingSizes { rx: rx.max(RING.min(max_rx)), tx: tx.max(RING.min(max_tx)), ..now };
    if larger == now {
        return Row::ok(thing, text);
    }
    let setting = Setting::Rings(found.interface.clone());
    Row::better(thing, text)
        .because("what arrives while a worker is busy elsewhere waits in them, and what does not fit is lost")
        .by(vec![Change { setting, to: Value::Rings(larger) }])
}

/// Whether every queue gets its part.
fn spread(found: &Findings) -> Row {
    let thing = "spread (RSS)";
    let Some(spread) = &found.spread else {
        return Row::untold(thing, "the driver does not tell how it spreads packets over its queues");
    };
    let queues = spread.queues();
    let text = format!(
        "{} hash, key of {} bytes, table of {}, {} queues",
        spread.function,
        spread.key_bytes,
        spread.indirection.len(),
        queues.len()
    );
    if queues.len() < found.facts.rx_queues as usize {
        return Row::better(thing, text)
            .because("the other queues get nothing, and their workers nothing to do")
            .by_hand(format!("ethtool -X {} equal {}", found.interface.name, found.facts.rx_queues));
    }
    Row::ok(thing, text)
}

/// Whether tunnels over UDP between the same addresses are told apart.
fn udp_hash(found: &Findings, flow: Flow) -> Row {
    let thing = if flow == Flow::Udp4 { "hash of UDP/IPv4" } else { "hash of UDP/IPv6" };
    let Some(fields) = found.hash(flow) else {
        return Row::untold(thing, "the driver does not tell what it hashes");
    };
    if fields.contains(HashFields::ADDRESSES_AND_PORTS) {
        return Row::ok(thing, format!("{fields}: addresses and ports"));
    }
    let setting = Setting::Hash(found.interface.clone(), flow);
    let change = Change { setting, to: Value::Fields(HashFields::ADDRESSES_AND_PORTS) };
    Row::better(thing, format!("{fields}: no ports"))
        .because("all tunnels between two addresses arrive on one queue; with ports, fragments of a packet arrive on another than the rest")
        .by(vec![change])
}

/// Whether sessions over IP are told apart.
fn session_hash(found: &Findings) -> Row {
    let thing = "hash of L2TPv3/IP";
    let hash = |flow: Flow| found.hash(flow).map(|fields| format!("{} {fields}", flow.word()));
    let known: Vec<_> = [Flow::Ip4, Flow::Ip6].into_iter().filter_map(hash).collect();
    let why = "no setting of Linux hashes the session id: all sessions between two addresses arrive on one queue. Over UDP each tunnel \
               has ports of its own";
    if known.is_empty() {
        return Row::untold(thing, why);
    }
    Row::better(thing, known.join(", ")).because(why).by_hand(
        "in the configuration: more tunnels, with encap = \"udp\" and a udp_sport of its own each, or other addresses",
    )
}

/// Whether chosen flows can be put on chosen queues.
fn steering(found: &Findings) -> Row {
    let thing = "flow steering";
    let state = |name: &str| match found.feature(name) {
        Some(state) if state.active => "on",
        Some(state) if state.changeable => "off",
        _ => "no",
    };
    let (rules, offload) = (state("rx-ntuple-filter"), state("hw-tc-offload"));
    let row = Row::ok(thing, format!("rules: {rules}, tc: {offload}"));
    let name = &found.interface.name;
    if offload != "no" {
        return row.because(format!(
            "cards whose driver takes it (ice) put an L2TPv3 session on a queue: `tc filter add dev {name} ingress protocol ip flower \
             ip_proto l2tp l2tpv3_sid ID skip_sw action skbedit queue_mapping N`"
        ));
    }
    if rules != "no" {
        return row.because(format!(
            "a tunnel can be put on a queue: `ethtool -N {name} flow-type udp4 dst-port PORT action QUEUE`"
        ));
    }
    row
}

fn near_cpus(found: &Findings, allowed: &[usize]) -> Row {
    let thing = "CPUs near it";
    let Some(near) = found.sysfs.as_ref().and_then(|sysfs| sysfs.near_cpus.as_ref()) else {
        return Row::ok(thing, "all are as near");
    };
    if near.iter().any(|cpu| allowed.contains(cpu)) {
        return Row::ok(thing, cpus::write(near));
    }
    Row::better(thing, cpus::write(near))
        .because("this process may use none of them, and frames cross between memory of two nodes")
        .by_hand(format!("taskset -c {} spanwire run ...", cpus::write(near)))
}

/// Whether each queue interrupts a CPU of its own, near the card.
fn interrupts(found: &Findings, tree: &Tree, allowed: &[usize]) -> Row {
    let thing = "interrupts";
    if found.interrupts.is_empty() {
        return Row::untold(thing, "the driver does not tell which serves which queue, or has none");
    }
    let show = |one: &super::port::Interrupt| {
        format!("queue {}: {} on CPU {}", one.queue, one.irq, cpus::write(&one.cpus))
    };
    let text = found.interrupts.iter().map(show).collect::<Vec<_>>().join(", ");
    let near = found.sysfs.as_ref().and_then(|sysfs| sysfs.near_cpus.clone());
    let wanted: Vec<usize> = match near {
        Some(near) if near.iter().any(|cpu| allowed.contains(cpu)) => {
            near.into_iter().filter(|cpu| allowed.contains(cpu)).collect()
        }
        _ => allowed.to_vec(),
    };
    let mut taken: Vec<&[usize]> = found.interrupts.iter().map(|one| one.cpus.as_slice()).collect();
    taken.sort_unstable();
    taken.dedup();
    let possible = found.interrupts.len().min(wanted.len());
    let is_near = found.interrupts.iter().all(|one| one.cpus.iter().any(|cpu| wanted.contains(cpu)));
    if taken.len() >= possible && is_near {
        return Row::ok(thing, text);
    }
    let change = |(one, cpu): (&super::port::Interrupt, &usize)| {
        Change::of_file(tree.path(&format!("proc/irq/{}/smp_affinity_list", one.irq)), cpu)
    };
    let changes = found.interrupts.iter().zip(wanted.iter().cycle()).map(change).collect();
    Row::better(thing, text)
        .because("queues that interrupt the same CPU, or one far from the card, wait for each other")
        .by(changes)
}

fn coalescing(found: &Findings) -> Row {
    let thing = "coalescing";
    let Some(Coalescing { adaptive_rx, rx_us, rx_packets }) = found.coalescing else {
        return Row::ok(thing, "none that can be set");
    };
    let adaptive = if adaptive_rx { "adaptive, now " } else { "" };
    let text = format!("{adaptive}{rx_us} us or {rx_packets} packets");
    if adaptive_rx || rx_us <= LONG_COALESCING_US {
        return Row::ok(thing, text);
    }
    Row::better(thing, text)
        .because("a worker that sleeps hears of a frame that much later")
        .by_hand(format!("ethtool -C {} rx-usecs {LONG_COALESCING_US}", found.interface.name))
}

#[cfg(test)]
mod tests {
    use xsk::nic::{Feature, ReceiveSpread};

    use super::super::port::Interrupt;
    use super::super::port::tests::findings;
    use super::super::row::Verdict;
    use super::*;

    fn judge(row: &Row) -> (Verdict, &str, Option<&str>) {
        (row.verdict, &row.found, row.command.as_deref())
    }

    #[test]
    fn as_many_queues_are_advised_as_there_are_cpus_and_the_driver_has() {
        let mut found = findings();
        let text = "combined 2 (at most combined 8)";
        let row = queues(&found, &[0, 1, 2, 3]);
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, text, Some("ethtool -L eth1 combined 4")));
        assert_eq!(judge(&queues(&found, &[0, 1])), (Verdict::Ok, text, None));
        assert_eq!(judge(&queues(&found, &[0])), (Verdict::Ok, text, None), "none is taken away");
        let most = queues(&found, &(0..64).collect::<Vec<_>>());
        assert_eq!(most.command.as_deref(), Some("ethtool -L eth1 combined 8"));
        found.channels = None;
        assert_eq!(queues(&found, &[0, 1, 2]).verdict, Verdict::Ok);
    }

    #[test]
    fn queues_of_a_veth_are_counted_in_each_direction() {
        let mut found = findings();
        found.channels = Some(Channels { max_rx: 4, max_tx: 4, max_combined: 0, rx: 1, tx: 2, combined: 0 });
        let row = queues(&found, &[0, 1]);
        let text = "rx 1 tx 2 (at most rx 4 tx 4)";
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, text, Some("ethtool -L eth1 rx 2 tx 2")));
    }

    #[test]
    fn queues_of_one_direction_are_not_mixed_with_combined_ones() {
        let mut found = findings();
        found.channels = Some(Channels { max_rx: 4, max_tx: 4, max_combined: 4, rx: 1, tx: 1, combined: 0 });
        assert_eq!(queues(&found, &[0, 1]).command.as_deref(), Some("ethtool -L eth1 rx 2 tx 2 combined 0"));
    }

    #[test]
    fn small_rings_are_enlarged_as_far_as_they_can_be() {
        let mut found = findings();
        let row = rings(&found);
        let text = "rx 256 tx 256 (at most rx 4096 tx 512)";
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, text, Some("ethtool -G eth1 rx 1024 tx 512")));
        found.rings = Some(RingSizes { max_rx: 4096, max_tx: 512, rx: 2048, tx: 512 });
        assert_eq!(rings(&found).verdict, Verdict::Ok);
        found.rings = None;
        assert_eq!(rings(&found).verdict, Verdict::Ok);
    }

    #[test]
    fn a_table_that_leaves_queues_out_could_be_better() {
        let mut found = findings();
        assert_eq!(spread(&found).found, "toeplitz hash, key of 40 bytes, table of 128, 2 queues");
        assert_eq!(spread(&found).verdict, Verdict::Ok);
        found.spread = Some(ReceiveSpread { function: "toeplitz", key_bytes: 40, indirection: vec![0; 128] });
        let row = spread(&found);
        assert_eq!(
            (row.verdict, row.command.as_deref()),
            (Verdict::CouldBeBetter, Some("ethtool -X eth1 equal 2"))
        );
    }

    #[test]
    fn udp_without_ports_in_its_hash_is_one_flow_between_two_addresses() {
        let found = findings();
        let row = udp_hash(&found, Flow::Udp4);
        let command = Some("ethtool -N eth1 rx-flow-hash udp4 sdfn");
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, "sd: no ports", command));
        assert_eq!(judge(&udp_hash(&found, Flow::Udp6)), (Verdict::Ok, "sdfn: addresses and ports", None));
        let untold = Findings { hashes: Vec::new(), ..found };
        assert_eq!(udp_hash(&untold, Flow::Udp4).verdict, Verdict::CannotBeTold);
        assert_eq!(session_hash(&untold).verdict, Verdict::CannotBeTold);
    }

    #[test]
    fn an_interface_of_one_queue_has_nothing_to_spread() {
        let tree = Tree::of_this_machine();
        let mut found = findings();
        let things =
            |found: &Findings| rows(found, &tree, &[0]).iter().map(|row| row.thing).collect::<Vec<_>>();
        assert!(things(&found).contains(&"hash of L2TPv3/IP"));
        found.facts.rx_queues = 1;
        assert!(!things(&found).contains(&"hash of L2TPv3/IP") && !things(&found).contains(&"spread (RSS)"));
    }

    #[test]
    fn flow_steering_names_what_the_card_can() {
        let mut found = findings();
        assert_eq!(steering(&found).found, "rules: no, tc: no");
        let off = Feature { active: false, requested: false, changeable: true };
        found.features = vec![("rx-ntuple-filter", off)];
        assert_eq!(steering(&found).found, "rules: off, tc: no");
        found.features.push(("hw-tc-offload", Feature { active: true, ..off }));
        assert!(steering(&found).why.contains("l2tpv3_sid"));
    }

    fn on(queue: u32, irq: u32, cpu: usize) -> Interrupt {
        Interrupt { queue, irq, cpus: vec![cpu] }
    }

    #[test]
    fn interrupts_get_a_cpu_each_near_the_card() {
        let tree = Tree::of_this_machine();
        let mut found = findings();
        assert_eq!(interrupts(&found, &tree, &[0, 1]).verdict, Verdict::CannotBeTold);
        found.interrupts = vec![on(0, 38, 0), on(1, 39, 0)];
        let row = interrupts(&found, &tree, &[0, 1, 4]);
        let commands = "echo 0 > /proc/irq/38/smp_affinity_list; echo 1 > /proc/irq/39/smp_affinity_list";
        let text = "queue 0: 38 on CPU 0, queue 1: 39 on CPU 0";
        assert_eq!(judge(&row), (Verdict::CouldBeBetter, text, Some(commands)));
        found.interrupts = vec![on(0, 38, 1), on(1, 39, 0)];
        assert_eq!(interrupts(&found, &tree, &[0, 1, 4]).verdict, Verdict::Ok);
        found.interrupts = vec![on(0, 38, 4), on(1, 39, 0)];
        assert_eq!(interrupts(&found, &tree, &[0, 1, 4]).verdict, Verdict::CouldBeBetter, "CPU 4 is far");
        found.interrupts = vec![on(0, 38, 0), on(1, 39, 0)];
        assert_eq!(interrupts(&found, &tree, &[0]).verdict, Verdict::Ok, "there is one CPU");
    }

    #[test]
    fn a_process_that_may_not_use_the_near_cpus_is_told() {
        let found = findings();
        assert_eq!(near_cpus(&found, &[1]).verdict, Verdict::Ok);
        assert_eq!(near_cpus(&found, &[8]).verdict, Verdict::CouldBeBetter);
    }

    #[test]
    fn a_long_delay_that_does_not_adapt_could_be_shorter() {
        let mut found = findings();
        assert_eq!(judge(&coalescing(&found)), (Verdict::Ok, "adaptive, now 250 us or 0 packets", None));
        found.coalescing = Some(Coalescing { adaptive_rx: false, rx_us: 250, rx_packets: 0 });
        assert_eq!(coalescing(&found).command.as_deref(), Some("ethtool -C eth1 rx-usecs 100"));
    }
}
