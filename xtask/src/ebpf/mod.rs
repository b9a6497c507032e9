//! `cargo xtask ebpf`: builds the steering program's object file, or checks the committed one.

mod build;
mod elf;
mod record;
mod toolchain;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use self::record::Record;
use self::toolchain::Toolchain;
use crate::{install, workspace};

/// The committed object, from the workspace's folder.
const OBJECT: &str = "ebpf/object/spanwire.bpf.o";
/// What the committed object was built from and with.
const RECORD: &str = "ebpf/object/built-with.txt";

/// Build the steering program's object file, which is committed.
#[derive(Debug, clap::Args)]
pub(crate) struct EbpfArgs {
    /// Do not write anything: build again, compare with the committed object, and let the kernel judge it (as root).
    #[arg(long)]
    check: bool,
    /// Build nothing: print what one run of the committed object takes, by kind of frame (as root).
    #[arg(long, conflicts_with = "check")]
    cost: bool,
}

/// The Debian packages that [`run`] would install here.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    toolchain::missing_packages()
}

/// Builds or checks.
///
/// # Errors
/// No toolchain can be had, or the build fails; with `--check` also: the committed object differs. With `--check` and `--cost`: the kernel refuses the object.
pub(crate) fn run(args: &EbpfArgs) -> Result<()> {
    let root = workspace::root();
    if args.cost {
        return run_judge(&[OsStr::new("--cost"), root.join(OBJECT).as_os_str()]);
    }
    let recorded = Record::read(&root.join(RECORD)).unwrap_or_default();
    let toolchain = Toolchain::find(&recorded.toolchain)?;
    eprintln!("      building with {}", toolchain.name());
    let (object, inputs) = build::object(&root, &toolchain)?;
    let fresh = Record::new(&toolchain, &root, &inputs, &object)?;
    if args.check {
        return check(&root, &recorded, &fresh, &object);
    }
    write(&root.join(OBJECT), &std::fs::read(&object)?)?;
    write(&root.join(RECORD), fresh.to_text().as_bytes())?;
    eprintln!("      wrote {OBJECT} ({} bytes) and {RECORD}", std::fs::metadata(&object)?.len());
    Ok(())
}

/// Compares byte for byte where that means something, then lets the kernel judge.
fn check(root: &Path, recorded: &Record, fresh: &Record, rebuilt: &Path) -> Result<()> {
    let committed = root.join(OBJECT);
    let same_toolchain = recorded.toolchain == fresh.toolchain;
    let mut objects = vec![committed.clone()];
    if same_toolchain {
        compare(&committed, rebuilt)?;
        eprintln!("      {OBJECT} is what its sources build to, byte for byte");
    } else {
        eprintln!(
            "      {OBJECT} was built with other tools, so bytes cannot be compared:\n        then {}\n        now  {}",
            recorded.toolchain, fresh.toolchain
        );
        eprintln!(
            "      instead: its sources must be the recorded ones, and the kernel must treat both alike"
        );
        objects.push(rebuilt.to_owned());
    }
    ensure!(
        recorded.sources == fresh.sources,
        "{RECORD} is of other sources than these; run `cargo xtask ebpf` and commit its result"
    );
    judge(&objects)
}

fn compare(committed: &Path, rebuilt: &Path) -> Result<()> {
    let old = std::fs::read(committed).with_context(|| format!("reading {}", committed.display()))?;
    let new = std::fs::read(rebuilt)?;
    if old == new {
        return Ok(());
    }
    let differences = elf::differences(&old, &new)?.join("\n  ");
    bail!(
        "{OBJECT} is not what its sources build to; run `cargo xtask ebpf` and commit its result\n  {differences}"
    );
}

/// Loads objects through libbpf and compares their decisions with the source's.
fn judge(objects: &[PathBuf]) -> Result<()> {
    let words: Vec<&OsStr> = objects.iter().map(|object| object.as_os_str()).collect();
    run_judge(&words)
}

/// Runs the judge, as root, with these words.
fn run_judge(words: &[&OsStr]) -> Result<()> {
    install::packages(install::C_LIBRARIES)?;
    let mut command = workspace::cargo(&["run", "--quiet", "--package", "spanwire-ebpf-judge", "--"]);
    let status = command.args(words).status().context("starting cargo")?;
    ensure!(status.success(), "the judge does not build or refuses the object; it has said why ({status})");
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
