//! The kernel's bridge, and its tunnels on a bridge.

use anyhow::Result;

use super::super::site::{Site, Step, run};
use super::super::tools::Tools;

/// Two ports and no tunnel.
pub(super) fn bridge(site: &Site, _: &Tools) -> Result<Vec<Step>> {
    let Site { wan, .. } = site;
    Ok(bridged(site, wan))
}

/// A VXLAN tunnel with one fixed peer.
pub(super) fn vxlan(site: &Site, _: &Tools) -> Result<Vec<Step>> {
    let Site { wan, local, remote, .. } = site;
    let create =
        format!("ip link add vx0 type vxlan id 1000 local {local} remote {remote} dstport 4789 dev {wan}");
    Ok([vec![run(create), no_offloads("vx0")], bridged(site, "vx0")].concat())
}

/// L2TPv3 over UDP.
pub(super) fn l2tp_udp(site: &Site, _: &Tools) -> Result<Vec<Step>> {
    let (own, peer) = site.side.numbers();
    Ok(l2tp(site, &format!("encap udp udp_sport 500{own} udp_dport 500{peer}")))
}

/// L2TPv3 over IP.
pub(super) fn l2tp_ip(site: &Site, _: &Tools) -> Result<Vec<Step>> {
    Ok(l2tp(site, "encap ip"))
}

fn l2tp(site: &Site, encap: &str) -> Vec<Step> {
    let Site { local, remote, .. } = site;
    let (own, peer) = site.side.numbers();
    let create = [
        run(format!(
            "ip l2tp add tunnel local {local} remote {remote} tunnel_id {own} peer_tunnel_id {peer} {encap}"
        )),
        run(format!(
            "ip l2tp add session name l2tpeth0 tunnel_id {own} session_id {own} peer_session_id {peer}"
        )),
        run("ip link set l2tpeth0 mtu 1500"),
        no_offloads("l2tpeth0"),
    ];
    [create.to_vec(), bridged(site, "l2tpeth0")].concat()
}

/// The LAN and another port on one bridge, and all of it up.
pub(super) fn bridged(site: &Site, other: &str) -> Vec<Step> {
    let Site { lan, .. } = site;
    let lines = [
        "ip link add br0 type bridge".to_owned(),
        format!("ip link set {lan} master br0"),
        format!("ip link set {other} master br0"),
        format!("ip link set {lan} up"),
        format!("ip link set {other} up"),
        "ip link set br0 up".to_owned(),
    ];
    lines.into_iter().map(run).collect()
}

/// No offload on an interface that is no wire: as on the wires.
pub(super) fn no_offloads(interface: &str) -> Step {
    run(format!("ethtool -K {interface} tx off gso off gro off"))
}
