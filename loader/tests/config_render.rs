//! Writing a configuration and reading it again; any text at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use loader::config::model::{
    Bridge, Config, Cookie, Driving, Encap, Fragmentation, Gateway, Link, Member, Mode, MssClamp, Outer,
    PeerMode, Port, Role, Seq, Sequencing, Session, SessionId, Spread, Sublayer, Tunnel, TunnelId,
    TxChecksum, Umem, VlanId, Work, WorkMode,
};
use loader::config::outer::{Dscp, Ecn};
use loader::config::{check, fault::Level};
use loader::import::{ImportOptions, Script, import};
use proptest::prelude::*;

fn gateways() -> impl Strategy<Value = Gateway> {
    let name = proptest::option::of("[a-z0-9][a-zA-Z0-9._-]{0,20}");
    let cpus = proptest::option::of(proptest::collection::btree_set(0_u32..1024, 1..4));
    let socket = proptest::option::of("/[ -~\u{e4}]{1,20}");
    let mode = prop_oneof![Just(WorkMode::Busy), Just(WorkMode::Adaptive), Just(WorkMode::Interrupt)];
    let work = (mode, 1_u32..65).prop_map(|(mode, batch)| Work { mode, batch });
    (name, cpus, 1_u32..65, any::<bool>(), socket, work).prop_map(
        |(name, cpus, workers, given, socket, work)| {
            let cpus: Option<Vec<u32>> = cpus.map(|set| set.into_iter().collect());
            let length = cpus.as_ref().and_then(|cpus| u32::try_from(cpus.len()).ok());
            Gateway {
                configured_name: name,
                workers: length.or(given.then_some(workers)),
                cpus,
                configured_control_socket: socket.map(Into::into),
                work,
            }
        },
    )
}

fn umems() -> impl Strategy<Value = Umem> {
    let bytes = prop_oneof![Just(None), Just(Some(2048)), Just(Some(4096))];
    (proptest::option::of(256_u32..1_000_000), bytes, any::<bool>())
        .prop_map(|(chunks, chunk_bytes, huge_pages)| Umem { chunks, chunk_bytes, huge_pages })
}

fn cookies() -> impl Strategy<Value = Cookie> {
    prop_oneof![
        Just(Cookie::NONE),
        any::<[u8; 4]>().prop_map(Cookie::four),
        any::<[u8; 8]>().prop_map(Cookie::eight)
    ]
}

fn drivings() -> impl Strategy<Value = Driving> {
    let number = |most: u32| proptest::option::of(0..=most);
    let checksum = prop_oneof![Just(TxChecksum::Auto), Just(TxChecksum::Off), Just(TxChecksum::On)];
    (any::<bool>(), 0_u32..10_001, 1_u32..65_536, number(1_000), number(1_000_000_000), checksum).prop_map(
        |(
            need_wakeup,
            busy_poll_us,
            busy_poll_budget,
            napi_defer_hard_irqs,
            gro_flush_timeout_ns,
            tx_checksum,
        )| Driving {
            need_wakeup,
            busy_poll_us,
            busy_poll_budget,
            napi_defer_hard_irqs,
            gro_flush_timeout_ns,
            tx_checksum,
        },
    )
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let role = prop_oneof![Just(Role::Underlay), Just(Role::Access), Just(Role::Both)];
    let mode = prop_oneof![Just(Mode::Auto), Just(Mode::ZeroCopy), Just(Mode::Native), Just(Mode::Generic)];
    let port = (role, mode, 6_u32..16, 6_u32..16, any::<bool>(), drivings());
    proptest::collection::vec(port, 1..5).prop_map(|ports| {
        let port =
            |(index, (role, mode, rx, tx, own, driving)): (usize, (Role, Mode, u32, u32, bool, Driving))| {
                Port {
                    name: format!("eth{index}"),
                    interface: if own { format!("eth{index}") } else { format!("lan{index}.5") },
                    role: if index == 0 { Role::Underlay } else { role },
                    mode,
                    rx_ring: 1 << rx,
                    tx_ring: 1 << tx,
                    driving,
                }
            };
        ports.into_iter().enumerate().map(port).collect()
    })
}

/// Settings that fit a tunnel of this kind.
fn outers(is_ipv6: bool, is_udp: bool, may_df: bool) -> impl Strategy<Value = Outer> {
    let dscp = prop_oneof![Just(Dscp::Copy), (0_u8..64).prop_map(Dscp::Fixed)];
    let ecn = prop_oneof![Just(Ecn::Zero), Just(Ecn::Copy)];
    (any::<[bool; 4]>(), 1_u8.., dscp, ecn).prop_map(move |([v4, tx, rx, df], ttl, dscp, ecn)| {
        let udp_csum = is_udp && !is_ipv6 && v4;
        let [udp6_csum_tx, udp6_csum_rx] = [tx, rx].map(|flag| !(is_udp && is_ipv6) || flag);
        let df = may_df && !is_ipv6 && df;
        Outer { udp_csum, udp6_csum_tx, udp6_csum_rx, ttl, dscp, ecn, df }
    })
}

fn numbers() -> impl Strategy<Value = Sequencing> {
    let seq = prop_oneof![Just(Seq::None), Just(Seq::Send), Just(Seq::Recv), Just(Seq::Both)];
    (seq, any::<bool>()).prop_map(|(seq, observe)| Sequencing { seq, observe: observe && !seq.receives() })
}

/// Another cookie of the same length, if there is one.
fn second_cookie(first: Cookie) -> Option<Cookie> {
    let mut bytes = first.padded();
    bytes[0] ^= 1;
    Cookie::from_bytes(&bytes[..first.len_bytes()]).ok().filter(|cookie| *cookie != Cookie::NONE)
}

/// Whether over IPv6, whether over UDP, and what both allow.
fn kinds() -> impl Strategy<Value = ((bool, bool, Outer, Fragmentation), (MssClamp, Spread))> {
    let fragmentation =
        prop_oneof![Just(Fragmentation::Outer), Just(Fragmentation::Inner), Just(Fragmentation::Drop)];
    let kind = (any::<[bool; 2]>(), fragmentation).prop_flat_map(|([ipv6, udp], fragmentation)| {
        let may_forbid = fragmentation != Fragmentation::Outer;
        (Just(ipv6), Just(udp), outers(ipv6, udp, may_forbid), Just(fragmentation))
    });
    let clamp =
        prop_oneof![Just(MssClamp::Off), Just(MssClamp::Path), (536_u16..=65_495).prop_map(MssClamp::To)];
    let spread = prop_oneof![Just(Spread::Auto), Just(Spread::On), Just(Spread::Off)];
    (kind, (clamp, spread))
}

fn tunnels() -> impl Strategy<Value = Vec<Tunnel>> {
    let session = (cookies(), cookies(), any::<bool>(), numbers());
    // Fixed; learned with a first guess; learned without one.
    let tunnel = (kinds(), 0_u8..3, 1_u16.., 1_u16.., proptest::collection::vec(session, 0..3));
    proptest::collection::vec(tunnel, 0..4).prop_map(|tunnels| {
        let mut id = u32::MAX;
        let mut next = move || {
            id -= 1;
            id
        };
        let mut built = Vec::new();
        for (
            index,
            (((ipv6, udp, outer, fragmentation), (mss_clamp, spread)), peer, sport, dport, sessions),
        ) in tunnels.into_iter().enumerate()
        {
            let host = u8::try_from(index).expect("few tunnels");
            let peer = if udp { peer } else { 0 };
            let mode = if peer == 0 { PeerMode::Fixed } else { PeerMode::Learn };
            let (remote, dport) = match (peer, ipv6) {
                (2, true) => (Ipv6Addr::UNSPECIFIED.into(), 0),
                (2, false) => (Ipv4Addr::UNSPECIFIED.into(), 0),
                _ => (address(ipv6, host), dport),
            };
            // No two tunnels that learn take packets at the same local end.
            let sport = if mode == PeerMode::Learn { 1000 + u16::from(host) } else { sport };
            let sessions =
                sessions.into_iter().enumerate().map(|(number, (rx_cookie, tx_cookie, none, numbers))| {
                    let rx_cookie =
                        if mode == PeerMode::Learn { Cookie::eight([host; 8]) } else { rx_cookie };
                    Session {
                        name: format!("pw{index}-{number}"),
                        rx_session_id: SessionId::new(next()).expect("not 0"),
                        tx_session_id: SessionId::new(next()).expect("not 0"),
                        rx_cookie,
                        rx_cookie_also: second_cookie(rx_cookie).filter(|_| number % 2 == 0),
                        tx_cookie,
                        sublayer: if none { Sublayer::None } else { Sublayer::Default },
                        sequencing: if none { Sequencing::default() } else { numbers },
                    }
                });
            let sessions = sessions.collect();
            built.push(Tunnel {
                name: format!("t{index}"),
                local: address(ipv6, 255),
                remote,
                peer: mode,
                tunnel_id: TunnelId::new(next()).expect("not 0"),
                peer_tunnel_id: TunnelId::new(next()).expect("not 0"),
                encap: if udp { Encap::Udp { sport, dport } } else { Encap::Ip },
                outer,
                fragmentation,
                mss_clamp,
                spread,
                sessions,
            });
        }
        built
    })
}

fn address(is_ipv6: bool, host: u8) -> IpAddr {
    match is_ipv6 {
        true => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host) + 1)),
        false => IpAddr::V4(Ipv4Addr::new(198, 51, 100, host)),
    }
}

/// Puts every session and every port that may be bridged into one of two bridges, some by a VLAN.
fn bridges(ports: &[Port], tunnels: &[Tunnel], ageing_s: u32, vlans: &[u16]) -> Vec<Bridge> {
    let ports = ports
        .iter()
        .filter(|port| port.role != Role::Underlay)
        .map(|p| (Link::Port(p.name.clone()), p.role == Role::Both));
    let sessions =
        tunnels.iter().flat_map(|tunnel| &tunnel.sessions).map(|s| (Link::Session(s.name.clone()), false));
    let member = |(index, (link, tagged)): (usize, (Link, bool))| {
        let vlan = (tagged || index % 2 == 1).then(|| VlanId::new(vlans[index % vlans.len()])).flatten();
        Member { link, vlan }
    };
    let members: Vec<_> = ports.chain(sessions).enumerate().map(member).collect();
    let halves = members.chunks(members.len().div_ceil(2).max(1)).enumerate();
    halves
        .map(|(index, members)| Bridge {
            name: format!("br{index}"),
            members: members.to_vec(),
            ageing_s,
            fdb_entries: 16 + ageing_s,
        })
        .collect()
}

fn configs() -> impl Strategy<Value = Config> {
    let vlans = proptest::collection::vec(1_u16..=4094, 1..5);
    (gateways(), umems(), ports(), tunnels(), 10_u32..1_000_000, vlans).prop_map(
        |(gateway, umem, ports, tunnels, ageing_s, vlans)| {
            let bridges = bridges(&ports, &tunnels, ageing_s, &vlans);
            Config { gateway, umem, ports, tunnels, bridges }
        },
    )
}

/// Pieces of configuration files, to get further than random characters do.
const PIECES: &[&str] = &[
    "[gateway]\n",
    "[umem]\n",
    "[port.eth0]\n",
    "[tunnel.t]\n",
    "[tunnel.t.session.s]\n",
    "[bridge.b]\n",
    "[[port]]\n",
    "role",
    "members",
    "local",
    "session_id",
    "cookie",
    "cpus",
    "rx_ring",
    "encap",
    " = ",
    "\"eth0\"",
    "\"both\"",
    "[1, \"a.5\"]",
    "-5",
    "0xff",
    "1.5",
    "true",
    "\"ip\"",
    "\"::1\"",
    "\"224.0.0.1\"",
    "1979-05-27",
    "{ a = 1 }",
    "\n",
    "#",
    "'",
    "\"",
    "\u{e4}",
    ".",
    ",",
    "]",
];

/// Pieces of scripts.
const WORDS: &[&str] = &[
    "ip ",
    "link ",
    "l2tp ",
    "add ",
    "set ",
    "del ",
    "tunnel ",
    "session ",
    "tunnel_id ",
    "1 ",
    "local ",
    "192.0.2.1 ",
    "name ",
    "br0 ",
    "type ",
    "bridge ",
    "vlan ",
    "id ",
    "master ",
    "up ",
    "brctl ",
    "addif ",
    "sudo ",
    "modprobe ",
    "\n",
    ";",
    "|",
    "&",
    "$X ",
    "\\",
    "'",
    "\"",
    "#",
    "<<E ",
    "if ",
    "}",
    "(",
    "=",
    "\u{e4}",
    "> ",
];

fn joined(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_written_configuration_reads_back_the_same(config in configs()) {
        let toml = config.to_toml();
        let checked = check("x", &toml, None);
        prop_assert_eq!(checked.config, Some(config), "{}\n{}", toml, checked.findings);
    }

    #[test]
    fn writing_is_stable(config in configs()) {
        let toml = config.to_toml();
        let again = check("x", &toml, None).config.map(|config| config.to_toml());
        prop_assert_eq!(again, Some(toml));
    }

    #[test]
    fn any_text_gives_a_configuration_or_a_fault(text in prop_oneof![any::<String>(), joined(PIECES)]) {
        let checked = check("x", &text, None);
        prop_assert_eq!(checked.config.is_none(), checked.findings.fault_count() > 0);
        let lines = text.split('\n').count();
        for fault in &checked.findings.faults {
            prop_assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{}", fault);
        }
    }

    #[test]
    fn any_script_gives_a_configuration_and_notes_in_its_lines(text in prop_oneof![any::<String>(), joined(WORDS)]) {
        let lines = text.split('\n').count();
        let script = Script { file: "s".to_owned(), text };
        let imported = import(&[script], &ImportOptions { underlay: vec!["eth0".to_owned()], name: None });
        prop_assert!(imported.notes.iter().all(|note| note.line <= lines));
        prop_assert!(!imported.findings.faults.iter().any(|fault| fault.problem.starts_with("not TOML")), "{}", imported.toml);
    }
}

#[test]
fn an_empty_file_is_a_gateway_that_does_nothing() {
    let config = check("x", "", None).config.expect("no fault");
    assert!(config.ports.is_empty() && config.tunnels.is_empty() && config.bridges.is_empty());
    assert_eq!(config.to_toml(), "");
}

#[test]
fn levels_and_findings_have_stable_json() {
    let findings = check("gw.toml", "[umem]\nchunks = 1\n", None).findings;
    assert_eq!(findings.faults[0].level, Level::Fault);
    assert_eq!(
        serde_json::to_string(&findings).expect("no map keys"),
        r#"{"file":"gw.toml","faults":[{"line":2,"column":10,"key":"umem.chunks","level":"fault","problem":"1 is out of range","remedy":"give an integer from 256 to 1048576"}]}"#
    );
}
