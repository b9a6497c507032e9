//! A tunnel by a VLAN that is also a LAN: both can be configured, only one can be had.

use std::net::IpAddr;

use dataplane::tables::PortId;
use wire::ethernet::Tpid;

use super::plan::Plan;
use crate::{
    config::model::Link,
    netlink::next_hop::{DownReason, TunnelReadiness},
};

/// The readiness, or "down" when the VLAN that packets would leave with is a member of a bridge: what the peer sends in it would
/// be taken for frames of that LAN. `port_of` finds the port that an interface is attached as.
pub fn refuse_bridged(
    plan: &Plan,
    remote: IpAddr,
    readiness: TunnelReadiness,
    port_of: impl Fn(u32) -> Option<PortId>,
) -> TunnelReadiness {
    let TunnelReadiness::Up { oif, vlan: Some(tag), .. } = &readiness else { return readiness };
    let port = port_of(*oif).and_then(|id| plan.config.ports.get(id.index()));
    let Some(port) = port.filter(|_| tag.tpid == Tpid::Customer) else { return readiness };
    let link = Link::Port(port.name.clone());
    let mut members = plan.memberships(&link);
    let Some((domain, ..)) = members.find(|(.., member)| member.vlan == Some(tag.vid)) else {
        return readiness;
    };
    let bridge = plan.config.bridges.get(usize::from(domain.0)).map_or_else(String::new, |b| b.name.clone());
    let (interface, vlan) = (port.interface.clone(), tag.vid.get());
    TunnelReadiness::Down(DownReason::VlanBridged { remote, interface, vlan, bridge })
}

#[cfg(test)]
mod tests {
    use wire::ethernet::{MacAddr, VlanId, VlanTag};

    use super::*;
    use crate::config;

    const CONFIG: &str = r#"
        [port.trunk]
        interface = "eth0"
        role = "both"
        [bridge.lan]
        members = ["trunk.10"]
    "#;

    fn refused(vlan: Option<VlanTag>) -> Option<String> {
        let plan = Plan::new(config::check("test.toml", CONFIG, None).config.unwrap(), 1, 0);
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let up = TunnelReadiness::Up { oif: 7, vlan, src_mac: mac, dst_mac: mac, mtu: 1500 };
        let remote = "10.0.0.2".parse().unwrap();
        match refuse_bridged(&plan, remote, up.clone(), |oif| (oif == 7).then_some(PortId(0))) {
            TunnelReadiness::Down(reason) => Some(reason.to_string()),
            same => {
                assert_eq!(same, up);
                None
            }
        }
    }

    #[test]
    fn a_vlan_that_is_a_lan_carries_no_tunnel_and_any_other_does() {
        let tag = |vid| VlanId::new(vid).map(VlanTag::customer);
        let text = "route to 10.0.0.2 leaves by VLAN 10 of eth0, which is a member of bridge lan";
        assert_eq!(refused(tag(10)).as_deref(), Some(text));
        assert_eq!((refused(tag(11)), refused(None)), (None, None));
        assert_eq!(refused(VlanId::new(10).map(VlanTag::service)), None, "another kind of tag, another VLAN");
    }
}
