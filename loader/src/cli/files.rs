//! Commands that work on files and need no running gateway: `config check`, `config reference`.

use std::process::ExitCode;

use super::args::CheckArgs;
use super::exit::Exit;
use super::output;
use crate::config::{self, Checked, InterfaceLookup, SystemInterfaces};

/// `config check`: every finding of a file, as text or JSON, on standard output.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.file.display().to_string();
    let interfaces = if args.no_interfaces { None } else { Some(SystemInterfaces::read()?) };
    let lookup = interfaces.as_ref().map(|interfaces| interfaces as &dyn InterfaceLookup);
    let checked = config::check_file(&args.file, lookup)?;
    if args.json {
        output::json(&checked.findings)?;
    } else {
        output::text(&report(&file, &checked))?;
    }
    Ok(if checked.config.is_some() { Exit::Done } else { Exit::Usage }.into())
}

/// The findings, or that there are none.
fn report(file: &str, checked: &Checked) -> String {
    if checked.findings.is_empty() {
        format!("{file}: no fault\n")
    } else {
        format!("{}\n", checked.findings)
    }
}

/// `config reference`: the page that documents every key.
pub(super) fn reference() -> anyhow::Result<()> {
    output::text(&config::reference_markdown())
}
