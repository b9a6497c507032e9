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

/// Unpacked packages.
#[derive(Debug)]
pub(crate) struct Unpacked {
    root: PathBuf,
}

/// The packages, unpacked: fetched if they are not there yet.
///
/// # Errors
/// `apt-get` or `dpkg-deb` is missing or fails.
pub(crate) fn unpack() -> Result<Unpacked> {
    let cache = workspace::target_dir()?.join("guest");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    // Two commands at once would unpack into one folder; the kernel unlocks it when the file is closed.
    let lock = File::open(&cache).with_context(|| format!("opening {}", cache.display()))?;
    lock.lock().with_context(|| format!("locking {}", cache.display()))?;
    let (root, stamp) = (cache.join("root"), cache.join("unpacked"));
    let wanted = format!("{}\n{SOURCES}", PACKAGES.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(Unpacked { root });
    }
    eprintln!("      fetching Debian packages (about 90 MB) into {}", cache.display());
    fetch_and_unpack(&cache, &root)?;
    // Last, so that what was left half done is done again.
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(Unpacked { root })
}

/// Fetches the packages into `cache` and unpacks them into `root`; what was fetched is not kept.
fn fetch_and_unpack(cache: &Path, root: &Path) -> Result<()> {
    let apt = cache.join("apt");
    let archives = apt.join("archives");
    fetch(&apt, &archives)?;
    empty_folder(root)?;
    for entry in fs::read_dir(&archives).with_context(|| format!("reading {}", archives.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            succeed(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
        }
    }
    fs::remove_dir_all(&apt).with_context(|| format!("removing {}", apt.display()))
}

/// Downloads all packages into `archives`.
fn fetch(apt: &Path, archives: &Path) -> Result<()> {
    for folder in [apt.join("lists/partial"), archives.join("partial")] {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let configuration = apt.join("apt.conf");
    let files = [
        (configuration.clone(), settings(apt)),
        (apt.join("sources.list"), SOURCES.to_owned()),
        (apt.join("status"), String::new()),
    ];
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        succeed(command.env("APT_CONFIG", &configuration).arg("-qq").args(words))
    };
    apt_get(&["update"])?;
    // All that lies in the folder is unpacked, so no other version may be left there.
    apt_get(&["clean"])?;
    let install =
        ["install", "--yes", "--no-install-recommends", "--download-only", "-t", "bookworm-backports"];
    apt_get(&[&install, PACKAGES].concat())
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

    /// The kernel's version, as it names its files.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(crate) fn kernel(&self) -> Result<String> {
        let boot = self.path("boot");
        let mut versions = Vec::new();
        for entry in fs::read_dir(&boot).with_context(|| format!("reading {}", boot.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            versions.extend(name.strip_prefix("vmlinuz-").map(str::to_owned));
        }
        ensure!(versions.len() == 1, "{} has {} kernels instead of one", boot.display(), versions.len());
        Ok(versions.remove(0))
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
