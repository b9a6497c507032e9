//! The workspace and cargo.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// A cargo command that runs in the workspace's folder, with the toolchain that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments);
    command
}

/// The folder that cargo builds into.
///
/// # Errors
/// Cargo cannot tell.
pub(crate) fn target_dir() -> Result<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = ask_for_target_dir()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

fn ask_for_target_dir() -> Result<PathBuf> {
    let output =
        cargo(&["metadata", "--no-deps", "--format-version", "1"]).output().context("starting cargo")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
    Ok(metadata.target_directory)
}

/// The part of cargo's metadata that names the folder.
#[derive(Debug, Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// The part of cargo's JSON messages that names an executable.
#[derive(Debug, Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Runs a command that has to succeed; its output goes where this program's goes.
///
/// # Errors
/// It cannot be started, or it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    ensure!(status.success(), "{name} {} ({status})", words(command));
    Ok(())
}

/// The arguments of a command as one would type them.
fn words(command: &Command) -> String {
    command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Builds the gateway as the lab runs it and returns the executable's path.
///
/// # Errors
/// The build fails; cargo has said why.
pub(crate) fn build_gateway() -> Result<PathBuf> {
    build("spanwire", "spanwire")
}

/// Builds a program with the lab's profile and returns the executable's path.
///
/// # Errors
/// The build fails; cargo has said why.
pub(crate) fn build(package: &str, program: &str) -> Result<PathBuf> {
    build_with("lab", package, program)
}

/// Builds a program with a profile and returns the executable's path.
///
/// # Errors
/// The build fails; cargo has said why.
pub(crate) fn build_with(profile: &str, package: &str, program: &str) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--profile", profile, "--package", package, "--bin", program]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().context("starting cargo")?;
    ensure!(output.status.success(), "{program} does not build ({})", output.status);
    executable(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("cargo names no executable for {program}"))
}

/// The executable in cargo's JSON messages, one per line.
fn executable(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| message.executable)
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"spanwire"},"executable":"/t/lab/spanwire"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n"
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/t/lab/spanwire")));
    }

    #[test]
    fn the_root_holds_the_workspaces_manifest() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(root().join("loader").is_dir());
    }
}
