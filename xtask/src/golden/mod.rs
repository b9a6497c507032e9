//! `cargo xtask golden`: the engine against captures of the kernel's own `l2tp_eth`, and the recorder of those captures.
//!
//! Recording boots a Debian kernel in an emulated machine, has two namespaces in it speak L2TPv3 with each other, and takes
//! the captures out. Nothing is installed and no privilege is needed: `guest` says how.

mod cases;
mod guest;
mod readme;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::guest::{empty_folder, packages};
use crate::progress::Progress;
use crate::workspace::{self, succeed};

/// Where the captures are committed, from the workspace's folder.
const FOLDER: &str = "dataplane/tests/golden";

/// A capture must stay smaller. Units: bytes.
const MAX_CAPTURE_BYTES: u64 = 4096;

/// Try the engine against packets of the kernel's own `l2tp_eth`.
#[derive(Debug, clap::Args)]
pub(crate) struct GoldenArgs {
    /// Record the captures anew first (Debian's apt-get, about 90 MB of packages, 400 MB in the target folder).
    #[arg(long)]
    record: bool,
}

/// Records if asked to, then runs the golden tests.
///
/// # Errors
/// Packages cannot be had, the guest fails, or a test does.
pub(crate) fn run(args: &GoldenArgs) -> Result<()> {
    if args.record {
        record()?;
    }
    succeed(&mut workspace::cargo(&["test", "--package", "spanwire-dataplane", "--test", "golden"]))
}

/// Records every case and writes the captures and their README.
fn record() -> Result<()> {
    let mut progress = Progress::new(4);
    let cache = workspace::target_dir()?.join("golden");
    let cases = cases::all();
    let unpacked = progress.step("packages", packages::unpack)?;
    let archive = progress.step("guest", || guest::build(&unpacked, &cache, &cases::script(&cases)))?;
    let recorded = progress.step("recording", || guest::run(&unpacked, &cache, &archive))?;
    progress.step("captures and README", || publish(&recorded, &cases))
}

/// Puts what was recorded where it is committed, in place of what stood there.
fn publish(recorded: &Path, cases: &[cases::Case]) -> Result<()> {
    let files: Vec<String> = cases.iter().flat_map(cases::Case::files).collect();
    for file in &files {
        let metadata = fs::metadata(recorded.join(file));
        let bytes = metadata.with_context(|| format!("the guest recorded no {file}"))?.len();
        ensure!(bytes < MAX_CAPTURE_BYTES, "{file} has {bytes} bytes, too many to commit");
    }
    let folder = workspace::root().join(FOLDER);
    let captures = folder.join("captures");
    empty_folder(&captures)?;
    for file in &files {
        fs::copy(recorded.join(file), captures.join(file)).with_context(|| format!("copying {file}"))?;
    }
    let said = |file: &str| {
        let text = fs::read_to_string(recorded.join(file));
        text.map(|text| text.trim().to_owned()).with_context(|| format!("the guest recorded no {file}"))
    };
    let text = readme::text(&said("kernel")?, &said("iproute2")?, cases);
    let path = folder.join("README.md");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}
