//! The ends of one queue's four rings that are ours.

use super::{Consumer, Descriptor, Producer};

/// Our ends of the four rings of one queue; `A` is the memory of address rings, `D` that of descriptor rings.
#[derive(Debug)]
pub(crate) struct Ends<A, D> {
    /// Empty chunks, to the kernel.
    pub(crate) fill: Producer<u64, A>,
    /// Received frames, from the kernel.
    pub(crate) rx: Consumer<Descriptor, D>,
    /// Frames to transmit, to the kernel.
    pub(crate) tx: Producer<Descriptor, D>,
    /// Transmitted chunks, from the kernel.
    pub(crate) completion: Consumer<u64, A>,
}
