//! Wires: four machines in a row, and one more wire from the first to the last.
//!
//! ```text
//!   gen              a                     b              snk
//!  generator        gateway               gateway        sink
//!     lan ========== lan   wan ========== wan   lan ========== lan
//!     wire ==================================================== wire
//! ```
//! Every `=` is a veth pair, the same for all systems. `wire` is for the run without gateways: what generator and sink
//! take by themselves.

use std::net::Ipv4Addr;

use anyhow::Result;
use netlab::article::act_like_hardware;
use netlab::{Lab, LinkOptions, Node};

use super::site::{Side, Site, Tuning};

/// The interface towards the LAN, on every machine.
pub(super) const LAN: &str = "lan";

/// The interface of the gateways towards each other.
pub(super) const WAN: &str = "wan";

/// The interface of the wire without gateways.
pub(super) const WIRE: &str = "wire";

/// MTU of LANs. Units: bytes.
const LAN_MTU_BYTES: u32 = 1500;

/// MTU between the gateways: the largest frame of a LAN fits with the outer headers of every system. Units: bytes.
const WAN_MTU_BYTES: u32 = 1600;

/// The four machines.
#[derive(Debug)]
pub(super) struct Wires {
    /// Where the generator runs.
    pub(super) generator: Node,
    /// The gateways, from the generator on.
    pub(super) gateways: [Node; 2],
    /// Where the sink runs.
    pub(super) sink: Node,
}

/// Addresses of the gateways on the wire between them.
pub(super) const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 100, 1), Ipv4Addr::new(10, 200, 100, 2)];

impl Wires {
    /// Lays the four machines out.
    ///
    /// # Errors
    /// A namespace, link or address cannot be made.
    pub(super) fn lay(lab: &Lab) -> Result<Self> {
        let [generator, a, b, sink] = ["gen", "a", "b", "snk"].map(|name| node(lab, name));
        let wires = Self { generator: generator?, gateways: [a?, b?], sink: sink? };
        let Self { generator, gateways: [a, b], sink } = &wires;
        join(lab, (generator, LAN), (a, LAN), LAN_MTU_BYTES)?;
        join(lab, (a, WAN), (b, WAN), WAN_MTU_BYTES)?;
        join(lab, (b, LAN), (sink, LAN), LAN_MTU_BYTES)?;
        join(lab, (generator, WIRE), (sink, WIRE), LAN_MTU_BYTES)?;
        for gateway in &wires.gateways {
            // A veth end takes frames that an XDP program sends to it only with NAPI, which only this switches on. It
            // merges nothing: UDP is merged for a socket of this machine only.
            gateway.ethtool(&format!("-K {LAN} gro on"))?;
        }
        wires.address()?;
        Ok(wires)
    }

    /// Gives the gateways addresses, and neighbours that nobody has to ask for.
    fn address(&self) -> Result<()> {
        for side in [0, 1] {
            let (node, peer) = (&self.gateways[side], &self.gateways[1 - side]);
            node.ip(&format!("address add {}/30 dev {WAN}", ADDRESSES[side]))?;
            let (address, mac) = (ADDRESSES[1 - side], peer.mac(WAN)?);
            node.ip(&format!("neighbour replace {address} lladdr {mac} nud permanent dev {WAN}"))?;
        }
        Ok(())
    }

    /// One gateway's place, as the systems see it.
    pub(super) fn site(&self, side: Side, lab: &Lab, cpu: usize) -> Site {
        let index = side.index();
        Site {
            side,
            lan: LAN.to_owned(),
            wan: WAN.to_owned(),
            local: ADDRESSES[index],
            remote: ADDRESSES[1 - index],
            cpu,
            dir: lab.dir().join(side.name()),
            tuning: Tuning::default(),
        }
    }
}

/// A machine that speaks IPv4 only: reports of an IPv6 stack that nobody uses would be among the frames.
fn node(lab: &Lab, name: &str) -> Result<Node> {
    let node = lab.node(name)?;
    for scope in ["all", "default"] {
        node.ipv6_sysctl(&format!("conf.{scope}.disable_ipv6"), "1")?;
        node.sysctl(&format!("ipv4.conf.{scope}.rp_filter"), "2")?;
    }
    Ok(node)
}

/// A veth pair whose ends send and receive what network cards without any offload would.
fn join(lab: &Lab, left: (&Node, &str), right: (&Node, &str), mtu_bytes: u32) -> Result<()> {
    lab.link(left, right, &LinkOptions { mtu_bytes, ..LinkOptions::default() })?;
    for (node, interface) in [left, right] {
        act_like_hardware(node, interface)?;
    }
    Ok(())
}
