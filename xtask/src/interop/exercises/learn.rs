//! `peer = "learn"`: the kernel is heard where nobody expects it, and later somewhere else; we follow.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::{DEADLINE, Stage, demand, station};
use crate::interop::case::{Case, Gateway, TunnelEnd};
use crate::interop::ours::TunnelRow;
use crate::interop::pings::Pings;
use crate::interop::scripts;

/// How far the kernel's UDP port moves.
const PORT_STEP: u16 = 5000;

/// Time in which we have to follow.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(5);

impl Stage<'_> {
    /// The kernel's station speaks, so that we hear where the kernel is.
    pub(super) fn hear_first(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let end = self.kernels_end(case).clone();
        self.speak_until_answered(case)?;
        self.expect_peer(case, &end, 0, pings)
    }

    /// The kernel goes to its first address and another port.
    pub(super) fn move_peer(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let tunnel = &self.tunnels[usize::from(case.wires[0].tunnels[0])];
        let end = moved_end(tunnel.end(Gateway::Kernel), tunnel.family.address(Gateway::Kernel));
        let script = scripts::renew_tunnel(case, tunnel, &end);
        self.guest.run(&script, DEADLINE)?;
        self.speak_until_answered(case)?;
        self.expect_peer(case, &end, 1, pings)?;
        for from in [Gateway::First, Gateway::Kernel] {
            self.ping(case, from, "-c 3 -p 100 -b 1472", 3, pings)?;
        }
        Ok(())
    }

    fn kernels_end(&self, case: &Case) -> &TunnelEnd {
        self.tunnels[usize::from(case.wires[0].tunnels[0])].end(Gateway::Kernel)
    }

    /// Asks for our station until it answers, or for ten seconds.
    fn speak_until_answered(&mut self, case: &Case) -> Result<()> {
        let to = station(case, Gateway::First);
        let mut script = String::new();
        let _ = writeln!(
            script,
            "for try in $(seq 20); do $ip netns exec pck /tools/fping -q -c 1 -t 500 {to} && break; done || true"
        );
        self.guest.run(&script, DEADLINE).map(drop)
    }

    /// Waits until our tunnel goes to the kernel's end, and notes it where it does not.
    fn expect_peer(&self, case: &Case, end: &TunnelEnd, moves: u64, pings: &mut Pings) -> Result<()> {
        let tunnel_id = self.tunnels[usize::from(case.wires[0].tunnels[0])].end(Gateway::First).tunnel_id;
        let expected = (end.local, Some(end.udp_sport), moves);
        let look = || {
            let row = self.ours.tunnel(Gateway::First, tunnel_id).map_err(|fault| format!("{fault:#}"))?;
            let TunnelRow { remote, udp_dport, peer_moves, .. } = row;
            if (remote, udp_dport, peer_moves) == expected {
                return Ok(());
            }
            Err(format!("the peer is taken to be at {remote}, port {udp_dport:?}, after {peer_moves} moves"))
        };
        if self.ours.lab.wait_until("the peer to be followed", FOLLOW_DEADLINE, look).is_err() {
            let seen = look().err().unwrap_or_else(|| "the peer was followed too late".to_owned());
            demand(pings, false, || format!("{seen}; it is at {}, port {}", end.local, end.udp_sport));
        }
        Ok(())
    }
}

/// Where the kernel's end of a tunnel is after the move.
pub(in crate::interop) fn moved_end(end: &TunnelEnd, local: std::net::IpAddr) -> TunnelEnd {
    TunnelEnd { local, udp_sport: end.udp_sport + PORT_STEP, ..end.clone() }
}
