//! Tools: where the programs of the systems are.
//!
//! What this machine has is used as it is. What it has not is unpacked from Debian's packages into the target folder and
//! run from there: installing `openvswitch-switch` would start a daemon on this machine, which a measurement must not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use netlab::is_on_path;

use super::packages::{self, Unpacked};
use crate::workspace;

/// The database schema of Open vSwitch, from the root of its package.
const OVS_SCHEMA: &str = "usr/share/openvswitch/vswitch.ovsschema";

/// Where programs of packages are, from the root.
const PROGRAM_FOLDERS: [&str; 5] = ["usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/openvswitch-switch"];

/// A self-signed certificate and its key, as texts.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Where the programs are.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// What is built here, by name.
    built: BTreeMap<&'static str, PathBuf>,
    /// Packages that this machine lacks.
    unpacked: Vec<Unpacked>,
    /// Whether programs are only named, for people to type.
    by_name: bool,
}

impl Tools {
    /// Programs that are called by their names, wherever they are.
    pub(super) fn by_name() -> Self {
        Self { by_name: true, ..Self::default() }
    }

    /// Programs for measuring here.
    pub(super) fn here(gateway: PathBuf, bench: PathBuf) -> Self {
        let built = BTreeMap::from([("spanwire", gateway), ("spanwire-bench", bench)]);
        Self { built, ..Self::default() }
    }

    /// Fetches the package of a program that this machine lacks.
    ///
    /// # Errors
    /// It cannot be had.
    pub(super) fn fetch(&mut self, package: &str, program: &str) -> Result<()> {
        if !self.has(program) {
            self.unpacked.push(packages::unpack(package)?);
        }
        ensure!(self.has(program), "the package {package} has no program {program}");
        Ok(())
    }

    /// Whether a program can be run.
    pub(super) fn has(&self, program: &str) -> bool {
        self.by_name
            || self.built.contains_key(program)
            || self.unpacked(program).is_some()
            || is_on_path(program)
    }

    /// The words that run a program.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn program(&self, name: &str) -> Result<Vec<String>> {
        if let Some(path) = self.built.get(name) {
            return Ok(vec![text(path)?]);
        }
        if let Some((packages, path)) = self.unpacked(name) {
            return packages.command(&path);
        }
        ensure!(self.has(name), "there is no program {name}");
        Ok(vec![name.to_owned()])
    }

    /// The schema of Open vSwitch's database.
    pub(super) fn ovs_schema(&self) -> String {
        let mut unpacked = self.unpacked.iter().map(|packages| packages.path(OVS_SCHEMA));
        let path = unpacked.find(|path| path.is_file()).unwrap_or_else(|| Path::new("/").join(OVS_SCHEMA));
        path.display().to_string()
    }

    /// A certificate that is made once for this workspace, so that both sides have the same.
    ///
    /// # Errors
    /// `openssl` is missing or fails.
    pub(super) fn certificate(&self) -> Result<Certificate> {
        let folder = workspace::target_dir()?.join("compare");
        let (certificate, key) = (folder.join("openvpn.crt"), folder.join("openvpn.key"));
        if !(certificate.is_file() && key.is_file()) {
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            make_certificate(&certificate, &key)?;
        }
        let read =
            |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
        Ok(Certificate { certificate: read(&certificate)?, key: read(&key)? })
    }

    /// Where an unpacked program is.
    fn unpacked(&self, program: &str) -> Option<(&Unpacked, PathBuf)> {
        let place = |packages: &Unpacked| {
            let places = PROGRAM_FOLDERS.iter().map(|folder| packages.path(folder).join(program));
            places.into_iter().find(|path| path.is_file())
        };
        self.unpacked.iter().find_map(|packages| Some((packages, place(packages)?)))
    }
}

fn make_certificate(certificate: &Path, key: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650".split(' '))
        .args(["-subj", "/CN=compare", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate);
    let output = command.output().context("starting openssl (install the package openssl)")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl makes no certificate ({}): {}", output.status, errors.trim());
    Ok(())
}

/// A path as text, for a command line.
pub(super) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
