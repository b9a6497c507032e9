//! Every fault that a configuration file can have: where it is reported and in which words.
//!
//! Each test changes one thing in a file that has no fault, and names every finding that must come of it.

use loader::config::{Faults, InterfaceLookup, Level, check};

/// A file without findings. The line numbers that the tests expect are those of this text.
const GOOD: &str = r#"[gateway]
name = "gw-b"
workers = 2
cpus = [0, 1]
control_socket = "/run/spanwire/gw-b.sock"
[umem]
chunks = 16384
chunk_bytes = 2048
huge_pages = false
[port.eth0]
role = "underlay"
[port.eth1]
interface = "lan0"
role = "access"
mode = "native"
rx_ring = 1024
tx_ring = 512
[tunnel.t1000]
local = "10.200.100.6"
remote = "10.200.100.2"
tunnel_id = 1000
peer_tunnel_id = 1001
encap = "udp"
udp_sport = 6001
udp_dport = 5001
[tunnel.t1000.session.l2tpeth0]
session_id = 1000
peer_session_id = 1001
cookie = "0123456789abcdef"
peer_cookie = "deadbeef"
l2spec_type = "default"
[tunnel.t2000]
local = "10.200.100.6"
remote = "10.200.100.10"
tunnel_id = 2000
peer_tunnel_id = 2001
encap = "ip"
[tunnel.t2000.session.l2tpeth1]
session_id = 2000
peer_session_id = 2001
[bridge.br0]
members = ["eth1", "l2tpeth0", "l2tpeth1"]
ageing_s = 300
fdb_entries = 65536
"#;

/// `LINE KEY: PROBLEM; REMEDY` of every finding, notes marked.
fn lines(findings: &Faults) -> Vec<String> {
    let line = |fault: &loader::config::Fault| {
        let note = if fault.level == Level::Note { "note " } else { "" };
        format!("{} {note}{}: {}; {}", fault.line, fault.key, fault.problem, fault.remedy)
    };
    findings.faults.iter().map(line).collect()
}

/// `GOOD` with each `(old, new)` replaced; every `old` must be there once.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(GOOD.to_owned(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old:?} must stand once");
        text.replace(old, new)
    })
}

#[track_caller]
fn expect(edits: &[(&str, &str)], expected: &[&str]) {
    let checked = check("gw.toml", &edited(edits), None);
    assert_eq!(lines(&checked.findings), expected);
    let faulty = checked.findings.fault_count() > 0;
    assert_eq!(checked.config.is_none(), faulty, "a configuration comes out exactly when there is no fault");
}

#[test]
fn the_unchanged_file_has_no_finding() {
    expect(&[], &[]);
}

#[test]
fn an_unknown_key_is_refused_and_the_near_one_suggested() {
    expect(
        &[("udp_sport = 6001", "udp_sprt = 6001")],
        &[
            "18 tunnel.t1000.udp_sport: is missing, and encap is \"udp\"; give an integer from 1 to 65535",
            "24 tunnel.t1000.udp_sprt: unknown key \"udp_sprt\"; did you mean \"udp_sport\"?",
        ],
    );
    expect(
        &[("huge_pages = false", "colour = 1")],
        &["9 umem.colour: unknown key \"colour\"; the keys here are chunks, chunk_bytes, huge_pages"],
    );
    expect(&[("[umem]", "[umen]")], &["6 umen: unknown key \"umen\"; did you mean \"umem\"?"]);
    expect(
        &[("session.l2tpeth1]", "sesion.l2tpeth1]"), (", \"l2tpeth1\"", "")],
        &[
            "32 note tunnel.t2000: has no session and carries nothing; add [tunnel.t2000.session.NAME]",
            "38 tunnel.t2000.sesion: unknown key \"sesion\"; did you mean \"session\"?",
        ],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    expect(
        &[
            ("workers = 2", "workers = \"2\""),
            ("rx_ring = 1024", "rx_ring = 1024.0"),
            ("huge_pages = false", "huge_pages = 0"),
        ],
        &[
            "3 gateway.workers: is a string; give an integer from 1 to 64",
            "9 umem.huge_pages: is an integer; give true or false",
            "16 port.eth1.rx_ring: is a float; give a power of two from 64 to 32768",
        ],
    );
    expect(
        &[("name = \"gw-b\"", "name = 7"), ("\"10.200.100.2\"", "2"), ("\"deadbeef\"", "0xdeadbeef")],
        &[
            "2 gateway.name: is an integer; give a string: 1 to 64 letters, digits, \"_\", \"-\" and \".\"",
            "20 tunnel.t1000.remote: is an integer; give an IP address as a string, such as \"192.0.2.1\" or \"2001:db8::1\"",
            "30 tunnel.t1000.session.l2tpeth0.peer_cookie: is an integer; give 8 or 16 hexadecimal digits as a string",
        ],
    );
    expect(
        &[("cpus = [0, 1]", "cpus = 0")],
        &["4 gateway.cpus: is an integer; give a list of integers from 0 to 1023"],
    );
    expect(&[("cpus = [0, 1]", "cpus = [0, \"1\"]")], &["4 gateway.cpus[1]: is a string; give an integer"]);
    expect(
        &[("\"l2tpeth1\"]", "17]")],
        &[
            "38 note tunnel.t2000.session.l2tpeth1: no bridge has it as a member: all it receives is dropped; \
             add \"l2tpeth1\" to the members of a bridge",
            "42 bridge.br0.members[2]: is an integer; give a string",
        ],
    );
}

#[test]
fn a_value_where_a_table_belongs_is_refused() {
    expect(
        &[("[umem]", "[umem]\n[port]\neth7 = 3\n[umem2]\n")],
        &[
            "8 port.eth7: is an integer, not a table; begin a table with [port.eth7]",
            "9 umem2: unknown key \"umem2\"; did you mean \"umem\"?",
        ],
    );
    let checked = check("x", "port = 1\nbridge = []\n", None);
    assert_eq!(
        lines(&checked.findings),
        [
            "1 port: is an integer, not a table; begin a table with [port.NAME]",
            "2 bridge: is an array, not a table; begin a table with [bridge.NAME]",
        ]
    );
}

#[test]
fn a_missing_key_is_reported_at_its_table() {
    expect(
        &[
            ("role = \"underlay\"\n", ""),
            ("tunnel_id = 1000\n", ""),
            ("session_id = 2000\n", ""),
            ("members = [\"eth1\", \"l2tpeth0\", \"l2tpeth1\"]\n", ""),
        ],
        &[
            "10 port.eth0.role: is missing; give one of \"underlay\", \"access\", \"both\"",
            "11 port.eth1: faces a LAN, but no bridge has it as a member; \
             add \"eth1\" to the members of a bridge, or give role = \"underlay\"",
            "17 tunnel.t1000.tunnel_id: is missing; give an integer from 1 to 4294967295",
            "24 note tunnel.t1000.session.l2tpeth0: no bridge has it as a member: all it receives is dropped; \
             add \"l2tpeth0\" to the members of a bridge",
            "36 tunnel.t2000.session.l2tpeth1.session_id: is missing; give an integer from 1 to 4294967295",
            "36 note tunnel.t2000.session.l2tpeth1: no bridge has it as a member: all it receives is dropped; \
             add \"l2tpeth1\" to the members of a bridge",
            "38 bridge.br0.members: is missing; give a list of strings: `NAME` or `NAME.VLAN`, VLAN 1 to 4094",
        ],
    );
}

#[test]
fn id_zero_and_ids_above_32_bits_are_out_of_range() {
    expect(
        &[
            ("\ntunnel_id = 1000", "\ntunnel_id = 0"),
            ("peer_tunnel_id = 1001", "peer_tunnel_id = 4294967296"),
            ("\nsession_id = 1000", "\nsession_id = 0"),
            ("peer_session_id = 1001", "peer_session_id = -1"),
        ],
        &[
            "21 tunnel.t1000.tunnel_id: 0 is out of range; give an integer from 1 to 4294967295",
            "22 tunnel.t1000.peer_tunnel_id: 4294967296 is out of range; give an integer from 1 to 4294967295",
            "27 tunnel.t1000.session.l2tpeth0.session_id: 0 is out of range; give an integer from 1 to 4294967295",
            "28 tunnel.t1000.session.l2tpeth0.peer_session_id: -1 is out of range; give an integer from 1 to 4294967295",
        ],
    );
}

#[test]
fn ids_use_their_whole_range() {
    expect(
        &[("\nsession_id = 1000", "\nsession_id = 4294967295"), ("\ntunnel_id = 1000", "\ntunnel_id = 1")],
        &[],
    );
    expect(&[("\nsession_id = 1000", "\nsession_id = 0xFFFF_FFFF")], &[]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    expect(
        &[
            ("workers = 2", "workers = 0x41"),
            ("cpus = [0, 1]", "cpus = [0, 1024]"),
            ("chunks = 16384", "chunks = 255"),
            ("udp_sport = 6001", "udp_sport = 65536"),
            ("udp_dport = 5001", "udp_dport = 0"),
            ("ageing_s = 300", "ageing_s = 9"),
            ("fdb_entries = 65536", "fdb_entries = 99999999999999999999999999"),
        ],
        &[
            "3 gateway.workers: 0x41 is out of range; give an integer from 1 to 64",
            "4 gateway.cpus[1]: 1024 is out of range; give a list of integers from 0 to 1023",
            "7 umem.chunks: 255 is out of range; give an integer from 256 to 1048576",
            "24 tunnel.t1000.udp_sport: 65536 is out of range; give an integer from 1 to 65535",
            "25 tunnel.t1000.udp_dport: 0 is out of range; give an integer from 1 to 65535",
            "43 bridge.br0.ageing_s: 9 is out of range; give an integer from 10 to 1000000",
            "44 bridge.br0.fdb_entries: 99999999999999999999999999 is out of range; give an integer from 16 to 16777216",
        ],
    );
}

#[test]
fn ring_sizes_are_powers_of_two_in_range() {
    expect(
        &[("rx_ring = 1024", "rx_ring = 1000"), ("tx_ring = 512", "tx_ring = 32")],
        &[
            "16 port.eth1.rx_ring: 1000 is no power of two; give a power of two from 64 to 32768",
            "17 port.eth1.tx_ring: 32 is out of range; give a power of two from 64 to 32768",
        ],
    );
    expect(
        &[("rx_ring = 1024", "rx_ring = 65536"), ("tx_ring = 512", "tx_ring = 64")],
        &["16 port.eth1.rx_ring: 65536 is out of range; give a power of two from 64 to 32768"],
    );
}

#[test]
fn chunks_have_one_of_two_sizes() {
    expect(&[("chunk_bytes = 2048", "chunk_bytes = 4096")], &[]);
    expect(
        &[("chunk_bytes = 2048", "chunk_bytes = 3072")],
        &["8 umem.chunk_bytes: 3072 is out of range; give one of 2048, 4096"],
    );
}

#[test]
fn unknown_words_are_refused_and_the_near_one_suggested() {
    expect(
        &[
            ("\"underlay\"", "\"underly\""),
            ("\"native\"", "\"zerocopy\""),
            ("\"udp\"", "\"tcp\""),
            ("\"default\"", "\"defalt\""),
        ],
        &[
            "11 port.eth0.role: \"underly\" is not known; did you mean \"underlay\"?",
            "15 port.eth1.mode: \"zerocopy\" is not known; did you mean \"zero-copy\"?",
            "23 tunnel.t1000.encap: \"tcp\" is not known; the words here are udp, ip",
            "31 tunnel.t1000.session.l2tpeth0.l2spec_type: \"defalt\" is not known; did you mean \"default\"?",
        ],
    );
}

#[test]
fn cookies_of_odd_or_wrong_length_or_other_digits_are_refused() {
    let remedy = "give 8 or 16 hexadecimal digits, or leave the key out for no cookie";
    let cookie = "tunnel.t1000.session.l2tpeth0.cookie";
    for (digits, problem) in [
        ("abc", "has 3 hexadecimal digits, an odd number"),
        ("abcdef", "has 6 hexadecimal digits"),
        ("0123456789abcdef00", "has 18 hexadecimal digits"),
        ("", "has 0 hexadecimal digits"),
        ("0xdeadbeef", "contains 'x', which is no hexadecimal digit"),
    ] {
        let edit = format!("cookie = \"{digits}\"\npeer_");
        let text = edited(&[("cookie = \"0123456789abcdef\"\npeer_", edit.as_str())]);
        assert_eq!(lines(&check("x", &text, None).findings), [format!("29 {cookie}: {problem}; {remedy}")]);
    }
}

/// The line in [`GOOD`] that lines of a session can be put behind, with the line in its place.
const BEHIND_PEER_COOKIE: &str = "peer_cookie = \"deadbeef\"\n";

#[test]
fn a_second_cookie_is_as_long_as_the_first() {
    let at = "tunnel.t1000.session.l2tpeth0.peer_cookie_also";
    let remedy = "give one as long as peer_cookie, or leave the key out";
    for (digits, expected) in [
        ("cafebabe", vec![]),
        ("0123456789abcdef", vec![format!("31 {at}: is 8 bytes long, and peer_cookie 4; {remedy}")]),
        (
            "deadbeef",
            vec![format!(
                "31 note {at}: is the same as peer_cookie; give the cookie that the peer changes over to"
            )],
        ),
        (
            "",
            vec![format!(
                "31 {at}: has 0 hexadecimal digits; give 8 or 16 hexadecimal digits, or leave the key out for no cookie"
            )],
        ),
    ] {
        let edit = format!("{BEHIND_PEER_COOKIE}peer_cookie_also = \"{digits}\"\n");
        let text = edited(&[(BEHIND_PEER_COOKIE, edit.as_str())]);
        assert_eq!(lines(&check("x", &text, None).findings), expected, "{digits:?}");
    }
    expect(
        &[(BEHIND_PEER_COOKIE, "peer_cookie_also = \"cafebabe\"\n")],
        &[&format!("30 {at}: is 4 bytes long, and there is no peer_cookie; {remedy}")],
    );
}

#[test]
fn numbers_need_the_sublayer_that_they_stand_in() {
    let session = "tunnel.t1000.session.l2tpeth0";
    let remedy = "remove it, or give l2spec_type = \"default\" at both ends";
    let problem = "numbers stand in the sublayer, and l2spec_type is \"none\"";
    for seq in ["send", "recv", "both"] {
        expect(
            &[("l2spec_type = \"default\"", &format!("l2spec_type = \"none\"\nseq = \"{seq}\""))],
            &[&format!("32 {session}.seq: {problem}; {remedy}")],
        );
    }
    expect(
        &[("l2spec_type = \"default\"", "l2spec_type = \"none\"\nseq_observe = true\nseq = \"none\"")],
        &[&format!("32 {session}.seq_observe: {problem}; {remedy}")],
    );
}

#[test]
fn what_drops_for_a_number_does_not_only_observe() {
    let at = "tunnel.t1000.session.l2tpeth0.seq_observe";
    for (seq, instead) in [("recv", "none"), ("both", "send")] {
        expect(
            &[(BEHIND_PEER_COOKIE, &format!("{BEHIND_PEER_COOKIE}seq = \"{seq}\"\nseq_observe = true\n"))],
            &[&format!(
                "32 {at}: drops nothing for its number, and seq = \"{seq}\" drops what is not in order; \
                 remove it, or give seq = \"{instead}\""
            )],
        );
    }
}

#[test]
fn what_a_linux_peer_would_not_number_is_noted() {
    let session = "tunnel.t1000.session.l2tpeth0";
    let problem = "a Linux peer numbers only while it receives numbers, and none are sent";
    for (lines, expected) in [
        ("seq = \"send\"\nseq_observe = true\n", None),
        ("seq = \"both\"\n", None),
        ("seq = \"none\"\nseq_observe = false\n", None),
        (
            "seq = \"recv\"\n",
            Some(format!("31 note {session}.seq: {problem}; give seq = \"both\" when the peer is Linux")),
        ),
        (
            "seq_observe = true\n",
            Some(format!(
                "31 note {session}.seq_observe: {problem}; give seq = \"send\" when the peer is Linux"
            )),
        ),
    ] {
        let edit = format!("{BEHIND_PEER_COOKIE}{lines}");
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        expect(&[(BEHIND_PEER_COOKIE, &edit)], &expected);
    }
}

#[test]
fn a_session_that_is_never_spread_is_noted_where_its_tunnel_is_always() {
    let tunnel = "udp_dport = 5001\n[tunnel.t1000.session";
    let spread = |value| format!("udp_dport = 5001\nspread = \"{value}\"\n[tunnel.t1000.session");
    let note = |key| {
        format!(
            "32 note tunnel.t1000.session.l2tpeth0.{key}: looks at received numbers in order, so one worker takes all its \
             packets, and the tunnel's spread = \"on\" does nothing for it; remove {key}, or spread"
        )
    };
    for (lines, key) in [("seq = \"both\"\n", "seq"), ("seq_observe = true\nseq = \"send\"\n", "seq_observe")]
    {
        let numbers = format!("{BEHIND_PEER_COOKIE}{lines}");
        for (value, expected) in [("on", Some(note(key))), ("auto", None), ("off", None)] {
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            expect(&[(tunnel, &spread(value)), (BEHIND_PEER_COOKIE, &numbers)], &expected);
        }
    }
    expect(&[(tunnel, &spread("on"))], &[]);
    expect(
        &[(tunnel, &spread("on")), (BEHIND_PEER_COOKIE, &format!("{BEHIND_PEER_COOKIE}seq = \"send\"\n"))],
        &[],
    );
}

#[test]
fn a_packet_that_may_not_be_cut_up_is_not_to_be_cut_up() {
    let udp = "udp_dport = 5001\n[tunnel.t1000.session";
    let refused = "26 tunnel.t1000.df: is true, and fragmentation is \"outer\": such a packet may not be cut up; \
                   give fragmentation = \"inner\" or \"drop\", or df = false";
    expect(&[(udp, "udp_dport = 5001\ndf = true\n[tunnel.t1000.session")], &[refused]);
    expect(
        &[(udp, "udp_dport = 5001\ndf = true\nfragmentation = \"outer\"\n[tunnel.t1000.session")],
        &[refused],
    );
    expect(&[(udp, "udp_dport = 5001\ndf = true\nfragmentation = \"drop\"\n[tunnel.t1000.session")], &[]);
    expect(&[(udp, "udp_dport = 5001\ndf = true\nfragmentation = \"inner\"\n[tunnel.t1000.session")], &[]);
    expect(&[(udp, "udp_dport = 5001\ndf = false\nfragmentation = \"outer\"\n[tunnel.t1000.session")], &[]);
    expect(
        &[(udp, "udp_dport = 5001\nfragmentation = \"inside\"\n[tunnel.t1000.session")],
        &["26 tunnel.t1000.fragmentation: \"inside\" is not known; the words here are outer, inner, drop"],
    );
}

#[test]
fn dont_fragment_is_refused_where_there_is_no_such_bit() {
    let text = edited(&[
        ("local = \"10.200.100.6\"\nremote = \"10.200.100.2\"", "local = \"fd00::1\"\nremote = \"fd00::2\""),
        ("udp_dport = 5001\n[tunnel.t1000.session", "udp_dport = 5001\ndf = true\n[tunnel.t1000.session"),
    ]);
    let found = lines(&check("x", &text, None).findings);
    let expected =
        "26 tunnel.t1000.df: has no meaning over IPv6, whose routers never cut packets up; remove it";
    assert!(found.iter().any(|line| line == expected), "{found:?}");
}

#[test]
fn a_session_id_used_twice_in_a_tunnel_is_refused() {
    let second = "[tunnel.t1000.session.s2]\nsession_id = 1000\npeer_session_id = 1001\n[tunnel.t2000]\n";
    expect(
        &[("[tunnel.t2000]\n", second), ("\"l2tpeth1\"]", "\"l2tpeth1\", \"s2\"]")],
        &[
            "33 tunnel.t1000.session.s2.session_id: is also the id of tunnel.t1000.session.l2tpeth0 (line 26); \
             give each session of a tunnel an id of its own",
            "34 tunnel.t1000.session.s2.peer_session_id: is also that of tunnel.t1000.session.l2tpeth0 (line 26); \
             the peer could not tell the two apart: give each the peer's own session_id",
        ],
    );
}

#[test]
fn a_session_id_used_by_two_ip_tunnels_is_refused_but_not_by_a_udp_tunnel() {
    expect(
        &[
            ("\nsession_id = 2000", "\nsession_id = 1000"),
            ("peer_session_id = 2001", "peer_session_id = 1001"),
        ],
        &[],
    );
    expect(
        &[
            ("\nsession_id = 2000", "\nsession_id = 1000"),
            ("encap = \"udp\"\nudp_sport = 6001\nudp_dport = 5001", "encap = \"ip\""),
        ],
        &[
            "37 tunnel.t2000.session.l2tpeth1.session_id: is also the id of tunnel.t1000.session.l2tpeth0 (line 24); \
           session ids are unique among all tunnels with encap = \"ip\": give it another",
        ],
    );
}

#[test]
fn a_session_name_used_twice_or_by_a_port_is_refused() {
    expect(
        &[("session.l2tpeth1]", "session.l2tpeth0]"), (", \"l2tpeth1\"", "")],
        &[
            "38 tunnel.t2000.session.l2tpeth0: the name is also that of tunnel.t1000.session.l2tpeth0 (line 26); \
           give each session of the file a name of its own",
        ],
    );
    expect(
        &[("session.l2tpeth1]", "session.eth1]"), (", \"l2tpeth1\"", "")],
        &["38 tunnel.t2000.session.eth1: the name is also that of port.eth1 (line 12); \
           give the session or the port another name: bridges name both"],
    );
}

#[test]
fn a_table_that_stands_twice_is_refused_and_the_rest_still_checked() {
    let findings = check(
        "x",
        &edited(&[("[tunnel.t2000]", "[umem]\n[tunnel.t2000]"), ("workers = 2", "workers = 0")]),
        None,
    )
    .findings;
    let lines = lines(&findings);
    assert_eq!(
        lines,
        [
            "3 gateway.workers: 0 is out of range; give an integer from 1 to 64",
            "32 : not TOML: duplicate key; keep one of the two",
        ]
    );
}

#[test]
fn a_tunnel_id_used_twice_is_refused() {
    expect(
        &[("\ntunnel_id = 2000", "\ntunnel_id = 1000")],
        &[
            "35 tunnel.t2000.tunnel_id: is also the id of tunnel.t1000 (line 18); give each tunnel an id of its own",
        ],
    );
}

#[test]
fn tunnels_with_the_same_endpoints_are_refused() {
    let third = |ports: &str| {
        format!(
            "[tunnel.t3]\nlocal = \"10.200.100.6\"\nremote = \"10.200.100.2\"\ntunnel_id = 3\npeer_tunnel_id = 3\n{ports}\n\
             [tunnel.t3.session.s3]\nsession_id = 3\npeer_session_id = 3\n[bridge.br0]\n"
        )
    };
    let member = ("\"l2tpeth1\"]", "\"l2tpeth1\", \"s3\"]");
    expect(
        &[("[bridge.br0]\n", &third("udp_sport = 6001\nudp_dport = 5001")), member],
        &["41 tunnel.t3: has the same endpoints as tunnel.t1000 (line 18); \
           give it other UDP ports or addresses, or make its sessions part of that tunnel"],
    );
    expect(&[("[bridge.br0]\n", &third("udp_sport = 6001\nudp_dport = 5002")), member], &[]);
    expect(&[("[bridge.br0]\n", &third("encap = \"ip\"")), member], &[]);
    expect(
        &[
            ("[bridge.br0]\n", &third("encap = \"ip\"")),
            member,
            ("remote = \"10.200.100.10\"", "remote = \"10.200.100.2\""),
        ],
        &["41 tunnel.t3: has the same endpoints as tunnel.t2000 (line 32); \
           make its sessions part of that tunnel, or give it other addresses"],
    );
}

#[test]
fn two_udp_tunnels_may_share_local_address_and_port_when_the_peers_differ() {
    expect(&[("encap = \"ip\"", "encap = \"udp\"\nudp_sport = 6001\nudp_dport = 5001")], &[]);
}

#[test]
fn addresses_that_no_peer_can_have_are_refused() {
    let remedy = "give the unicast address of one gateway";
    for (address, kind) in [
        ("0.0.0.0", "the unspecified"),
        ("224.0.0.5", "a multicast"),
        ("127.0.0.1", "a loopback"),
        ("255.255.255.255", "the broadcast"),
    ] {
        let text = edited(&[("\"10.200.100.2\"", &format!("{address:?}"))]);
        let expected = format!("20 tunnel.t1000.remote: {address} is {kind} address; {remedy}");
        assert_eq!(lines(&check("x", &text, None).findings), [expected]);
    }
}

#[test]
fn a_text_that_is_no_address_is_refused() {
    expect(
        &[("\"10.200.100.2\"", "\"gw-a.example\"")],
        &["20 tunnel.t1000.remote: \"gw-a.example\" is no IP address; \
           give an IP address as a string, such as \"192.0.2.1\" or \"2001:db8::1\""],
    );
}

/// The first tunnel over IPv6.
const OVER_IPV6: (&str, &str) = (
    "local = \"10.200.100.6\"\nremote = \"10.200.100.2\"",
    "local = \"2001:db8::6\"\nremote = \"2001:db8::2\"",
);

#[test]
fn ipv6_addresses_are_taken_over_udp_and_over_ip() {
    expect(&[OVER_IPV6], &[]);
    expect(&[OVER_IPV6, ("encap = \"udp\"\nudp_sport = 6001\nudp_dport = 5001", "encap = \"ip\"")], &[]);
}

#[test]
fn ipv6_addresses_that_no_peer_can_have_are_refused() {
    let unicast = "give the unicast address of one gateway";
    let valid = "give an address that is valid beyond one link: global, or unique local";
    for (address, kind, remedy) in [
        ("::", "the unspecified", unicast),
        ("::1", "a loopback", unicast),
        ("ff0e::5", "a multicast", unicast),
        ("::ffff:10.200.100.2", "an IPv4-mapped", "give the IPv4 address itself"),
        ("fe80::2", "a link-local", valid),
    ] {
        let text = edited(&[OVER_IPV6]).replace("2001:db8::2", address);
        let expected = format!("20 tunnel.t1000.remote: {address} is {kind} address; {remedy}");
        assert_eq!(lines(&check("x", &text, None).findings), [expected]);
    }
}

#[test]
fn an_address_with_a_zone_is_refused_as_such() {
    expect(
        &[("\"10.200.100.2\"", "\"fe80::2%eth0\"")],
        &["20 tunnel.t1000.remote: \"fe80::2%eth0\" has a zone: it is valid on one link only; \
           give an IP address as a string, such as \"192.0.2.1\" or \"2001:db8::1\""],
    );
}

#[test]
fn addresses_of_two_families_are_refused() {
    expect(
        &[("\"10.200.100.2\"", "\"2001:db8::2\"")],
        &["20 tunnel.t1000.remote: 2001:db8::2 and local 10.200.100.6 are of different address families; \
             give two addresses of one family"],
    );
}

#[test]
fn settings_of_the_outer_headers_are_checked_in_type_and_range() {
    let dport = "udp_dport = 5001\n";
    let with = |settings: &str| format!("{dport}{settings}\n");
    expect(&[(dport, &with("udp_csum = true\nttl = 255\ndscp = \"copy\"\necn = \"copy\""))], &[]);
    expect(&[(dport, &with("ttl = 1\ndscp = 63\necn = \"zero\""))], &[]);
    expect(
        &[(dport, &with("udp_csum = \"on\"\nttl = 256\ndscp = 64\necn = \"normal\""))],
        &[
            "26 tunnel.t1000.udp_csum: is a string; give true or false",
            "27 tunnel.t1000.ttl: 256 is out of range; give an integer from 1 to 255",
            "28 tunnel.t1000.dscp: 64 is out of range; give \"copy\" or an integer from 0 to 63",
            "29 tunnel.t1000.ecn: \"normal\" is not known; the words here are zero, copy",
        ],
    );
    expect(
        &[(dport, &with("ttl = 0\ndscp = \"EF\""))],
        &[
            "26 tunnel.t1000.ttl: 0 is out of range; give an integer from 1 to 255",
            "27 tunnel.t1000.dscp: \"EF\" is not known; give \"copy\" or an integer from 0 to 63",
        ],
    );
    expect(
        &[(dport, &with("dscp = true"))],
        &["26 tunnel.t1000.dscp: is a boolean; give \"copy\" or an integer from 0 to 63"],
    );
}

#[test]
fn checksum_settings_of_another_kind_of_tunnel_are_refused() {
    let dport = "udp_dport = 5001\n";
    let all = "udp_dport = 5001\nudp_csum = true\nudp6_csum_tx = true\nudp6_csum_rx = false\n";
    let no_ipv6 = "is for tunnels over IPv6, and this one has other addresses; remove it, or give udp_csum";
    expect(
        &[(dport, all)],
        &[
            &format!("27 tunnel.t1000.udp6_csum_tx: {no_ipv6}"),
            &format!("28 tunnel.t1000.udp6_csum_rx: {no_ipv6}"),
        ],
    );
    expect(
        &[(dport, all), OVER_IPV6],
        &["26 tunnel.t1000.udp_csum: is for tunnels over IPv4, and this one has other addresses; \
           remove it, or give udp6_csum_tx and udp6_csum_rx"],
    );
    expect(
        &[("encap = \"ip\"", "encap = \"ip\"\nudp_csum = false")],
        &["38 tunnel.t2000.udp_csum: has no meaning with encap = \"ip\"; \
           remove it, or give encap = \"udp\""],
    );
}

#[test]
fn a_tunnel_to_itself_is_refused() {
    expect(
        &[("\"10.200.100.2\"", "\"10.200.100.6\"")],
        &["20 tunnel.t1000.remote: 10.200.100.6 is also local; give the peer's address"],
    );
}

#[test]
fn udp_ports_belong_to_udp_and_only_to_udp() {
    expect(
        &[("encap = \"udp\"", "encap = \"ip\"")],
        &[
            "24 tunnel.t1000.udp_sport: has no meaning with encap = \"ip\"; remove it, or give encap = \"udp\"",
            "25 tunnel.t1000.udp_dport: has no meaning with encap = \"ip\"; remove it, or give encap = \"udp\"",
        ],
    );
    expect(
        &[("encap = \"ip\"\n", "")],
        &[
            "32 tunnel.t2000.udp_sport: is missing, and encap is \"udp\"; give an integer from 1 to 65535",
            "32 tunnel.t2000.udp_dport: is missing, and encap is \"udp\"; give an integer from 1 to 65535",
        ],
    );
}

#[test]
fn an_interface_named_by_two_ports_is_refused() {
    expect(
        &[("interface = \"lan0\"", "interface = \"eth0\"")],
        &["13 port.eth1.interface: interface \"eth0\" is already port \"eth0\" (line 10); \
           name each interface once; one port can be both underlay and access: role = \"both\""],
    );
}

#[test]
fn a_missing_interface_is_refused_when_the_caller_can_tell() {
    let interfaces: Vec<String> = vec!["lo".into(), "eth0".into(), "lan1".into()];
    let checked = check("x", GOOD, Some(&interfaces as &dyn InterfaceLookup));
    assert_eq!(
        lines(&checked.findings),
        ["13 port.eth1.interface: interface \"lan0\" does not exist; did you mean \"lan1\"?"]
    );
    let interfaces: Vec<String> = vec!["lo".into(), "wan".into(), "lan0".into()];
    let checked = check("x", GOOD, Some(&interfaces as &dyn InterfaceLookup));
    assert_eq!(
        lines(&checked.findings),
        ["10 port.eth0: interface \"eth0\" does not exist; the interfaces here are wan, lan0"]
    );
}

#[test]
fn an_illegal_interface_name_is_refused() {
    let remedy = "give interface = \"...\" with a Linux interface name, at most 15 bytes";
    for (name, problem) in [
        ("", "\"\" is empty"),
        ("eth/1", "\"eth/1\" contains '/'"),
        ("a b", "\"a b\" contains ' '"),
        ("..", "\"..\" is a directory"),
        ("abcdefghijklmnop", "\"abcdefghijklmnop\" is longer than 15 bytes"),
    ] {
        let text = edited(&[("\"lan0\"", &format!("{name:?}"))]);
        let expected = format!("13 port.eth1.interface: the interface name {problem}; {remedy}");
        assert_eq!(lines(&check("x", &text, None).findings), [expected]);
    }
}

#[test]
fn illegal_names_are_refused() {
    expect(
        &[("[port.eth0]", "[port.\"eth0.5\"]")],
        &["10 port.\"eth0.5\": the name contains '.'; allowed are letters, digits, \"_\" and \"-\"; \
           name it with a letter or digit, then letters, digits, _ and -"],
    );
    expect(
        &[("name = \"gw-b\"", "name = \"-b\"")],
        &["2 gateway.name: the name does not begin with a letter or digit; \
           begin with a letter or digit; at most 64 characters"],
    );
    expect(
        &[("[bridge.br0]", &format!("[bridge.{}]", "b".repeat(33)))],
        &[&format!(
            "41 bridge.{}: the name is longer than 32 characters; \
             name it with a letter or digit, then letters, digits, _ and -",
            "b".repeat(33)
        )],
    );
}

#[test]
fn a_control_socket_path_must_be_absolute_and_fit() {
    expect(
        &[("\"/run/spanwire/gw-b.sock\"", "\"gw-b.sock\"")],
        &["5 gateway.control_socket: is no absolute path; begin it with \"/\""],
    );
    let long = format!("\"/{}\"", "s".repeat(107));
    expect(
        &[("\"/run/spanwire/gw-b.sock\"", &long)],
        &["5 gateway.control_socket: has 108 bytes; give a path of at most 107 bytes"],
    );
}

#[test]
fn cpus_and_workers_must_agree_and_no_cpu_stands_twice() {
    expect(
        &[("workers = 2", "workers = 3")],
        &[
            "4 gateway.cpus: has 2 CPUs for 3 workers; name one CPU per worker, or leave one of the two keys out",
        ],
    );
    expect(
        &[("cpus = [0, 1]", "cpus = [1, 1]")],
        &["4 gateway.cpus[1]: CPU 1 stands twice; name each CPU once"],
    );
    expect(
        &[("workers = 2\n", ""), ("cpus = [0, 1]", "cpus = []")],
        &["3 gateway.cpus: is empty; name one CPU per worker, or leave the key out"],
    );
}

#[test]
fn too_few_chunks_for_the_rings_are_noted() {
    expect(
        &[("chunks = 16384", "chunks = 1024")],
        &[
            "7 note umem.chunks: 1024 chunks do not fill the ports' rings, which hold 5632 with one queue each; \
           give at least 5632, smaller rings, or leave the key out",
        ],
    );
}

#[test]
fn a_bridge_without_members_is_refused_and_one_member_is_noted() {
    expect(
        &[("[bridge.br0]", "[bridge.br1]\nmembers = []\n[bridge.br0]")],
        &["42 bridge.br1.members: is empty; name at least one port or session"],
    );
    let second = "[port.eth2]\nrole = \"access\"\n[bridge.br1]\nmembers = [\"eth2\"]\n[bridge.br0]";
    expect(
        &[("[bridge.br0]", second)],
        &[
            "44 note bridge.br1.members: has one member, so nothing can be forwarded; add a second port or session",
        ],
    );
}

#[test]
fn an_unknown_member_is_refused_and_the_near_one_suggested() {
    expect(
        &[("\"l2tpeth1\"]", "\"l2tpeth1\", \"l2tpeht0\"]")],
        &["42 bridge.br0.members[3]: there is no port or session \"l2tpeht0\"; did you mean \"l2tpeth0\"?"],
    );
    expect(
        &[("\"l2tpeth1\"]", "\"l2tpeth1\", \"x\"]")],
        &["42 bridge.br0.members[3]: there is no port or session \"x\"; \
           the ports and sessions are eth0, eth1, l2tpeth0, l2tpeth1"],
    );
}

#[test]
fn a_member_in_two_bridges_or_twice_in_one_is_refused() {
    expect(
        &[("fdb_entries = 65536", "[bridge.br1]\nmembers = [\"l2tpeth0\", \"l2tpeth0\"]")],
        &[
            "45 bridge.br1.members[0]: \"l2tpeth0\" is already in bridge.br0 (line 42); leave it in one bridge",
            "45 bridge.br1.members[1]: \"l2tpeth0\" is already in bridge.br0 (line 42); leave it in one bridge",
        ],
    );
    expect(
        &[("[\"eth1\", ", "[\"eth1\", \"eth1\", ")],
        &["42 bridge.br0.members[1]: \"eth1\" stands twice in this bridge (line 42); name it once"],
    );
}

#[test]
fn an_access_vlan_used_twice_is_refused() {
    expect(
        &[
            ("[\"eth1\", ", "[\"eth1.10\", \"eth1.20\", "),
            ("fdb_entries = 65536", "[bridge.br1]\nmembers = [\"eth1.10\", \"eth1.30\"]"),
        ],
        &[
            "45 bridge.br1.members[0]: VLAN 10 of \"eth1\" is already in bridge.br0 (line 42); leave it in one bridge",
        ],
    );
}

#[test]
fn a_whole_port_and_a_vlan_of_it_cannot_both_be_used() {
    expect(
        &[("\"l2tpeth1\"]", "\"l2tpeth1\", \"eth1.10\"]")],
        &["42 bridge.br0.members[3]: the whole of \"eth1\" and a VLAN of it are both used (line 42); \
           use either the whole of it or VLANs of it"],
    );
}

#[test]
fn a_member_with_an_illegal_vlan_is_refused() {
    for vlan in ["0", "4095", "ten", ""] {
        let text = edited(&[("\"l2tpeth1\"]", &format!("\"l2tpeth1\", \"eth1.{vlan}\"]"))]);
        let expected = format!(
            "42 bridge.br0.members[3]: {vlan:?} in \"eth1.{vlan}\" is no VLAN id; give NAME.VLAN with a VLAN id from 1 to 4094"
        );
        assert_eq!(lines(&check("x", &text, None).findings), [expected]);
    }
}

#[test]
fn an_underlay_port_cannot_be_bridged() {
    expect(
        &[("\"l2tpeth1\"]", "\"l2tpeth1\", \"eth0\"]")],
        &["42 bridge.br0.members[3]: port \"eth0\" has role \"underlay\" and cannot be bridged; \
           give port.eth0 role = \"access\", or \"both\" to bridge VLANs of it"],
    );
}

#[test]
fn a_port_with_both_roles_gives_vlans_only() {
    let both = ("role = \"underlay\"", "role = \"both\"");
    expect(&[both, ("\"l2tpeth1\"]", "\"l2tpeth1\", \"eth0.10\"]")], &[]);
    expect(
        &[both, ("\"l2tpeth1\"]", "\"l2tpeth1\", \"eth0\"]")],
        &[
            "42 bridge.br0.members[3]: port \"eth0\" has role \"both\": its untagged frames belong to the underlay; \
           name a VLAN of it, such as \"eth0.10\", or give port.eth0 role = \"access\"",
        ],
    );
    expect(
        &[both],
        &["10 note port.eth0: has role \"both\", but no bridge has a VLAN of it; \
           add \"eth0\" to the members of a bridge, or give role = \"underlay\""],
    );
}

#[test]
fn an_access_port_in_no_bridge_is_refused() {
    expect(
        &[("[\"eth1\", ", "[")],
        &["12 port.eth1: faces a LAN, but no bridge has it as a member; \
           add \"eth1\" to the members of a bridge, or give role = \"underlay\""],
    );
}

#[test]
fn tunnels_without_an_underlay_port_are_refused() {
    expect(
        &[("[port.eth0]\nrole = \"underlay\"\n", "")],
        &["16 tunnel.t1000: there are tunnels, but no underlay port to carry them; \
           add [port.NAME] with role = \"underlay\" for the interface that faces the routed network"],
    );
}

#[test]
fn a_tunnel_without_sessions_is_noted() {
    expect(
        &[
            ("[tunnel.t2000.session.l2tpeth1]\nsession_id = 2000\npeer_session_id = 2001\n", ""),
            (", \"l2tpeth1\"", ""),
        ],
        &["32 note tunnel.t2000: has no session and carries nothing; add [tunnel.t2000.session.NAME]"],
    );
}

#[test]
fn a_syntax_error_is_reported_with_its_place() {
    let findings = check("x", "[gateway]\nname = \"gw\nworkers = 1\n", None).findings;
    assert!(!findings.is_empty());
    assert_eq!((findings.faults[0].line, findings.faults[0].key.as_str()), (2, ""));
    assert!(findings.faults[0].problem.starts_with("not TOML: "), "{findings}");
}

#[test]
fn many_faults_are_all_reported_in_one_run() {
    expect(
        &[
            ("workers = 2\n", "workers = 2\nworker = 3\n"),
            ("role = \"access\"", "role = \"acces\""),
            ("rx_ring = 1024", "rx_ring = 1025"),
            ("\"10.200.100.2\"", "\"10.200.100.6\""),
            ("\nsession_id = 1000", "\nsession_id = 0"),
            ("\"deadbeef\"", "\"deadbee\""),
            ("\ntunnel_id = 2000", "\ntunnel_id = 1000"),
            ("peer_session_id = 2001", "peer_session_id = true"),
            ("\"l2tpeth1\"]", "\"l2tpeth2\", \"eth1.4095\"]"),
        ],
        &[
            "4 gateway.worker: unknown key \"worker\"; did you mean \"workers\"?",
            "15 port.eth1.role: \"acces\" is not known; did you mean \"access\"?",
            "17 port.eth1.rx_ring: 1025 is no power of two; give a power of two from 64 to 32768",
            "21 tunnel.t1000.remote: 10.200.100.6 is also local; give the peer's address",
            "28 tunnel.t1000.session.l2tpeth0.session_id: 0 is out of range; give an integer from 1 to 4294967295",
            "31 tunnel.t1000.session.l2tpeth0.peer_cookie: has 7 hexadecimal digits, an odd number; \
             give 8 or 16 hexadecimal digits, or leave the key out for no cookie",
            "36 tunnel.t2000.tunnel_id: is also the id of tunnel.t1000 (line 19); give each tunnel an id of its own",
            "39 note tunnel.t2000.session.l2tpeth1: no bridge has it as a member: all it receives is dropped; \
             add \"l2tpeth1\" to the members of a bridge",
            "41 tunnel.t2000.session.l2tpeth1.peer_session_id: is a boolean; give an integer from 1 to 4294967295",
            "43 bridge.br0.members[2]: there is no port or session \"l2tpeth2\"; did you mean \"l2tpeth0\"?",
            "43 bridge.br0.members[3]: \"4095\" in \"eth1.4095\" is no VLAN id; give NAME.VLAN with a VLAN id from 1 to 4094",
        ],
    );
}

#[test]
fn a_file_with_thousands_of_members_is_checked_in_a_blink() {
    let members: Vec<_> = (1..=4094).map(|vlan| format!("\"eth1.{vlan}\"")).collect();
    let sessions: String = (10_000..20_000)
        .map(|id| format!("[tunnel.t2000.session.s{id}]\nsession_id = {id}\npeer_session_id = {id}\n"))
        .collect();
    let text = edited(&[
        ("[\"eth1\", ", &format!("[{}, ", members.join(", "))),
        ("[bridge.br0]\n", &format!("{sessions}[bridge.br0]\n")),
    ]);
    let findings = check("x", &text, None).findings;
    assert_eq!(
        (findings.fault_count(), findings.note_count()),
        (0, 10_000),
        "each unbridged session is noted"
    );
}

#[test]
fn the_mss_clamp_is_a_word_or_a_number_in_its_range() {
    let dport = "udp_dport = 5001\n";
    let with = |value: &str| format!("{dport}mss_clamp = {value}\n");
    for value in ["\"off\"", "\"auto\"", "536", "65495"] {
        expect(&[(dport, &with(value))], &[]);
    }
    let path = "26 tunnel.t1000.mss_clamp";
    let remedy = "give \"off\", \"auto\" or an integer from 536 to 65495";
    for (value, problem) in [
        ("535", "535 is out of range"),
        ("65496", "65496 is out of range"),
        ("\"on\"", "\"on\" is not known"),
        ("true", "is a boolean"),
    ] {
        expect(&[(dport, &with(value))], &[&format!("{path}: {problem}; {remedy}")]);
    }
}

/// The first tunnel as one that learns its peer: with a cookie of 8 bytes, without a first guess.
const LEARNING: [(&str, &str); 3] = [
    ("remote = \"10.200.100.2\"\n", "peer = \"learn\"\n"),
    ("udp_dport = 5001\n", ""),
    ("\"deadbeef\"", "\"fedcba9876543210\""),
];

#[test]
fn a_tunnel_that_learns_its_peer_needs_no_remote_and_may_have_a_first_guess() {
    expect(&LEARNING, &[]);
    expect(&[LEARNING[2], ("encap = \"udp\"", "encap = \"udp\"\npeer = \"learn\"")], &[]);
}

#[test]
fn half_a_guess_is_refused() {
    expect(
        &[LEARNING[0], LEARNING[2]],
        &["25 tunnel.t1000.udp_dport: stands without remote; give both as a first guess, or neither"],
    );
    expect(
        &[LEARNING[1], LEARNING[2], ("encap = \"udp\"", "encap = \"udp\"\npeer = \"learn\"")],
        &["20 tunnel.t1000.remote: stands without udp_dport; give both as a first guess, or neither"],
    );
}

#[test]
fn a_session_without_a_cookie_of_8_bytes_cannot_tell_a_peer_that_is_learned() {
    let finding = |line: usize| {
        format!(
            "{line} tunnel.t1000.session.l2tpeth0.peer_cookie: is not of 8 bytes, and the tunnel knows its peer by nothing else; \
             give 16 hexadecimal digits, or give the tunnel peer = \"fixed\""
        )
    };
    expect(&LEARNING[..2], &[&finding(29)]);
    expect(&[LEARNING[0], LEARNING[1], ("peer_cookie = \"deadbeef\"\n", "")], &[&finding(25)]);
}

#[test]
fn a_peer_over_ip_is_not_learned() {
    // One finding: what else a tunnel that learns needs, this one does not.
    expect(
        &[("encap = \"ip\"", "encap = \"ip\"\npeer = \"learn\"")],
        &["38 tunnel.t2000.peer: \"learn\" has no meaning with encap = \"ip\"; \
           give encap = \"udp\" with udp_sport, or peer = \"fixed\""],
    );
}

#[test]
fn a_tunnel_with_a_fixed_peer_needs_a_remote() {
    expect(
        &[("remote = \"10.200.100.2\"\n", "")],
        &[
            "18 tunnel.t1000.remote: is missing; give the peer's address, or peer = \"learn\" if it is not known",
        ],
    );
    expect(
        &[("remote = \"10.200.100.10\"\n", "")],
        &["32 tunnel.t2000.remote: is missing; give the peer's address; only over UDP can it be learned"],
    );
    expect(
        &[("remote = \"10.200.100.2\"\n", "peer = \"lern\"\n")],
        &["20 tunnel.t1000.peer: \"lern\" is not known; did you mean \"learn\"?"],
    );
}

#[test]
fn two_learning_tunnels_at_one_local_end_are_refused_and_one_beside_a_fixed_one_is_not() {
    let second = "[tunnel.t3]\nlocal = \"10.200.100.6\"\npeer = \"PEER\"\nremote = \"10.200.100.3\"\ntunnel_id = 3\n\
                  peer_tunnel_id = 3\nudp_sport = 6001\nudp_dport = 7\n[tunnel.t3.session.s3]\nsession_id = 3\n\
                  peer_session_id = 3\npeer_cookie = \"0011223344556677\"\n[bridge.br0]\n";
    let member = ("\"l2tpeth1\"]", "\"l2tpeth1\", \"s3\"]");
    let with = |peer: &str| second.replace("PEER", peer);
    expect(
        &[&LEARNING[..], &[("[bridge.br0]\n", with("learn").as_str()), member]].concat(),
        &["40 tunnel.t3: has the same endpoints as tunnel.t1000 (line 18); both take packets from anyone: \
           give it another udp_sport or local, or make its sessions part of that tunnel"],
    );
    expect(&[&LEARNING[..], &[("[bridge.br0]\n", with("fixed").as_str()), member]].concat(), &[]);
}
