//! `cargo xtask miri`: the memory accesses of `dataplane/xsk`, watched.
//!
//! Miri, and the compiler's AddressSanitizer, exist only for nightly toolchains, which this workspace does not ask for. So the
//! best that is installed is used: Miri sees every undefined access, AddressSanitizer those outside of what was allocated.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::workspace;

/// The tests that are watched: what `dataplane/xsk` does in plain memory.
const TESTS: [&str; 3] = ["--package", "spanwire-xsk", "--lib"];

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watcher {
    Miri,
    AddressSanitizer,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The tests pass; the name of who watched.
    By(&'static str),
    /// Nobody could watch: what is missing.
    Missing(String),
}

/// Runs the command.
///
/// # Errors
/// A test fails, an access is wrong, or nobody is installed who could watch.
pub(crate) fn run() -> Result<()> {
    match watch()? {
        Watched::By(name) => println!("watched by {name}"),
        Watched::Missing(what) => bail!("{what}"),
    }
    Ok(())
}

/// Runs the tests under the best watcher that is installed, if one is.
///
/// # Errors
/// A test fails, or an access is wrong.
pub(crate) fn watch() -> Result<Watched> {
    let (cargo, rustc) = (version(&["cargo", "--version"]), version(&["rustc", "--verbose", "--version"]));
    let miri = version(&["cargo", "miri", "--version"]);
    let watcher = match choose(cargo.as_deref(), miri.as_deref()) {
        Ok(watcher) => watcher,
        Err(missing) => return Ok(Watched::Missing(missing)),
    };
    match watcher {
        Watcher::Miri => workspace::succeed(nightly("cargo").args(["miri", "test"]).args(TESTS))?,
        Watcher::AddressSanitizer => {
            let Some(host) = rustc.as_deref().and_then(host) else {
                return Ok(Watched::Missing("the nightly rustc does not tell its host".to_owned()));
            };
            eprintln!("      no Miri in the nightly toolchain (rustup +nightly component add miri)");
            // With a target named, build scripts and macros are built without it.
            let mut command = nightly("cargo");
            command.arg("test").args(TESTS).args(["--target", host]);
            workspace::succeed(command.env("RUSTFLAGS", "-Zsanitizer=address"))?;
        }
    }
    Ok(Watched::By(watcher.name()))
}

impl Watcher {
    fn name(self) -> &'static str {
        match self {
            Self::Miri => "Miri",
            Self::AddressSanitizer => "AddressSanitizer",
        }
    }
}

/// The best watcher, by what the nightly toolchain's cargo and its Miri say of their versions; else what is missing.
fn choose(cargo: Option<&str>, miri: Option<&str>) -> Result<Watcher, String> {
    let needed = env!("CARGO_PKG_RUST_VERSION");
    let how = "`rustup toolchain install nightly --component miri` gets one";
    match (cargo.and_then(minor), minor(&format!("cargo {needed}"))) {
        (None, _) => Err(format!("no nightly toolchain of rustup; {how}")),
        (Some(has), Some(needed)) if has < needed => {
            Err(format!("the nightly toolchain is older than Rust 1.{needed}; {how}"))
        }
        _ if miri.is_some() => Ok(Watcher::Miri),
        _ => Ok(Watcher::AddressSanitizer),
    }
}

/// The 97 of `cargo 1.97.0-nightly (4d1f98451 2026-05-15)`.
fn minor(version: &str) -> Option<u32> {
    version.split_whitespace().nth(1)?.split('.').nth(1)?.parse().ok()
}

/// The host in what `rustc --verbose --version` says.
fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

/// What a program of the nightly toolchain says of its version, if there is one.
fn version(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = nightly(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program of rustup's nightly toolchain, without what the calling cargo left in the environment for its own.
fn nightly(program: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("+nightly").current_dir(workspace::root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("RUSTC") || text.starts_with("CARGO_PKG_") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARGO: &str = "cargo 1.97.0-nightly (4d1f98451 2026-05-15)\n";

    #[test]
    fn miri_is_preferred_and_a_nightly_without_it_has_the_sanitizer() {
        assert_eq!(choose(Some(CARGO), Some("miri 0.1.0 (4d1f98451e 2026-05-15)\n")), Ok(Watcher::Miri));
        assert_eq!(choose(Some(CARGO), None), Ok(Watcher::AddressSanitizer));
    }

    #[test]
    fn without_a_nightly_or_with_one_too_old_for_the_workspace_it_is_said_what_is_missing() {
        assert!(choose(None, None).unwrap_err().starts_with("no nightly toolchain"));
        let old = choose(Some("cargo 1.80.0-nightly (0123abcd 2024-05-01)"), Some("miri 0.1.0"));
        assert!(old.unwrap_err().contains("older than Rust 1.95"));
    }

    #[test]
    fn the_host_is_read_from_the_version() {
        let version =
            "rustc 1.97.0-nightly (52b6e2c20 2026-05-17)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        assert_eq!(host(version), Some("x86_64-unknown-linux-gnu"));
    }
}
