//! User-mode Linux: the kernel's own `l2tp_eth` where this kernel has none.
//!
//! ```text
//!  build    the kernel, once
//!  guest    systems in turn, as plan and scripts -> lines of results
//!  ratios   what they say: ratios inside the guest, never its times
//! ```
//! It runs the kernel's own code at native speed, on one CPU, with system calls and timers that are dearer than a real
//! kernel's. So the same chain is measured in it with every kernel system, and only ratios leave it. The load is the
//! kernel's pktgen; every frame goes through the whole chain in one go, so time per frame is CPU time per frame.

mod build;
mod guest;
mod ratios;

use anyhow::Result;

pub(super) use ratios::Ratios;
#[cfg(test)]
pub(super) use ratios::tests;

use super::priority::Raised;
use super::tools::Tools;
use crate::install;

/// Builds the kernel if need be, and measures inside it.
///
/// # Errors
/// The kernel cannot be built, or the guest fails.
pub(super) fn measure(sizes: &[u32], rounds: u32) -> Result<Ratios> {
    install::packages(build::PACKAGES)?;
    let folder = build::folder()?;
    let kernel = build::kernel(&folder)?;
    let _priority = Raised::here()?;
    let runs = guest::run(&kernel, &folder.join("guest"), sizes, rounds, &Tools::by_name())?;
    Ok(Ratios::new(runs))
}
