//! The article's network: a router, three gateways, three PCs; each line its own veth pair.
//!
//! ```text
//!                            router
//!      eth0 10.200.100.1  eth1 10.200.100.5  eth2 10.200.100.9
//!            |                  |                  |
//!      eth0 10.200.100.2  eth0 10.200.100.6  eth0 10.200.100.10
//!          gw-a               gw-b               gw-c
//!      eth1               eth1               eth1
//!            |                  |                  |
//!           pc1                pc2                pc3
//!      10.200.101.1       10.200.101.2       10.200.101.3
//! ```

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::lab::{Lab, LinkOptions};
use crate::node::Node;

/// MTU of the underlay links. Units: bytes.
///
/// A whole 1500-byte LAN packet fits unfragmented: the largest IPv4 encapsulation (UDP, sublayer,
/// 8-byte cookie, one inner VLAN tag) asks for 1566.
pub const UNDERLAY_MTU_BYTES: u32 = 1600;

/// MTU of the LANs. Units: bytes.
pub const LAN_MTU_BYTES: u32 = 1500;

/// One place: a gateway, the router's interface towards it, and the PC behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// The gateway's name.
    pub gateway: &'static str,
    /// The gateway's address on `eth0`, prefix length 30.
    pub underlay: Ipv4Addr,
    /// The router's interface towards the gateway.
    pub router_interface: &'static str,
    /// The router's address on it, prefix length 30.
    pub router: Ipv4Addr,
    /// The PC's name.
    pub pc: &'static str,
    /// The PC's address on `eth0`, prefix length 24.
    pub lan: Ipv4Addr,
}

/// The three places.
pub const SITES: [Site; 3] = [
    Site {
        gateway: "gw-a",
        underlay: Ipv4Addr::new(10, 200, 100, 2),
        router_interface: "eth0",
        router: Ipv4Addr::new(10, 200, 100, 1),
        pc: "pc1",
        lan: Ipv4Addr::new(10, 200, 101, 1),
    },
    Site {
        gateway: "gw-b",
        underlay: Ipv4Addr::new(10, 200, 100, 6),
        router_interface: "eth1",
        router: Ipv4Addr::new(10, 200, 100, 5),
        pc: "pc2",
        lan: Ipv4Addr::new(10, 200, 101, 2),
    },
    Site {
        gateway: "gw-c",
        underlay: Ipv4Addr::new(10, 200, 100, 10),
        router_interface: "eth2",
        router: Ipv4Addr::new(10, 200, 100, 9),
        pc: "pc3",
        lan: Ipv4Addr::new(10, 200, 101, 3),
    },
];

/// The article's commands per gateway, word for word; order as in [`SITES`]. gw-b has both of its lists, one after the
/// other.
pub const COMMANDS: [&str; 3] =
    [include_str!("commands/gw-a.sh"), include_str!("commands/gw-b.sh"), include_str!("commands/gw-c.sh")];

/// The machines of the article's network; order as in [`SITES`].
#[derive(Debug, Clone)]
pub struct Article {
    /// Forwards between the three gateways.
    pub router: Node,
    /// gw-a, gw-b, gw-c.
    pub gateways: [Node; 3],
    /// pc1, pc2, pc3.
    pub pcs: [Node; 3],
}

/// Lays the network out in `lab`. `queue_count` is the number of RX and TX queues of every interface of a gateway and of the
/// interfaces they are joined to.
///
/// # Errors
/// A namespace, link or address cannot be made.
pub fn lay_out(lab: &Lab, queue_count: u32) -> Result<Article> {
    lay_out_over(lab, queue_count, UNDERLAY_MTU_BYTES)
}

/// The same with another MTU of the underlay links. Units: bytes.
///
/// # Errors
/// As [`lay_out`].
pub fn lay_out_over(lab: &Lab, queue_count: u32, underlay_mtu_bytes: u32) -> Result<Article> {
    let router = node(lab, "router")?;
    router.sysctl("ipv4.ip_forward", "1")?;
    let [a, b, c] = &SITES;
    let join = |site| place(lab, &router, site, queue_count, underlay_mtu_bytes);
    let ((gw_a, pc1), (gw_b, pc2), (gw_c, pc3)) = (join(a)?, join(b)?, join(c)?);
    Ok(Article { router, gateways: [gw_a, gw_b, gw_c], pcs: [pc1, pc2, pc3] })
}

impl Article {
    /// Gives the underlay links another MTU, at both ends. Units: bytes.
    ///
    /// # Errors
    /// A link refuses it.
    pub fn set_underlay_mtu(&self, mtu_bytes: u32) -> Result<()> {
        for (site, gateway) in SITES.iter().zip(&self.gateways) {
            self.router.ip(&format!("link set {} mtu {mtu_bytes}", site.router_interface))?;
            gateway.ip(&format!("link set eth0 mtu {mtu_bytes}"))?;
        }
        Ok(())
    }
}

/// A machine that speaks IPv4 only.
fn node(lab: &Lab, name: &str) -> Result<Node> {
    let node = lab.node(name)?;
    // Multicast listener reports of an IPv6 stack that nobody uses would be counted among the frames of a flow.
    for scope in ["all", "default"] {
        node.ipv6_sysctl(&format!("conf.{scope}.disable_ipv6"), "1")?;
        // Loose reverse-path check, whatever the machine's default is: a namespace inherits that.
        node.sysctl(&format!("ipv4.conf.{scope}.rp_filter"), "2")?;
    }
    Ok(node)
}

/// The gateway and the PC of one site.
fn place(lab: &Lab, router: &Node, site: &Site, queue_count: u32, mtu_bytes: u32) -> Result<(Node, Node)> {
    let gateway = gateway(lab, router, site, queue_count, mtu_bytes)?;
    let pc = pc(lab, site, &gateway, queue_count)?;
    Ok((gateway, pc))
}

/// A gateway, its line to the router, and its route to the others.
fn gateway(lab: &Lab, router: &Node, site: &Site, queue_count: u32, mtu_bytes: u32) -> Result<Node> {
    let gateway = node(lab, site.gateway)?;
    let options = LinkOptions { mtu_bytes, queue_count, ..LinkOptions::default() };
    lab.link((router, site.router_interface), (&gateway, "eth0"), &options)?;
    act_like_hardware(router, site.router_interface)?;
    act_like_hardware(&gateway, "eth0")?;
    router.ip(&format!("address add {}/30 dev {}", site.router, site.router_interface))?;
    gateway.ip(&format!("address add {}/30 dev eth0", site.underlay))?;
    gateway.ip(&format!("route add default via {}", site.router))?;
    Ok(gateway)
}

/// The PC of a site and its line to the gateway.
fn pc(lab: &Lab, site: &Site, gateway: &Node, queue_count: u32) -> Result<Node> {
    let pc = node(lab, site.pc)?;
    let options = LinkOptions { mtu_bytes: LAN_MTU_BYTES, queue_count, ..LinkOptions::default() };
    lab.link((gateway, "eth1"), (&pc, "eth0"), &options)?;
    act_like_hardware(&pc, "eth0")?;
    pc.ip(&format!("address add {}/24 dev eth0", site.lan))?;
    Ok(pc)
}

/// Makes a veth end send what a network card would put on the wire.
///
/// A veth end claims checksum and segmentation offload, as its peer is the same kernel: it hands over packets with unfilled
/// checksums and segments larger than the MTU. Whoever reads raw frames at the peer, as AF_XDP does, gets them like that, and a
/// far kernel drops what is carried to it. A VLAN tag likewise stays beside the frame unless it is inserted here.
///
/// # Errors
/// The interface does not exist or refuses the setting.
pub fn act_like_hardware(node: &Node, interface: &str) -> Result<()> {
    node.ethtool(&format!("-K {interface} tx off tso off gso off gro off txvlan off")).map(drop)
}
