//! A few of the kernel's numbered packets get lost: it is told a wrong link-layer address of ours for a moment.

use anyhow::Result;

use super::{DEADLINE, Stage};
use crate::interop::case::{Case, Gateway};
use crate::interop::pings::Pings;

/// A link-layer address that nobody has.
pub(in crate::interop) const NOWHERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// Packets that get lost at least; the kernel may send others meanwhile.
const LOST: u32 = 3;

/// Packets behind them: more than the 64 after which a missing number counts as lost.
const BEHIND: u32 = 80;

/// Of these, those that a receiver drops which demands order: the sixth begins anew (docs/src/guide/sequencing.md).
pub(in crate::interop) const DROPPED_UNTIL_RESYNC: u32 = 5;

impl Stage<'_> {
    pub(super) fn lose(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        let local = self.tunnels[usize::from(case.wires[0].tunnels[0])].end(Gateway::First).local;
        let mac = NOWHERE_MAC.map(|byte| format!("{byte:02x}")).join(":");
        let wrong = format!("$ip -n gw neigh replace {local} lladdr {mac} dev wan nud permanent\n");
        self.guest.run(&wrong, DEADLINE)?;
        let mut lost = Pings::default();
        let answered = self.try_ping(case, Gateway::Kernel, &format!("-c {LOST} -p 50 -t 300"), &mut lost)?;
        super::demand(pings, answered == 0, || "pings were answered that were to get lost".to_owned());
        self.guest.run(&format!("$ip -n gw neigh del {local} dev wan\n"), DEADLINE)?;
        let dropped = if case.wires[0].ends[0].demands_numbers() { DROPPED_UNTIL_RESYNC } else { 0 };
        let options = format!("-c {BEHIND} -p 10");
        let received = self.try_ping(case, Gateway::Kernel, &options, pings)?;
        super::demand(pings, received == BEHIND - dropped, || {
            format!("{received} of {BEHIND} pings behind the lost ones were answered, not all but {dropped}")
        });
        Ok(())
    }
}
