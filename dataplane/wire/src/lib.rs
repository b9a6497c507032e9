//! Bytes to headers and back: Ethernet, VLAN tags, IPv4, IPv6, UDP, L2TPv3.
//!
//! Place on the path: the decap stage reads the outer headers with it, the learn stage the inner Ethernet
//! header, the encap stage writes with it; the XDP program's steering decision reads the same headers.
//!
//! # A received packet, outside in
//!
//! ```text
//! ethernet::read -> ipv4::split -> udp::split -> l2tpv3::split_udp -> Cookie::strip -> Sublayer::strip
//!               \-> ipv6::split                \-> l2tpv3::split_ip                    -> ethernet::read
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`ethernet`] | MAC addresses, EtherTypes, the Ethernet header, up to two 802.1Q / 802.1ad tags |
//! | [`ipv4`], [`ipv6`] | headers, options, extension headers, fragment fields; cutting a packet up |
//! | [`ip_options`] | options and extension headers that must not be stepped over |
//! | [`udp`] | header, checksum over the pseudo-header |
//! | [`tcp`] | header, options, the maximum segment size |
//! | [`icmp`] | the two errors that say "too big" |
//! | [`l2tpv3`] | data packets over UDP and IP 115, session ids, cookies, sublayer, control detection |
//! | [`front`] | IP and UDP of packets of which only the front is at hand |
//! | [`checksum`] | Internet checksum: full, folded, incremental |
//! | [`inner_flow`] | which flow an inner frame belongs to, as a hash |
//! | [`overhead`] | every length, headroom and MTU number |
//! | [`offload_hint`] | does a frame carry a checksum that the sender left to its NIC? |
//! | [`build`] | whole frames for tests, benches and generators |
//!
//! # What every header file keeps to
//!
//! - Layout figure, struct, `split` or `read`, `write`, errors, tests from literal bytes; in this order.
//! - Structs are `repr(C)`, one byte aligned, with byte-order-typed fields: network order ends here.
//! - `split` takes a byte slice of any length and content and gives the header and what follows it, both
//!   borrowed from the input. A refusal is a value of a small `Copy` enum.
//! - No bytes make anything here panic, allocate or loop without a bound.
//!
//! # Example
//!
//! ```
//! use wire::l2tpv3::{self, Cookie, Sublayer};
//!
//! let payload = [
//!     0x00, 0x03, 0x00, 0x00, // data, version 3
//!     0x00, 0x00, 0x03, 0xE8, // session 1000
//!     0xDE, 0xAD, 0xBE, 0xEF, // cookie, 4 bytes
//!     0x00, 0x00, 0x00, 0x00, // default sublayer, not sequenced
//!     0xFF, // ... the inner frame
//! ];
//! let (session, rest) = l2tpv3::split_udp(&payload)?;
//! assert_eq!(session.get(), 1000);
//! let cookie: Cookie = "deadbeef".parse()?;
//! let (_, inner) = Sublayer::Default.strip(cookie.strip(rest)?)?;
//! assert_eq!(inner, [0xFF]);
//! # Ok::<(), l2tpv3::L2tpError>(())
//! ```
//!
//! Deliberately not here: anything with state (sessions, addresses, sequence windows), ESP, AVPs.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::panic, clippy::expect_used, clippy::unreachable)
)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod error;

pub mod build;
pub mod checksum;
pub mod ethernet;
pub mod front;
mod hex;
pub mod icmp;
pub mod inner_flow;
pub mod ip_options;
pub mod ipv4;
pub mod ipv6;
pub mod l2tpv3;
pub mod offload_hint;
pub mod overhead;
pub mod tcp;
pub mod udp;
