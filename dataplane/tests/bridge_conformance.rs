//! The bridge domain as a LAN: learning, flooding, moving stations, reserved addresses, VLAN members, split horizon.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::{
    tables::{
        attachment::Attachment,
        bridge_domains::{Circuit, DomainId, Member, MemberId},
        fdb::MacKey,
        oversize::Fragmentation,
    },
    verdict::DropReason,
};
use rig::{
    LAN_0, LAN_1, Plan, Rig, WAN,
    frames::{EVERYBODY, PC_1, PC_2, inner, lan_frame, lan_frame_of, packet_a, tagged},
};
use wire::ethernet::VlanId;

#[test]
fn an_unknown_destination_is_flooded_to_all_but_the_ingress() {
    let mut rig = Rig::new();
    let sent = lan_frame(PC_2, PC_1);
    rig.deliver(LAN_0, &sent);
    assert_eq!(rig.sent(LAN_0), Vec::<Vec<u8>>::new());
    assert_eq!(rig.sent(LAN_1), [sent]);
    assert_eq!(rig.sent(WAN).len(), 2, "one packet per pseudowire");
    let counters = rig.counters.of(0).unwrap();
    assert_eq!((counters.flooded.get(), counters.copies.get()), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_learned_destination_gets_its_frames_alone() {
    let mut rig = Rig::new();
    rig.deliver(LAN_1, &lan_frame(EVERYBODY, PC_2));
    rig.discard_sent();
    let sent = lan_frame(PC_2, PC_1);
    rig.deliver(LAN_0, &sent);
    assert_eq!(rig.sent(LAN_1), [sent]);
    assert_eq!(rig.sent(WAN).len(), 0);
    assert_eq!(rig.counters.of(0).unwrap().forwarded.get(), 1);
    rig.assert_conserved();
}

#[test]
fn a_station_that_moves_is_followed() {
    let mut rig = Rig::new();
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    rig.deliver(LAN_1, &lan_frame(EVERYBODY, PC_1));
    rig.discard_sent();
    assert_eq!(rig.fdb.lookup(MacKey::new(PC_1)), Some(MemberId(1)));
    rig.deliver(LAN_0, &lan_frame(PC_1, PC_2));
    assert_eq!(rig.sent(LAN_1).len(), 1);
    rig.assert_conserved();
}

#[test]
fn a_frame_for_a_station_on_its_own_port_is_filtered() {
    let mut rig = Rig::new();
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    rig.discard_sent();
    rig.deliver(LAN_0, &lan_frame(PC_1, PC_2));
    assert_eq!(rig.discard_sent(), 0);
    assert_eq!(rig.drops(DropReason::SamePort), 1);
    rig.assert_conserved();
}

#[test]
fn a_frame_for_address_zero_is_flooded_as_any_unknown_one() {
    let mut rig = Rig::new();
    rig.deliver(LAN_1, &lan_frame([0; 6], PC_2));
    assert_eq!((rig.sent(LAN_0).len(), rig.sent(WAN).len()), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_port_that_carries_nothing_says_so() {
    let mut rig = Rig::with(Plan { attachments: Default::default(), ..Plan::default() });
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    assert_eq!((rig.drops(DropReason::VlanNotMember), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn link_local_addresses_stay_on_the_link_but_stp_passes() {
    let mut rig = Rig::new();
    for last in 0..=0x0F {
        rig.deliver(LAN_0, &lan_frame([0x01, 0x80, 0xC2, 0, 0, last], PC_1));
    }
    assert_eq!(rig.drops(DropReason::ReservedMulticast), 15);
    assert_eq!(rig.sent(LAN_1), [lan_frame([0x01, 0x80, 0xC2, 0, 0, 0], PC_1)]);
    rig.assert_conserved();
}

#[test]
fn sources_that_no_station_can_have_are_neither_learned_nor_forwarded() {
    let mut rig = Rig::new();
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, [0; 6]));
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, [0x01, 0, 0x5E, 0, 0, 1]));
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, EVERYBODY));
    assert_eq!((rig.drops(DropReason::InvalidSource), rig.discard_sent()), (3, 0));
    assert_eq!(rig.fdb.entries().count(), 0);
    rig.assert_conserved();
}

#[test]
fn a_whole_port_carries_tags_as_they_are() {
    let mut rig = Rig::new();
    let sent = tagged(EVERYBODY, PC_1, &[100, 7]);
    rig.deliver(LAN_0, &sent);
    assert_eq!(rig.sent(LAN_1), [sent]);
    rig.assert_conserved();
}

/// LAN 0 takes part by VLAN 10 only, LAN 1 by VLAN 20 only, no pseudowires.
fn translating() -> Plan {
    let vlan = |vid| VlanId::new(vid).unwrap();
    let attach = |vid, member| {
        let mut attachment = Attachment::default();
        attachment.attach_vlan(vlan(vid), DomainId(0), MemberId(member));
        attachment
    };
    let member = |port, vid| Member { circuit: Circuit::Port(port), vlan: Some(vlan(vid)), group: 0 };
    Plan {
        members: vec![member(LAN_0, 10), member(LAN_1, 20)],
        attachments: [attach(10, 0), attach(20, 1), Attachment::default()],
        session_attachments: [Attachment::default(), Attachment::default()],
        ..Plan::default()
    }
}

#[test]
fn vlan_members_pop_their_tag_on_the_way_in_and_push_theirs_on_the_way_out() {
    let mut rig = Rig::with(translating());
    rig.deliver(LAN_0, &tagged(EVERYBODY, PC_1, &[10]));
    assert_eq!(rig.sent(LAN_1), [tagged(EVERYBODY, PC_1, &[20])]);
    rig.deliver(LAN_1, &tagged(PC_1, PC_2, &[20, 5]));
    assert_eq!(rig.sent(LAN_0), [tagged(PC_1, PC_2, &[10, 5])]);
    rig.assert_conserved();
}

#[test]
fn frames_of_other_vlans_or_untagged_do_not_enter_a_vlan_member() {
    let mut rig = Rig::with(translating());
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    rig.deliver(LAN_0, &tagged(EVERYBODY, PC_1, &[20]));
    assert_eq!((rig.drops(DropReason::VlanNotMember), rig.discard_sent()), (2, 0));
    rig.assert_conserved();
}

/// Both pseudowires in one split-horizon group, as between full-meshed sites.
fn full_mesh() -> Rig {
    let mut plan = Plan::default();
    plan.members[2].group = 1;
    plan.members[3].group = 1;
    Rig::with(plan)
}

#[test]
fn a_flood_from_outside_reaches_every_member_of_a_split_horizon_group() {
    let mut rig = full_mesh();
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    assert_eq!((rig.sent(LAN_1).len(), rig.sent(WAN).len()), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_flood_from_a_split_horizon_group_reaches_only_members_outside_it() {
    let mut rig = full_mesh();
    rig.deliver(WAN, &packet_a(&inner()));
    assert_eq!((rig.sent(LAN_0).len(), rig.sent(LAN_1).len()), (1, 1));
    assert_eq!(rig.sent(WAN), Vec::<Vec<u8>>::new(), "not to the other pseudowire");
    assert_eq!(rig.count().flooded.get(), 1);
    rig.assert_conserved();
}

#[test]
fn a_frame_between_stations_behind_one_split_horizon_group_is_dropped() {
    let mut rig = full_mesh();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(3), 1);
    rig.deliver(WAN, &packet_a(&lan_frame(PC_2, PC_1)));
    assert_eq!((rig.drops(DropReason::SplitHorizon), rig.discard_sent()), (1, 0));
    rig.deliver(LAN_0, &lan_frame(PC_2, [2, 0, 0, 0, 0, 3]));
    assert_eq!((rig.count().forwarded.get(), rig.sent(WAN).len()), (1, 1), "from outside it passes");
    rig.assert_conserved();
}

#[test]
fn frames_towards_a_member_that_is_down_are_counted() {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.republish(Plan {
        members: {
            let mut members = Plan::default().members;
            members[2].circuit = Circuit::Down;
            members
        },
        ..Plan::default()
    });
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    assert_eq!((rig.drops(DropReason::MemberDown), rig.discard_sent()), (1, 0));
    rig.republish(Plan::default());
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    assert_eq!(rig.sent(WAN).len(), 1);
    rig.assert_conserved();
}

#[test]
fn frames_that_do_not_fit_the_way_out_are_counted_and_the_others_pass() {
    let mut rig =
        Rig::with(Plan { path_mtu_bytes: 100, fragmentation: Fragmentation::Drop, ..Plan::default() });
    let sent = lan_frame_of(EVERYBODY, PC_1, 200);
    rig.deliver(LAN_0, &sent);
    assert_eq!(rig.sent(LAN_1), [sent], "the LAN takes what the pseudowires cannot");
    let counters = rig.counters.of(0).unwrap();
    assert_eq!((counters.flooded.get(), counters.copy_drops.get(DropReason::TooBig)), (1, 2));
    assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::TooBig), 1);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 200));
    assert_eq!(rig.drops(DropReason::TooBig), 1);
    rig.assert_conserved();
}

#[test]
fn an_aged_station_is_flooded_for_again() {
    let mut rig = Rig::new();
    rig.clock.set_s(10);
    rig.deliver(LAN_1, &lan_frame(EVERYBODY, PC_2));
    rig.discard_sent();
    rig.fdb.age(400, 300);
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    assert_eq!(rig.discard_sent(), 3);
    rig.assert_conserved();
}

#[test]
fn with_nobody_else_up_a_flood_has_no_destination() {
    let mut plan = Plan { up: [false, false], ..Plan::default() };
    plan.members.truncate(1);
    let mut rig = Rig::with(plan);
    rig.deliver(LAN_0, &lan_frame(EVERYBODY, PC_1));
    assert_eq!(rig.drops(DropReason::NoDestination), 1);
    rig.assert_conserved();
}
