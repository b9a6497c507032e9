//! What is done besides the pings of every case: one case after the other, after its gateways stand.
//!
//! An exercise tells the guest or our gateway something, looks at what becomes of it, and notes what is wrong beside the pings
//! that got lost. What only the counters and the capture can tell, at the end, is in `judge`.

mod learn;
mod loss;
mod new_cookie;
mod tcp;
mod too_big;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::case::{Case, Gateway, Tunnel};
use super::guest::Guest;
use super::ours::Ours;
use super::own::Exercise;
use super::pings::{self, Pings};
use super::scripts::address;

pub(super) use learn::moved_end;
pub(super) use new_cookie::other_cookie;

pub(super) use loss::{DROPPED_UNTIL_RESYNC, NOWHERE_MAC};

/// Time that one script of an exercise may take.
const DEADLINE: Duration = Duration::from_secs(90);

/// The field of the pings of [`Exercise::Marked`]: expedited forwarding (46), ECT(0).
pub(super) const MARK: u8 = 0xba;

/// Where exercises take place.
#[derive(Debug)]
pub(super) struct Stage<'s> {
    pub(super) guest: &'s mut Guest,
    pub(super) ours: Ours<'s>,
    pub(super) tunnels: &'s [Tunnel],
}

impl Stage<'_> {
    /// What has to happen before the pings: a peer that is to be learned speaks first.
    ///
    /// # Errors
    /// A side does not answer; what fails in a case is no error.
    pub(super) fn before(&mut self, cases: &[&Case], all: &mut [Pings]) -> Result<()> {
        for (case, pings) in cases.iter().zip(all) {
            if case.exercise == Some(Exercise::Learn) {
                self.hear_first(case, pings).with_context(|| case.name.clone())?;
            }
        }
        Ok(())
    }

    /// Everything else.
    ///
    /// # Errors
    /// As [`Stage::before`].
    pub(super) fn after(&mut self, cases: &[&Case], all: &mut [Pings]) -> Result<()> {
        for (case, pings) in cases.iter().zip(all) {
            let Some(exercise) = case.exercise else { continue };
            let outcome = match exercise {
                Exercise::Marked => self.marked(case, pings),
                Exercise::Tcp => self.tcp(case, pings),
                Exercise::TooBig => self.too_big(case, pings),
                Exercise::Learn => self.move_peer(case, pings),
                Exercise::NewCookie => self.new_cookie(case, pings),
                Exercise::Loss => self.lose(case, pings),
            };
            outcome.with_context(|| format!("the exercise of {}", case.name))?;
        }
        Ok(())
    }

    /// Pings with another field than that of all others.
    fn marked(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let tos = format!("-O {MARK:#x} -c 2 -p 100");
        self.ping(case, Gateway::First, &tos, 2, pings).map(drop)
    }

    /// Pings from the station behind `from` to the one at the other end, with further options of `fping`; notes those that
    /// are not answered, and returns how many were. `count` is their number.
    fn ping(
        &mut self,
        case: &Case,
        from: Gateway,
        options: &str,
        count: u32,
        pings: &mut Pings,
    ) -> Result<u32> {
        let received = self.try_ping(case, from, options, pings)?;
        if received != count {
            pings.lost.push(format!("{}: {received} of {count} answered ({options})", from.stations()));
        }
        Ok(received)
    }

    /// The same, where some may go unanswered.
    fn try_ping(&mut self, case: &Case, from: Gateway, options: &str, pings: &mut Pings) -> Result<u32> {
        let to = station(case, other(from));
        let script = format!(
            "$ip netns exec {} /tools/fping -q -t 3000 {options} {to} 2>&1 || true\n",
            from.stations()
        );
        let output = self.guest.run(&script, DEADLINE)?;
        let (sent, received) =
            pings::counts(&output, to).with_context(|| format!("what fping says: {output:?}"))?;
        pings.sent += sent;
        pings.received += received;
        Ok(received)
    }
}

/// The station at the other end.
fn other(gateway: Gateway) -> Gateway {
    if gateway == Gateway::First { Gateway::Kernel } else { Gateway::First }
}

/// The address of the station behind a gateway.
fn station(case: &Case, gateway: Gateway) -> Ipv4Addr {
    let site = case.sites.iter().position(|at| *at == gateway).expect("both are sites of the case");
    address(case, site, false)
}

/// A fault, unless `fits`.
fn demand(pings: &mut Pings, fits: bool, fault: impl FnOnce() -> String) {
    if !fits {
        pings.lost.push(fault());
    }
}

/// Lines that wait until a command succeeds, and give up after a while.
fn wait_for(command: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "tries=0");
    let _ =
        writeln!(text, "until {command} || [ $tries -ge 100 ]; do usleep 50000; tries=$((tries + 1)); done");
    text
}
