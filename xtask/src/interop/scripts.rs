//! What the guest is told: its namespaces, the stations, the kernel's gateways.
//!
//! ```text
//!  pc1, pc2   lan -- pN (its VLAN) -- pN.t (a tag inside)          stations behind spanwire
//!  gw         wan .. wM (l2tp_eth) -- bridge bN -- kN              the kernel's gateway
//!  pck                                             pN -- pN.t      stations behind it
//! ```
//! N is the number of the case, M that of the pseudowire; a chain has two of these in one bridge.
//! Each case has addresses of its own, so that nothing can arrive by another case's way.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use toml::Value;

use super::case::{Case, Family, Gateway, NARROW_PLACES, PLACES, SessionEnd, Tunnel, TunnelEnd, Wire};
use super::commands;
use super::network::{LAN_MAC, LAN_MTU_BYTES, NARROW_MTU_BYTES, UNDERLAY_MTU_BYTES, WAN_MAC};

/// Group of the kernel's session interfaces, by which they are listed.
const SESSION_GROUP: u8 = 7;

/// VLAN of the tagged frames inside the LANs.
const INNER_VLAN: u16 = 100;

/// The VLAN by which a site's LAN reaches spanwire. Range: 2 to 4094, while there are no more than 1364 cases.
pub(super) fn access_vlan(case: &Case, site: usize) -> u16 {
    2 + 3 * case.number + u16::from(ordinal(site))
}

/// The address of the station of a site: in the LAN, or in the VLAN inside it.
pub(super) fn address(case: &Case, site: usize, tagged: bool) -> Ipv4Addr {
    let [high, low] = case.number.to_be_bytes();
    Ipv4Addr::new(10, if tagged { 101 } else { 1 } + high, low, ordinal(site) + 1)
}

/// A site's place as a part of addresses.
fn ordinal(site: usize) -> u8 {
    u8::try_from(site).expect("three sites at most")
}

/// Makes the namespaces and gives each network card its place.
pub(super) fn base() -> String {
    let text = format!(
        "# A queue that drops what waits too long would drop on a busy machine.\n\
         echo pfifo_fast >/proc/sys/net/core/default_qdisc\n\
         for size in 1 2 3; do echo 8192 >/proc/sys/net/ipv4/neigh/default/gc_thresh$size; done\n\
         for name in gw pc1 pc2 pck; do\n\
         $ip netns add $name\n\
         $ip netns exec $name sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'\n\
         # A station answers for the LAN that it is asked in.\n\
         $ip netns exec $name sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore'\n\
         # A segment is then as large as the MSS says.\n\
         $ip netns exec $name sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_timestamps'\n\
         done\n\
         for card in /sys/class/net/*; do\n\
         case $(cat $card/address) in\n\
         {WAN_MAC}) $ip link set ${{card##*/}} name wan; $ip link set wan netns gw ;;\n\
         {LAN_MAC}) $ip link set ${{card##*/}} name lan ;;\n\
         esac\n\
         done\n\
         echo 1 >/proc/sys/net/ipv6/conf/lan/disable_ipv6\n\
         $ip link set lan mtu {UNDERLAY_MTU_BYTES} promisc on up\n\
         $ip netns exec gw sh -c 'echo 0 >/proc/sys/net/ipv6/conf/wan/accept_dad'\n\
         $ip netns exec gw sh -c 'echo 0 >/proc/sys/net/ipv6/conf/wan/disable_ipv6'\n\
         $ip -n gw link set wan mtu {UNDERLAY_MTU_BYTES} up\n"
    );
    let mut lines = String::new();
    for family in Family::BOTH {
        for place in 0..PLACES {
            let address = family.place(Gateway::Kernel, place);
            let _ = writeln!(lines, "address add {address}/{} dev wan", family.prefix_length());
        }
        for place in NARROW_PLACES {
            let peer = family.place(Gateway::First, place);
            let _ = writeln!(lines, "route add {peer} dev wan mtu {NARROW_MTU_BYTES}");
        }
    }
    text + &batch("-n gw", &lines)
}

/// Makes the stations of the cases, and the bridges of the kernel's gateway.
pub(super) fn stations(cases: &[&Case]) -> String {
    let (mut made, mut gateway) = (String::new(), String::new());
    let mut own = [Gateway::First, Gateway::Second, Gateway::Kernel].map(|gateway| (gateway, String::new()));
    for case in cases {
        for (site, at) in case.sites.iter().enumerate() {
            let number = case.number;
            let [high, low] = number.to_be_bytes();
            let mac = format!("address 02:00:{:02x}:{high:02x}:{low:02x}:01", site + 1);
            let namespace = at.stations();
            if at.is_ours() {
                let vlan = access_vlan(case, site);
                let _ = writeln!(
                    made,
                    "link add link lan name p{number} mtu {LAN_MTU_BYTES} {mac} netns {namespace} type vlan id {vlan}"
                );
            } else {
                let _ = write!(
                    gateway,
                    "link add b{number} type bridge mcast_snooping 0\n\
                     link add k{number} type veth peer name p{number} {mac} netns {namespace}\n\
                     link set k{number} master b{number} up\n\
                     link set b{number} up\n"
                );
            }
            let text = &mut own.iter_mut().find(|(gateway, _)| gateway == at).expect("all three are there").1;
            let _ = write!(
                text,
                "link add link p{number} name p{number}.t type vlan id {INNER_VLAN}\n\
                 address add {}/24 dev p{number}\n\
                 address add {}/24 dev p{number}.t\n\
                 link set p{number} up\n\
                 link set p{number}.t up\n",
                address(case, site, false),
                address(case, site, true),
            );
            if case.setting("fragmentation").and_then(Value::as_str) == Some("inner") {
                // A packet whose sender knows of no path MTU may be cut up on the way.
                for (other, tagged) in (0..case.sites.len())
                    .filter(|other| *other != site)
                    .flat_map(|other| [(other, false), (other, true)])
                {
                    let tag = if tagged { ".t" } else { "" };
                    let _ = writeln!(
                        text,
                        "route add {} dev p{number}{tag} mtu lock {LAN_MTU_BYTES}",
                        address(case, other, tagged)
                    );
                }
            }
        }
    }
    let mut text = batch("", &made) + &batch("-n gw", &gateway);
    for (gateway, lines) in &own {
        text += &batch(&format!("-n {}", gateway.stations()), lines);
    }
    text
}

/// Makes the tunnels and sessions of the kernel's gateway, in the bridges of [`stations`].
pub(super) fn sessions(tunnels: &[Tunnel], cases: &[&Case]) -> String {
    let mut lines = String::new();
    for tunnel in tunnels_of(tunnels, cases, Gateway::Kernel) {
        lines += &commands::tunnel(tunnel.end(Gateway::Kernel), tunnel.encap, tunnel.family);
        lines.push('\n');
    }
    for case in cases {
        for wire in case.wires.iter().filter(|wire| wire.gateways.contains(&Gateway::Kernel)) {
            let end = wire.end(Gateway::Kernel);
            let tunnel = tunnels[usize::from(wire.tunnels[end])].end(Gateway::Kernel);
            lines += &session_lines(case, wire, &wire.ends[end], tunnel);
        }
    }
    batch("-n gw", &lines)
}

/// One session of the kernel's gateway.
fn session_lines(case: &Case, wire: &Wire, end: &SessionEnd, tunnel: &TunnelEnd) -> String {
    let (name, number) = (wire.name(), case.number);
    let session = commands::session(end, tunnel, &name);
    // The kernel makes the session's MTU fit the path. Here it shall not.
    let mtu = if case.narrow { format!(" mtu {LAN_MTU_BYTES}") } else { String::new() };
    format!("{session}\nlink set {name}{mtu} group {SESSION_GROUP} master b{number} up\n")
}

/// Makes the only session of a case anew, with what the kernel's end then is.
pub(super) fn renew_session(case: &Case, end: &SessionEnd, tunnel: &TunnelEnd) -> String {
    let old = format!("l2tp del session tunnel_id {} session_id {}\n", tunnel.tunnel_id, end.session_id);
    renew(case, &old, &session_lines(case, &case.wires[0], end, tunnel))
}

/// Makes the only tunnel of a case anew, with its session.
pub(super) fn renew_tunnel(case: &Case, tunnel: &Tunnel, end: &TunnelEnd) -> String {
    let wire = &case.wires[0];
    let old = format!("l2tp del tunnel tunnel_id {}\n", end.tunnel_id);
    let new = commands::tunnel(end, tunnel.encap, tunnel.family) + "\n";
    let session = session_lines(case, wire, &wire.ends[wire.end(Gateway::Kernel)], end);
    renew(case, &old, &(new + &session))
}

/// Runs `old`, and `new` as soon as the kernel has let go of the case's session: its work on that goes on for a moment.
fn renew(case: &Case, old: &str, new: &str) -> String {
    let is_there = format!("$ip -n gw -o link show {} >/dev/null 2>&1", case.wires[0].name());
    batch("-n gw", old) + &format!("while {is_there}; do usleep 10000; done\n") + &batch("-n gw", new)
}

/// Removes the tunnels of the kernel's gateway, with their sessions, and waits until these are gone.
pub(super) fn forget_sessions(tunnels: &[Tunnel], cases: &[&Case]) -> String {
    let mut lines = String::new();
    for tunnel in tunnels_of(tunnels, cases, Gateway::Kernel) {
        let _ = writeln!(lines, "l2tp del tunnel tunnel_id {}", tunnel.end(Gateway::Kernel).tunnel_id);
    }
    batch("-n gw", &lines)
        + &format!(
            "while [ -n \"$($ip -n gw -o link show group {SESSION_GROUP})\" ]; do usleep 50000; done\n"
        )
}

/// Prints what the kernel's gateway counts: its session interfaces as JSON on one line, then the sessions as its debug file
/// has them.
pub(super) fn counters() -> String {
    format!(
        "$ip -n gw -s -j link show group {SESSION_GROUP}\n\
         echo\n\
         $ip netns exec gw cat /debug/l2tp/tunnels\n"
    )
}

/// The tunnels that a gateway needs for the cases, in order.
pub(super) fn tunnels_of<'t>(tunnels: &'t [Tunnel], cases: &[&Case], gateway: Gateway) -> Vec<&'t Tunnel> {
    let wires = cases.iter().flat_map(|case| &case.wires).filter(|wire| wire.gateways.contains(&gateway));
    let numbers: BTreeSet<u16> = wires.flat_map(|wire| wire.tunnels).collect();
    numbers.into_iter().map(|number| &tunnels[usize::from(number)]).collect()
}

/// Runs lines by one `ip`, with options; nothing when there are none.
fn batch(options: &str, lines: &str) -> String {
    if lines.is_empty() { String::new() } else { format!("$ip {options} -batch - <<'END'\n{lines}END\n") }
}
