//! The guest's kernel: User-mode Linux from Debian's kernel source, built once and kept in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::super::packages;
use crate::workspace::{self, succeed};

/// The package of the source.
const SOURCE: &str = "linux-source-6.12";

/// Where the archive is in it.
const ARCHIVE: &str = "usr/src/linux-source-6.12.tar.xz";

/// What building takes besides a C compiler.
pub(super) const PACKAGES: &[&str] = &["gcc", "libc6-dev", "make", "flex", "bison", "bc", "xz-utils"];

/// What is configured besides `tinyconfig`.
const CONFIG: &str = include_str!("kernel.config");

/// Where it says how much room the processor's extended state has, and what stands there: what AVX-512 takes.
const STATE_FILE: &str = "arch/x86/um/user-offsets.c";
const STATE_ROOM: &str = "DEFINE_LONGS(HOST_FP_SIZE, 2696)";

/// Room for the state of processors with AMX, 11008 bytes, too. The host's kernel takes such a state back as a whole only, so with less
/// the guest's first process ends at once: "ptrace set fp regs failed". Where the host has less state, less is used.
const WIDER_ROOM: &str = "DEFINE_LONGS(HOST_FP_SIZE, 12288)";

/// The kernel's program; built if there is none of this source and configuration.
///
/// # Errors
/// The source cannot be had, or it does not build.
pub(super) fn kernel(folder: &Path) -> Result<PathBuf> {
    let (program, stamp) = (folder.join("linux"), folder.join("built"));
    let wanted = format!("{SOURCE}\n{WIDER_ROOM}\n{CONFIG}");
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(program);
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let source = folder.join("source");
    unpack(folder, &source)?;
    widen_state(&source)?;
    eprintln!("      building User-mode Linux: 5 to 10 minutes on two cores");
    build(&source)?;
    fs::copy(source.join("linux"), &program).context("keeping the kernel that was built")?;
    fs::remove_dir_all(&source).with_context(|| format!("removing {}", source.display()))?;
    // Last, so that what was left half done is done again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(program)
}

fn unpack(folder: &Path, source: &Path) -> Result<()> {
    let root = packages::unpack_alone(SOURCE, &folder.join("package"))?;
    packages::empty_folder(source)?;
    let mut tar = Command::new("tar");
    succeed(tar.args(["--strip-components=1", "-xf"]).arg(root.join(ARCHIVE)).arg("-C").arg(source))?;
    fs::remove_dir_all(folder.join("package")).context("removing the unpacked package")
}

/// Makes the guest's room for extended state large enough for any host.
fn widen_state(source: &Path) -> Result<()> {
    let path = source.join(STATE_FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        text.contains(STATE_ROOM),
        "{} has no line {STATE_ROOM:?}: another kernel than expected",
        path.display()
    );
    fs::write(&path, text.replace(STATE_ROOM, WIDER_ROOM))
        .with_context(|| format!("writing {}", path.display()))
}

fn build(source: &Path) -> Result<()> {
    let make = |words: &[&str]| {
        let mut command = Command::new("make");
        command.current_dir(source).args(["--silent", "ARCH=um"]).args(words);
        // Cargo's own job server is not this make's.
        succeed(command.env_remove("MAKEFLAGS").env_remove("CARGO_MAKEFLAGS"))
    };
    make(&["tinyconfig"])?;
    let path = source.join(".config");
    let tiny = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(&path, tiny + CONFIG).with_context(|| format!("writing {}", path.display()))?;
    make(&["olddefconfig"])?;
    make(&[&format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from)), "linux"])
}

/// The folder of kernel and guest.
///
/// # Errors
/// Cargo cannot tell its target folder.
pub(super) fn folder() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("compare/uml"))
}
