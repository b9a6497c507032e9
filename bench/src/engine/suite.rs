//! Suite: the scenarios, one factor at a time around each way's base, and the combinations that matter.

use super::scenario::{Carrier, FrameLength, Scenario, Way};

/// Frame lengths: those of RFC 2544 §9.1.
const LENGTHS: [u16; 6] = [128, 256, 512, 1024, 1280, 1518];

/// Stations, beside the base's. One is in truth two: a frame comes from one and goes to another.
const MACS: [u32; 3] = [1, 100_000, 1_000_000];

/// Sessions beside the base's. Every session has a station.
const SESSIONS: [u32; 2] = [1000, 64_000];

/// Batches beside the base's. Beyond 64 nothing may change: the engine takes 64 at a time.
const BURSTS: [u32; 8] = [1, 2, 4, 8, 16, 32, 128, 256];

/// Frames of a pass beside the base's: 16 MiB of chunks, as the default rings of two queues have. On pages of 4096 bytes that is more than a
/// CPU's second table of address translations holds, 1024 to 2048 on most.
const MANY_FRAMES: u32 = 8192;

/// Every scenario.
#[must_use]
pub fn full() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for base in Way::ENGINE.map(Scenario::base) {
        scenarios.push(base);
        scenarios.extend(LENGTHS.map(|bytes| Scenario { frame: FrameLength::Bytes(bytes), ..base }));
        scenarios.push(Scenario { frame: FrameLength::Imix, ..base });
        scenarios.extend(MACS.map(|macs| Scenario { macs, ..base }));
        scenarios.extend(SESSIONS.map(|sessions| with_sessions(base, sessions)));
        scenarios.extend(BURSTS.map(|burst| Scenario { burst, ..base }));
        scenarios.extend(carriers(base));
        scenarios.extend(combinations(base));
        scenarios.extend(pages(base));
    }
    scenarios.extend(offloaded());
    scenarios.push(Scenario::base(Way::Ports));
    scenarios
}

/// Those whose instructions have to stay what they are, and which the goals are about.
#[must_use]
pub fn short() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for base in Way::ENGINE.map(Scenario::base) {
        scenarios.push(base);
        scenarios.push(Scenario { macs: 1_000_000, ..base });
        scenarios.push(with_sessions(base, 1000));
        scenarios.push(Scenario { burst: 1, ..base });
        scenarios.extend(carriers(base));
    }
    scenarios.extend(offloaded());
    scenarios.push(Scenario::base(Way::Ports));
    scenarios
}

/// Each session with a station of its own at least.
fn with_sessions(base: Scenario, sessions: u32) -> Scenario {
    Scenario { sessions, macs: base.macs.max(2 * sessions), ..base }
}

/// The other carriers; the checksum also over the longest frames, which it costs most.
fn carriers(base: Scenario) -> [Scenario; 4] {
    let over = |carrier| Scenario { carrier, ..base };
    let longest = FrameLength::Bytes(1518);
    [
        over(Carrier::Ip),
        over(Carrier::UdpIpv6),
        over(Carrier::UdpChecksum),
        Scenario { frame: longest, ..over(Carrier::UdpChecksum) },
    ]
}

/// Little frame memory and much, each on pages that were asked for and on such as were reserved.
fn pages(base: Scenario) -> [Scenario; 3] {
    let much = Scenario { frames: MANY_FRAMES, ..base };
    [Scenario { huge_pages: true, ..base }, much, Scenario { huge_pages: true, ..much }]
}

/// The checksum left to the port: what the two cases above save by that. Only sent packets can ask for it.
fn offloaded() -> [Scenario; 2] {
    let base = Scenario { carrier: Carrier::UdpChecksumOffloaded, ..Scenario::base(Way::Encap) };
    [base, Scenario { frame: FrameLength::Bytes(1518), ..base }]
}

/// A busy gateway, and the worst that fits into the tables.
fn combinations(base: Scenario) -> [Scenario; 2] {
    let (mixed, longest) = (FrameLength::Imix, FrameLength::Bytes(1518));
    [
        Scenario { frame: mixed, macs: 100_000, sessions: 1000, ..base },
        Scenario { frame: longest, macs: 1_000_000, sessions: 64_000, ..base },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_scenario_is_there_twice_and_the_short_suite_is_part_of_the_full_one() {
        let names =
            |scenarios: &[Scenario]| scenarios.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let (full, short) = (full(), short());
        assert_eq!(names(&full).len(), full.len());
        assert_eq!(names(&short).len(), short.len());
        assert!(short.iter().all(|scenario| full.contains(scenario)));
    }

    #[test]
    fn every_session_has_a_station() {
        assert!(full().iter().all(|scenario| scenario.stations() >= scenario.a_sessions()));
    }
}
