//! What each command becomes: its effect in the configuration, or the note that says why it has none.

use loader::config::check;
use loader::config::model::{Encap, Outer, Seq, Sublayer};
use loader::import::{ImportOptions, Imported, NoteKind, Script, import};

fn imported(text: &str) -> Imported {
    let script = Script { file: "s".to_owned(), text: text.to_owned() };
    import(&[script], &ImportOptions { underlay: vec!["wan0".to_owned()], name: None })
}

/// `LINE KIND: TEXT` of every note.
fn notes(imported: &Imported) -> Vec<String> {
    imported.notes.iter().map(|note| format!("{} {}: {}", note.line, note.kind.text(), note.text)).collect()
}

#[track_caller]
fn expect_notes(text: &str, expected: &[&str]) {
    assert_eq!(notes(&imported(text)), expected, "{text}");
}

/// Members of every bridge, as `BRIDGE: MEMBERS`.
fn bridges(imported: &Imported) -> Vec<String> {
    let line = |bridge: &loader::config::Bridge| {
        let members: Vec<_> = bridge.members.iter().map(ToString::to_string).collect();
        format!("{}: {}", bridge.name, members.join(" "))
    };
    imported.config.bridges.iter().map(line).collect()
}

/// A tunnel with one session, l2tpeth0, that is up.
const TUNNEL: &str = "\
ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunnel_id 2 encap ip
ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4
ip link set l2tpeth0 up
";

#[test]
fn every_key_of_a_session_is_taken_over() {
    let imported = imported(
        "ip l2tp add tunnel tunnel_id 0x10 peer_tunnel_id 4294967295 local 192.0.2.1 remote 192.0.2.2 encap udp udp_sport 1701 udp_dport 1702 udp_csum off\n\
         ip l2tp add session name pw0 tunnel_id 16 session_id 5 peer_session_id 6 cookie 0123456789abcdef peer_cookie deadbeef l2spec_type none seq none\n\
         ip link set pw0 up\n",
    );
    assert_eq!(notes(&imported), [""; 0]);
    let tunnel = &imported.config.tunnels[0];
    assert_eq!((tunnel.name.as_str(), tunnel.peer_tunnel_id.get()), ("t16", u32::MAX));
    assert_eq!(tunnel.encap, Encap::Udp { sport: 1701, dport: 1702 });
    let session = &tunnel.sessions[0];
    assert_eq!(
        (session.name.as_str(), session.rx_session_id.get(), session.tx_session_id.get()),
        ("pw0", 5, 6)
    );
    assert_eq!(
        (session.tx_cookie.to_string(), session.rx_cookie.to_string()),
        ("0123456789abcdef".into(), "deadbeef".into())
    );
    assert_eq!(session.sublayer, Sublayer::None);
}

#[test]
fn short_names_of_ids_and_capital_letters_are_read_as_iproute2_reads_them() {
    let imported = imported(
        "ip l2tp add tunnel tid 1 ptid 2 encap ip local 192.0.2.1 remote 192.0.2.2\n\
         ip l2tp add session tid 1 sid 3 psid 4 l2spec_type NONE\n\
         ip l2tp add session tid 1 sid 5 psid 6\n\
         ip l2tp del session tid 1 sid 5\n\
         ip link set l2tpeth0 up\n",
    );
    assert_eq!(notes(&imported), [""; 0]);
    let tunnel = &imported.config.tunnels[0];
    assert_eq!((tunnel.tunnel_id.get(), tunnel.peer_tunnel_id.get()), (1, 2));
    let [session] = &tunnel.sessions[..] else { panic!("{:?}", tunnel.sessions) };
    assert_eq!((session.rx_session_id.get(), session.tx_session_id.get()), (3, 4));
    assert_eq!(session.sublayer, Sublayer::None);
}

#[test]
fn encapsulation_is_udp_unless_told_otherwise() {
    let text = "ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 local 192.0.2.1 remote 192.0.2.2 udp_sport 1 udp_dport 2";
    assert_eq!(imported(text).config.tunnels[0].encap, Encap::Udp { sport: 1, dport: 2 });
}

/// A tunnel over UDP between these addresses, with more words.
fn udp_tunnel(local: &str, remote: &str, more: &str) -> String {
    format!(
        "ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 local {local} remote {remote} udp_sport 1 udp_dport 2 {more}\n"
    )
}

#[test]
fn a_tunnel_over_ipv6_is_taken_over_with_its_checksum_settings() {
    for (words, expected) in [
        ("", Outer::default()),
        ("udp6_csum_tx on udp6_csum_rx on", Outer::default()),
        ("udp6_csum_tx off", Outer { udp6_csum_tx: false, ..Outer::default() }),
        ("udp6_csum_rx off", Outer { udp6_csum_rx: false, ..Outer::default() }),
    ] {
        let imported = imported(&udp_tunnel("2001:db8::1", "2001:db8::2", words));
        assert_eq!(notes(&imported), [""; 0], "{words}");
        let tunnel = &imported.config.tunnels[0];
        assert_eq!((tunnel.local.to_string(), tunnel.outer), ("2001:db8::1".to_owned(), expected), "{words}");
        let again = check("again", &imported.toml, None).findings;
        assert_eq!(again.fault_count(), imported.findings.fault_count(), "{again}");
        assert!(!again.faults.iter().any(|fault| fault.key.contains("udp6")), "{again}");
    }
}

#[test]
fn udp_checksums_over_ipv4_are_taken_over() {
    for (word, udp_csum) in [("on", true), ("off", false)] {
        let imported = imported(&udp_tunnel("192.0.2.1", "192.0.2.2", &format!("udp_csum {word}")));
        assert_eq!(notes(&imported), [""; 0]);
        assert_eq!(imported.config.tunnels[0].outer, Outer { udp_csum, ..Outer::default() });
        assert_eq!(imported.toml.contains("udp_csum = true"), udp_csum, "{}", imported.toml);
    }
}

#[test]
fn checksum_settings_of_another_kind_of_tunnel_are_told() {
    let all = "udp_csum on udp6_csum_tx off udp6_csum_rx off";
    expect_notes(
        &udp_tunnel("192.0.2.1", "192.0.2.2", all),
        &[
            "1 not needed: udp6_csum_rx has no meaning over IPv4",
            "1 not needed: udp6_csum_tx has no meaning over IPv4",
        ],
    );
    expect_notes(
        &udp_tunnel("2001:db8::1", "2001:db8::2", all),
        &["1 not needed: udp_csum has no meaning over IPv6"],
    );
    let over_ip = TUNNEL.replace("encap ip", "encap ip udp_csum on");
    let imported = imported(&over_ip);
    assert_eq!(
        notes(&imported),
        ["1 not needed: udp_csum says nothing of the tunnel: it is ignored by ip, too"]
    );
    assert_eq!(imported.config.tunnels[0].outer, Outer::default());
    expect_notes(
        &udp_tunnel("192.0.2.1", "192.0.2.2", "udp_csum yes"),
        &["1 not translated: udp_csum \"yes\" cannot be used"],
    );
}

#[test]
fn unnamed_sessions_get_the_lowest_free_name() {
    let session = |id: u32, name: &str| {
        format!("ip l2tp add session tunnel_id 1 session_id {id} peer_session_id {id} {name}\n")
    };
    let text = format!(
        "{}{}{}{}ip l2tp del session tunnel_id 1 session_id 12\n{}",
        TUNNEL,
        session(11, "name l2tpeth2"),
        session(12, ""),
        session(13, ""),
        session(14, "")
    );
    let imported = imported(&text);
    let names: Vec<_> =
        imported.config.sessions().map(|(_, s)| format!("{} {}", s.name, s.rx_session_id.get())).collect();
    assert_eq!(names, ["l2tpeth0 3", "l2tpeth2 11", "l2tpeth3 13", "l2tpeth1 14"]);
}

#[test]
fn abbreviated_words_are_taken_as_iproute2_takes_them() {
    let imported = imported(&format!(
        "{TUNNEL}ip l a br0 type bridge\nip li s br0 up\nip l se l2tpeth0 master br0\nip l2 l\nip a\n"
    ));
    assert_eq!(bridges(&imported), ["br0: l2tpeth0"]);
    assert_eq!(
        notes(&imported),
        ["7 not needed: shows, and changes nothing", "8 not needed: shows, and changes nothing",]
    );
}

#[test]
fn mistyped_words_are_told_and_taken_as_meant() {
    let imported = imported(
        "ip l2pt ad tunel locl 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunel_id 2 encap pi\n\
         ip l2tp add session tunnel_id 1 sesion_id 3 peer_session_id 4\n\
         ip link set l2tpeth0 up\n\
         modprob l2tp_eth\n\
         ip link add br0 type bridge\n\
         ip link sett br0 up\n\
         ip link set l2tpeth0 mastr br0\n",
    );
    assert_eq!(bridges(&imported), ["br0: l2tpeth0"]);
    assert_eq!(imported.config.tunnels[0].encap, Encap::Ip);
    assert_eq!(
        notes(&imported),
        [
            "1 typo: \"l2pt\" is no object of ip; taken as \"l2tp\"",
            "1 typo: \"tunel\" is no object of ip l2tp; taken as \"tunnel\"",
            "1 typo: \"locl\" is no key of ip l2tp; taken as \"local\"",
            "1 typo: \"peer_tunel_id\" is no key of ip l2tp; taken as \"peer_tunnel_id\"",
            "1 typo: \"pi\" is no encapsulation; taken as \"ip\"",
            "2 typo: \"sesion_id\" is no key of ip l2tp; taken as \"session_id\"",
            "4 typo: \"modprob\" is no command that import reads; taken as \"modprobe\"",
            "4 not needed: spanwire needs no L2TP or bridge module",
            "6 typo: \"sett\" is no command of ip link; taken as \"set\"",
            "7 typo: \"mastr\" is no setting of ip link set; taken as \"master\"",
        ]
    );
}

#[test]
fn vlan_links_become_members_with_a_vlan() {
    let imported = imported(&format!(
        "{TUNNEL}ip link add link eth1 name eth1.10 type vlan id 10\n\
         ip link add link l2tpeth0 name pw10 type vlan id 10\n\
         ip link set eth1.10 up\nip link set pw10 up\n\
         brctl addbr br10\nbrctl addif br10 eth1.10 pw10\nip link set br10 up\n"
    ));
    assert_eq!(bridges(&imported), ["br10: eth1.10 l2tpeth0.10"]);
    assert_eq!(notes(&imported), [""; 0]);
    assert!(imported.findings.is_empty(), "{}", imported.findings);
}

#[test]
fn a_link_named_like_a_vlan_is_taken_as_one_and_told() {
    let imported =
        imported(&format!("{TUNNEL}ip link add br0 up type bridge\nip link set eth1.20 master br0\n"));
    assert_eq!(bridges(&imported), ["br0: eth1.20"]);
    assert_eq!(
        notes(&imported),
        ["5 note: no command before makes eth1.20; by its name taken as VLAN 20 of eth1"]
    );
}

#[test]
fn an_underlay_interface_whose_vlan_is_bridged_has_both_roles() {
    let imported = imported(&format!(
        "{TUNNEL}ip link add link wan0 name wan0.5 up type vlan id 5\nip link add br0 up type bridge\n\
         ip link set wan0.5 master br0\nip link set l2tpeth0 master br0\n"
    ));
    assert_eq!(imported.config.ports.len(), 1);
    assert_eq!(imported.config.ports[0].role.word(), "both");
    assert!(imported.findings.is_empty(), "{}", imported.findings);
}

#[test]
fn later_commands_undo_earlier_ones() {
    let imported = imported(&format!(
        "{TUNNEL}ip link add br0 up type bridge\nip link add br1 up type bridge\nip link set eth1 master br0\n\
         ip link set eth2 master br0\nip link set eth1 master br1\nip link set eth2 nomaster\n\
         ip link set l2tpeth0 master br1\nip link set l2tpeth0 down\nip link set l2tpeth0 name pw\nip link set pw up\n\
         ip link del br0\n"
    ));
    assert_eq!(bridges(&imported), ["br1: eth1 pw"]);
    assert_eq!(imported.config.tunnels[0].sessions[0].name, "pw");
    assert_eq!(
        notes(&imported),
        [
            "11 note: what the configuration names is up while spanwire runs; to keep l2tpeth0 down, take it out"
        ]
    );
}

#[test]
fn deleting_a_tunnel_takes_its_sessions_out_of_their_bridges() {
    let imported = imported(&format!(
        "{TUNNEL}ip link add br0 up type bridge\nip link set l2tpeth0 master br0\nip link set eth1 master br0\nip l2tp del tunnel tunnel_id 1\n"
    ));
    assert_eq!(bridges(&imported), ["br0: eth1"]);
    assert!(imported.config.tunnels.is_empty());
}

#[test]
fn a_bridge_without_members_is_left_out_and_told() {
    expect_notes("ip link add br0 up type bridge", &["1 note: br0 has no members and is left out"]);
}

#[test]
fn bridge_options_are_taken_over_or_listed() {
    let text = "ip link add br0 up type bridge stp_state 0 ageing_time 6000 forward_delay 200 vlan_filtering 1 mcast_querier 1\n\
                ip link set eth1 master br0\nip link set dev br0 type bridge stp_state 1\nbrctl stp br0 on\nbrctl setageing br0 120\n";
    let imported = imported(text);
    assert_eq!(imported.config.bridges[0].ageing_s, 120);
    assert_eq!(
        notes(&imported),
        [
            "1 not needed: stp_state is off in spanwire's bridges",
            "1 not needed: forward_delay is a setting of STP",
            "1 not translated: spanwire's bridges do not filter by VLAN: make a bridge per VLAN, \
             with members such as \"eth1.10\"",
            "1 not translated: the bridge option mcast_querier has no counterpart",
            "3 not translated: spanwire's bridges do not speak STP: keep the topology free of loops",
            "4 not translated: spanwire's bridges do not speak STP: keep the topology free of loops",
        ]
    );
}

#[test]
fn settings_of_links_are_listed_with_where_they_belong() {
    expect_notes(
        &format!(
            "{TUNNEL}ip link set dev eth1 up mtu 1500 promisc on\nip link set l2tpeth0 mtu 1446\nip link set eth1 netns blue\n"
        ),
        &[
            "4 not needed: up stays a setting of the interface: keep the command where it is needed",
            "4 not needed: mtu stays a setting of the interface: keep the command where it is needed",
            "4 not needed: spanwire makes access ports promiscuous while it is attached",
            "5 not translated: l2tpeth0 has no interface under spanwire: mtu has no counterpart; the underlay port's MTU decides",
            "6 not translated: moves the link to another network namespace",
        ],
    );
}

#[test]
fn addresses_are_the_kernels_except_on_links_that_no_longer_exist() {
    expect_notes(
        &format!("{TUNNEL}ip addr add 192.0.2.1/30 dev eth0\nip addr add 198.51.100.1/24 dev l2tpeth0\n"),
        &[
            "4 not needed: addresses stay the kernel's: keep the command where it is needed",
            "5 not translated: l2tpeth0 has no interface under spanwire that could have an address: \
             give it to a host of the LAN",
        ],
    );
}

#[test]
fn what_a_kernel_bridge_does_beyond_its_members_is_listed() {
    expect_notes(
        "bridge vlan add dev eth1 vid 10\nbridge fdb add 02:00:00:00:00:01 dev eth1\nbridge link set dev eth1 isolated on\n",
        &[
            "1 not translated: spanwire's bridges do not filter by VLAN: make a bridge per VLAN, \
             with members such as \"eth1.10\"",
            "2 not translated: spanwire's bridges learn every address: there are no static entries",
            "3 not translated: spanwire's bridge members have no settings of their own",
        ],
    );
}

#[test]
fn every_word_of_seq_is_taken_over_and_none_is_the_default() {
    for (words, seq) in [
        ("", Seq::None),
        ("seq none", Seq::None),
        ("seq send", Seq::Send),
        ("seq recv", Seq::Recv),
        ("seq both", Seq::Both),
        ("seq BOTH", Seq::Both),
        ("seq none seq send l2spec_type default", Seq::Send),
    ] {
        let line = format!("ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4 {words}\n");
        let imported = imported(
            &TUNNEL.replace("ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4\n", &line),
        );
        let sequencing = imported.config.tunnels[0].sessions[0].sequencing;
        assert_eq!((sequencing.seq, sequencing.observe), (seq, false), "{words}");
        let is_untranslated = imported.notes.iter().any(|note| note.kind == NoteKind::Untranslated);
        assert!(!is_untranslated, "{:?}", notes(&imported));
        assert_eq!(imported.toml.contains("\nseq = "), seq != Seq::None, "{}", imported.toml);
    }
}

#[test]
fn numbers_without_a_sublayer_are_listed_as_what_the_kernel_makes_of_them() {
    let with = |words: &str| {
        format!(
            "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunnel_id 2 encap ip\n\
             ip l2tp add session tunnel_id 1 session_id 3 peer_session_id 4 {words}\nip link set l2tpeth0 up\n"
        )
    };
    expect_notes(&with("l2spec_type none seq none"), &[]);
    expect_notes(
        &with("l2spec_type none seq send"),
        &["2 not needed: seq send has no effect with l2spec_type none: the kernel sends no numbers, too"],
    );
    expect_notes(
        &with("l2spec_type none seq both"),
        &["2 not translated: seq both with l2spec_type none makes the kernel drop every frame it receives"],
    );
    expect_notes(&with("seq sned"), &["2 typo: \"sned\" is no word of seq; taken as \"send\""]);
    assert_eq!(
        imported(&with("l2spec_type none seq both")).config.tunnels[0].sessions[0].sequencing.seq,
        Seq::None
    );
}

#[test]
fn settings_of_tunnels_without_a_counterpart_are_listed() {
    expect_notes(
        "ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 local 192.0.2.1 remote 192.0.2.2 udp_sport 1 udp_dport 2\n\
         ip l2tp add session tunnel_id 1 session_id 1 peer_session_id 1 seq both offset 4\nip link set l2tpeth0 up\n",
        &["2 not needed: offset is ignored by the kernel, too"],
    );
}

#[test]
fn commands_that_cannot_work_are_listed_with_the_reason() {
    expect_notes(
        "ip l2tp add tunnel tunnel_id 0 remote 192.0.2.300 encap udp udp_sport 1\n\
         ip l2tp add session tunnel_id 9 session_id 1 peer_session_id 1\n\
         ip l2tp add session tunnel_id 9 session_id 1 peer_session_id 1 cookie abc\n\
         ip l2tp add tunnel colour red\n\
         ip l2tp add tunnel local\n\
         ip link add br0\nip link add type bridge\nip link add v type vxlan id 5\n\
         ip link add link eth1 name v type vlan id 4095\nip link add link eth1 name v type vlan protocol 802.1ad id 5\n\
         frobnicate now\nip\nip frob\n",
        &[
            "1 not translated: local is missing",
            "1 not translated: remote \"192.0.2.300\" cannot be used",
            "1 not translated: tunnel_id \"0\" cannot be used",
            "1 not translated: peer_tunnel_id is missing",
            "1 not translated: udp_dport is missing",
            "2 not translated: no tunnel with tunnel_id 9 was added before",
            "3 not translated: cookie \"abc\" cannot be used",
            "4 not translated: \"colour\" is no key of ip l2tp",
            "5 not translated: local has no value",
            "6 not translated: the new link has no type",
            "7 not translated: the new link has no name",
            "8 not translated: links of type vxlan stay the kernel's: keep the command",
            "9 not translated: the VLAN link has no id from 1 to 4094",
            "10 not translated: VLANs of protocol \"802.1ad\" cannot be bridge members, those of 802.1Q can",
            "11 not translated: \"frobnicate\" is no command that import reads",
            "12 not translated: names no object of ip",
            "13 not translated: \"frob\" is no object of ip",
        ],
    );
}

#[test]
fn the_shell_around_the_commands_is_understood_or_listed() {
    let imported = imported(
        "#!/bin/sh\nset -e\nLAN=eth1\nexport BR=br0\n\
         sudo -n /sbin/ip link add \"$BR\" type bridge && sudo ip link set ${BR} up\n\
         ip link set $LAN \\\n  master $BR 2>/dev/null\n\
         ip link set $1 up\nip link set $(cat wan) up\n\
         if true; then\n  ip link set eth2 master br0\nfi\n\
         [ -d /x ] && ip link set eth3 master br0\n\
         ip link set eth4 up || ip link set eth5 master br0\n\
         ip -batch - <<EOF\nlink set eth6 master br0\nEOF\n\
         ip netns exec blue ip link set eth7 master br0\nip -n blue link set eth8 master br0\n\
         echo 'open\n",
    );
    assert_eq!(bridges(&imported), ["br0: eth1"]);
    assert_eq!(
        notes(&imported),
        [
            "2 not needed: part of the script, not of the set-up",
            "8 not translated: uses $1, which is known only when the script runs",
            "9 not translated: uses the output of another command",
            "10 not translated: shell control flow is not followed: import the commands that it runs",
            "11 not translated: stands inside shell control flow, which is not followed",
            "13 not needed: part of the script, not of the set-up",
            "13 not translated: runs only under the condition before it",
            "14 not needed: up stays a setting of the interface: keep the command where it is needed",
            "14 not translated: runs only when the command before it fails",
            "15 not translated: reads a here-document",
            "18 not translated: works on another network namespace: import the commands of one gateway",
            "19 not translated: works in another network namespace: import the commands of one gateway",
            "20 not translated: has a quote that is not closed",
        ]
    );
}

#[test]
fn several_files_make_one_gateway_and_notes_name_the_file() {
    let script = |file: &str, text: &str| Script { file: file.to_owned(), text: text.to_owned() };
    let scripts =
        [script("z", TUNNEL), script("a", "ip lnk set l2tpeth0 master br0\nip link set eth1 master br0\n")];
    let imported = import(&scripts, &ImportOptions { underlay: vec!["wan0".into()], name: None });
    assert_eq!(bridges(&imported), ["br0: l2tpeth0 eth1"]);
    assert_eq!(
        imported
            .notes
            .iter()
            .map(|note| format!("{}:{} {:?}", note.file, note.line, note.kind))
            .collect::<Vec<_>>(),
        ["a:1 Typo", "a:1 Advice"]
    );
    assert_eq!(imported.notes[1].kind, NoteKind::Advice);
    assert!(imported.toml.starts_with("# Imported by spanwire from z, a.\n"));
}

#[test]
fn names_with_dots_are_changed_and_the_interface_kept() {
    let text = format!(
        "{}ip link add br.x up type bridge\nip link set wan1.a master br.x\n",
        TUNNEL.replace("peer_session_id 4", "peer_session_id 4 name pw.x").replace("l2tpeth0", "pw.x")
    );
    let imported = imported(&(text + "ip link set pw.x master br.x\n"));
    assert_eq!(bridges(&imported), ["br_x: wan1_a pw_x"]);
    assert_eq!(imported.config.port("wan1_a").map(|port| port.interface.as_str()), Some("wan1.a"));
    assert!(imported.findings.is_empty(), "{}", imported.findings);
}

#[test]
fn a_vlan_of_a_vlan_is_listed() {
    expect_notes(
        "ip link add link eth1 name v up type vlan id 5\nip link add link v name w up type vlan id 6\n\
         ip link add br0 up type bridge\nip link set w master br0\n",
        &[
            "1 note: v is in no bridge and is left out: keep the command if the host itself needs VLAN 5 of eth1",
            "3 note: br0 has no members and is left out",
            "4 not translated: v below w is neither a port nor a session",
        ],
    );
}
