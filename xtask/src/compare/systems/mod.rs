//! Systems: what carries the frames from one LAN to the other, and how each is set up.
//!
//! A system is data: a name, what it is compared with, what it needs, and the steps that set up one of its two gateways.
//! Deliberately not here: starting anything.

mod kernel;
mod null;
mod openvpn;
mod ovs;
mod spanwire;

use anyhow::Result;

use super::site::{Site, Step};
use super::tools::Tools;

/// How frames get into a gateway and out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// There is no gateway.
    Wire,
    /// By AF_XDP sockets.
    AfXdp,
    /// Through the kernel's bridge.
    Kernel,
    /// Through Open vSwitch's user-space datapath.
    Ovs,
}

impl Family {
    /// The system that a tunnel of this family is compared with: the gateway with the tunnel taken out.
    pub(super) fn null(self) -> Option<&'static str> {
        match self {
            Self::Wire => None,
            Self::AfXdp => Some("null"),
            Self::Kernel => Some("bridge"),
            Self::Ovs => Some("ovs"),
        }
    }

    /// As people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Wire => "none",
            Self::AfXdp => "AF_XDP",
            Self::Kernel => "kernel bridge",
            Self::Ovs => "Open vSwitch",
        }
    }
}

/// What a system needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing that the build does not make.
    Nothing,
    /// Programs of a Debian package, by their names: the package, and the program that tells whether it is there.
    Package(&'static str, &'static str),
    /// A kernel with `l2tp_eth`.
    KernelL2tp,
}

/// One system.
#[derive(Debug, Clone, Copy)]
pub(super) struct System {
    /// Its name on command lines and in JSON.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) title: &'static str,
    /// How frames get in and out.
    pub(super) family: Family,
    /// What it needs.
    pub(super) need: Need,
    /// Whether the short form measures it.
    pub(super) is_short: bool,
    /// The steps that set up one of its gateways.
    steps: fn(&Site, &Tools) -> Result<Vec<Step>>,
}

impl System {
    /// The steps that set up one of its gateways.
    ///
    /// # Errors
    /// A program of it is not there.
    pub(super) fn steps(&self, site: &Site, tools: &Tools) -> Result<Vec<Step>> {
        (self.steps)(site, tools)
    }

    /// Whether it has gateways at all.
    pub(super) fn has_gateways(&self) -> bool {
        self.family != Family::Wire
    }

    /// What it is compared with: none for a null forwarder itself.
    pub(super) fn null(&self) -> Option<&'static str> {
        self.family.null().filter(|null| *null != self.name && !self.name.starts_with("null-"))
    }
}

/// A system without a need of its own.
const fn plain(
    name: &'static str,
    title: &'static str,
    family: Family,
    steps: fn(&Site, &Tools) -> Result<Vec<Step>>,
) -> System {
    System { name, title, family, need: Need::Nothing, is_short: false, steps }
}

impl System {
    const fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    const fn needing(self, need: Need) -> Self {
        Self { need, ..self }
    }
}

/// Open vSwitch.
const OVS: Need = Need::Package("openvswitch-switch", "ovs-vswitchd");

/// OpenVPN.
const OPENVPN: Need = Need::Package("openvpn", "openvpn");

/// Every system, in the order of the tables: a null forwarder stands before what is compared with it. Measured it is behind
/// that: see [`Plan::visits`](super::plan::Plan::visits).
pub(super) const SYSTEMS: &[System] = &[
    plain("wire", "wire only", Family::Wire, |_, _| Ok(Vec::new())).short(),
    plain("null", "null forwarder, own rings", Family::AfXdp, null::own).short(),
    plain("null-live-frames", "null forwarder, sends live frames", Family::AfXdp, null::live_frames),
    plain("null-xsk-rs", "null forwarder, xsk-rs", Family::AfXdp, null::xsk_rs),
    plain("spanwire-udp", "spanwire, L2TPv3 over UDP", Family::AfXdp, spanwire::udp).short(),
    plain("spanwire-ip", "spanwire, L2TPv3 over IP", Family::AfXdp, spanwire::ip),
    plain("spanwire-cookie", "spanwire, over UDP with cookie", Family::AfXdp, spanwire::cookie),
    plain("bridge", "kernel bridge", Family::Kernel, kernel::bridge).short(),
    plain("vxlan", "kernel VXLAN + bridge", Family::Kernel, kernel::vxlan).short(),
    plain("l2tp-udp", "kernel l2tp_eth + bridge, over UDP", Family::Kernel, kernel::l2tp_udp)
        .needing(Need::KernelL2tp),
    plain("l2tp-ip", "kernel l2tp_eth + bridge, over IP", Family::Kernel, kernel::l2tp_ip)
        .needing(Need::KernelL2tp),
    plain("ovs", "Open vSwitch userspace, no tunnel", Family::Ovs, ovs::bare).needing(OVS),
    plain("ovs-vxlan", "Open vSwitch userspace + VXLAN", Family::Ovs, ovs::vxlan).needing(OVS),
    plain("openvpn-plain", "OpenVPN TAP + bridge, no cipher", Family::Kernel, openvpn::plain)
        .needing(OPENVPN),
    plain("openvpn-aes", "OpenVPN TAP + bridge, AES-256-GCM", Family::Kernel, openvpn::aes).needing(OPENVPN),
];

/// The system of this name.
pub(super) fn named(name: &str) -> Option<&'static System> {
    SYSTEMS.iter().find(|system| system.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::super::site::{Side, Tuning};
    use super::*;

    /// A gateway on a real server.
    fn site(side: Side) -> Site {
        let address = |number| Ipv4Addr::new(192, 0, 2, number);
        let (own, peer) = side.numbers();
        Site {
            side,
            lan: "ens1f0".to_owned(),
            wan: "ens1f1".to_owned(),
            local: address(u8::try_from(own).unwrap()),
            remote: address(u8::try_from(peer).unwrap()),
            cpu: 3,
            dir: Path::new("/tmp/compare").to_owned(),
            tuning: Tuning::default(),
        }
    }

    #[test]
    fn names_are_unique_and_every_tunnel_has_a_null_forwarder_before_it() {
        let names: BTreeSet<&str> = SYSTEMS.iter().map(|system| system.name).collect();
        assert_eq!(names.len(), SYSTEMS.len());
        for (place, system) in SYSTEMS.iter().enumerate() {
            if let Some(null) = system.null() {
                assert!(SYSTEMS[..place].iter().any(|before| before.name == null), "{}", system.name);
            }
        }
    }

    #[test]
    fn both_sides_of_every_system_name_their_own_interfaces_and_each_others_address() {
        for system in SYSTEMS.iter().filter(|system| system.has_gateways()) {
            for side in Side::BOTH {
                let steps = system.steps(&site(side), &Tools::by_name()).unwrap();
                let script = super::super::site::script(&steps);
                assert!(script.contains("ens1f0"), "{}: {script}", system.name);
                assert!(
                    script.contains("ens1f1") || script.contains("192.0.2."),
                    "{}: {script}",
                    system.name
                );
                if system.null().is_some() {
                    let remote = site(side).remote.to_string();
                    assert!(script.contains(&remote), "{}: {script}", system.name);
                }
            }
        }
    }
}
