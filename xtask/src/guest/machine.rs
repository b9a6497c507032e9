//! The emulator's command line.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::kernel::Kernel;
use super::packages::Unpacked;

/// The kernel's command line. It ends when its first process does; on a busy machine its check of the timer would fail.
const KERNEL_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check";

/// The words that start a guest: one CPU and no device but those of `devices`, so the first serial line among these is the
/// console. The machine ends when the guest's first process does.
///
/// # Errors
/// A path is not UTF-8.
pub(crate) fn words(
    unpacked: &Unpacked,
    kernel: &Kernel,
    archive: &Path,
    memory_mb: u32,
    devices: &[String],
) -> Result<Vec<String>> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
    };
    let modules = text(&unpacked.path("usr/lib/x86_64-linux-gnu/qemu"))?;
    let mut words = vec!["env".to_owned(), format!("QEMU_MODULE_DIR={modules}")];
    words.extend(unpacked.command("usr/bin/qemu-system-x86_64")?);
    for folder in ["usr/share/seabios", "usr/share/qemu"] {
        words.extend(["-L".to_owned(), text(&unpacked.path(folder))?]);
    }
    let fixed = "-M q35 -accel tcg -cpu max -smp 1 -nodefaults -no-user-config -no-reboot -display none";
    words.extend(fixed.split_whitespace().map(str::to_owned));
    let options = [
        "-m",
        &memory_mb.to_string(),
        "-kernel",
        &text(&kernel.image)?,
        "-initrd",
        &text(archive)?,
        "-append",
    ];
    words.extend(options.map(str::to_owned));
    words.push(KERNEL_LINE.to_owned());
    words.extend_from_slice(devices);
    Ok(words)
}
