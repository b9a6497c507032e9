//! One build of the object, the same in whichever folder it happens.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::toolchain::{Toolchain, cargo_home};
use crate::workspace;

const TARGET: &str = "bpfel-unknown-none";
const PROGRAM: &str = "spanwire-steer";
/// Settings that decide the object's bytes; the workspace's own profile may change without changing them.
const PROFILE: &[&str] = &[
    "profile.release.opt-level=3",
    "profile.release.debug=2",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.overflow-checks=false",
    "profile.release.debug-assertions=false",
];

/// The compiler's flags. Comparisons of 32 bits, and headers read in words wherever they stand: both are in every kernel that has `xdp.frags`,
/// the latter on machines that read unaligned words, as x86-64 and arm64 do.
///
/// Bench: `cargo xtask ebpf --cost`, UDP over IPv4, 56 -> 31 ns together with a short key for that family.
const FLAGS: [&str; 5] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--btf",
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
];

/// Builds the object into the target folder; its path, and the program's own source files.
pub(super) fn object(root: &Path, toolchain: &Toolchain) -> Result<(PathBuf, Vec<PathBuf>)> {
    let target_dir = workspace::target_dir()?.join("ebpf");
    // The registry's folders, whose names the object must not show, are there only once something was fetched.
    let fetched = toolchain.cargo().current_dir(root).args(["fetch", "--quiet", "--locked"]).status()?;
    ensure!(fetched.success(), "cargo cannot fetch the dependencies ({fetched})");
    let mut command = toolchain.cargo();
    command
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--locked", "--package", "spanwire-ebpf", "--bin", PROGRAM])
        .args(["--features", "program", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&target_dir)
        .args(PROFILE.iter().flat_map(|setting| ["--config", *setting]))
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root, toolchain)?);
    let status = command.status().context("starting cargo")?;
    ensure!(status.success(), "the steering program does not build ({status})");
    let built = target_dir.join(TARGET).join("release").join(PROGRAM);
    let object = built.with_extension("stripped.o");
    toolchain.strip(&built, &object)?;
    let inputs = std::fs::read_to_string(built.with_extension("d")).context("reading the list of sources")?;
    Ok((object, own_sources(&inputs, root)))
}

/// Flags for the kernel's machine, and neutral names for every folder that line information mentions.
fn rust_flags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let mut flags: Vec<OsString> = FLAGS.map(OsString::from).into();
    let mut rename = |folder: &Path, name: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder);
        flag.push("=");
        flag.push(name);
        flags.push(flag);
    };
    rename(root, "/spanwire");
    let library = toolchain.library_source()?;
    rename(&library, "/rust");
    // Debian's is a symbolic link, and the compiler names what stands behind it.
    rename(&library.canonicalize()?, "/rust");
    let home = cargo_home().context("neither CARGO_HOME nor HOME is set")?;
    for registry in std::fs::read_dir(home.join("registry/src"))?.flatten() {
        rename(&registry.path(), "/registry");
    }
    Ok(flags.join(std::ffi::OsStr::new("\u{1f}")))
}

/// The files of the `ebpf` folder in a dependency list as rustc writes it (`TARGET: FILE FILE ...`), in order.
fn own_sources(list: &str, root: &Path) -> Vec<PathBuf> {
    let (_, files) = list.split_once(": ").unwrap_or_default();
    // A space inside a name is escaped by a backslash.
    let files = files.replace("\\ ", "\0");
    let own = root.join("ebpf");
    let mut sources: Vec<PathBuf> = files
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .filter(|file| file.starts_with(&own))
        .collect();
    sources.sort();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_files_are_its_sources() {
        let list = "/t/spanwire-steer: /w o/dataplane/wire/src/lib.rs /w\\ o/ebpf/src/steer.rs /w\\ o/ebpf/src/abi.rs\n";
        let expected = ["/w o/ebpf/src/abi.rs", "/w o/ebpf/src/steer.rs"].map(PathBuf::from);
        assert_eq!(own_sources(list, Path::new("/w o")), expected);
    }
}
