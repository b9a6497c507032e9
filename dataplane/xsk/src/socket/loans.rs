//! Loans: what a queue lent to the kernel, with the means to get it back when the queue ends.

use crate::chunk::Chunk;
use crate::lent::{Held, Lent};
use crate::sys::Witness;

/// The chunks a queue has lent. Dropped after rings and socket, it gives them back to the pool.
#[derive(Debug)]
pub(crate) struct Loans {
    pub(crate) lent: Lent,
    witness: Option<Witness>,
}

impl Loans {
    /// The loans of the queue that `witness` watches.
    pub(crate) fn new(lent: Lent, witness: Witness) -> Self {
        Self { lent, witness: Some(witness) }
    }

    /// Waits until the kernel has let go of the queue and hands all chunks to `give`; how many. Rings and socket are closed before.
    /// Should the kernel not let go, the chunks are withheld for good.
    pub(crate) fn take_back(&mut self, give: impl FnMut(Chunk)) -> Held {
        let proof = self.witness.take().and_then(Witness::wait);
        if let Some(proof) = proof {
            return self.lent.take_back(&proof, give);
        }
        let lost = self.lent.forfeit();
        self.lent.pool().withhold(lost.total());
        Held::default()
    }
}

impl Drop for Loans {
    fn drop(&mut self) {
        if self.lent.held().total() != 0 {
            let pool = std::sync::Arc::clone(self.lent.pool());
            self.take_back(|chunk| pool.give_one(chunk));
        }
    }
}
