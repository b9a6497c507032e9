//! EtherType values.

use core::fmt;

/// An EtherType, in host order. Any value is legal; below 0x0600 it is an IEEE 802.3 length.
///
/// Source: IEEE 802.3 §3.2.6, IANA "IEEE 802 Numbers".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// Address Resolution Protocol.
    pub const ARP: Self = Self(0x0806);
    /// IEEE 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86DD);
    /// IEEE 802.3x flow control.
    pub const PAUSE: Self = Self(0x8808);
    /// IEEE 802.1ad service tag.
    pub const SERVICE_VLAN: Self = Self(0x88A8);
    /// Link Layer Discovery Protocol.
    pub const LLDP: Self = Self(0x88CC);
    /// IEEE 802 local experimental 1: for test frames.
    pub const EXPERIMENTAL: Self = Self(0x88B5);
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtherType({self})")
    }
}
