use dataplane::tables::attachment::Ingress;
use dataplane::tables::bridge_domains::{DomainId, MemberId};
use dataplane::tables::oversize::MssLimit;
use dataplane::tables::session_state::RxSequencing;
use dataplane::tables::sessions::SessionIndex;
use wire::ethernet::{MacAddr, VlanId, VlanTag};

use super::*;
use crate::config;
use crate::netlink::next_hop::DownReason;

/// Two tunnels (UDP and IP), two access VLANs and one whole session in one bridge, another session in a second bridge.
const CONFIG: &str = r#"
    [port.wan]
    interface = "eth0"
    role = "underlay"
    [port.lan]
    interface = "eth1"
    role = "access"
    [tunnel.u]
    local = "10.0.0.1"
    remote = "10.0.0.2"
    tunnel_id = 1
    peer_tunnel_id = 1
    encap = "udp"
    udp_sport = 5001
    udp_dport = 6001
    [tunnel.u.session.a]
    session_id = 11
    peer_session_id = 12
    [tunnel.i]
    local = "10.0.0.1"
    remote = "10.0.0.3"
    tunnel_id = 2
    peer_tunnel_id = 2
    encap = "ip"
    [tunnel.i.session.b]
    session_id = 21
    peer_session_id = 22
    cookie = "01020304"
    l2spec_type = "none"
    [bridge.one]
    members = ["lan.10", "a"]
    [bridge.two]
    members = ["lan.20", "b"]
"#;

fn plan() -> Plan {
    let checked = config::check("test.toml", CONFIG, None);
    Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0)
}

fn up() -> TunnelReadiness {
    TunnelReadiness::Up {
        oif: 7,
        vlan: None,
        src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        mtu: 1500,
    }
}

fn down() -> TunnelReadiness {
    TunnelReadiness::Down(DownReason::NoRoute { remote: "10.0.0.3".parse().unwrap() })
}

fn world() -> World {
    let port = |ifindex| PortWorld {
        ifindex: Some(ifindex),
        is_up: true,
        mtu_bytes: 1500,
        fills_in_checksums: false,
    };
    World {
        ports: vec![port(7), port(8)],
        tunnels: vec![up(), down()],
        peers: Vec::new(),
        spread: Vec::new(),
    }
}

/// Destination, source, EtherType IPv4.
const UNTAGGED: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
/// Destination, source, tag 0x8100 of VLAN 20, EtherType IPv4.
const TAGGED_20: [u8; 18] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0x00, 0, 20, 0x08, 0x00];

fn entry(attachment: &Attachment, frame: &[u8]) -> Option<Ingress> {
    attachment.ingress(frame).unwrap()
}

#[test]
fn each_member_stands_where_the_file_has_it() {
    let tables = build(&plan(), &world());
    let [one, two] = &tables.domains[..] else { panic!("two domains") };
    assert_eq!(one.member(MemberId(0)).unwrap().circuit, Circuit::Port(PortId(1)));
    assert_eq!(one.member(MemberId(0)).unwrap().vlan.unwrap().get(), 10);
    assert_eq!(one.member(MemberId(1)).unwrap().circuit, Circuit::Session(SessionIndex(0)));
    assert_eq!(two.member(MemberId(1)).unwrap().circuit, Circuit::Down, "its tunnel has no route");
    assert_eq!(two.flood_targets(MemberId(9)).count(), 1);
}

#[test]
fn frames_enter_by_their_vlan_or_session() {
    let tables = build(&plan(), &world());
    let lan = &tables.ports[1].attachment;
    assert_eq!(entry(lan, &TAGGED_20).unwrap().domain, DomainId(1));
    assert!(entry(lan, &TAGGED_20).unwrap().pop_tag);
    assert_eq!(entry(lan, &UNTAGGED), None);
    assert!(
        tables.ports[0].attachment.is_empty() && tables.ports[0].is_underlay && !tables.ports[1].is_underlay
    );
    let sessions: Vec<_> =
        tables.sessions.iter().map(|s| (s.rx_session_id.get(), entry(&s.attachment, &UNTAGGED))).collect();
    assert_eq!(sessions[0].0, 11);
    assert_eq!(sessions[0].1.unwrap().domain, DomainId(0));
    assert_eq!(sessions[1].1.unwrap().domain, DomainId(1));
}

#[test]
fn only_sessions_of_tunnels_that_are_up_can_send() {
    let tables = build(&plan(), &world());
    let first = tables.tx_session(SessionIndex(0)).unwrap();
    assert_eq!((first.port(), first.overhead_bytes(), first.max_frame_bytes()), (PortId(0), 40, 1460));
    assert!(tables.tx_session(SessionIndex(1)).is_none());
    let all_up = World { tunnels: vec![up(), up()], ..world() };
    let second = build(&plan(), &all_up);
    assert_eq!(second.tx_session(SessionIndex(1)).unwrap().overhead_bytes(), 20 + 4 + 4);
}

#[test]
fn a_session_leaves_its_udp_checksum_to_its_port_where_that_fills_it_in() {
    let is_offloaded = |key: &str, filling: [bool; 2]| {
        let text = CONFIG.replace("udp_sport", &format!("udp_csum = {key}\n udp_sport"));
        let checked = config::check("test.toml", &text, None);
        let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0);
        let mut world = world();
        for (port, fills_in) in world.ports.iter_mut().zip(filling) {
            port.fills_in_checksums = fills_in;
        }
        build(&plan, &world).tx_session(SessionIndex(0)).unwrap().is_offloaded()
    };
    assert!(is_offloaded("true", [true, false]));
    assert!(!is_offloaded("true", [false, true]), "that is the port of the LAN");
    assert!(!is_offloaded("false", [true, true]), "there is none");
}

#[test]
fn a_tunnel_by_a_vlan_of_its_port_has_the_tag_in_front_and_the_same_room() {
    let TunnelReadiness::Up { oif, src_mac, dst_mac, mtu, .. } = up() else { panic!("up") };
    let tag = VlanTag::customer(VlanId::new(100).unwrap());
    let tagged = TunnelReadiness::Up { oif, vlan: Some(tag), src_mac, dst_mac, mtu };
    let tables = build(&plan(), &World { tunnels: vec![tagged, down()], ..world() });
    let session = tables.tx_session(SessionIndex(0)).unwrap();
    assert_eq!((session.port(), session.overhead_bytes(), session.max_frame_bytes()), (PortId(0), 40, 1460));
    assert_eq!(session.link_header()[12..], [0x81, 0x00, 0, 100, 0x08, 0x00]);
}

#[test]
fn a_tunnel_whose_port_is_not_attached_cannot_send() {
    let mut world = world();
    world.ports[0].ifindex = None;
    assert!(build(&plan(), &world).tx_session(SessionIndex(0)).is_none());
}

#[test]
fn a_port_without_carrier_is_out_of_the_flood_set() {
    let mut world = world();
    world.ports[1].is_up = false;
    let tables = build(&plan(), &world);
    assert_eq!(tables.domains[0].member(MemberId(0)).unwrap().circuit, Circuit::Down);
}

#[test]
fn packets_are_expected_between_the_tunnels_addresses_and_ports() {
    let plan = plan();
    let endpoint = rx_endpoint(&plan.config.tunnels[0], plan.config.tunnels[0].configured_peer());
    assert_eq!((endpoint.local_port, endpoint.remote_port, endpoint.protocol), (5001, 6001, 17));
    assert_eq!(endpoint.remote, Endpoint::map_v4([10, 0, 0, 2]));
    let endpoint = rx_endpoint(&plan.config.tunnels[1], plan.config.tunnels[1].configured_peer());
    assert_eq!((endpoint.local_port, endpoint.remote_port, endpoint.protocol), (0, 0, 115));
}

#[test]
fn the_largest_frame_of_a_port_is_its_mtu_behind_header_and_one_tag() {
    assert_eq!(build(&plan(), &world()).ports[1].max_frame_bytes, 1518);
}

/// One UDP tunnel with `count` sessions, all in one bridge with an access port.
fn crowded(count: u32) -> Plan {
    let head = CONFIG.split("[tunnel.u.session.a]").next().unwrap();
    let sessions: String = (1..=count)
        .map(|id| format!("[tunnel.u.session.s{id}]\nsession_id = {id}\npeer_session_id = {id}\n"))
        .collect();
    let members: Vec<_> = (1..=count).map(|id| format!("\"s{id}\"")).collect();
    let text = format!("{head}{sessions}[bridge.one]\nmembers = [\"lan\", {}]\n", members.join(", "));
    let checked = config::check("test.toml", &text, None);
    Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0)
}

#[test]
fn ten_thousand_sessions_in_one_bridge_each_find_their_place() {
    const COUNT: u16 = 10_000;
    let plan = crowded(u32::from(COUNT));
    let tables = build(&plan, &World { tunnels: vec![up()], ..world() });
    let domain = &tables.domains[0];
    assert_eq!(domain.flood_targets(MemberId(0)).count(), usize::from(COUNT));
    for (position, session) in (0..COUNT).zip(tables.sessions.iter()) {
        let (index, member) = (SessionIndex(u32::from(position)), MemberId(position + 1));
        assert_eq!(entry(&session.attachment, &UNTAGGED).unwrap().member, member);
        assert_eq!(domain.member(member).unwrap().circuit, Circuit::Session(index));
        assert!(tables.tx_session(index).is_some());
    }
    assert_eq!(super::super::endpoints::endpoints(&plan, &world()).len(), 2, "one tunnel, and its fragments");
}

#[test]
fn a_tunnel_cuts_up_what_does_not_fit_unless_it_is_told_to_drop_it() {
    let with = |setting: &str| {
        let text = CONFIG.replace("udp_dport = 6001", &format!("udp_dport = 6001\n{setting}"));
        let checked = config::check("test.toml", &text, None);
        let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0);
        let tables = build(&plan, &World { tunnels: vec![up(), up()], ..world() });
        let session = tables.tx_session(SessionIndex(0)).unwrap();
        (session.max_frame_bytes(), session.max_sent_bytes() > session.max_frame_bytes())
    };
    // 1500 less IPv4 20, UDP 8, flags 4, session id 4, sublayer 4.
    assert_eq!(with(""), (1460, true));
    assert_eq!(with("fragmentation = \"outer\""), (1460, true));
    assert_eq!(with("fragmentation = \"drop\""), (1460, false));
    assert_eq!(with("fragmentation = \"drop\"\ndf = true"), (1460, false));
}

#[test]
fn a_links_memberships_are_known_without_a_search() {
    let plan = crowded(100);
    let link = Link::Session(String::from("s100"));
    let memberships = plan.memberships(&link);
    assert_eq!(memberships.size_hint(), (1, Some(1)), "no walk over the members of all bridges");
    let found: Vec<_> = memberships.map(|(domain, id, member)| (domain, id, member.to_string())).collect();
    assert_eq!(found, [(DomainId(0), MemberId(100), "s100".to_owned())]);
    assert_eq!(plan.memberships(&Link::Port(String::from("wan"))).count(), 0);
    assert_eq!((plan.port_id("lan"), plan.port_id("s1")), (Some(PortId(1)), None));
    assert_eq!((plan.session_index("s7"), plan.session_index("lan")), (Some(SessionIndex(6)), None));
}

/// Tables of [`CONFIG`] with these lines added to session `a`.
fn with_a(lines: &str) -> (Plan, Tables) {
    let text = CONFIG.replacen("peer_session_id = 12\n", &format!("peer_session_id = 12\n{lines}\n"), 1);
    let checked = config::check("test.toml", &text, None);
    let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0);
    let tables = build(&plan, &world());
    (plan, tables)
}

#[test]
fn each_word_of_seq_reaches_its_half_of_the_session() {
    for (lines, sends, expected) in [
        ("", false, "Ignored"),
        ("seq = \"send\"", true, "Ignored"),
        ("seq = \"recv\"", false, "Strict"),
        ("seq = \"both\"", true, "Strict"),
        ("seq_observe = true", false, "Observed"),
        ("seq = \"send\"\nseq_observe = true", true, "Observed"),
    ] {
        let (plan, tables) = with_a(lines);
        let received = match &tables.sessions.at(0).unwrap().sequencing {
            RxSequencing::Ignored => "Ignored",
            RxSequencing::Strict(state) if Arc::ptr_eq(state, &plan.session_states[0]) => "Strict",
            RxSequencing::Observed(state) if Arc::ptr_eq(state, &plan.session_states[0]) => "Observed",
            _ => "another session's state",
        };
        assert_eq!(received, expected, "{lines}");
        let holders = 1 + usize::from(sends) + usize::from(expected != "Ignored");
        assert_eq!(Arc::strong_count(&plan.session_states[0]), holders, "{lines}: plan, sender, receiver");
        assert_eq!(
            Arc::strong_count(&plan.session_states[1]),
            1,
            "the other session has nothing to do with it"
        );
    }
}

#[test]
fn both_cookies_reach_the_receiving_half_and_a_session_can_be_replaced() {
    let (mut plan, tables) = with_a("peer_cookie = \"01020304\"\npeer_cookie_also = \"05060708\"");
    let cookies = |tables: &Tables| {
        let session = tables.sessions.at(0).unwrap();
        [Some(session.rx_cookie), session.rx_cookie_also]
            .map(|cookie| cookie.map(|cookie| cookie.to_string()))
    };
    let texts = |first: &str, second: Option<&str>| [Some(first.to_owned()), second.map(str::to_owned)];
    assert_eq!(cookies(&tables), texts("01020304", Some("05060708")));
    let (_, session) = plan.config.session("a").unwrap();
    let changed = config::Session {
        rx_cookie: session.rx_cookie_also.unwrap(),
        rx_cookie_also: None,
        ..session.clone()
    };
    plan.replace_session(&changed);
    let after = build(&plan, &world());
    assert_eq!(cookies(&after), texts("05060708", None));
    assert_eq!(after.sessions.at(1).unwrap().rx_cookie, tables.sessions.at(1).unwrap().rx_cookie);
}

#[test]
fn the_mss_limit_of_a_session_follows_its_path_in_both_directions() {
    let text = CONFIG.replace("udp_dport = 6001", "udp_dport = 6001\nmss_clamp = \"auto\"");
    let text = text.replace("encap = \"ip\"", "encap = \"ip\"\nmss_clamp = 1200");
    let checked = config::check("test.toml", &text, None);
    let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0);
    let limits = |world: &World| {
        let tables = build(&plan, world);
        let tx: Vec<_> = tables.tx_sessions.iter().map(|tx| tx.as_ref().map(TxSession::mss_limit)).collect();
        (tx, tables.sessions.iter().map(|rx| rx.mss_limit).collect::<Vec<_>>())
    };
    // UDP over IPv4 with sublayer adds 40 bytes.
    let (path, fixed) = (MssLimit::Frame(1460), MssLimit::Segment(1200));
    let both_up = World { tunnels: vec![up(), up()], ..world() };
    assert_eq!(limits(&both_up), (vec![Some(path), Some(fixed)], vec![path, fixed]));
    let one_down = (vec![Some(path), None], vec![path, MssLimit::Unlimited]);
    assert_eq!(limits(&world()), one_down, "no path is known of a tunnel that is down");
}

/// The first tunnel learns its peer.
fn learning_plan() -> Plan {
    let text = CONFIG
        .replace("remote = \"10.0.0.2\"\n", "peer = \"learn\"\n")
        .replace("udp_dport = 6001\n", "")
        .replace("peer_session_id = 12\n", "peer_session_id = 12\npeer_cookie = \"0011223344556677\"\n");
    let checked = config::check("test.toml", &text, None);
    Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0)
}

#[test]
fn a_peer_that_is_learned_is_expected_and_sent_to_where_it_was_heard() {
    let plan = learning_plan();
    let heard = World { peers: vec![Some(([192, 0, 2, 7].into(), 4500)), None], ..world() };
    let tables = build(&plan, &heard);
    let session = tables.sessions.at(0).unwrap();
    assert_eq!(
        (session.endpoint.remote, session.endpoint.remote_port),
        (Endpoint::map_v4([192, 0, 2, 7]), 4500)
    );
    assert!(session.peer.is_some() && tables.sessions.at(1).unwrap().peer.is_none());
    let sending = tables.tx_session(SessionIndex(0)).unwrap();
    assert_eq!(
        sending.outer_header()[16..24],
        [192, 0, 2, 7, 0x13, 0x89, 0x11, 0x94],
        "destination, ports 5001 and 4500"
    );
}

#[test]
fn a_peer_that_was_not_heard_is_heard_anywhere_and_not_sent_to() {
    let tables = build(&learning_plan(), &world());
    let session = tables.sessions.at(0).unwrap();
    assert_eq!(session.endpoint, Endpoint::without_peer(Endpoint::map_v4([10, 0, 0, 1]), 5001));
    assert!(tables.tx_session(SessionIndex(0)).is_none(), "though its way is said to be up");
}

#[test]
fn sessions_are_spread_with_their_tunnel_unless_they_look_at_numbers() {
    let text = CONFIG.replace(
        "[tunnel.i]",
        "seq = \"recv\"\n[tunnel.u.session.c]\nsession_id = 13\npeer_session_id = 14\n[tunnel.i]",
    );
    let checked = config::check("test.toml", &text, None);
    let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 2, 0);
    let spread = |spread: &[bool]| {
        let tables = build(&plan, &World { spread: spread.to_vec(), ..world() });
        let is_spread = |session: &RxSession| {
            tables.sessions.spreading().find(session.rx_session_id, &session.endpoint).is_some()
        };
        let sessions = tables.sessions.iter();
        sessions
            .filter(|session| is_spread(session))
            .map(|session| session.rx_session_id.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(spread(&[]), [0; 0]);
    assert_eq!(spread(&[true, false]), [13], "not 11, which must have its packets in order");
    assert_eq!(spread(&[false, true]), [21]);
    assert_eq!(spread(&[true, true]), [13, 21]);
}
