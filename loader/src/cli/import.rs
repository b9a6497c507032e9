//! `import`: shell scripts in, a configuration out.
//!
//! The configuration is the only thing on standard output, so that it can be redirected to a file; every remark goes
//! to standard error.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::args::ImportArgs;
use super::exit::{Exit, UsageError};
use super::output;
use crate::import::{ImportOptions, Imported, Script};

/// The file that means standard input.
const STANDARD_INPUT: &str = "-";

/// Prints what the scripts come to; a usage fault when a gateway could not run with it as it is.
pub(super) fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    if args.files.iter().filter(|file| is_standard_input(file)).count() > 1 {
        return Err(UsageError(String::from("standard input (-) is given more than once")).into());
    }
    let scripts = args.files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let options = ImportOptions { underlay: args.underlay.clone(), name: args.name.clone() };
    let imported = crate::import::import(&scripts, &options);
    output::note(&remarks(&imported));
    output::text(&imported.toml)?;
    Ok(if imported.findings.fault_count() == 0 { Exit::Done } else { Exit::Usage }.into())
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new(STANDARD_INPUT)
}

fn read(file: &Path) -> anyhow::Result<Script> {
    if is_standard_input(file) {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(script("standard input", &bytes));
    }
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read script {name}"))?;
    Ok(script(&name, &bytes))
}

/// Old scripts have comments in old encodings: what is not UTF-8 is replaced, and shows where it stands in a command.
fn script(file: &str, bytes: &[u8]) -> Script {
    Script { file: file.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() }
}

/// One line per note on a command, then what a check of the result found.
fn remarks(imported: &Imported) -> String {
    let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
    if imported.findings.is_empty() { notes } else { format!("{notes}{}\n", imported.findings) }
}
