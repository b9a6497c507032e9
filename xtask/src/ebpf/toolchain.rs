//! The tools that build the object: a Rust compiler with the source of `core`, `bpf-linker`, `llvm-strip`.
//!
//! Two compilers will do: Debian's own (packages [`install::RUST_SOURCE`]) and a rustup nightly with the
//! component rust-src. What is missing is installed from Debian.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::install;

/// A complete set of tools.
#[derive(Debug)]
pub(super) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    strip: PathBuf,
    name: String,
}

impl Toolchain {
    /// The set that was recorded if it is here, else any, else Debian's after installing it.
    ///
    /// # Errors
    /// Something is missing and cannot be installed.
    pub(super) fn find(recorded: &str) -> Result<Self> {
        let mut compilers = compilers();
        if compilers.is_empty() {
            install::packages(install::RUST_SOURCE)?;
            compilers = self::compilers();
        }
        let strip = strip()?;
        let linker = linker()?;
        let mut complete = Vec::new();
        for (cargo, rustc) in compilers {
            let name = format!("{}; {linker}; {}", first_line(&rustc, "-V")?, strip_version(&strip)?);
            complete.push(Self { cargo, rustc, strip: strip.clone(), name });
        }
        let position = complete.iter().position(|toolchain| toolchain.name == recorded).unwrap_or(0);
        ensure!(!complete.is_empty(), "no Rust compiler with the source of `core`: {}", how_to_get_one());
        Ok(complete.swap_remove(position))
    }

    /// The versions of all tools in one line: the same line builds the same object from the same sources.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A cargo command with this compiler, without what the calling cargo or rustup left in the environment.
    pub(super) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            if is_build_setting(&name) {
                command.env_remove(name);
            }
        }
        command.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1").env("PATH", path_with_linker());
        command
    }

    /// The folder in which the compiler's own library sources are.
    ///
    /// # Errors
    /// The compiler does not tell.
    pub(super) fn library_source(&self) -> Result<PathBuf> {
        library_source(&self.rustc).with_context(|| format!("{} has no rust-src", self.rustc.display()))
    }

    /// Writes `from` to `to` without DWARF; BTF stays.
    ///
    /// # Errors
    /// The tool fails.
    pub(super) fn strip(&self, from: &Path, to: &Path) -> Result<()> {
        let status = Command::new(&self.strip).arg("--strip-debug").arg("-o").args([to, from]).status()?;
        ensure!(status.success(), "{} failed ({status})", self.strip.display());
        Ok(())
    }
}

/// Settings of the calling cargo that would change the compiler or its flags.
fn is_build_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    [
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
        "CARGO_PKG_",
        "CARGO_TARGET_",
        "RUSTFLAGS",
        "RUSTC",
        "RUSTUP_TOOLCHAIN",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || matches!(
            &*name,
            "CARGO" | "CARGO_ENCODED_RUSTFLAGS" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH"
        )
}

/// Pairs of cargo and rustc that have the source of `core`.
fn compilers() -> Vec<(PathBuf, PathBuf)> {
    let debian = Some((PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc")));
    let candidates = [debian, nightly()].into_iter().flatten();
    candidates.filter(|(cargo, rustc)| cargo.is_file() && library_source(rustc).is_some()).collect()
}

/// rustup's nightly.
fn nightly() -> Option<(PathBuf, PathBuf)> {
    let which = |tool: &str| {
        let output = Command::new("rustup").args(["which", "--toolchain", "nightly", tool]).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| PathBuf::from(path.trim()))
    };
    Some((which("cargo")?, which("rustc")?))
}

fn library_source(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let source = sysroot.join("lib/rustlib/src/rust");
    source.join("library/core/Cargo.toml").is_file().then_some(source)
}

/// The Debian packages that have to be installed before the object can be built here.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let compiler = if compilers().is_empty() { install::RUST_SOURCE } else { &[] };
    let has_llvm_tools = linker_version().is_ok() && installed_strip().is_some();
    let llvm = if has_llvm_tools { &[] } else { install::LLVM };
    [compiler, llvm].concat()
}

/// `bpf-linker`'s name and version; installs it first if it is missing.
fn linker() -> Result<String> {
    if let Ok(version) = linker_version() {
        return Ok(version);
    }
    install::packages(install::LLVM)?;
    install::tool(&install::BPF_LINKER)?;
    linker_version()
}

fn linker_version() -> Result<String> {
    first_line(Path::new(install::BPF_LINKER.name), "-V")
}

/// `llvm-strip`; installs it first if it is missing.
fn strip() -> Result<PathBuf> {
    if let Some(strip) = installed_strip() {
        return Ok(strip);
    }
    install::packages(install::LLVM)?;
    installed_strip().context("llvm-strip is missing; it comes with LLVM")
}

/// `llvm-strip`, of the newest LLVM known here.
fn installed_strip() -> Option<PathBuf> {
    let preferred = Path::new(install::LLVM_PREFIX).join("bin/llvm-strip");
    let any = || netlab::is_on_path("llvm-strip").then(|| PathBuf::from("llvm-strip"));
    if preferred.is_file() { Some(preferred) } else { any() }
}

fn strip_version(strip: &Path) -> Result<String> {
    let output = output_of(strip, "--version")?;
    let line = output.lines().find(|line| line.contains("version")).context("llvm-strip has no version")?;
    Ok(format!("llvm-strip of {}", line.trim()))
}

fn first_line(program: &Path, argument: &str) -> Result<String> {
    Ok(output_of(program, argument)?.lines().next().unwrap_or_default().trim().to_owned())
}

fn output_of(program: &Path, argument: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.arg(argument).env("PATH", path_with_linker()).env_remove("RUSTUP_TOOLCHAIN");
    let output = command.output().with_context(|| format!("starting {}", program.display()))?;
    ensure!(output.status.success(), "{} {argument} failed ({})", program.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// `PATH`, with the folders behind it that cargo installs programs to: the user's, and this workspace's.
fn path_with_linker() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = install::tools_dir().ok();
    let folders = std::env::split_paths(&path).chain(cargo_home().map(|home| home.join("bin"))).chain(own);
    std::env::join_paths(folders).unwrap_or_default()
}

/// The folder of cargo's registry and installed programs.
pub(super) fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

fn how_to_get_one() -> String {
    format!(
        "`rustup toolchain install nightly --component rust-src`, or `apt-get install {}`",
        install::RUST_SOURCE.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_calling_cargo_do_not_reach_the_build() {
        for name in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(is_build_setting(&OsString::from(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_NET_OFFLINE", "RUSTUP_HOME"] {
            assert!(!is_build_setting(&OsString::from(name)), "{name}");
        }
    }
}
