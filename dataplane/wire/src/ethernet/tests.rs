use super::*;
use etherparse::{LinkExtSlice, SlicedPacket};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const UNTAGGED: [u8; 18] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0B, // destination
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0A, // source
    0x88, 0xB5, // EtherType: local experimental
    0xCA, 0xFE, 0xBA, 0xBE, // payload
];

const DOUBLE_TAGGED: [u8; 26] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0B, // destination
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0A, // source
    0x88, 0xA8, // service tag
    0xB0, 0x64, // PCP 5, DEI 1, VID 100
    0x81, 0x00, // customer tag
    0x2F, 0xFE, // PCP 1, DEI 0, VID 4094
    0x88, 0xB5, // EtherType
    0xCA, 0xFE, 0xBA, 0xBE, // payload
];

const OUTER: VlanTag = VlanTag { tpid: Tpid::Service, pcp: 5, dei: true, vid: vid(100) };
const INNER: VlanTag = VlanTag { tpid: Tpid::Customer, pcp: 1, dei: false, vid: vid(4094) };

/// A VID known to be legal.
const fn vid(value: u16) -> VlanId {
    VlanId::new(value).expect("a legal VID")
}

#[test]
fn untagged_frame_is_read() {
    let view = read(&UNTAGGED).unwrap();
    assert_eq!(view.header.destination, MacAddr([2, 0, 0, 0, 0, 0x0B]));
    assert_eq!(view.header.source, MacAddr([2, 0, 0, 0, 0, 0x0A]));
    assert_eq!(view.tags, Tags::NONE);
    assert_eq!(view.tags.count(), 0);
    assert_eq!(view.ethertype, EtherType(0x88B5));
    assert_eq!((view.payload_offset, view.payload), (14, &[0xCA, 0xFE, 0xBA, 0xBE][..]));
}

#[test]
fn service_and_customer_tag_are_read() {
    let view = read(&DOUBLE_TAGGED).unwrap();
    assert_eq!((view.tags.outer(), view.tags.inner()), (Some(OUTER), Some(INNER)));
    assert_eq!(view.tags.count(), 2);
    assert_eq!(view.header.ethertype(), EtherType::SERVICE_VLAN);
    assert_eq!(view.ethertype, EtherType(0x88B5));
    assert_eq!((view.payload_offset, view.payload), (22, &[0xCA, 0xFE, 0xBA, 0xBE][..]));
}

#[test]
fn third_tag_stays_in_the_payload() {
    let mut frame = DOUBLE_TAGGED;
    frame[20..24].copy_from_slice(&[0x81, 0x00, 0x00, 0x07]);
    let view = read(&frame).unwrap();
    assert_eq!((view.tags.count(), view.ethertype, view.payload_offset), (2, EtherType::VLAN, 22));
}

#[test]
fn priority_tag_has_vid_0() {
    let frame = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0x00, 0xE0, 0x00, 0x08, 0x06];
    let tag = read(&frame).unwrap().tags.outer().unwrap();
    assert_eq!((tag.vid, tag.pcp, tag.dei), (VlanId::PRIORITY, 7, false));
}

#[test]
fn reserved_vid_is_refused_in_either_tag() {
    let mut outer = DOUBLE_TAGGED;
    outer[14..16].copy_from_slice(&[0x0F, 0xFF]);
    assert_eq!(read(&outer), Err(EthernetError::ReservedVlanId));
    let mut inner = DOUBLE_TAGGED;
    inner[18..20].copy_from_slice(&[0xEF, 0xFF]);
    assert_eq!(read(&inner), Err(EthernetError::ReservedVlanId));
}

#[test]
fn every_cut_of_header_and_tags_is_truncated() {
    for length in 0..22 {
        assert_eq!(read(&DOUBLE_TAGGED[..length]), Err(EthernetError::Truncated), "{length} bytes");
    }
    assert_eq!(read(&DOUBLE_TAGGED[..22]).unwrap().payload, []);
    assert_eq!(split(&UNTAGGED[..13]), Err(EthernetError::Truncated));
}

#[test]
fn vid_4094_is_the_highest() {
    assert_eq!(VlanId::new(4094), Some(VlanId::MAX));
    assert_eq!(VlanId::new(4095), None);
    assert_eq!(VlanId::new(u16::MAX), None);
}

#[test]
fn pushed_tag_stands_in_front_of_the_ethertype() {
    let mut buffer = [0xEE; 22];
    buffer[4..].copy_from_slice(&UNTAGGED);
    push_tag(&mut buffer, INNER).unwrap();
    assert_eq!(buffer[..12], UNTAGGED[..12]);
    assert_eq!(buffer[12..16], [0x81, 0x00, 0x2F, 0xFE]);
    assert_eq!(buffer[16..], UNTAGGED[12..]);
}

#[test]
fn popped_tag_leaves_four_bytes_of_room() {
    let mut frame = DOUBLE_TAGGED;
    assert_eq!(pop_tag(&mut frame), Ok(OUTER));
    assert_eq!(frame[4..16], UNTAGGED[..12]);
    assert_eq!(frame[16..20], [0x81, 0x00, 0x2F, 0xFE]);
    assert_eq!(frame[20..], UNTAGGED[12..]);
}

#[test]
fn refused_push_and_pop_leave_the_frame_alone() {
    let mut short = [0x11; 17];
    assert_eq!(push_tag(&mut short, OUTER), Err(EthernetError::Truncated));
    assert_eq!(short, [0x11; 17]);
    let mut untagged = UNTAGGED;
    assert_eq!(pop_tag(&mut untagged), Err(EthernetError::Untagged));
    assert_eq!(untagged, UNTAGGED);
    let mut cut = DOUBLE_TAGGED;
    assert_eq!(pop_tag(&mut cut[..17]), Err(EthernetError::Truncated));
    assert_eq!(pop_tag(&mut cut[..13]), Err(EthernetError::Truncated));
    assert_eq!(cut, DOUBLE_TAGGED);
    cut[14..16].copy_from_slice(&[0x0F, 0xFF]);
    assert_eq!(pop_tag(&mut cut), Err(EthernetError::ReservedVlanId));
    assert_eq!(cut[..12], DOUBLE_TAGGED[..12]);
}

#[test]
fn pcp_above_7_does_not_spill_into_other_fields() {
    let tag = VlanTag { pcp: 0xFF, ..VlanTag::customer(vid(5)) };
    assert_eq!(tag.tci(), 0xE005);
    assert_eq!(VlanTag::service(vid(5)).tpid.ethertype(), EtherType(0x88A8));
}

#[test]
fn writing_into_too_short_a_buffer_is_refused() {
    let header = EthernetHeader::new(MacAddr::BROADCAST, MacAddr::ZERO, EtherType::ARP);
    assert_eq!(header.write(&mut [0; 13]), Err(EthernetError::NoRoom));
    assert_eq!(header.write_tagged(&[OUTER], &mut [0; 17]), Err(EthernetError::NoRoom));
    assert_eq!(header.write_tagged(&[OUTER], &mut [0; 18]), Ok(&mut [][..]));
}

fn any_tag() -> impl Strategy<Value = VlanTag> {
    (any::<bool>(), 0_u8..8, any::<bool>(), 0_u16..4095).prop_map(|(service, pcp, dei, value)| {
        let tpid = if service { Tpid::Service } else { Tpid::Customer };
        VlanTag { tpid, pcp, dei, vid: vid(value) }
    })
}

/// Any EtherType that announces neither a tag nor, to the judge, something it would go into.
fn opaque_ethertype() -> impl Strategy<Value = EtherType> {
    any::<u16>().prop_map(EtherType).prop_filter("announces a header", |ethertype| {
        !matches!(ethertype.0, 0x8100 | 0x88A8 | 0x9100 | 0x0800 | 0x86DD | 0x0806 | 0x88E5)
    })
}

proptest! {
    #[test]
    fn written_header_and_tags_are_read_back_and_the_judge_agrees(
        addresses in any::<[[u8; 6]; 2]>(),
        tags in prop::collection::vec(any_tag(), 0..=2),
        ethertype in opaque_ethertype(),
        payload in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let header = EthernetHeader::new(MacAddr(addresses[0]), MacAddr(addresses[1]), ethertype);
        let mut frame = vec![0; 14 + 4 * tags.len()];
        prop_assert!(header.write_tagged(&tags, &mut frame).unwrap().is_empty());
        frame.extend_from_slice(&payload);

        let view = read(&frame).unwrap();
        prop_assert_eq!((view.header.destination.0, view.header.source.0), (addresses[0], addresses[1]));
        let read_tags: Vec<_> = [view.tags.outer(), view.tags.inner()].into_iter().flatten().collect();
        prop_assert_eq!(&read_tags, &tags);
        prop_assert_eq!((view.ethertype, view.payload), (ethertype, &payload[..]));
        prop_assert_eq!(&frame[view.payload_offset..], &payload[..]);

        let judged = SlicedPacket::from_ethernet(&frame).unwrap();
        let judged_tags: Vec<_> = judged.link_exts.iter().map(|ext| match ext {
            LinkExtSlice::Vlan(tag) => (
                tag.priority_code_point().value(),
                tag.drop_eligible_indicator(),
                tag.vlan_identifier().value(),
            ),
            LinkExtSlice::Macsec(_) => unreachable!("no MACsec was written"),
        }).collect();
        let expected: Vec<_> = tags.iter().map(|tag| (tag.pcp, tag.dei, tag.vid.get())).collect();
        prop_assert_eq!(judged_tags, expected);
        prop_assert_eq!(judged.payload_ether_type().map(|t| t.0), Some(ethertype.0));
    }

    #[test]
    fn pop_undoes_push(frame in prop::collection::vec(any::<u8>(), 14..64), tag in any_tag()) {
        let mut buffer = vec![0xEE; 4];
        buffer.extend_from_slice(&frame);
        push_tag(&mut buffer, tag).unwrap();
        prop_assert_eq!(pop_tag(&mut buffer), Ok(tag));
        prop_assert_eq!(&buffer[4..], &frame[..]);
    }

    #[test]
    fn text_of_an_address_reads_back(address in any::<[u8; 6]>()) {
        let address = MacAddr(address);
        prop_assert_eq!(std::format!("{address}").parse(), Ok(address));
        prop_assert_eq!(MacAddr::from_u64(address.to_u64()), address);
    }
}

#[test]
fn addresses_are_numbers_with_the_first_octet_on_top() {
    let header = EthernetHeader::new(
        MacAddr([0x01, 0x02, 0x03, 0x04, 0x05, 0x06]),
        MacAddr([0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6]),
        EtherType::IPV4,
    );
    assert_eq!(header.addresses(), (0x0102_0304_0506, 0xA1A2_A3A4_A5A6));
}
