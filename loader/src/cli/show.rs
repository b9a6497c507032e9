//! The `show` commands: ask a running gateway, print tables, details or JSON.

mod columns;
mod details;

use serde::Serialize;

use super::args::{AllArgs, AskArgs, DropArgs, FdbArgs, NamedArgs, Show, VersionArgs};
use super::output;
use crate::control::client::ControlClient;

/// `gateway show`.
pub(super) fn gateway(verb: &Show<AllArgs>) -> anyhow::Result<()> {
    let ask = &verb.args().ask;
    let status = connect(ask)?.gateway()?;
    if ask.json { output::json(&status) } else { output::text(&details::of(&status)?) }
}

/// `tunnel show`.
pub(super) fn tunnel(verb: &Show<NamedArgs>) -> anyhow::Result<()> {
    let args = verb.args();
    let rows = connect(&args.ask)?.tunnels(args.name.as_deref())?;
    named(args, &rows, columns::tunnels)
}

/// `session show`.
pub(super) fn session(args: &NamedArgs) -> anyhow::Result<()> {
    let rows = connect(&args.ask)?.sessions(args.name.as_deref())?;
    named(args, &rows, columns::sessions)
}

/// `port show`.
pub(super) fn port(verb: &Show<NamedArgs>) -> anyhow::Result<()> {
    let args = verb.args();
    let rows = connect(&args.ask)?.ports(args.name.as_deref())?;
    named(args, &rows, columns::ports)
}

/// `fdb show`.
pub(super) fn fdb(verb: &Show<FdbArgs>) -> anyhow::Result<()> {
    let args = verb.args();
    let rows = connect(&args.ask)?.fdb(args.bridge.as_deref())?;
    listed(&args.ask, &rows, columns::fdb)
}

/// `worker show`.
pub(super) fn worker(verb: &Show<AllArgs>) -> anyhow::Result<()> {
    let ask = &verb.args().ask;
    listed(ask, &connect(ask)?.workers()?, columns::workers)
}

/// `drop show`.
pub(super) fn drops(verb: &Show<DropArgs>) -> anyhow::Result<()> {
    let args = verb.args();
    let mut rows = connect(&args.ask)?.drops()?;
    rows.retain(|row| args.all || row.frames > 0 || row.copies > 0);
    listed(&args.ask, &rows, columns::drops)
}

/// `version`: of this program; that of a running gateway is in `gateway show`.
pub(super) fn version(args: &VersionArgs) -> anyhow::Result<()> {
    /// What `version --json` writes.
    #[derive(Serialize)]
    struct Version {
        name: &'static str,
        version: &'static str,
    }
    let own = Version { name: "spanwire", version: env!("CARGO_PKG_VERSION") };
    if args.json { output::json(&own) } else { output::text(&format!("{} {}\n", own.name, own.version)) }
}

/// A connection to the gateway that is meant.
pub(super) fn connect(ask: &AskArgs) -> anyhow::Result<ControlClient> {
    Ok(ControlClient::connect(&ask.socket()?)?)
}

/// Prints a table of all rows, or everything about the one that was named.
fn named<Row: Serialize>(args: &NamedArgs, rows: &[Row], table: fn(&[Row]) -> String) -> anyhow::Result<()> {
    match rows {
        [row] if args.name.is_some() && !args.ask.json => output::text(&details::of(row)?),
        rows => listed(&args.ask, rows, table),
    }
}

/// Prints rows as a table or as a JSON array.
fn listed<Row: Serialize>(ask: &AskArgs, rows: &[Row], table: fn(&[Row]) -> String) -> anyhow::Result<()> {
    if ask.json { output::json(&rows) } else { output::text(&table(rows)) }
}
