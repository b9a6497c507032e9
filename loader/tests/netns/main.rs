//! The gateway on real interfaces: the article's three sites in network namespaces.
//!
//! README.md beside this file draws the topology. Every test needs root and is ignored by default:
//! `cargo test -p spanwire --test netns -- --ignored --test-threads 1`.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod capture;
mod checksum;
mod faults;
mod follow;
mod forward;
mod fragments;
mod idle;
mod jumbo;
mod learned_peer;
mod mtu;
mod outer_headers;
mod pair;
mod placement;
mod rotate;
mod sequence;
mod sites;
mod spread;
mod two_ports;
mod underlay_ipv6;
