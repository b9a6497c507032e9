//! Debian packages, unpacked into a folder: nothing is installed, and this machine's own packages play no part.
//!
//! `apt-get` works with a configuration, lists and an (empty) state of its own, so it resolves every dependency down to
//! the C library. What is unpacked runs by its own dynamic loader. It stays in `guest` of the target folder and is used again
//! as long as the lists below are the same; without that folder, the newest packages are fetched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::empty_folder;
use crate::workspace::{self, succeed};

/// The emulator, and what the guest is made of; kernel and emulator are those that Debian 12 offers as an upgrade, for a
/// guest of its own emulator (7.2) sometimes dies while it boots.
const PACKAGES: &[&str] = &[
    "qemu-system-x86",
    "linux-image-cloud-amd64",
    "busybox-static",
    "iproute2",
    "ethtool",
    "tcpdump",
    "fping",
];

/// The packages' sources.
const SOURCES: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main
";

/// The sources of a kernel whose `igb` has AF_XDP zero-copy: 6.14 or later.
const LATER_SOURCES: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main
";

/// The package that depends on the newest kernel's modules, and what the kernel's packages are called in front of its version.
const LATER_KERNEL: &str = "linux-modules-amd64";
const LATER_PARTS: [&str; 3] = ["linux-base-", "linux-binary-", "linux-modules-"];

/// Unpacked packages.
#[derive(Debug)]
pub(crate) struct Unpacked {
    root: PathBuf,
}

/// What is fetched together, and unpacked into one folder.
struct Collection {
    /// Folder in `guest` of the target folder.
    folder: &'static str,
    sources: &'static str,
    /// What `wanted` says of it, and how much is fetched.
    names: String,
    size: &'static str,
    fetch: fn(&Apt) -> Result<()>,
}

/// The packages, unpacked: fetched if they are not there yet.
///
/// # Errors
/// `apt-get` or `dpkg-deb` is missing or fails.
pub(crate) fn unpack() -> Result<Unpacked> {
    unpack_collection(&Collection {
        folder: "l2tp",
        sources: SOURCES,
        names: PACKAGES.join(" "),
        size: "about 90 MB",
        fetch: |apt| {
            let install = [
                "install",
                "--yes",
                "--no-install-recommends",
                "--download-only",
                "-t",
                "bookworm-backports",
            ];
            apt.get(&[&install, PACKAGES].concat())
        },
    })
}

/// A kernel whose `igb` has zero-copy, unpacked, without what it depends on: fetched if it is not there yet.
///
/// # Errors
/// `apt-get`, `apt-cache` or `dpkg-deb` is missing or fails.
pub(crate) fn unpack_later_kernel() -> Result<Unpacked> {
    unpack_collection(&Collection {
        folder: "later",
        sources: LATER_SOURCES,
        names: LATER_KERNEL.to_owned(),
        size: "about 120 MB",
        fetch: |apt| {
            let version = dependency_version(&apt.cache(&["depends", LATER_KERNEL])?)?;
            let parts = LATER_PARTS.map(|part| format!("{part}{version}"));
            apt.get(&[&["download"], &parts.each_ref().map(String::as_str)[..]].concat())
        },
    })
}

/// The kernel's version in what `apt-cache depends` says of a package: that of the modules it depends on.
fn dependency_version(depends: &str) -> Result<String> {
    let of_line = |line: &str| Some(line.trim().strip_prefix("Depends: linux-modules-")?.to_owned());
    depends
        .lines()
        .find_map(of_line)
        .with_context(|| format!("{LATER_KERNEL} depends on no modules:\n{depends}"))
}

fn unpack_collection(collection: &Collection) -> Result<Unpacked> {
    let cache = workspace::target_dir()?.join("guest").join(collection.folder);
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    // Two commands at once would unpack into one folder; the kernel unlocks it when the file is closed.
    let lock = File::open(&cache).with_context(|| format!("opening {}", cache.display()))?;
    lock.lock().with_context(|| format!("locking {}", cache.display()))?;
    let (root, stamp) = (cache.join("root"), cache.join("unpacked"));
    let wanted = format!("{}\n{}", collection.names, collection.sources);
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(Unpacked { root });
    }
    eprintln!("      fetching Debian packages ({}) into {}", collection.size, cache.display());
    fetch_and_unpack(&cache, &root, collection)?;
    // Last, so that what was left half done is done again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(Unpacked { root })
}

/// Fetches the packages into `cache` and unpacks them into `root`; what was fetched is not kept.
fn fetch_and_unpack(cache: &Path, root: &Path, collection: &Collection) -> Result<()> {
    let apt = Apt::new(&cache.join("apt"), collection.sources)?;
    (collection.fetch)(&apt)?;
    empty_folder(root)?;
    for entry in
        fs::read_dir(apt.archives()).with_context(|| format!("reading {}", apt.archives().display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            succeed(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
        }
    }
    fs::remove_dir_all(&apt.folder).with_context(|| format!("removing {}", apt.folder.display()))
}

/// apt, in a folder of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Knows what the sources have; nothing is fetched yet.
    fn new(folder: &Path, sources: &str) -> Result<Self> {
        let apt = Self { folder: folder.to_owned() };
        for folder in [folder.join("lists/partial"), apt.archives().join("partial")] {
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let files =
            [("apt.conf", settings(folder)), ("sources.list", sources.to_owned()), ("status", String::new())];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        apt.get(&["update"])?;
        // All that lies in the folder is unpacked, so no other version may be left there.
        apt.get(&["clean"])?;
        Ok(apt)
    }

    /// Where packages are fetched into.
    fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    /// `apt-get` with these words, in the folder of the archives.
    fn get(&self, words: &[&str]) -> Result<()> {
        succeed(self.command("apt-get").arg("-qq").args(words))
    }

    /// What `apt-cache` says.
    fn cache(&self, words: &[&str]) -> Result<String> {
        let output = self.command("apt-cache").args(words).output().context("starting apt-cache")?;
        ensure!(output.status.success(), "apt-cache: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).current_dir(self.archives());
        command
    }
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

impl Unpacked {
    /// A path inside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The dynamic loader.
    pub(crate) fn loader(&self) -> PathBuf {
        self.path("lib64/ld-linux-x86-64.so.2")
    }

    /// The words that run a program with the packages' loader and libraries.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub(crate) fn command(&self, program: &str) -> Result<Vec<String>> {
        let paths = [self.loader(), self.path(program)];
        let [loader, program] = paths.map(|path| {
            path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
        });
        Ok(vec![loader?, "--library-path".to_owned(), self.library_path(), program?])
    }

    /// The shared libraries that a program needs.
    ///
    /// # Errors
    /// The loader does not find one.
    pub(crate) fn libraries(&self, program: &str) -> Result<Vec<PathBuf>> {
        let mut command = Command::new(self.loader());
        command.arg("--library-path").arg(self.library_path()).arg("--list").arg(self.path(program));
        let output = command.output().context("starting the dynamic loader")?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().filter_map(|line| line.split_once(" => ")?.1.split_whitespace().next());
        Ok(found.map(PathBuf::from).collect())
    }

    fn library_path(&self) -> String {
        let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        folders.map(|folder| self.path(folder).display().to_string()).join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_version_is_that_of_the_modules() {
        let depends =
            "linux-modules-amd64\n  Depends: linux-base-amd64\n  Depends: linux-modules-7.3.4+deb13-amd64\n";
        assert_eq!(dependency_version(depends).unwrap(), "7.3.4+deb13-amd64");
        assert!(dependency_version("linux-modules-amd64\n  Depends: linux-base-amd64\n").is_err());
    }
}
