//! `memory`: what reading headers costs, and what the whole engine does, on frames in memory.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, anyhow, ensure};
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::{self, MacAddr};
use wire::ipv4;
use wire::l2tpv3::{self, Cookie, DataHeader, DefaultSublayer, SessionId, Sublayer};
use wire::udp;
use zerocopy::byteorder::network_endian::U32;

use crate::engine;
use crate::flows::FlowPlan;
use crate::harness::{self, Case, Measurements};

/// Room for the longest frame.
const FRAME_ROOM_BYTES: usize = 4096;

/// Times that a run goes over all frames.
const PASSES_PER_RUN: usize = 16;

/// How long and on what to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Timed runs of each case; cases alternate.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Different frames that each run goes over.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    frames: u32,
    /// Inner frame length in bytes, 64 to 3072.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Only the cases whose name contains this.
    #[arg(long, value_name = "WORDS")]
    case: Option<String>,
}

/// How an inner frame is wrapped.
#[derive(Clone, Copy)]
struct Wrapping {
    transport: Transport,
    cookie: Cookie,
    sublayer: Sublayer,
}

/// Measures every case.
///
/// # Errors
/// The arguments are out of range, or a built frame is not read back.
pub fn run(args: &Args) -> anyhow::Result<Measurements> {
    let over_udp = Wrapping {
        transport: Transport::udp_unchecked(5001, 6001),
        cookie: Cookie::eight([1, 2, 3, 4, 5, 6, 7, 8]),
        sublayer: Sublayer::Default,
    };
    let over_ip = Wrapping { transport: Transport::L2TP_IP, ..over_udp };
    let plain = inner_frames(args, None)?;
    let tagged = inner_frames(args, Some(100))?;
    let udp_packets = wrap_all(&plain, over_udp)?;
    let ip_packets = wrap_all(&plain, over_ip)?;
    let mut cases = vec![
        case("ethernet, untagged", &plain, |frame| ethernet::read(frame).map(black_box).is_ok()),
        case("ethernet, one tag", &tagged, |frame| ethernet::read(frame).map(black_box).is_ok()),
        case("l2tpv3 over udp to inner ethernet", &udp_packets, |frame| {
            decapsulate(frame, over_udp).is_some()
        }),
        case("l2tpv3 over ip to inner ethernet", &ip_packets, |frame| decapsulate(frame, over_ip).is_some()),
    ];
    for (frames, wrapping) in [(&udp_packets, over_udp), (&ip_packets, over_ip)] {
        check_decapsulation(frames, &plain, wrapping)?;
    }
    cases.extend(engine::cases(&flow_plan(args, None)?)?);
    if let Some(words) = &args.case {
        cases.retain(|case| case.name().contains(words.as_str()));
        ensure!(!cases.is_empty(), "no case is called {words:?}");
    }
    Ok(harness::measure(&mut cases, usize::try_from(args.runs)?)?)
}

/// A case that reads every frame several times over; a frame that is not read is not counted, so a
/// reader that fails is seen as a case without frames.
fn case<'work>(name: &str, frames: &'work [Vec<u8>], read: impl Fn(&[u8]) -> bool + 'work) -> Case<'work> {
    Case::new(name, move || {
        let pass = || frames.iter().map(|frame| u64::from(read(black_box(frame)))).sum::<u64>();
        (0..PASSES_PER_RUN).map(|_| pass()).sum()
    })
}

/// Inner frames of as many flows.
fn inner_frames(args: &Args, vlan: Option<u16>) -> anyhow::Result<Vec<Vec<u8>>> {
    let plan = flow_plan(args, vlan)?;
    (0..args.frames).map(|flow| Ok(plan.frame(flow)?)).collect()
}

/// As many flows as frames, each between two stations of its own.
fn flow_plan(args: &Args, vlan: Option<u16>) -> anyhow::Result<FlowPlan> {
    let range = |first: &str| Ok::<_, anyhow::Error>(format!("{first}/{}", args.frames).parse()?);
    Ok(FlowPlan {
        flows: args.frames,
        source: range("02:00:00:01:00:00")?,
        destination: range("02:00:00:02:00:00")?,
        vlan,
        frame_bytes: args.bytes,
    })
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

    #[test]
    fn every_case_reads_all_frames_of_all_runs_without_allocating() {
        let measured = run(&Args { runs: 2, frames: 10, bytes: 64, case: None }).expect("measured");
        assert_eq!(measured.cases.len(), 8);
        for case in measured.cases {
            assert_eq!((case.frames, case.allocations_per_run), (2 * 10 * 16, 0), "{}", case.name);
        }
    }

    #[test]
    fn cases_can_be_chosen_by_name_and_a_name_without_case_is_refused() {
        let args = |words: &str| Args { runs: 1, frames: 10, bytes: 64, case: Some(words.to_owned()) };
        let names: Vec<String> =
            run(&args("ethernet, ")).expect("measured").cases.into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["ethernet, untagged", "ethernet, one tag"]);
        assert_eq!(
            run(&args("token ring")).expect_err("refused").to_string(),
            "no case is called \"token ring\""
        );
    }

    #[test]
    fn a_wrong_cookie_is_not_measured() {
        let args = Args { runs: 1, frames: 1, bytes: 64, case: None };
        let sent = Wrapping {
            transport: Transport::L2TP_IP,
            cookie: Cookie::four([1, 2, 3, 4]),
            sublayer: Sublayer::None,
        };
        let inner = inner_frames(&args, None).expect("frames");
        let packets = wrap_all(&inner, sent).expect("packets");
        check_decapsulation(&packets, &inner, sent).expect("the right cookie");
        let expected = Wrapping { cookie: Cookie::four([1, 2, 3, 5]), ..sent };
        check_decapsulation(&packets, &inner, expected).expect_err("the wrong cookie");
    }
}
