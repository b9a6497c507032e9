//! Which features a port needs to be off, and why.

use crate::program::AttachMode;

/// What a port is for and how its program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortNeeds {
    /// Whether the port faces a LAN (also when it faces the underlay as well).
    pub is_access: bool,
    /// How the steering program runs on it.
    pub mode: AttachMode,
}

/// The card takes the VLAN tag out of the frame before the program and the engine see it.
const TAG_STRIPPING: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
/// The card merges frames.
const HARDWARE_MERGING: [&str; 2] = ["rx-lro", "rx-gro-hw"];
/// The kernel merges frames before a generic program sees them; a native one runs earlier.
const KERNEL_MERGING: &str = "rx-gro";
/// The kernel merges forwarded UDP packets, a tunnel's among them, before a generic program sees them.
const KERNEL_UDP_MERGING: [&str; 2] = ["rx-gro-list", "rx-udp-gro-forwarding"];

impl PortNeeds {
    /// Features to switch off, in the order in which that is done.
    ///
    /// veth needs nothing for merging: with a native program the kernel itself keeps its peer from sending merged frames.
    pub fn features_off(self) -> Vec<&'static str> {
        let mut features = Vec::new();
        let is_generic = self.mode == AttachMode::Generic;
        if self.is_access {
            features.extend(TAG_STRIPPING);
            features.extend(HARDWARE_MERGING);
        }
        if is_generic {
            features.extend(KERNEL_UDP_MERGING);
        }
        if self.is_access && is_generic {
            features.push(KERNEL_MERGING);
        }
        features
    }

    /// Whether the port has to receive frames for all addresses.
    pub fn promiscuous(self) -> bool {
        self.is_access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(is_access: bool, mode: AttachMode) -> Vec<&'static str> {
        PortNeeds { is_access, mode }.features_off()
    }

    #[test]
    fn an_access_port_keeps_tags_and_frames_as_they_were_on_the_wire() {
        let native = off(true, AttachMode::Native);
        assert_eq!(native, ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro", "rx-gro-hw"]);
        assert!(PortNeeds { is_access: true, mode: AttachMode::Native }.promiscuous());
    }

    #[test]
    fn a_generic_access_port_sees_frames_before_the_kernel_merges_them() {
        assert!(off(true, AttachMode::Generic).contains(&"rx-gro"));
        assert!(!off(true, AttachMode::Native).contains(&"rx-gro"));
    }

    #[test]
    fn an_underlay_port_leaves_the_host_its_offloads() {
        assert!(off(false, AttachMode::Native).is_empty());
        assert_eq!(off(false, AttachMode::Generic), ["rx-gro-list", "rx-udp-gro-forwarding"]);
        assert!(!PortNeeds { is_access: false, mode: AttachMode::Native }.promiscuous());
    }
}
