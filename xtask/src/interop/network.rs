//! The network on this host: two namespaces for spanwire, and one that joins them to the guest.
//!
//! ```text
//!        guest                      namespace "wires"              namespaces gw1, gw2
//!  gw   wan 10.200.0.3 === tap wan --- bridge under --- veth --- eth0 10.200.0.1, .2   underlay
//!  pc1, pc2   lan      === tap lan --- bridge access -- veth --- eth1                  LANs, one VLAN each
//!  pck  behind gw
//! ```
//! The stations behind spanwire are in the guest too: this host's kernel may have no VLAN devices, and the guest's are a
//! second opinion on tags and checksums. Both bridges forward every frame everywhere where they do not know better;
//! the one of the LANs never learns, as one station's address comes in from several sides of a chain.

use anyhow::Result;
use netlab::article::act_like_hardware;
use netlab::{Lab, LinkOptions, Node};

use super::case::{Family, Gateway, NARROW_PLACES, PLACES};
use super::exercises::NOWHERE_MAC;

/// MTU of the underlay: a 1500-byte LAN packet with a VLAN tag fits unfragmented in every encapsulation. Units: bytes.
pub(super) const UNDERLAY_MTU_BYTES: u32 = 1600;

/// MTU of the narrow paths: a 1500-byte LAN packet does not fit. Units: bytes.
pub(super) const NARROW_MTU_BYTES: u32 = 1500;

/// MTU of the stations. Units: bytes.
pub(super) const LAN_MTU_BYTES: u32 = 1500;

/// MAC address of the guest's interface in the underlay.
pub(super) const WAN_MAC: &str = "02:00:00:00:00:03";
/// MAC address of the guest's interface in the LANs.
pub(super) const LAN_MAC: &str = "02:00:00:00:01:00";

/// Tap devices of the guest, in the order of its network cards: underlay, LANs.
pub(super) const TAPS: [&str; 2] = ["wan", "lan"];

/// The machines on this host.
#[derive(Debug)]
pub(super) struct Network {
    /// Taps and bridges.
    pub(super) wires: Node,
    /// Where spanwire runs; order as in [`Gateway::OURS`].
    gateways: [Node; 2],
}

impl Network {
    /// Lays everything out.
    ///
    /// # Errors
    /// A namespace, link or address cannot be made.
    pub(super) fn lay_out(lab: &Lab) -> Result<Self> {
        let wires = lab.node("wires")?;
        // Nobody lives here: what IPv6 says of itself would go to everybody.
        wires.ipv6_sysctl("conf.default.disable_ipv6", "1")?;
        for (tap, bridge) in TAPS.into_iter().zip(["under", "access"]) {
            wires.ip(&format!("link add {bridge} type bridge mcast_snooping 0"))?;
            wires.ip(&format!("tuntap add dev {tap} mode tap"))?;
            wires.ip(&format!("link set {tap} mtu {UNDERLAY_MTU_BYTES} master {bridge} up"))?;
            wires.ip(&format!("link set {bridge} up"))?;
        }
        // What goes nowhere is dropped, and not flooded: its place is where it comes from.
        let nowhere = NOWHERE_MAC.map(|byte| format!("{byte:02x}")).join(":");
        wires.run(&["bridge", "fdb", "add", &nowhere, "dev", TAPS[0], "master", "static"])?;
        let [first, second] = Gateway::OURS.map(|gateway| place(lab, &wires, gateway));
        let gateways = [first?, second?];
        for port in ["lan", "gw1-lan", "gw2-lan"] {
            wires.run(&["bridge", "link", "set", "dev", port, "learning", "off"])?;
        }
        Ok(Self { wires, gateways })
    }

    /// The namespace of a gateway of ours.
    pub(super) fn gateway(&self, gateway: Gateway) -> &Node {
        let [first, second] = &self.gateways;
        if gateway == Gateway::Second { second } else { first }
    }
}

/// One gateway of ours and its two lines.
fn place(lab: &Lab, wires: &Node, gateway: Gateway) -> Result<Node> {
    let node = lab.node(gateway.name())?;
    for (interface, bridge, end) in [("eth0", "under", "wan"), ("eth1", "access", "lan")] {
        let port = format!("{}-{end}", gateway.name());
        let options = LinkOptions { mtu_bytes: UNDERLAY_MTU_BYTES, ..LinkOptions::default() };
        if interface == "eth1" {
            node.ipv6_sysctl("conf.default.disable_ipv6", "1")?;
        }
        lab.link((wires, &port), (&node, interface), &options)?;
        act_like_hardware(wires, &port)?;
        act_like_hardware(&node, interface)?;
        wires.ip(&format!("link set {port} master {bridge}"))?;
    }
    for family in Family::BOTH {
        for place in 0..PLACES {
            let address = family.place(gateway, place);
            node.ip(&format!("address add {address}/{} dev eth0", family.prefix_length()))?;
        }
        for place in NARROW_PLACES {
            let peer = family.place(Gateway::Kernel, place);
            node.ip(&format!("route add {peer} dev eth0 mtu {NARROW_MTU_BYTES}"))?;
        }
    }
    Ok(node)
}
