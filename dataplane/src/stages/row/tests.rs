use std::net::IpAddr;

use proptest::prelude::*;
use wire::{
    ethernet::{MacAddr, VlanId, VlanTag},
    l2tpv3::{Cookie, SessionId, Sublayer},
};
use xsk::{ChunkCache, Umem, UmemConfig};

use super::*;
use crate::{
    counters::PerWorker,
    ports::fill_in,
    stages::encap,
    tables::{
        next_hops::{Encap, NextHop, OuterAddresses, OuterFields, TxParameters},
        oversize::{Fragmentation, MssClamp},
        session_state::SessionState,
    },
};

fn addresses(is_v6: bool) -> OuterAddresses {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let [local, remote] = match is_v6 {
        true => ["2001:db8::2", "2001:db8:ffff::6"].map(address),
        false => ["10.200.100.2", "255.254.253.252"].map(address),
    };
    OuterAddresses::new(local, remote).unwrap()
}

/// A session of any encapsulation over a path of 1500 bytes.
fn session(is_v6: bool, encap: Encap, cookie: Cookie, sublayer: Sublayer, tag: Option<VlanTag>) -> TxSession {
    let hop = NextHop {
        port: PortId(1),
        src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        vlan: tag,
        path_mtu_bytes: 1500,
    };
    TxSession::new(&hop, &parameters(is_v6, encap, cookie, sublayer), PerWorker::new(1))
}

fn parameters(is_v6: bool, encap: Encap, tx_cookie: Cookie, sublayer: Sublayer) -> TxParameters {
    let plain = TxParameters::plain(addresses(is_v6), encap, SessionId::new(0xFFFF_FFF0).unwrap());
    let fields =
        OuterFields { traffic_class: 0xB8, hop_limit: 9, dont_fragment: true, ..OuterFields::default() };
    TxParameters { tx_cookie, sublayer, fields, ..plain }
}

fn chunks() -> ChunkCache {
    let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    ChunkCache::new(Umem::map(&config).unwrap().1, 128)
}

fn encap() -> impl Strategy<Value = Encap> {
    let udp =
        any::<bool>().prop_map(|checksum| Encap::Udp { local_port: 5001, remote_port: 0xFFFF, checksum });
    prop_oneof![Just(Encap::Ip), udp]
}

fn cookie() -> impl Strategy<Value = Cookie> {
    prop_oneof![
        Just(Cookie::NONE),
        any::<[u8; 4]>().prop_map(Cookie::four),
        any::<[u8; 8]>().prop_map(Cookie::eight)
    ]
}

/// Writes a session's headers in front of a frame, as a row does.
fn write(session: &TxSession, frame: &mut Frame, numbers: &mut Identification) -> Option<()> {
    let quick = session.quick.unwrap();
    match quick.is_short() {
        true => quick.write::<SHORT_BYTES>(quick.kind(), &session.template, frame, numbers),
        false => quick.write::<MAX_ENCAP_BYTES>(quick.kind(), &session.template, frame, numbers),
    }
}

proptest! {
    /// What a row writes in front of a frame is what `encap` writes, byte for byte.
    #[test]
    fn quick_headers_are_those_of_encap(
        is_v6: bool, encap in encap(), cookie in cookie(), has_sublayer: bool, has_tag: bool,
        start: u64, inner in proptest::collection::vec(any::<u8>(), 14..1400),
    ) {
        let tag = has_tag.then(|| VlanTag::customer(VlanId::new(100).unwrap()));
        let sublayer = if has_sublayer { Sublayer::Default } else { Sublayer::None };
        let session = session(is_v6, encap, cookie, sublayer, tag);
        let quick = session.quick.unwrap();
        prop_assert!(inner.len() <= quick.max_frame_bytes());
        let mut cache = chunks();
        let mut frame = || Frame::from_bytes(cache.take().unwrap(), 256, &inner).unwrap();
        let (mut expected, mut written) = (frame(), frame());
        let mut numbers = Identification::new(0, 1, start);
        encap::run(&mut expected, 0, &session, None, &mut numbers.clone()).unwrap();
        write(&session, &mut written, &mut numbers).unwrap();
        prop_assert_eq!(written.linear().unwrap(), expected.linear().unwrap());
    }
}

proptest! {
    /// A checksum that is left to the port and filled in there is the one that the engine makes itself, on either way through it and
    /// whatever the segments.
    #[test]
    fn a_checksum_filled_in_by_the_port_is_that_of_the_engine(
        is_v6: bool, cookie in cookie(), has_sublayer: bool, has_tag: bool,
        start: u64, inner in proptest::collection::vec(any::<u8>(), 14..1400), split in 14usize..1400,
    ) {
        let tag = has_tag.then(|| VlanTag::customer(VlanId::new(100).unwrap()));
        let sublayer = if has_sublayer { Sublayer::Default } else { Sublayer::None };
        let encap = Encap::Udp { local_port: 5001, remote_port: 0xFFFF, checksum: true };
        let summed = session(is_v6, encap, cookie, sublayer, tag);
        let asking = summed.clone().offloaded();
        let offload = asking.offload.as_ref().unwrap();
        let mut cache = chunks();
        let mut linear = || Frame::from_bytes(cache.take().unwrap(), 256, &inner).unwrap();
        let (mut expected, mut quick, mut slow) = (linear(), linear(), linear());
        let mut chained = Frame::from_bytes(cache.take().unwrap(), 256, &inner[..split.min(inner.len() - 1)]).unwrap();
        let rest = Frame::from_bytes(cache.take().unwrap(), 256, &inner[chained.len()..]).unwrap();
        let beyond = rest.len();
        chained = chained.followed_by(rest).unwrap();

        let mut numbers = Identification::new(0, 1, start);
        encap::run(&mut expected, 0, &summed, None, &mut numbers.clone()).unwrap();
        encap::run(&mut slow, 0, &asking, Some(offload), &mut numbers.clone()).unwrap();
        encap::run(&mut chained, beyond, &asking, Some(offload), &mut numbers.clone()).unwrap();
        write(&asking, &mut quick, &mut numbers).unwrap();
        for asking in [&mut quick, &mut slow, &mut chained] {
            fill_in(asking, offload.request);
            prop_assert_eq!(asking.segments().collect::<Vec<_>>().concat(), expected.linear().unwrap());
        }
    }
}

#[test]
fn a_session_without_udp_checksum_asks_for_none() {
    for encap in [Encap::Ip, Encap::Udp { local_port: 1, remote_port: 2, checksum: false }] {
        let session = session(true, encap, Cookie::NONE, Sublayer::Default, None).offloaded();
        assert!(!session.is_offloaded());
    }
}

#[test]
fn without_the_headroom_a_frame_stays_as_it_is() {
    for (is_v6, least_bytes) in [(false, 64), (true, 96)] {
        let encap = Encap::Udp { local_port: 5001, remote_port: 6001, checksum: true };
        let session = session(is_v6, encap, Cookie::eight([7; 8]), Sublayer::Default, None);
        let mut cache = chunks();
        let mut frame = Frame::from_bytes(cache.take().unwrap(), least_bytes - 1, &[3; 60]).unwrap();
        let mut numbers = Identification::new(0, 1, 0);
        assert!(write(&session, &mut frame, &mut numbers).is_none());
        assert_eq!(frame.linear(), Some(&[3; 60][..]));
    }
}

#[test]
fn sessions_with_more_to_fill_in_are_none_for_rows() {
    let plain = parameters(false, Encap::Ip, Cookie::NONE, Sublayer::Default);
    let hop = NextHop {
        port: PortId(1),
        src_mac: MacAddr([2; 6]),
        dst_mac: MacAddr([4; 6]),
        vlan: None,
        path_mtu_bytes: 1500,
    };
    let session = |parameters: &TxParameters| TxSession::new(&hop, parameters, PerWorker::new(1));
    assert!(session(&plain).quick.is_some());
    assert!(session(&TxParameters { fragmentation: Fragmentation::Drop, ..plain }).quick.is_some());
    assert!(session(&TxParameters { mss_clamp: MssClamp::Path, ..plain }).quick.is_none());
    let fields = OuterFields { copied_class: 3, ..plain.fields };
    assert!(session(&TxParameters { fields, ..plain }).quick.is_none());
    let numbered = session(&plain).numbered(SessionState::default().into());
    assert!(numbered.quick.is_none(), "numbered");
}

#[test]
fn no_frame_is_taken_that_does_not_fit_whole() {
    let session = session(false, Encap::Ip, Cookie::NONE, Sublayer::Default, None);
    assert_eq!(session.quick.unwrap().max_frame_bytes(), 1500 - 28);
    assert!(session.max_sent_bytes() >= session.max_frame_bytes());
}
