//! The proof: what has to hold of a gateway between two cards in zero-copy mode.
//!
//! In turn: both sockets are what was demanded, by the gateway's word and by the kernel's; pings; a flood at a pace that loses nothing,
//! counted at both ends; a flood as fast as the guest can, of which only the books have to balance; a card that goes down and up
//! under way; the end. A configuration that cannot have zero-copy must not start.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::emulator::Guest;
use super::gateway::{self, Counts};
use crate::progress::Progress;

/// Frames of each direction of a flood.
const FLOOD_FRAMES: u64 = 4000;

/// Pause of a generator between two frames, when nothing may be lost: several times of what both directions and both ends take.
const PACE_NS: u64 = 100_000;

/// Lengths of frames without FCS: the shortest and the longest of a LAN.
const LENGTHS: [u64; 2] = [60, 1514];

/// Echo requests of each kind and direction.
const PINGS: u64 = 10;

/// Something that has to hold.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    what: String,
    ok: bool,
    found: String,
}

/// Waits until no frame is under way, for at most five seconds of the guest's time.
const SETTLE: &str = "tries=0
    until /tools/spanwire worker show --json | grep -q '\"tx\": *0,'; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || break
        usleep 100000
    done";

/// The checks so far.
#[derive(Debug, Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, what: impl Into<String>, ok: bool, found: impl Into<String>) {
        self.0.push(Check { what: what.into(), ok, found: found.into() });
    }

    fn equal(&mut self, what: impl Into<String>, found: &[u64], wanted: u64) {
        let ok = found.iter().all(|count| *count == wanted);
        self.add(what, ok, format!("{found:?}, {wanted} expected"));
    }
}

/// Tries everything; four steps.
///
/// # Errors
/// The guest does not answer, or the gateway does not start.
pub(super) fn run(progress: &mut Progress, guest: &mut Guest) -> Result<Vec<Check>> {
    let mut checks = Checks::default();
    progress.step("refusing what cannot be zero-copy", || refusals(guest, &mut checks))?;
    progress.step("zero-copy at both ports, pings", || {
        let file = gateway::write_lines("/tmp/gw.toml", &gateway::configuration("zero-copy", ""));
        guest.run(&format!("{file}spanwire_up /tmp/gw.toml"))?;
        sockets(guest, &mut checks)?;
        pings(guest, &mut checks, "")
    })?;
    progress.step("floods", || {
        for bytes in LENGTHS {
            paced_flood(guest, &mut checks, bytes)?;
        }
        overload(guest, &mut checks)
    })?;
    progress.step("a card that goes down and up, the end", || {
        link_down(guest, &mut checks)?;
        end(guest, &mut checks)
    })?;
    Ok(checks.0)
}

/// A gateway that cannot have zero-copy does not start, and says why.
fn refusals(guest: &mut Guest, checks: &mut Checks) -> Result<()> {
    let small = gateway::configuration("zero-copy", "[umem]\nchunk_bytes = 2048\n");
    let veth =
        gateway::configuration("zero-copy", "").replace("[port.lan]", "[port.lan]\ninterface = \"v0\"");
    guest.run(
        "$ip -n gw link add v0 type veth peer name v1; $ip -n gw link set v0 up; $ip -n gw link set v1 up",
    )?;
    let cases = [
        ("a port whose card would cut frames is refused", small, "umem.chunk_bytes"),
        ("a port whose driver has no zero-copy is refused", veth, "zero-copy"),
    ];
    for (what, text, word) in cases {
        let file = gateway::write_lines("/tmp/refused.toml", &text);
        let script =
            "status=0; in_ns gw timeout 20 /tools/spanwire run --config /tmp/refused.toml 2>&1 || status=$?
            echo \"status $status\"; await_carrier gw lan; await_carrier gw wan";
        let said = guest.run(&format!("{file}{script}"))?;
        let last = said.lines().rfind(|line| line.starts_with("spanwire: ")).unwrap_or("nothing");
        checks.add(what, said.contains("status 1\n") && last.contains(word), last);
    }
    guest.run("$ip -n gw link del v0")?;
    Ok(())
}

/// Both sockets, by the gateway's word and by the kernel's.
fn sockets(guest: &mut Guest, checks: &mut Checks) -> Result<()> {
    let counts = Counts::read(guest)?;
    for port in [&counts.lan, &counts.wan] {
        let [driver, mode] = [&port.driver, &port.xdp_mode].map(|word| word.as_deref().unwrap_or("none"));
        let found = format!("{driver}, {mode} XDP, zero_copy {}", port.zero_copy);
        let ok = driver == "igb" && mode == "native" && port.zero_copy;
        checks.add(format!("{} is zero-copy by the gateway's word", port.name), ok, found);
    }
    let diagnosed = guest.run("in_ns gw /tools/ss --xdp --extended --no-header")?;
    let areas = umem_words(&diagnosed);
    let ok = areas.len() == 2 && areas[0] == areas[1];
    checks.add("by the kernel's word both are, on one UMEM", ok, areas.join(" and "));
    Ok(())
}

/// What `ss` says of the memory of each zero-copy socket, without what differs between sockets of one memory. The gateway has others that
/// carry no frames: they tell when the kernel has let go of a queue.
fn umem_words(diagnosed: &str) -> Vec<String> {
    let inside = |part: &str| Some(part.split_once(')')?.0.to_owned());
    let areas = diagnosed.split("umem(").skip(1).filter_map(inside);
    let of_memory =
        |word: &&str| !word.starts_with("dev:") && !word.starts_with("qid:") && !word.starts_with("ifindex:");
    let areas = areas.filter(|area| area.split(',').any(|word| word == "zc:1"));
    areas.map(|area| area.split(',').filter(of_memory).collect::<Vec<_>>().join(",")).collect()
}

/// Both stations ask each other, with the shortest frames and the longest.
fn pings(guest: &mut Guest, checks: &mut Checks, when: &str) -> Result<()> {
    for bytes in LENGTHS {
        // An Ethernet, an IPv4 and an ICMP header.
        let said = guest.run(&format!("ping_each {PINGS} {}", bytes - 42))?;
        let ok = ["sta", "peer"].iter().all(|name| said.contains(&format!("{name} {PINGS}/{PINGS}\n")));
        checks.add(
            format!("pings of {bytes}-byte frames both ways{when}"),
            ok,
            said.trim().replace('\n', ", "),
        );
    }
    Ok(())
}

/// Settings of both generators.
fn set_floods(bytes: u64, frames: u64, pace_ns: u64) -> String {
    format!(
        "flood_set sta lan0 {frames} {bytes} $sta_mac $st0_mac {pace_ns} 1
         flood_set peer st0 {frames} {bytes} $st0_mac $sta_mac {pace_ns} 1\n"
    )
}

/// A flood both ways at a pace at which nothing may be lost.
fn paced_flood(guest: &mut Guest, checks: &mut Checks, bytes: u64) -> Result<()> {
    let before = Counts::read(guest)?;
    let read = "echo $(counted peer st0 rx_packets) $(counted sta lan0 rx_packets)";
    let script =
        format!("{}{read}; flood sta peer; {SETTLE}; {read}", set_floods(bytes, FLOOD_FRAMES, PACE_NS));
    let said = guest.run(&script)?;
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    ensure!(numbers.len() == 4, "the stations' counts: {said}");
    let after = Counts::read(guest)?;
    let arrived = [numbers[2] - numbers[0], numbers[3] - numbers[1]];
    let flood = format!("{FLOOD_FRAMES} frames of {bytes} bytes each way");
    checks.equal(format!("{flood}: all arrive"), &arrived, FLOOD_FRAMES);
    let sessions = [
        after.session.tx_frames - before.session.tx_frames,
        after.session.rx_frames - before.session.rx_frames,
    ];
    checks.equal(format!("{flood}: the session counts them"), &sessions, FLOOD_FRAMES);
    let ports = [after.lan.rx_frames - before.lan.rx_frames, after.lan.tx_frames - before.lan.tx_frames];
    checks.equal(format!("{flood}: so does the LAN port"), &ports, FLOOD_FRAMES);
    let packets = after.session.tx_fragments - before.session.tx_fragments;
    let wan = [after.wan.rx_frames - before.wan.rx_frames, after.wan.tx_frames - before.wan.tx_frames];
    let ok = wan.iter().all(|count| *count >= FLOOD_FRAMES) && (bytes < 1000) == (packets == 0);
    checks.add(
        format!("{flood}: packets at the WAN port, the longest in fragments"),
        ok,
        format!("{wan:?}, {packets} fragments sent"),
    );
    // A card that moderates interrupts comes to take a frame long after it was woken. Each queue wants one wake-up then, not one per round.
    let (wakeups, sent) = (after.worker.wakeups - before.worker.wakeups, wan[1] + ports[1]);
    let found = format!("{wakeups} for {sent} sent");
    checks.add(
        format!("{flood}: no more than three wake-ups for two frames"),
        2 * wakeups <= 3 * sent,
        found,
    );
    let ok = after.dropped() == before.dropped();
    checks.add(format!("{flood}: nothing is dropped"), ok, after.dropped_words());
    books(checks, &after, &flood);
    Ok(())
}

/// A flood both ways without pauses: frames are lost at the cards, and whatever else, nothing is lost track of.
fn overload(guest: &mut Guest, checks: &mut Checks) -> Result<()> {
    let before = Counts::read(guest)?;
    let said = guest.run(&format!("{}flood sta peer; {SETTLE}", set_floods(60, 5 * FLOOD_FRAMES, 0)))?;
    let after = Counts::read(guest).with_context(|| said)?;
    let moved = after.worker.forwarded - before.worker.forwarded;
    checks.add(
        "a flood without pauses: the gateway goes on forwarding",
        moved > FLOOD_FRAMES,
        moved.to_string(),
    );
    books(checks, &after, "a flood without pauses");
    pings(guest, checks, " after it")
}

/// Every frame has one fate, every chunk one place, and the kernel refused nothing.
fn books(checks: &mut Checks, counts: &Counts, when: &str) {
    let Counts { lan, wan, worker, .. } = counts;
    let fates =
        [worker.forwarded, worker.flooded, worker.dropped, worker.handed, worker.reassembled, worker.parked];
    let (came, sum) = (worker.received + worker.taken, fates.iter().sum::<u64>());
    checks.add(
        format!("{when}: every frame has one fate"),
        came == sum,
        format!("{came} came, {sum} fates {fates:?}"),
    );
    let received = lan.rx_frames + wan.rx_frames;
    let found = format!("{received} at the ports, {} at the worker", worker.received);
    checks.add(format!("{when}: ports and worker received the same"), received == worker.received, found);
    let sent = lan.tx_frames + wan.tx_frames;
    let left = worker.forwarded + worker.flooded + worker.copies + worker.extra_fragments;
    checks.add(
        format!("{when}: the ports sent what left the engine"),
        sent == left,
        format!("{sent} sent, {left} left"),
    );
    let chunks = &worker.chunks;
    let places = [chunks.free, chunks.fill, chunks.tx, chunks.parked];
    let ok = worker.state == "running"
        && chunks.conserved
        && chunks.tx == 0
        && places.iter().sum::<u64>() == chunks.total;
    let found = format!("free, fill, tx, parked {places:?} of {}; {} wake-ups", chunks.total, worker.wakeups);
    checks.add(format!("{when}: every chunk has one place, none is under way"), ok, found);
    let refused = |port: &gateway::Port| port.kernel_rings.get("tx_invalid_descs").copied();
    let refused = [refused(lan), refused(wan)];
    checks.add(
        format!("{when}: the kernel refuses no descriptor"),
        refused == [Some(0); 2],
        format!("{refused:?}"),
    );
}

/// The WAN card goes down while frames are on their way to it, and up again.
fn link_down(guest: &mut Guest, checks: &mut Checks) -> Result<()> {
    let flood = set_floods(60, FLOOD_FRAMES, PACE_NS);
    let down = "flood sta peer & flooding=$!
        usleep 100000; $ip -n gw link set wan down; usleep 100000; $ip -n gw link set wan up; await_carrier gw wan
        wire_to 02:00:00:00:00:04; wait $flooding";
    let up =
        "until /tools/spanwire tunnel show --json | grep -q '\"state\": *\"up\"'; do usleep 100000; done";
    guest.run(&format!("{flood}{down}\n{up}\n{SETTLE}"))?;
    let after = Counts::read(guest)?;
    books(checks, &after, "a card down and up");
    pings(guest, checks, " after it was down")
}

/// The gateway ends well, and the cards are the kernel's again.
fn end(guest: &mut Guest, checks: &mut Checks) -> Result<()> {
    let log = guest.run("spanwire_down")?;
    let faults: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let ok = faults.is_empty() && log.contains("stopping");
    let last = log.lines().next_back().unwrap_or("nothing");
    checks.add(
        "the gateway ends well, all chunks in its pool",
        ok,
        faults.first().unwrap_or(&last).to_string(),
    );
    let links = guest.run("$ip -n gw link show lan; $ip -n gw link show wan")?;
    let is_bare = !links.contains("xdp") && !links.contains("PROMISC");
    checks.add(
        "its cards are left without program and not promiscuous",
        is_bare,
        if is_bare { "so it is" } else { &links },
    );
    let said = guest.run("in_ns gw /tools/fping -q -c 3 -p 100 192.0.2.2 2>&1 || true")?;
    checks.add("the kernel's packets pass through the card again", said.contains("3/3/0%"), said.trim());
    Ok(())
}

/// Prints the checks.
///
/// # Errors
/// One does not hold.
pub(super) fn report(checks: &[Check], kernel: &str, json: bool) -> Result<()> {
    let failed = checks.iter().filter(|check| !check.ok).count();
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({ "kernel": kernel, "checks": checks }))?
        );
    } else {
        for check in checks {
            println!("{}  {}: {}", if check.ok { "ok    " } else { "FAILED" }, check.what, check.found);
        }
        println!("\nkernel {kernel}, igb: {} checks, {failed} failed", checks.len());
    }
    ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_one_memory_have_the_same_words_and_others_not() {
        let one = "lan:q0\n\tumem(id:0,size:1,num_pages:1,chunk_size:4096,headroom:0,dev:3,qid:0,zc:1,refs:2)\n\
                   wan:q0\n\tumem(id:0,size:1,num_pages:1,chunk_size:4096,headroom:0,dev:4,qid:0,zc:1,refs:2)";
        let words = umem_words(&format!("{one} umem(id:3,size:4096,zc:0,refs:1)"));
        assert_eq!(words.len(), 2);
        assert_eq!(words[0], words[1]);
        let other = umem_words(&one.replacen("id:0", "id:1", 1));
        assert_ne!(other[0], other[1]);
    }
}
