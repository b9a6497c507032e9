//! Debian packages, unpacked into the target folder: nothing is installed, and nothing is started.
//!
//! `apt-get` works with a configuration, lists and an (empty) state of its own, so it resolves every dependency down to
//! the C library. What is unpacked runs by its own dynamic loader. It stays, and is used again for the same packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::tools::text;
use crate::workspace::{self, succeed};

/// The packages' sources.
const SOURCES: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main
";

/// Unpacked packages.
#[derive(Debug)]
pub(super) struct Unpacked {
    root: PathBuf,
}

/// Fetches a package with all that it depends on, and unpacks it; does nothing when that was done before.
///
/// # Errors
/// `apt-get` or `dpkg-deb` is missing or fails.
pub(super) fn unpack(name: &str) -> Result<Unpacked> {
    let folder = workspace::target_dir()?.join("compare/packages").join(name);
    let (root, stamp) = (folder.join("root"), folder.join("unpacked"));
    if !stamp.is_file() {
        let with_others = ["install", "--yes", "--no-install-recommends", "--download-only"];
        fetch(&folder, &with_others, name)?;
        extract(&folder, &root)?;
        // Last, so that what was left half done is done again.
        fs::write(&stamp, "").with_context(|| format!("writing {}", stamp.display()))?;
    }
    Ok(Unpacked { root })
}

/// Fetches one package alone and unpacks it into `folder`/root; nothing is kept for another time.
///
/// # Errors
/// As [`unpack`].
pub(super) fn unpack_alone(name: &str, folder: &Path) -> Result<PathBuf> {
    fetch(folder, &["download"], name)?;
    let root = folder.join("root");
    extract(folder, &root)?;
    Ok(root)
}

/// Unpacks what was fetched, and removes it.
fn extract(folder: &Path, root: &Path) -> Result<()> {
    empty_folder(root)?;
    for path in debs(&archives(folder))? {
        succeed(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
    }
    fs::remove_dir_all(folder.join("apt")).context("removing what was fetched")
}

fn archives(folder: &Path) -> PathBuf {
    folder.join("apt/archives")
}

/// Downloads a package by an `apt-get` command.
fn fetch(folder: &Path, download: &[&str], name: &str) -> Result<()> {
    ensure!(netlab::is_on_path("apt-get"), "no apt-get on this machine to fetch {name} with");
    eprintln!("      fetching the Debian package {name} into {}", folder.display());
    let (apt, archives) = (folder.join("apt"), archives(folder));
    empty_folder(&apt)?;
    for folder in [apt.join("lists/partial"), archives.join("partial")] {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let configuration = apt.join("apt.conf");
    let files = [
        (configuration.clone(), settings(&apt)),
        (apt.join("sources.list"), SOURCES.to_owned()),
        (apt.join("status"), String::new()),
    ];
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        // `download` writes where it stands.
        succeed(command.current_dir(&archives).env("APT_CONFIG", &configuration).arg("-qq").args(words))
    };
    apt_get(&["update"])?;
    apt_get(&[download, &[name]].concat())
}

/// apt's settings: everything it reads and writes is in `folder`, this machine's configuration of proxies excepted.
fn settings(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"Dir::State "{folder}";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
"#
    )
}

fn debs(archives: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(archives).with_context(|| format!("reading {}", archives.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    Ok(paths)
}

/// Makes a folder, in place of what stood there.
pub(super) fn empty_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

impl Unpacked {
    /// A path inside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The words that run a program with the packages' own loader and libraries.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub(super) fn command(&self, program: &Path) -> Result<Vec<String>> {
        let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        let libraries = folders.map(|folder| self.path(folder).display().to_string()).join(":");
        let loader = text(&self.path("lib64/ld-linux-x86-64.so.2"))?;
        Ok(vec![loader, "--library-path".to_owned(), libraries, text(program)?])
    }
}
