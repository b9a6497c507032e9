//! `memory`: what the whole engine does, and what reading headers costs, on frames in memory.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, anyhow, ensure};
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::{self, MacAddr};
use wire::ipv4;
use wire::l2tpv3::{self, Cookie, DataHeader, DefaultSublayer, SessionId, Sublayer};
use wire::udp;
use zerocopy::byteorder::network_endian::U32;

use crate::engine::scenario::Scenario;
use crate::engine::{self, suite};
use crate::flows::FlowPlan;
use crate::harness::{self, Case, Measurements, Work};

/// Room for the longest frame.
const FRAME_ROOM_BYTES: usize = 4096;

/// Different frames that a pass over headers reads.
const FRAMES: u32 = 1024;

/// How many huge pages of 2 MiB nobody uses.
const FREE_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

/// Times that a pass reads every frame: reading alone is over too soon to be timed.
const READINGS: u64 = 16;

/// How long and on what to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Timed runs of each case; cases alternate.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Run on this CPU alone.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    #[command(flatten)]
    choice: Choice,
}

/// Which cases.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// Only the cases whose instructions are compared with a baseline.
    #[arg(long)]
    pub short: bool,
    /// Only the cases whose name contains this; with a "=" in front, the one that is called so.
    #[arg(long, value_name = "WORDS")]
    pub case: Option<String>,
}

impl Choice {
    fn takes(&self, name: &str) -> bool {
        self.case.as_ref().is_none_or(|words| match words.strip_prefix('=') {
            Some(whole) => name == whole,
            None => name.contains(words.as_str()),
        })
    }
}

/// How an inner frame is wrapped.
#[derive(Clone, Copy)]
struct Wrapping {
    transport: Transport,
    cookie: Cookie,
    sublayer: Sublayer,
}

/// Measures the chosen cases.
///
/// # Errors
/// No case is chosen, the engine loses a frame, or a built frame is not read back.
pub fn run(args: &Args) -> anyhow::Result<Measurements> {
    if let Some(cpu) = args.cpu {
        dataplane::worker::pin::pin(cpu)?;
    }
    let runs = usize::try_from(args.runs)?;
    let scenarios = without_missing_pages(scenarios(&args.choice));
    Ok(with_cases(&args.choice, &scenarios, |cases| harness::measure(cases, runs))??)
}

/// The chosen scenarios.
pub(crate) fn scenarios(choice: &Choice) -> Vec<Scenario> {
    let all = if choice.short { suite::short() } else { suite::full() };
    all.into_iter().filter(|scenario| choice.takes(&scenario.to_string())).collect()
}

/// Makes the cases of these scenarios, and the chosen ones that are of none, and hands them over.
pub(crate) fn with_cases<T>(
    choice: &Choice,
    scenarios: &[Scenario],
    use_cases: impl FnOnce(&mut [Case<'_>]) -> T,
) -> anyhow::Result<T> {
    let headers = Headers::new()?;
    let mut cases = engine::cases(scenarios)?;
    cases.extend(headers.cases().into_iter().filter(|case| choice.takes(case.name())));
    ensure!(!cases.is_empty(), "no case is called {:?}", choice.case.as_deref().unwrap_or_default());
    Ok(use_cases(&mut cases))
}

/// Those scenarios that this machine has the pages for.
fn without_missing_pages(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let needed: u64 = scenarios.iter().filter(|one| one.huge_pages).map(engine::huge_pages).sum();
    let free: u64 =
        std::fs::read_to_string(FREE_HUGE_PAGES).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if needed <= free {
        return scenarios;
    }
    eprintln!(
        "left out: the cases with huge pages, which need {needed} of 2 MiB, {free} are free; reserve them (`sysctl vm.nr_hugepages={needed}`)"
    );
    scenarios.into_iter().filter(|one| !one.huge_pages).collect()
}

/// Frames to read headers of.
struct Headers {
    plain: Vec<Vec<u8>>,
    tagged: Vec<Vec<u8>>,
    udp_packets: Vec<Vec<u8>>,
    ip_packets: Vec<Vec<u8>>,
}

/// Over UDP, and over IP, with cookie and sublayer.
const OVER_UDP: Wrapping = Wrapping {
    transport: Transport::udp_unchecked(5001, 6001),
    cookie: Cookie::eight([1, 2, 3, 4, 5, 6, 7, 8]),
    sublayer: Sublayer::Default,
};
const OVER_IP: Wrapping = Wrapping { transport: Transport::L2TP_IP, ..OVER_UDP };

impl Headers {
    /// Builds the frames, and refuses readers that do not give them back.
    fn new() -> anyhow::Result<Self> {
        let (plain, tagged) = (inner_frames(None)?, inner_frames(Some(100))?);
        let (udp_packets, ip_packets) = (wrap_all(&plain, OVER_UDP)?, wrap_all(&plain, OVER_IP)?);
        check_decapsulation(&udp_packets, &plain, OVER_UDP)?;
        check_decapsulation(&ip_packets, &plain, OVER_IP)?;
        Ok(Self { plain, tagged, udp_packets, ip_packets })
    }

    fn cases(&self) -> Vec<Case<'_>> {
        let ethernet = |frame: &[u8]| ethernet::read(frame).map(black_box).is_ok();
        vec![
            Case::new("headers, ethernet, untagged", Reader { frames: &self.plain, read: ethernet }),
            Case::new("headers, ethernet, one tag", Reader { frames: &self.tagged, read: ethernet }),
            Case::new(
                "headers, l2tpv3 over udp to inner ethernet",
                Reader {
                    frames: &self.udp_packets,
                    read: |frame: &[u8]| decapsulate(frame, OVER_UDP).is_some(),
                },
            ),
            Case::new(
                "headers, l2tpv3 over ip to inner ethernet",
                Reader {
                    frames: &self.ip_packets,
                    read: |frame: &[u8]| decapsulate(frame, OVER_IP).is_some(),
                },
            ),
        ]
    }
}

/// Reads every frame several times over; a frame that is not read is not counted.
struct Reader<'f, F> {
    frames: &'f [Vec<u8>],
    read: F,
}

impl<F: Fn(&[u8]) -> bool> Work for Reader<'_, F> {
    fn run(&mut self) -> u64 {
        let pass = || self.frames.iter().map(|frame| u64::from((self.read)(black_box(frame)))).sum::<u64>();
        (0..READINGS).map(|_| pass()).sum()
    }

    fn frames(&self) -> u64 {
        READINGS * self.frames.len() as u64
    }
}

/// Inner frames of as many flows, each between two stations of its own.
fn inner_frames(vlan: Option<u16>) -> anyhow::Result<Vec<Vec<u8>>> {
    let range = |first: &str| Ok::<_, anyhow::Error>(format!("{first}/{FRAMES}").parse()?);
    let plan = FlowPlan {
        flows: FRAMES,
        source: range("02:00:00:01:00:00")?,
        destination: range("02:00:00:02:00:00")?,
        vlan,
        frame_bytes: 64,
    };
    (0..FRAMES).map(|flow| Ok(plan.frame(flow)?)).collect()
}

/// The frames as packets of session 1000.
fn wrap_all(frames: &[Vec<u8>], wrapping: Wrapping) -> anyhow::Result<Vec<Vec<u8>>> {
    let spec = FrameSpec {
        destination: MacAddr([2, 0, 0, 0, 0, 2]),
        source: MacAddr([2, 0, 0, 0, 0, 1]),
        source_ip: IpAddr::V4(Ipv4Addr::new(10, 200, 100, 2)),
        destination_ip: IpAddr::V4(Ipv4Addr::new(10, 200, 100, 6)),
        transport: wrapping.transport,
        ..FrameSpec::default()
    };
    let header = DataHeader {
        session_id: SessionId::new(1000).context("1000 is a session id")?,
        cookie: wrapping.cookie,
        sublayer: wrapping.sublayer,
        sublayer_word: DefaultSublayer(U32::ZERO),
    };
    let wrap = |inner: &Vec<u8>| {
        let mut packet = vec![0; FRAME_ROOM_BYTES];
        let len = build::l2tp_frame(&mut packet, &spec, &header, inner)?;
        packet.truncate(len);
        Ok(packet)
    };
    frames.iter().map(wrap).collect()
}

/// Reads a packet down to its inner Ethernet header, with every check that decapsulation makes on bytes
/// alone, and returns the inner frame.
fn decapsulate(frame: &[u8], wrapping: Wrapping) -> Option<&[u8]> {
    let outer = ethernet::read(frame).ok()?;
    let (header, options, payload) = ipv4::split(outer.payload).ok()?;
    ipv4::verify_checksum(header, options).ok()?;
    let (session, rest) = match wrapping.transport {
        Transport::Udp { .. } => l2tpv3::split_udp(udp::split(payload).ok()?.1).ok()?,
        Transport::Protocol(_) => l2tpv3::split_ip(payload).ok()?,
    };
    black_box(session);
    let (word, inner) = wrapping.sublayer.strip(wrapping.cookie.strip(rest).ok()?).ok()?;
    black_box(word);
    black_box(ethernet::read(inner).ok()?.header);
    Some(inner)
}

/// Refuses to measure a reader that does not give the inner frames back.
fn check_decapsulation(packets: &[Vec<u8>], inner: &[Vec<u8>], wrapping: Wrapping) -> anyhow::Result<()> {
    let is_inner =
        |(packet, inner): (&Vec<u8>, &Vec<u8>)| decapsulate(packet, wrapping) == Some(inner.as_slice());
    if packets.iter().zip(inner).all(is_inner) {
        Ok(())
    } else {
        Err(anyhow!("a wrapped frame does not read back as it was"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &str) -> Args {
        Args { runs: 2, cpu: None, choice: Choice { short: true, case: Some(words.to_owned()) } }
    }

    #[test]
    fn cases_can_be_chosen_by_name_and_a_name_without_case_is_refused() {
        let names = |words: &str| -> Vec<String> {
            run(&args(words)).expect("measured").cases.into_iter().map(|case| case.name).collect()
        };
        assert_eq!(names("ethernet, "), ["headers, ethernet, untagged", "headers, ethernet, one tag"]);
        assert_eq!(names("=encap"), ["encap"]);
        assert_eq!(
            run(&args("token ring")).expect_err("refused").to_string(),
            "no case is called \"token ring\""
        );
    }

    #[test]
    fn the_engine_handles_every_frame_of_every_pass_without_allocating() {
        let measured = run(&args("encap, ")).expect("measured");
        assert!(measured.cases.len() >= 4, "{measured:?}");
        for case in measured.cases {
            assert_eq!((case.frames, case.allocations_per_pass), (2 * 4 * 1024, 0), "{}", case.name);
            assert!(case.scenario.is_some(), "{}", case.name);
        }
    }

    #[test]
    fn a_wrong_cookie_is_not_measured() {
        let sent = Wrapping {
            transport: Transport::L2TP_IP,
            cookie: Cookie::four([1, 2, 3, 4]),
            sublayer: Sublayer::None,
        };
        let inner = inner_frames(None).expect("frames");
        let packets = wrap_all(&inner, sent).expect("packets");
        check_decapsulation(&packets, &inner, sent).expect("the right cookie");
        let expected = Wrapping { cookie: Cookie::four([1, 2, 3, 5]), ..sent };
        check_decapsulation(&packets, &inner, expected).expect_err("the wrong cookie");
    }
}
