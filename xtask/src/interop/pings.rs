//! What is sent: echo requests between the stations, each of whose frames crosses a pseudowire, and whose answers cross it
//! the other way.
//!
//! One `fping` per namespace and kind of frame asks all stations. The kernel that answers checks each request's
//! checksums; both directions are asked in, so every frame's content is checked somewhere.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::case::{Case, Gateway};
use super::guest::Guest;
use super::own::Exercise;
use super::scripts::address;

/// A kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// Content of the echo request. Units: bytes.
    bytes: u16,
    /// Whether there is a VLAN tag in the frame that crosses the pseudowire.
    tagged: bool,
}

/// The shortest frames, the longest of a LAN, and the longest with a tag.
const KINDS: [Kind; 3] = [
    Kind { name: "60-byte frames", bytes: 18, tagged: false },
    Kind { name: "1514-byte frames", bytes: 1472, tagged: false },
    Kind { name: "1518-byte frames with a VLAN tag", bytes: 1472, tagged: true },
];

/// Time between two requests of one `fping`, of which there is one for each kind: such that the emulated machine follows.
const INTERVAL: Duration = Duration::from_millis(4);

/// Least time between two requests to one station, and the longest that an answer may take.
const PERIOD: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of the requests of one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pings {
    pub(super) sent: u32,
    pub(super) received: u32,
    /// Where some of the requests were answered: `pc1 to pck, 1514-byte frames: 2 of 3`.
    pub(super) answered: Vec<String>,
    /// Where not all were; and what else was found wrong by exercises.
    pub(super) lost: Vec<String>,
}

/// Sends `count` requests of each kind between all stations of each case, each way, and adds what became of those of each case
/// to `all`. Cases whose longest frames shall not arrive have pings of their own.
///
/// # Errors
/// The guest does not answer, or `fping` not for every station.
pub(super) fn send(guest: &mut Guest, cases: &[&Case], count: u32, all: &mut [Pings]) -> Result<()> {
    for from in [Gateway::First, Gateway::Kernel, Gateway::Second] {
        let targets = KINDS.map(|kind| targets(cases, from, kind));
        if targets.iter().all(Vec::is_empty) {
            continue;
        }
        let requests = INTERVAL * (count * u32::try_from(targets[0].len())?);
        let deadline = Duration::from_secs(60) + 4 * (requests + count * PERIOD + PATIENCE);
        let output = guest.run(&script(&targets, from, count), deadline)?;
        for (number, (kind, targets)) in KINDS.iter().zip(&targets).enumerate() {
            note(all, targets, &results(&output, number), (from, *kind))?;
        }
    }
    Ok(())
}

/// Who is asked: place of the case among `cases`, the gateway it is behind, its address.
type Target = (usize, Gateway, Ipv4Addr);

/// The stations that those behind `from` ask.
fn targets(cases: &[&Case], from: Gateway, kind: Kind) -> Vec<Target> {
    let mut targets = Vec::new();
    let is_asked = |case: &Case| case.sites.contains(&from) && case.exercise != Some(Exercise::TooBig);
    for (place, case) in cases.iter().enumerate().filter(|(_, case)| is_asked(case)) {
        for (site, to) in case.sites.iter().enumerate().filter(|(_, to)| **to != from) {
            targets.push((place, *to, address(case, site, kind.tagged)));
        }
    }
    targets
}

/// Asks for all kinds of frames at once, and prints the results of each, in front of every line the kind's number. What `fping`
/// returns only says whether all answered.
fn script(targets: &[Vec<Target>; KINDS.len()], from: Gateway, count: u32) -> String {
    let mut text = String::new();
    for (number, (kind, targets)) in KINDS.iter().zip(targets).enumerate() {
        let _ = writeln!(
            text,
            "$ip netns exec {} /tools/fping -q -c {count} -i {} -p {} -t {} -b {} -f - >/tmp/{number} 2>&1 \
             <<'END' &",
            from.stations(),
            INTERVAL.as_millis(),
            PERIOD.as_millis(),
            PATIENCE.as_millis(),
            kind.bytes
        );
        for (_, _, address) in targets {
            let _ = writeln!(text, "{address}");
        }
        text += "END\n";
    }
    text + &format!(
        "wait\nfor kind in $(seq 0 {}); do sed \"s/^/$kind /\" /tmp/$kind; done\n",
        KINDS.len() - 1
    )
}

/// Requests of a kind, sent and answered, by address: the lines `0 10.1.0.2 : xmt/rcv/%loss = 3/3/0%, min/avg/max = ...`.
fn results(output: &str, kind: usize) -> HashMap<Ipv4Addr, (u32, u32)> {
    let kind = format!("{kind} ");
    output.lines().filter_map(|line| result(line.strip_prefix(&kind)?)).collect()
}

/// One line of `fping`: an address, its requests sent and answered.
fn result(line: &str) -> Option<(Ipv4Addr, (u32, u32))> {
    // It is `%return` instead when there were more answers than requests.
    let (address, rest) = line.split_once(" : xmt/rcv/%")?;
    let (_, rest) = rest.split_once(" = ")?;
    let mut counts = rest.split('/').map(|count| count.trim_end_matches('%').parse::<u32>());
    Some((address.trim().parse().ok()?, (counts.next()?.ok()?, counts.next()?.ok()?)))
}

/// Requests to one address, sent and answered, in the output of one `fping`.
pub(super) fn counts(output: &str, address: Ipv4Addr) -> Option<(u32, u32)> {
    output.lines().find_map(|line| result(line).filter(|(at, _)| *at == address)).map(|(_, counts)| counts)
}

/// Adds what became of one `fping`'s requests.
fn note(
    all: &mut [Pings],
    targets: &[Target],
    results: &HashMap<Ipv4Addr, (u32, u32)>,
    (from, kind): (Gateway, Kind),
) -> Result<()> {
    for (place, to, address) in targets {
        ensure!(results.contains_key(address), "fping says nothing of {address}");
        let (sent, received) = results[address];
        let pings = &mut all[*place];
        pings.sent += sent;
        pings.received += received;
        let text =
            format!("{} to {}, {}: {received} of {sent} answered", from.stations(), to.stations(), kind.name);
        if received > 0 {
            pings.answered.push(text.clone());
        }
        if received != sent || sent == 0 {
            pings.lost.push(text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_address_and_other_lines_are_not() {
        let output = "0 10.1.0.2   : xmt/rcv/%loss = 3/2/33%, min/avg/max = 1.0/2.0/3.0\n\
                      0 ICMP Host Unreachable from 10.1.1.1 for ICMP Echo sent to 10.1.1.2\n\
                      0 10.1.1.2 : xmt/rcv/%loss = 3/0/100%\n\
                      0 10.1.2.2 : xmt/rcv/%return = 3/4/133%, min/avg/max = 1.0/2.0/3.0\n\
                      1 10.1.3.2 : xmt/rcv/%loss = 3/3/0%, min/avg/max = 1.0/2.0/3.0\n";
        let address = |case| Ipv4Addr::new(10, 1, case, 2);
        let expected = [(address(0), (3, 2)), (address(1), (3, 0)), (address(2), (3, 4))];
        assert_eq!(results(output, 0), expected.into());
    }

    #[test]
    fn a_station_of_which_nothing_is_said_is_no_zero() {
        let target = (0, Gateway::Kernel, Ipv4Addr::new(10, 1, 0, 2));
        let mut all = [Pings::default()];
        assert!(note(&mut all, &[target], &HashMap::new(), (Gateway::First, KINDS[0])).is_err());
        let answered = [(target.2, (3, 2))].into();
        note(&mut all, &[target], &answered, (Gateway::First, KINDS[0])).unwrap();
        assert_eq!((all[0].sent, all[0].received), (3, 2));
        assert_eq!((all[0].answered.len(), all[0].lost.len()), (1, 1));
    }
}
