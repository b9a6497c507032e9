//! `cargo xtask report`: makes the page and the picture of a results folder again, and takes the picture over into the book.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::folder::{PAGE, PICTURE, ResultsFolder};
use crate::workspace;

/// The picture that README and book show.
const PUBLISHED: &str = "docs/src/performance/headline.svg";

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A folder below `bench/results`.
    folder: PathBuf,
    /// Copy the picture to the book and the README.
    #[arg(long)]
    publish: bool,
}

/// Runs the command.
///
/// # Errors
/// The folder holds no results, or cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let folder = ResultsFolder::at(&args.folder);
    folder.render()?;
    println!("{}", folder.path().join(PAGE).display());
    if args.publish {
        let (from, to) = (folder.path().join(PICTURE), workspace::root().join(PUBLISHED));
        fs::copy(&from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
        println!("{PUBLISHED}");
    }
    Ok(())
}
