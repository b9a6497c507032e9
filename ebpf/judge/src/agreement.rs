//! Whether the program in the kernel does what the pure decision says, frame by frame.

use anyhow::{Result, ensure};
use ebpf::packet_view::SliceView;
use ebpf::steer::{Ingress, steer};

use crate::corpus;
use crate::kernel::{KernelProgram, Observed, Standing, TEST_RUN_IFINDEX, TEST_RUN_QUEUE};
use crate::model::ModelTables;

/// Damaged copies of every whole frame and set of tables.
const DAMAGED_COPIES: usize = 8;

/// What the decision on the host says about a frame of the test-run interface.
#[must_use]
pub fn expected(tables: &ModelTables, frame: &[u8]) -> Observed {
    let ingress = Ingress { ifindex: TEST_RUN_IFINDEX, rx_queue: TEST_RUN_QUEUE };
    let decision = steer(&SliceView(frame), tables, ingress);
    let (action, stat) = decision.outcome(|slot| tables.sockets.contains(&slot));
    Observed { action, stat }
}

/// Compares over the whole corpus, wherever things stand; the count of frames compared.
///
/// # Errors
///
/// At the first frame about which they disagree, with the frame's bytes; or when the program cannot be run.
pub fn check(program: &mut KernelProgram) -> Result<usize> {
    let whole_frames = corpus::whole_frames()?;
    let mut compared = 0;
    let all = corpus::tables();
    let standings = [Standing::Map, Standing::Cell, Standing::Both];
    for ((name, tables), standing) in
        all.iter().flat_map(|tables| standings.map(|standing| (tables, standing)))
    {
        program.set_tables(tables, standing)?;
        let mut compare = |frame: &[u8]| {
            compared += 1;
            let (expected, observed) = (expected(tables, frame), program.run(frame)?);
            ensure!(
                expected == observed,
                "{name}, {standing:?}, frame {frame:02x?}: steer says {expected:?}, the kernel did {observed:?}"
            );
            Ok(())
        };
        for (frame, seed) in whole_frames.iter().zip(1..) {
            compare(frame)?;
            corpus::damaged(frame, seed, DAMAGED_COPIES).try_for_each(|copy| compare(&copy))?;
        }
        // Every eighth, as each is cut off a hundred times.
        for frame in whole_frames.iter().step_by(8) {
            corpus::cut_off(frame).try_for_each(|copy| compare(&copy))?;
        }
    }
    Ok(compared)
}
