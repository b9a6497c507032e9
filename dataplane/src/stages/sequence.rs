//! sequence: what the number of a received packet means for its fate and for its session's counters.
//!
//! Place on the path: last check of `decap` in front of the inner frame, so that only packets that are otherwise good move the
//! expectation.

use wire::l2tpv3::DefaultSublayer;

use super::Context;
use crate::{
    sequence::{observe::Meaning, strict::Fate},
    tables::{
        session_state::{RxSequencing, SessionState},
        sessions::RxSession,
    },
    verdict::DropReason,
};

/// Checks and notes a packet's number.
///
/// # Errors
/// [`DropReason::SequenceMissing`] and [`DropReason::OutOfSequence`], in sessions that demand numbers in order.
#[inline]
pub(super) fn check(
    context: &Context<'_>,
    session: &RxSession,
    sublayer: DefaultSublayer,
) -> Result<(), DropReason> {
    match &session.sequencing {
        RxSequencing::Ignored => Ok(()),
        RxSequencing::Strict(state) => enforce(context, session, state, sublayer.sequence()),
        RxSequencing::Observed(state) => {
            if let Some(number) = sublayer.sequence() {
                observe(context, session, state, number);
            }
            Ok(())
        }
    }
}

#[inline(never)]
fn enforce(
    context: &Context<'_>,
    session: &RxSession,
    state: &SessionState,
    number: Option<u32>,
) -> Result<(), DropReason> {
    match state.receive_strictly(number.ok_or(DropReason::SequenceMissing)?) {
        Fate::InOrder => {}
        Fate::Resync => {
            if let Some(counters) = session.counters.of(context.worker) {
                counters.rx_resyncs.add(1);
            }
        }
        Fate::OutOfOrder => return Err(DropReason::OutOfSequence),
    }
    Ok(())
}

#[inline(never)]
fn observe(context: &Context<'_>, session: &RxSession, state: &SessionState, number: u32) {
    let observation = state.observe(number);
    let Some(counters) = session.counters.of(context.worker) else { return };
    counters.rx_numbered.add(1);
    if observation.lost > 0 {
        counters.rx_lost.add(u64::from(observation.lost));
    }
    match observation.meaning {
        Meaning::Newer => {}
        Meaning::Late => counters.rx_late.add(1),
        Meaning::Duplicate => counters.rx_duplicates.add(1),
        Meaning::Resync => counters.rx_resyncs.add(1),
    }
}
