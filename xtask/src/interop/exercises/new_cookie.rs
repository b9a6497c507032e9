//! The kernel's cookie changes while its frames arrive: we take both, then only the new one, and the old one no more.
//!
//! The kernel cannot change a session's cookie, so its session is made anew, in which moment it sends nothing. What it sends
//! before and after has to be accepted, from the first packet to the last; `judge` compares with the capture.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{DEADLINE, Stage, demand, station, wait_for};
use crate::interop::case::{Case, Gateway, SessionEnd};
use crate::interop::pings::Pings;
use crate::interop::{pings, scripts};

/// Pings that run meanwhile, and the time between two. Units: ms.
const COUNT: u32 = 80;
const PERIOD_MS: u32 = 25;

/// Time to see frames with the new cookie.
const SEEN_DEADLINE: Duration = Duration::from_secs(10);

impl Stage<'_> {
    pub(super) fn new_cookie(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let wire = &case.wires[0];
        let (name, new) = (wire.name(), other_cookie(&wire.ends[0].peer_cookie));
        let to = station(case, Gateway::First);
        let begin = format!(
            "rm -f /tmp/cookie\n$ip netns exec pck /tools/fping -q -t 1000 -c {COUNT} -p {PERIOD_MS} {to} \
             >/tmp/cookie 2>&1 &\n"
        );
        self.guest.run(&begin, DEADLINE)?;
        self.ours.set_cookies(Gateway::First, &name, &["--peer-cookie-also", &new])?;
        let end = SessionEnd { cookie: new.clone(), ..wire.ends[1].clone() };
        let tunnel = self.tunnels[usize::from(wire.tunnels[1])].end(Gateway::Kernel);
        self.guest.run(&scripts::renew_session(case, &end, tunnel), DEADLINE)?;
        let look = || match self.ours.session(Gateway::First, &name) {
            Ok(row) if row.peer_cookie_also_frames > 0 => Ok(()),
            Ok(_) => Err("none came".to_owned()),
            Err(fault) => Err(format!("{fault:#}")),
        };
        let is_seen = self.ours.lab.wait_until("frames with the new cookie", SEEN_DEADLINE, look).is_ok();
        demand(pings, is_seen, || "no frame came with the second cookie".to_owned());
        let only_new = ["--peer-cookie", &new, "--peer-cookie-also", "none"];
        self.ours.set_cookies(Gateway::First, &name, &only_new)?;
        let output = self.guest.run(&(wait_for("[ -s /tmp/cookie ]") + "cat /tmp/cookie\n"), DEADLINE)?;
        // Some are lost while the kernel has no session.
        let (sent, received) = pings::counts(&output, to).context("what fping says")?;
        pings.sent += sent;
        pings.received += received;
        demand(pings, sent == COUNT && received > 0, || format!("meanwhile, {received} of {sent} answered"));
        for from in [Gateway::First, Gateway::Kernel] {
            self.ping(case, from, "-c 3 -p 100 -b 1472", 3, pings)?;
        }
        self.guest.run(&scripts::renew_session(case, &wire.ends[1], tunnel), DEADLINE)?;
        let mut refused = Pings::default();
        let received = self.try_ping(case, Gateway::Kernel, "-c 2 -p 50 -t 300", &mut refused)?;
        demand(pings, received == 0, || "the old cookie is still accepted".to_owned());
        Ok(())
    }
}

/// Another cookie of the same length.
pub(in crate::interop) fn other_cookie(cookie: &str) -> String {
    cookie.chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_cookie_is_another_one_of_the_same_length() {
        assert_eq!(other_cookie("a1b2c3d4"), "4d3c2b1a");
    }
}
