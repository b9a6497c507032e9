//! `preflight`: what this host and user lack for running a gateway.

use std::process::ExitCode;

use super::args::PreflightArgs;
use super::exit::Exit;
use super::output;
use crate::preflight::Report;

/// Prints the report; fails when the gateway could not run.
pub(super) fn preflight(args: &PreflightArgs) -> anyhow::Result<ExitCode> {
    let report = Report::collect();
    if args.json {
        output::json(&report.items)?;
    } else {
        output::text(&report.to_string())?;
    }
    Ok(if report.is_ok() { Exit::Done } else { Exit::Failed }.into())
}
