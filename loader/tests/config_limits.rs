//! What there is room for: more is a fault that names the limit, and the pages state the limits of the code.

use std::fmt::Write;

use ebpf::abi::{ACCESS_VLANS_MAX, ENDPOINTS_MAX, PORTS_MAX, SOCKETS_MAX};
use loader::config::{Level, check};

const STEERING: &str = include_str!("../../docs/src/architecture/steering.md");

const UNDERLAY: &str = "[port.wan]\nrole = \"underlay\"\n";

/// `LINE KEY: PROBLEM; REMEDY` of every fault, notes left out.
fn faults(text: &str) -> Vec<String> {
    let findings = check("gw.toml", text, None).findings;
    let faults = findings.faults.iter().filter(|fault| fault.level == Level::Fault);
    faults.map(|f| format!("{} {}: {}; {}", f.line, f.key, f.problem, f.remedy)).collect()
}

/// The configuration's tables from `items`, each with its number from 0.
fn numbered(head: &str, count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).fold(head.to_owned(), |mut text, number| {
        text.write_str(&item(number)).expect("writing to a string");
        text
    })
}

fn ports(count: usize) -> String {
    numbered("", count, |number| format!("[port.p{number}]\nrole = \"underlay\"\n"))
}

#[test]
fn a_port_more_than_the_steering_program_has_room_for_is_a_fault() {
    assert_eq!(faults(&ports(256)), [""; 0]);
    assert_eq!(
        faults(&ports(258)),
        ["513 port.p256: there are 258 ports, and the steering program has room for 256; take 2 of them out"]
    );
}

/// Tunnel `number` between addresses of its own, or with `is_shared` between the same two.
fn tunnel(number: usize, encap: &str, is_shared: bool) -> String {
    let host = if is_shared { 0 } else { number };
    let (low, high, id) = (host % 256, host / 256, number + 1);
    format!(
        "[tunnel.t{number}]\nlocal = \"10.0.0.1\"\nremote = \"10.1.{high}.{low}\"\ntunnel_id = {id}\n\
         peer_tunnel_id = {id}\n{encap}\n"
    )
}

const UDP: &str = "encap = \"udp\"\nudp_sport = 1701\nudp_dport = 1701";

#[test]
fn a_tunnel_that_learns_its_peer_needs_three_endpoints() {
    let learning = |number: usize| {
        let id = number + 1;
        let (high, low) = (number / 60_000, 1 + number % 60_000);
        format!(
            "[tunnel.t{number}]\nlocal = \"10.0.{high}.1\"\npeer = \"learn\"\ntunnel_id = {id}\npeer_tunnel_id = {id}\n\
             udp_sport = {low}\n"
        )
    };
    let most = ENDPOINTS_MAX / 3;
    assert_eq!(faults(&numbered(UNDERLAY, most, learning)), [""; 0]);
    let found = faults(&numbered(UNDERLAY, most + 1, learning));
    assert!(found.len() == 1 && found[0].contains("the tunnels need 65538 endpoints"), "{found:?}");
}

#[test]
fn a_udp_tunnel_needs_two_endpoints_and_one_too_many_is_a_fault() {
    let full = numbered(UNDERLAY, ENDPOINTS_MAX / 2, |number| tunnel(number, UDP, false));
    let one_more = "[tunnel.last]\nlocal = \"10.0.0.1\"\nremote = \"10.2.0.1\"\ntunnel_id = 99999\n\
                    peer_tunnel_id = 1\nencap = \"ip\"\n";
    let line = full.lines().count() + 1;
    assert_eq!(
        faults(&(full + one_more)),
        [format!(
            "{line} tunnel.last: the tunnels need 65537 endpoints (a UDP tunnel needs two, three if it learns its \
             peer), and the steering program has room for 65536; take tunnels out, or make sessions of tunnels to the same peer"
        )]
    );
}

#[test]
fn tunnels_between_the_same_addresses_share_the_endpoint_of_their_fragments() {
    let shared = numbered(UNDERLAY, ENDPOINTS_MAX / 2 + 1, |number| {
        let ports = format!("encap = \"udp\"\nudp_sport = {}\nudp_dport = 1701", number + 1);
        tunnel(number, &ports, true)
    });
    assert_eq!(faults(&shared), [""; 0]);
}

/// `count` VLANs of as many ports as that takes, in two bridges.
fn vlans(count: usize) -> String {
    let port_count = count.div_ceil(4094);
    let ports = numbered("", port_count, |number| format!("[port.p{number}]\nrole = \"access\"\n"));
    let members: Vec<_> =
        (0..count).map(|number| format!("\"p{}.{}\"", number / 4094, number % 4094 + 1)).collect();
    let bridges: Vec<_> = members.chunks(60_000).collect();
    numbered(&ports, bridges.len(), |number| {
        format!("[bridge.br{number}]\nmembers = [{}]\n", bridges[number].join(", "))
    })
}

#[test]
fn a_vlan_more_than_the_steering_program_has_room_for_is_a_fault() {
    assert_eq!(faults(&vlans(ACCESS_VLANS_MAX)), [""; 0]);
    assert_eq!(
        faults(&vlans(ACCESS_VLANS_MAX + 1)),
        [
            "38 bridge.br1.members[5536]: the bridges have 65537 VLANs of ports, and the steering program has room for 65536; \
          take VLANs out, or name ports as a whole"
        ]
    );
}

#[test]
fn a_bridge_with_more_members_than_positions_is_a_fault() {
    let sessions = numbered(UNDERLAY, 1, |number| tunnel(number, UDP, false));
    let text = numbered(&sessions, 65_535, |number| {
        let id = number + 1;
        format!("[tunnel.t0.session.s{number}]\nsession_id = {id}\npeer_session_id = {id}\n")
    });
    let members: Vec<_> = (0..65_535).map(|number| format!("\"s{number}\"")).collect();
    let with =
        |count: usize| faults(&format!("{text}[bridge.br0]\nmembers = [{}]\n", members[..count].join(", ")));
    assert_eq!(with(65_534), [""; 0]);
    assert_eq!(
        with(65_535),
        ["196617 bridge.br0.members[65534]: the bridge has 65535 members, and there is room for 65534; \
          take members out"]
    );
}

#[test]
fn the_page_on_steering_states_the_limits_of_the_program() {
    let limits = format!(
        "\n{PORTS_MAX} ports, {ENDPOINTS_MAX} endpoints (a UDP tunnel takes two, three if it learns its peer), \
         {ACCESS_VLANS_MAX} access VLANs, \
         {SOCKETS_MAX} sockets."
    );
    assert!(STEERING.contains(&limits), "{limits}");
    let share = SOCKETS_MAX / 64;
    assert!(
        STEERING.contains(&format!("with 64 ports each may have up to {share} receive queues")),
        "{share}"
    );
}
