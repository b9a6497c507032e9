//! Cases whose ends do not fit: nothing may arrive, and each frame is counted where the case says.

use super::{Evidence, Ledger};
use crate::interop::case::{Case, Expected, Gateway, Ours, Refusal, Theirs, Wire};
use crate::interop::pings::Pings;

impl Evidence<'_> {
    pub(super) fn faults_of_refused(&self, case: &Case, refusal: Refusal, pings: &Pings) -> Vec<String> {
        let mut faults = pings.answered.clone();
        if pings.sent == 0 {
            faults.push("nothing was sent".to_owned());
        }
        let wire = &case.wires[0];
        let [Some(ours), Some(theirs)] = [0, 1].map(|end| self.books.ledger(self.tunnels, wire, end)) else {
            faults.push(format!("{}: a gateway does not know the session", wire.name()));
            return faults;
        };
        for (name, ledger) in [("gw1", ours), ("gw", theirs)] {
            if ledger.tx_frames == 0 {
                faults.push(format!("{name} sent nothing that could be refused"));
            }
        }
        faults.extend(self.fault_of_ours(wire, refusal.ours, ours, theirs));
        faults.extend(self.fault_of_theirs(wire, refusal.theirs, ours, theirs));
        faults
    }

    /// What we made of the kernel's frames, if that is wrong.
    fn fault_of_ours(&self, wire: &Wire, expected: Ours, ours: Ledger, theirs: Ledger) -> Option<String> {
        let counts = self.books.ours(Gateway::First);
        let accepted = match expected {
            Ours::Accepted | Ours::Misread(_) => theirs.tx_frames,
            Ours::Session(_) | Ours::Total(_) | Ours::Steering(_) => 0,
        };
        if ours.rx_frames != accepted {
            return Some(format!(
                "we accepted {} of {} frames, not {accepted}",
                ours.rx_frames, theirs.tx_frames
            ));
        }
        let (counted, sent, reason) = match expected {
            Ours::Accepted => return None,
            Ours::Session(reason) => {
                let drops = counts.sessions.get(&wire.name()).map(|row| &row.drops)?;
                if drops.keys().any(|other| other != reason) {
                    return Some(format!("the session counts {drops:?} and not only {reason}"));
                }
                (drops.get(reason).copied().unwrap_or(0), theirs.tx_frames, reason)
            }
            Ours::Total(reason) | Ours::Misread(reason) => {
                (counts.drops.get(reason).copied().unwrap_or(0), self.sent_by_kernel(expected), reason)
            }
            Ours::Steering(decision) => {
                let counted = counts.steering.get(decision).copied().unwrap_or(0);
                // Others are left to the kernel, too: ICMP, for one.
                let sent = self.sent_by_kernel(expected);
                (counted.min(sent), sent, decision)
            }
        };
        (counted != sent)
            .then(|| format!("{reason} counts {counted} of the {sent} frames that the kernel sent"))
    }

    /// Frames that the kernel sent in all cases that end in the same counter.
    fn sent_by_kernel(&self, expected: Ours) -> u64 {
        let same = self
            .cases
            .iter()
            .filter(|case| matches!(case.expected, Expected::Refused(refusal) if refusal.ours == expected));
        same.filter_map(|case| self.books.ledger(self.tunnels, &case.wires[0], 1))
            .map(|ledger| ledger.tx_frames)
            .sum()
    }

    /// What the kernel made of our frames, if that is wrong.
    fn fault_of_theirs(&self, wire: &Wire, expected: Theirs, ours: Ledger, theirs: Ledger) -> Option<String> {
        let tunnel = self.tunnels[usize::from(wire.tunnels[1])].end(Gateway::Kernel);
        let refused = self.books.theirs.refused.get(&(tunnel.tunnel_id, wire.ends[1].session_id)).copied()?;
        let (accepted, counted) = match expected {
            Theirs::Misread => return None,
            Theirs::Accepted => (ours.tx_frames, 0),
            Theirs::Session => (0, ours.tx_frames),
            Theirs::Unseen => (0, 0),
        };
        ((theirs.rx_frames, refused) != (accepted, counted)).then(|| {
            format!(
                "of our {} frames the kernel accepted {} and counts {refused} as faulty, not {accepted} and {counted}",
                ours.tx_frames, theirs.rx_frames
            )
        })
    }
}
