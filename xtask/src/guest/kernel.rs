//! The kernel of a guest: what the packages unpacked to.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::packages::Unpacked;

/// A kernel.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// Its version, as it names its files.
    pub(crate) version: String,
    /// Its image.
    pub(crate) image: PathBuf,
    /// The folder of its modules: `kernel/` and the lists.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// The one kernel among packages. Those of Debian 12 have the image in `/boot`, later ones beside the modules.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(crate) fn of(unpacked: &Unpacked) -> Result<Self> {
        let mut found = Vec::new();
        for folder in ["lib/modules", "usr/lib/modules"].map(|folder| unpacked.path(folder)) {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                found.push(entry?.path());
            }
        }
        ensure!(found.len() == 1, "the packages have {} kernels instead of one", found.len());
        let modules = found.remove(0);
        let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = [unpacked.path(&format!("boot/vmlinuz-{version}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.is_file());
        Ok(Self { image: image.with_context(|| format!("kernel {version} has no image"))?, version, modules })
    }
}
