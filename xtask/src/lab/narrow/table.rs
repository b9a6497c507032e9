//! What was found over the narrow underlay, as a table.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::{MTU_BYTES, Narrow, NarrowPair, TRANSFER_BYTES};
use crate::lab::report::shown_loss;

/// What stands below the table.
const FOOTNOTE: &str = "\
1500 B, DF: ping of 1472 bytes that nobody may cut up. TCP: bytes of known content, in segments as large as the LAN takes; the
receiver compares their number and digest with the sender's. Each packet becomes two outer fragments, which the peer puts together.";

impl Narrow {
    /// The table, and what stands below it.
    pub(in crate::lab) fn shown(&self) -> String {
        let mut table = Table::new();
        let mib = TRANSFER_BYTES >> 20;
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            format!("underlay of\n{MTU_BYTES} B"),
            "carried\nby".to_owned(),
            "loss\n1500 B, DF".to_owned(),
            format!("TCP, {mib} MiB\nreceived"),
            "TCP\ndigest".to_owned(),
            "TCP\nMbit/s".to_owned(),
        ]);
        table.add_rows(self.pairs.iter().map(NarrowPair::cells));
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let fragments = self
            .sessions
            .iter()
            .map(|session| format!("{} {} {}", session.gateway, session.name, session.tx_fragments));
        let fragments = fragments.collect::<Vec<_>>().join(", ");
        format!("{table}\n{FOOTNOTE}\nOuter fragments sent: {fragments}.")
    }
}

impl NarrowPair {
    fn cells(&self) -> Vec<String> {
        let Self { from, to, carrier, ping_largest, tcp } = self;
        let word = if tcp.digest == tcp.received_digest { "same" } else { "ANOTHER" };
        vec![
            format!("{from} -> {to}"),
            (*carrier).to_owned(),
            shown_loss(ping_largest.sent, ping_largest.received),
            format!("{} of {}", tcp.received_bytes, tcp.bytes),
            format!("{word} {}", tcp.received_digest),
            format!("{:.0}", tcp.rate_mbit()),
        ]
    }
}
