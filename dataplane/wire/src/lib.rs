//! Bytes to headers and back: Ethernet, VLAN tags, IPv4, IPv6, UDP, L2TPv3.
