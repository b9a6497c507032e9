//! What the kernel refuses, or keeps, is told with the line of the script; nothing of it becomes a fault of the output.

use loader::import::{ImportOptions, Imported, Script, import};

const TUNNEL: &str =
    "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunnel_id 2 encap ip\n";

fn session(words: &str) -> String {
    format!("ip l2tp add session tunnel_id 1 peer_session_id {words}\n")
}

fn imported(text: &str) -> Imported {
    let script = Script { file: "s".to_owned(), text: text.to_owned() };
    import(&[script], &ImportOptions { underlay: vec!["wan0".to_owned()], name: None })
}

/// The notes but those on links that are left down, as `LINE KIND: TEXT`.
fn notes(imported: &Imported) -> Vec<String> {
    let notes = imported.notes.iter().filter(|note| !note.text.contains("would stay down"));
    notes.map(|note| format!("{} {}: {}", note.line, note.kind.text(), note.text)).collect()
}

#[track_caller]
fn expect(text: &str, expected: &[&str]) -> Imported {
    let imported = imported(text);
    assert_eq!(notes(&imported), expected, "{text}");
    assert_eq!(imported.findings.fault_count(), 0, "{}\n{}", imported.findings, imported.toml);
    imported
}

fn session_names(imported: &Imported) -> Vec<&str> {
    imported.config.sessions().map(|(_, session)| session.name.as_str()).collect()
}

#[test]
fn a_second_tunnel_of_one_id_is_refused_with_both_lines() {
    let other = TUNNEL.replace("192.0.2.2", "192.0.2.3");
    let imported = expect(
        &format!("{TUNNEL}{other}"),
        &["2 not translated: tunnel_id 1 exists already (line 1): the kernel refuses a second one, too"],
    );
    assert_eq!(imported.config.tunnels.len(), 1);
    assert_eq!(imported.config.tunnels[0].remote.to_string(), "192.0.2.2", "the first one counts");
}

#[test]
fn a_tunnel_id_is_free_again_when_its_tunnel_is_deleted() {
    let imported = expect(&format!("{TUNNEL}ip l2tp del tunnel tunnel_id 1\n{TUNNEL}"), &[]);
    assert_eq!(imported.config.tunnels.len(), 1);
}

#[test]
fn a_second_tunnel_with_the_same_endpoints_is_refused_with_both_lines() {
    let other = TUNNEL.replace("tunnel_id 1", "tunnel_id 9");
    expect(
        &format!("{TUNNEL}{other}"),
        &[
            "2 not translated: tunnel_id 1 has the same endpoints (line 1): make the sessions part of that tunnel",
        ],
    );
}

#[test]
fn a_second_session_of_one_name_or_id_is_refused_with_both_lines() {
    let text = format!(
        "{TUNNEL}{}{}{}",
        session("1 session_id 1 name pw"),
        session("2 session_id 2 name pw"),
        session("3 session_id 1")
    );
    let imported = expect(
        &text,
        &[
            "3 not translated: pw exists already (line 2): the kernel refuses a second one, too",
            "4 not translated: session_id 1, as pw, exists already (line 2): the kernel refuses a second one, too",
        ],
    );
    assert_eq!(session_names(&imported), ["pw"]);
}

#[test]
fn a_session_id_is_one_among_all_ip_tunnels_and_one_in_each_udp_tunnel() {
    let tunnel = |id: u32, encap: &str| {
        format!(
            "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.{id} tunnel_id {id} peer_tunnel_id 1 {encap}\n"
        )
    };
    let session =
        |tunnel: u32| format!("ip l2tp add session tunnel_id {tunnel} session_id 7 peer_session_id 7\n");
    let udp = "encap udp udp_sport 1 udp_dport 1";
    let tunnels = tunnel(2, "encap ip") + &tunnel(3, "encap ip") + &tunnel(4, udp) + &tunnel(5, udp);
    let sessions: String = [2, 3, 4, 5].map(session).concat();
    let imported = expect(
        &(tunnels + &sessions),
        &["6 not translated: session_id 7, as l2tpeth0, exists already (line 5): \
           the kernel refuses a second one, too"],
    );
    assert_eq!(session_names(&imported), ["l2tpeth0", "l2tpeth1", "l2tpeth2"]);
}

#[test]
fn a_link_whose_name_is_taken_is_refused_with_both_lines() {
    let text = format!(
        "{TUNNEL}{}ip link add l2tpeth0 up type bridge\nbrctl addbr l2tpeth0\nip link add br0 up type bridge\n\
         ip link add br0 type bridge ageing_time 6000\nip link add link eth1 name br0 type vlan id 5\n\
         ip link set l2tpeth0 name br0\nip link set l2tpeth0 master br0\n",
        session("1 session_id 1")
    );
    let refused = |line: u32, name: &str, first: u32| {
        format!(
            "{line} not translated: {name} exists already (line {first}): the kernel refuses a second one, too"
        )
    };
    let expected = [
        refused(3, "l2tpeth0", 2),
        refused(4, "l2tpeth0", 2),
        refused(6, "br0", 5),
        refused(7, "br0", 5),
        refused(8, "br0", 5),
    ];
    let imported = expect(&text, &expected.each_ref().map(String::as_str));
    assert_eq!(imported.config.bridges[0].ageing_s, 300, "a refused command sets nothing");
    assert_eq!(session_names(&imported), ["l2tpeth0"]);
}

#[test]
fn a_vlan_that_has_a_link_gets_no_second_one() {
    expect(
        "ip link add link eth1 name a up type vlan id 5\nip link add link eth1 name b up type vlan id 5\n\
         brctl addbr br0\nbrctl addif br0 a\n",
        &[
            "2 not translated: VLAN 5 of eth1, as a, exists already (line 1): the kernel refuses a second one, too",
        ],
    );
}

#[test]
fn names_that_only_the_configuration_cannot_tell_apart_get_a_number_and_a_note() {
    let text = format!(
        "{TUNNEL}{}{}{}ip link add br.x up type bridge\nip link add br_x up type bridge\n\
         ip link set pw.x master br.x\nip link set pw:x master br.x\nip link set pw_x master br_x\n\
         ip link set -x master br_x\n",
        session("1 session_id 1 name pw.x"),
        session("2 session_id 2 name pw_x"),
        session("3 session_id 3 name pw@x"),
    );
    let imported = expect(
        &text,
        &[
            "2 note: pw.x is called pw_x_2 in the configuration: pw_x is another",
            "4 note: pw@x is called pw_x_3 in the configuration: pw_x is another",
            "5 note: br.x is called br_x_2 in the configuration: br_x is another",
            "8 not translated: the interface name \"pw:x\" contains ':'",
        ],
    );
    assert_eq!(session_names(&imported), ["pw_x_2", "pw_x", "pw_x_3"]);
    let members: Vec<_> = imported.config.bridges[1].members.iter().map(ToString::to_string).collect();
    assert_eq!(
        (imported.config.bridges[1].name.as_str(), members),
        ("br_x", vec!["pw_x".into(), "x-x".into()])
    );
    assert_eq!(imported.config.port("x-x").map(|port| port.interface.as_str()), Some("-x"));
}

#[test]
fn an_interface_is_set_up_by_its_own_command_which_stays() {
    expect(
        "ip link set eth1 up\nip link set eth0 down\n",
        &[
            "1 not needed: up stays a setting of the interface: keep the command where it is needed",
            "2 not needed: down stays a setting of the interface: keep the command where it is needed",
        ],
    );
}

#[test]
fn what_removes_something_unknown_is_told() {
    expect(
        "brctl delbr nosuch\nbrctl addbr br0\nbrctl delif br0 nosuch\nip link set eth9 nomaster\nip link del nosuch\n\
         ip l2tp del tunnel tunnel_id 5\nip l2tp del session tunnel_id 5 session_id 5\nbrctl addif br0 eth1\n",
        &[
            "1 not needed: removes the bridge nosuch, which was not added before",
            "3 not needed: nosuch is not in br0: removes what was not added before",
            "4 not needed: eth9 is in no bridge: removes what was not added before",
            "5 not needed: removes a link that was not added before",
            "6 not needed: removes a tunnel that was not added before",
            "7 not needed: removes a session that was not added before",
        ],
    );
}

#[test]
fn what_holds_already_is_told() {
    expect(
        "brctl addbr br0\nip link set br0 up\nip link set br0 up\nbrctl addif br0 eth1\nbrctl addif br0 eth1\n\
         ip link set eth1 master br0\nbrctl setageing br0 300\nbrctl stp br0 off\nip link set br0 type bridge\n\
         ip link set eth1\nip link add br1 up type bridge\nbrctl addif br1 eth1 eth2\n",
        &[
            "3 not needed: br0 is up already",
            "5 not needed: eth1 is in br0 already",
            "6 not needed: eth1 is in br0 already",
            "7 not needed: the ageing time is 300 seconds anyway",
            "8 not needed: spanwire's bridges do not speak STP",
            "9 not needed: sets no option of the bridge",
            "10 not needed: sets nothing",
            "12 not translated: eth1 is in br0 already: the kernel refuses it, too",
        ],
    );
}

#[test]
fn of_two_settings_of_one_thing_the_last_one_counts() {
    let imported = expect(
        "brctl addbr br0\nip link set eth1 nomaster master br0\nip link set br0 down up\n",
        &[
            "2 not needed: of nomaster and master the last one counts",
            "3 not needed: of down and up the last one counts",
        ],
    );
    assert_eq!(imported.config.bridges[0].members.len(), 1);
}

#[test]
fn words_without_a_use_or_a_value_are_told() {
    expect(
        "brctl addbr br0 br1\nbrctl addif br0\nbrctl addif br0 eth1\nip link add br2 master\nip link set eth1 name\n\
         ip link set br0 up type bridge ageing_time 6050\n\
         ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.2 tunnel_id 1 peer_tunnel_id 2 encap ip udp_sport 5 cookie 00000000\n\
         ip l2tp add session tunnel_id 1 session_id 1 peer_session_id 2 peer_session_id 1 remote 192.0.2.2\n",
        &[
            "1 not translated: addbr has no use for \"br1\"",
            "2 not translated: names no link",
            "4 not translated: master has no value",
            "5 not translated: the interface name \"\" is empty",
            "6 note: the ageing time is rounded down to whole seconds",
            "7 not needed: udp_sport says nothing of the tunnel: it is ignored by ip, too",
            "7 not needed: cookie says nothing of the tunnel: it is ignored by ip, too",
            "8 not needed: peer_session_id stands more than once: the last one counts",
            "8 not needed: remote says nothing of the session: it is ignored by ip, too",
        ],
    );
}

#[test]
fn a_setting_in_front_of_type_is_not_lost() {
    let imported = imported(
        "brctl addbr br0\nbrctl addif br0 eth1\nip link set dev br0 up type bridge ageing_time 6000\n",
    );
    assert_eq!(imported.config.bridges[0].ageing_s, 60);
    assert_eq!(imported.notes, [], "up was seen");
}

#[test]
fn the_interface_towards_the_routed_network_stays_the_kernels() {
    let imported = expect(
        "ip link add link eth0 name wan0 type vlan id 5\nip link set wan0 up\nip addr add 192.0.2.1/30 dev wan0\n",
        &[
            "1 not needed: wan0 faces the routed network and stays the kernel's: keep the command where it is needed",
            "2 not needed: up stays a setting of the interface: keep the command where it is needed",
            "3 not needed: addresses stay the kernel's: keep the command where it is needed",
        ],
    );
    assert_eq!(imported.config.ports.len(), 1);
}

#[test]
fn a_member_that_is_renamed_is_a_port_under_its_new_name() {
    let imported = expect(
        "brctl addbr br0\nip link set eth1 master br0\nip link set eth1 name lan0\nip link set veth0 master br0\n\
         ip link del veth0\n",
        &[
            "3 not needed: name stays a setting of the interface: keep the command where it is needed",
            "5 note: veth0 was not made by a command before; taken out of its bridge",
        ],
    );
    assert_eq!(imported.config.ports[1].interface, "lan0");
    assert_eq!(imported.config.ports.len(), 2);
}

#[test]
fn links_of_other_types_stay_and_their_master_counts() {
    let imported = expect(
        "brctl addbr br0\nip link add veth0 mtu 1400 up master br0 type veth peer name veth1\n",
        &["2 not translated: links of type veth stay the kernel's: keep the command"],
    );
    assert_eq!(imported.config.bridges[0].members.len(), 1);
}

#[test]
fn what_is_used_before_it_is_made_is_told() {
    expect(
        "ip link set eth1 master br0\nip link add br0 up type bridge\n",
        &[
            "1 note: \"br0\" was not made by a command before; taken as a bridge",
            "2 note: a command before uses br0, which is made only here: in the kernel that one fails",
        ],
    );
}

#[test]
fn a_fault_of_the_configuration_names_the_command_that_it_comes_of() {
    let text = "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.1 tunnel_id 1 peer_tunnel_id 2 encap ip\n\
                brctl addbr br0\nbrctl addif br0 wan0\n";
    let imported = imported(text);
    assert_eq!(imported.findings.fault_count(), 2);
    assert_eq!(
        notes(&imported),
        [
            "1 not translated: the configuration has a fault that comes of it: tunnel.t1.remote: \
             192.0.2.1 is also local; give the peer's address",
            "3 not translated: the configuration has a fault that comes of it: bridge.br0.members[0]: \
             port \"wan0\" has role \"both\": its untagged frames belong to the underlay; \
             name a VLAN of it, such as \"wan0.10\", or give port.wan0 role = \"access\"",
        ]
    );
}

#[test]
fn variables_are_followed_as_far_as_their_values_are_known() {
    let imported = imported(
        "LAN=eth1\n[ -e /x ] && LAN=eth2\nbrctl addbr br0\nbrctl addif br0 $LAN\nWAN=eth0\nUNUSED=1\n\
         export P=a\nP=b\nunset P\nfor LAN in a b; do\ndone\nfi\nA=eth3\nA=$(cat a)\nbrctl addif br0 $A\n",
    );
    assert_eq!(
        notes(&imported),
        [
            "1 not needed: no command that could be followed uses LAN",
            "2 not needed: part of the script, not of the set-up",
            "2 not translated: runs only under the condition before it",
            "3 note: br0 has no members and is left out",
            "4 not translated: uses $LAN, which is known only when the script runs",
            "5 not needed: no command that could be followed uses WAN",
            "6 not needed: no command that could be followed uses UNUSED",
            "7 not needed: no command that could be followed uses P",
            "8 not needed: no command that could be followed uses P",
            "9 not needed: part of the script, not of the set-up",
            "10 not translated: shell control flow is not followed: import the commands that it runs",
            "12 not translated: \"fi\" closes nothing that was opened",
            "13 not needed: no command that could be followed uses A",
            "14 not translated: uses the output of another command",
            "15 not translated: uses $A, which is known only when the script runs",
        ]
    );
}

#[test]
fn the_body_of_a_function_ends_with_its_brace() {
    let bodies = [
        "up() {\nbrctl addif br0 eth1\n}\n",
        "up()\n{\nbrctl addif br0 eth1\n}\n",
        "function up {\nip a\n}\n",
    ];
    for body in bodies {
        let imported = imported(&format!("{body}brctl addbr br0\nbrctl addif br0 eth2\n"));
        let ports: Vec<_> = imported.config.ports.iter().map(|port| port.name.as_str()).collect();
        assert_eq!(ports, ["wan0", "eth2"], "{body}");
        assert!(notes(&imported).iter().all(|note| note.contains("control flow")), "{:?}", notes(&imported));
    }
}

#[test]
fn what_the_script_sets_in_the_kernel_stays() {
    expect(
        "echo 0 > /proc/sys/net/ipv4/ip_forward\necho 0 >/sys/class/net/br0/bridge/stp_state\necho done >/dev/null\n\
         modprobe -a l2tp_eth bridge\nmodprobe bonding\nexport\n>/run/up\n",
        &[
            "1 not translated: a setting of the kernel stays one: keep the command where it is needed",
            "2 not translated: a setting of the kernel stays one: keep the command where it is needed",
            "3 not needed: part of the script, not of the set-up",
            "4 not needed: spanwire needs no L2TP or bridge module",
            "5 not translated: the module bonding stays the kernel's: keep the command where it is needed",
            "6 not needed: part of the script, not of the set-up",
            "7 not needed: part of the script, not of the set-up",
        ],
    );
}

#[test]
fn what_only_looks_at_the_kernel_is_told_as_such() {
    let showing = "bridge link\nbridge fdb show br br0\nbridge v sh\nbridge monitor\nip a\nip addr show dev br0\nip link ls\n";
    let expected: Vec<_> = showing
        .lines()
        .enumerate()
        .map(|(at, _)| format!("{} not needed: shows, and changes nothing", at + 1))
        .collect();
    let imported = imported(showing);
    assert_eq!(notes(&imported), expected);
}

#[test]
fn words_of_removing_commands_and_second_ids_are_not_lost() {
    expect(
        &format!(
            "{TUNNEL}{}ip l2tp del session tunnel_id 1 session_id 1 name pw\n\
             ip l2tp del tunnel tunnel_id 1 remote 192.0.2.2\nip link add br0 up type bridge\nip link del br0 br1\n\
             ip link del br0 type bridge\nip link add link eth1 name v up type vlan id 5 id 6\nmodprobe 8021q debug=1\n",
            session("1 session_id 1")
        ),
        &[
            "3 not needed: name says nothing of which session to remove: it is ignored by ip, too",
            "4 not needed: remote says nothing of which tunnel to remove: it is ignored by ip, too",
            "6 not translated: \"br1\" is no word of ip link delete",
            "8 not needed: id stands more than once: the last one counts",
            "8 note: v is in no bridge and is left out: keep the command if the host itself needs VLAN 6 of eth1",
            "9 not needed: spanwire needs no L2TP or bridge module",
        ],
    );
}

#[test]
fn nothing_behind_an_input_is_lost() {
    let imported = imported(
        "read LAN <<< eth7\nA=eth1\nread A <<X\neth8\nX\necho \"<< go >>\"\nwhile read x; do\nip a\ndone <<EOF\n1\nEOF\n\
         (\nip a\n)\nbrctl addbr br0 </dev/null >|log\nbrctl addif br0 eth2\nbrctl addif br0 $A\ncat <<NEVER\nbrctl addbr br1\n",
    );
    assert_eq!(
        notes(&imported),
        [
            "1 not needed: part of the script, not of the set-up",
            "2 not needed: no command that could be followed uses A",
            "3 not needed: part of the script, not of the set-up",
            "6 not needed: part of the script, not of the set-up",
            "7 not translated: shell control flow is not followed: import the commands that it runs",
            "8 not translated: stands inside shell control flow, which is not followed",
            "12 not translated: shell control flow is not followed: import the commands that it runs",
            "13 not translated: stands inside shell control flow, which is not followed",
            "17 not translated: uses $A, which is known only when the script runs",
            "18 not translated: reads a here-document that does not end: nothing behind this line is read",
        ]
    );
    assert_eq!(imported.config.bridges[0].members.len(), 1);
}
