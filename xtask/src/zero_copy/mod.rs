//! Zero-copy, on a machine without such a card: four `igb` cards that QEMU emulates, under a kernel whose `igb` has it.
//!
//! Everything is inside one guest, which has no disk and no way out. The emulator counts instructions and makes one of them one
//! nanosecond of the guest's time, so timers, pauses and rates do not depend on how busy this machine is.
//!
//! - [`proof`] (`cargo xtask interop --zero-copy`): a gateway between two cards in zero-copy mode, against the kernel's `l2tp_eth`.
//! - [`instructions`] (`cargo xtask compare --zero-copy`): what a packet costs in instructions, beside the kernel's `l2tp_eth`.
//!
//! `network.sh` has what stands in the guest. Deliberately not here: how guests are made and asked (`guest`).

mod emulator;
mod gateway;
pub(crate) mod instructions;
mod proof;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::guest::kernel::Kernel;
use crate::guest::packages;
use crate::progress::Progress;
use crate::workspace;
use emulator::Guest;

/// Steps of a proof.
const PROOF_STEPS: usize = 7;

/// Proves zero-copy, with this gateway program or with one that it builds.
///
/// # Errors
/// Something is missing, the guest does not come up, or something does not hold.
pub(crate) fn prove(binary: Option<&Path>, json: bool) -> Result<()> {
    let mut progress = Progress::new(PROOF_STEPS);
    let binary = match binary {
        Some(path) => {
            progress.step("using the given gateway", || std::path::absolute(path).context("finding it"))?
        }
        None => progress.step("building the gateway", workspace::build_gateway)?,
    };
    let (mut guest, kernel) = boot(&mut progress, &[&binary])?;
    let outcome = proof::run(&mut progress, &mut guest);
    if outcome.is_err() {
        eprintln!("{}", guest.diagnosis());
    }
    proof::report(&outcome?, &kernel.version, json)
}

/// Fetches what the guest is made of, and boots it with these programs; two steps.
fn boot(progress: &mut Progress, programs: &[&PathBuf]) -> Result<(Guest, Kernel)> {
    let (unpacked, kernel) = progress.step("unpacking emulator and kernel", || {
        Ok((packages::unpack()?, Kernel::of(&packages::unpack_later_kernel()?)?))
    })?;
    let guest = progress.step("booting a Debian kernel with four igb cards", || {
        let programs: Vec<&Path> = programs.iter().map(|program| program.as_path()).collect();
        Guest::boot(&unpacked, &kernel, &programs)
    })?;
    Ok((guest, kernel))
}
