//! What the commands need and this workspace does not build: one table of Debian packages, one of tools that cargo
//! installs, one way to install each.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use netlab::is_on_path;

use crate::workspace::{self, succeed};

/// What `cargo xtask lab` needs: namespaces and links, offloads, reachability.
pub(crate) const LAB: &[&str] = &["iproute2", "ethtool", "iputils-ping"];

/// What the tests need besides: captures and a dissector that is not ours.
pub(crate) const CAPTURE: &[&str] = &["tcpdump", "tshark"];

/// What `libbpf-rs` and `xsk-rs` need to build, in `bench` and `ebpf/judge`.
pub(crate) const C_LIBRARIES: &[&str] =
    &["clang", "llvm", "libelf-dev", "zlib1g-dev", "libpcap-dev", "m4", "pkg-config", "make"];

/// What counts the engine's instructions.
pub(crate) const VALGRIND: &[&str] = &["valgrind"];

/// A Rust compiler with the source of `core`, for the steering program. A rustup nightly with rust-src will do instead.
pub(crate) const RUST_SOURCE: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The LLVM that `bpf-linker` is built with, and `llvm-strip`.
pub(crate) const LLVM: &[&str] = &["llvm-22-dev"];

/// Where [`LLVM`] is.
pub(crate) const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// A program that cargo installs below the target folder, because Debian 12 has no package of it.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The package, and the program.
    pub(crate) name: &'static str,
    version: &'static str,
    options: &'static [&'static str],
    /// How long it takes on two cores.
    time: &'static str,
}

/// Builds the book; without its web server and search, and unoptimised.
pub(crate) const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    options: &["--no-default-features", "--debug"],
    time: "one minute",
};

/// Links the steering program; with [`LLVM`].
pub(crate) const BPF_LINKER: Tool = Tool {
    name: "bpf-linker",
    version: "0.13.0",
    options: &["--no-default-features", "--features", "llvm-22"],
    time: "two minutes",
};

/// Lines of `apt-get`'s output that a failure shows.
const TAIL_LINES: usize = 20;

/// Makes sure that Debian packages are installed: installs what is missing as root, otherwise names the one command to type.
///
/// On a machine without dpkg nothing is checked; the packages are named, and what needs them will say so.
///
/// # Errors
/// A package is missing and this is not root, or `apt-get` fails.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    if !is_on_path("dpkg-query") {
        eprintln!("      no dpkg on this machine; needed, by their Debian names: {}", names.join(" "));
        return Ok(());
    }
    let missing = missing(names)?;
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("missing packages; run: sudo apt-get install --no-install-recommends {}", missing.join(" "));
    }
    eprintln!("      installing {}", missing.join(" "));
    apt_get(&["update"])?;
    let install = ["install", "--yes", "--no-install-recommends"];
    apt_get(&[&install[..], &missing].concat())
}

/// The folder of the tools that cargo installs here.
///
/// # Errors
/// Cargo cannot tell its target folder.
pub(crate) fn tools_dir() -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("tools/bin"))
}

/// Installs a tool below the target folder, unless it is there, and returns the program's path.
///
/// # Errors
/// It does not build; cargo has said why.
pub(crate) fn tool(tool: &Tool) -> Result<PathBuf> {
    let program = tools_dir()?.join(tool.name);
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("      building {} {} ({})", tool.name, tool.version, tool.time);
    let llvm = PathBuf::from(LLVM_PREFIX).join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([llvm].into_iter().chain(std::env::split_paths(&path)))?;
    let mut install = workspace::cargo(&["install", tool.name, "--version", tool.version, "--locked"]);
    install.args(tool.options).arg("--root").arg(workspace::target_dir()?.join("tools"));
    succeed(install.env("LLVM_PREFIX", LLVM_PREFIX).env("PATH", path).env_remove("CARGO_TARGET_DIR"))?;
    Ok(program)
}

/// Those of `names` that are not installed, in order.
fn missing<'n>(names: &[&'n str]) -> Result<Vec<&'n str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"]).args(names);
    // It exits with a failure when it does not know one of them; the known ones are listed all the same.
    let output = query.stdin(Stdio::null()).output().context("starting dpkg-query")?;
    Ok(not_installed(names, &String::from_utf8_lossy(&output.stdout)))
}

/// Those of `names` that `listing` does not call installed; one package and its state per line.
fn not_installed<'n>(names: &[&'n str], listing: &str) -> Vec<&'n str> {
    let is_installed =
        |name: &str| listing.lines().any(|line| line.split_once(' ') == Some((name, "installed")));
    names.iter().copied().filter(|name| !is_installed(name)).collect()
}

/// Runs `apt-get` without questions; its output is shown only when it fails.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let output = command.stdin(Stdio::null()).output().context("starting apt-get")?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    ensure!(output.status.success(), "apt-get {} failed ({}):\n{tail}", arguments.join(" "), output.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_package_and_an_unknown_one_count_as_missing() {
        let listing = "ethtool installed\ntcpdump config-files\n";
        assert_eq!(not_installed(&["ethtool", "tcpdump", "tshark"], listing), ["tcpdump", "tshark"]);
    }
}
