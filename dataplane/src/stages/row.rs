//! row: frames one behind the other that leave by the same member, for which everything is looked up once.
//!
//! ```text
//!  batch  | A A A A A A A A | B | C C C C C C C |     A: to the station behind one session, C: behind another
//!          \_____ row ____/       \___ row ___/      B: flooded
//! ```
//! Place on the path: `emit` asks for a row at each frame; the frames that a row does not take go one by one through `send`,
//! which knows everything there is to know about a member. A row takes what nearly all frames are: in one chunk, fitting whole,
//! for a port or session that is up and has no tag to push and nothing to fill in but [`QuickHeaders`].
//!
//! Bench: `encap`, 542 -> 372 instructions per frame; 1000 sessions in turn, each a row of one frame, 541 -> 507.

use xsk::Frame;

use super::{
    Context, Exits,
    emit::{count, one},
    identification::Identification,
    send::{count_at_member, transmit_again},
};
use crate::{
    batch::{Fate, Slot},
    counters::SessionCounters,
    ports::Port,
    tables::{
        PortId,
        bridge_domains::{Circuit, DomainId, Member, MemberId},
        checksum_offload::Offload,
        next_hops::TxSession,
        quick_headers::QuickHeaders,
    },
    verdict::{DropReason, Verdict},
};

/// What the frames of a row have in common.
pub(super) struct Row<'t> {
    domain: DomainId,
    egress: MemberId,
    member: &'t Member,
    port: PortId,
    /// Longest frame that it takes. Units: bytes.
    max_frame_bytes: usize,
    /// `None`: frames leave by a port as they are.
    session: Option<Outlet<'t>>,
}

/// A session that frames leave by.
#[derive(Clone, Copy)]
struct Outlet<'t> {
    session: &'t TxSession,
    quick: &'t QuickHeaders,
    counters: &'t SessionCounters,
}

/// Why a row ends.
enum End<'s> {
    /// There are no more frames.
    Batch,
    /// This frame is of another row.
    Next(Frame, &'s Slot),
    /// This one is none of a row's frames.
    Unfit(Frame, &'s Slot),
    /// The transmit ring takes this one not at once; its headers are written.
    Refused(Frame, &'s Slot),
}

impl<'t> Row<'t> {
    /// The row that a frame begins; `None`: its member, or its fate, is none for rows.
    #[inline]
    pub(super) fn of(context: &Context<'t>, slot: &Slot) -> Option<Self> {
        let Fate::Forward(egress) = slot.fate else { return None };
        let member = context.tables.domain(slot.domain)?.member(egress)?;
        if member.vlan.is_some() {
            return None;
        }
        let (port, max_frame_bytes, session) = match member.circuit {
            Circuit::Port(port) => (port, context.tables.port(port)?.max_frame_bytes, None),
            Circuit::Session(index) => {
                let session = context.tables.tx_session(index)?;
                let quick = session.quick.as_ref()?;
                let counters = session.counters().of(context.worker)?;
                (session.port(), quick.max_frame_bytes(), Some(Outlet { session, quick, counters }))
            }
            Circuit::Down => return None,
        };
        Some(Self { domain: slot.domain, egress, member, port, max_frame_bytes, session })
    }

    /// Sends the row's frames, and counts them. Returns the first frame behind them.
    #[inline]
    pub(super) fn send<'s, P: Port>(
        &self,
        context: &Context<'t>,
        first: (Frame, &'s Slot),
        frames: &mut impl Iterator<Item = (Frame, &'s Slot)>,
        exits: &mut Exits<'_, P>,
    ) -> Option<(Frame, &'s Slot)> {
        let end = match self.session {
            // A loop for each: what one keeps in registers for headers would cost another its own.
            None => self.send_fitting(context, first, frames, exits, |_, _| Some(()), P::transmit),
            Some(Outlet { session, quick, .. }) => match session.offload {
                None => {
                    let write = |frame: &mut Frame, numbers: &mut Identification| {
                        quick.write(&session.template, frame, numbers)
                    };
                    self.send_fitting(context, first, frames, exits, write, P::transmit)
                }
                Some(Offload { request, .. }) => {
                    // The same once more: a closure with two callers is inlined into neither, 17 instructions per frame.
                    let write = |frame: &mut Frame, numbers: &mut Identification| {
                        quick.write(&session.template, frame, numbers)
                    };
                    let transmit = |queue: &mut P, frame| queue.transmit_requesting(frame, request);
                    self.send_fitting(context, first, frames, exits, write, transmit)
                }
            },
        };
        match end {
            End::Batch => return None,
            End::Next(frame, slot) => return Some((frame, slot)),
            End::Unfit(frame, slot) => one(context, frame, slot, exits),
            End::Refused(frame, slot) => self.send_again(context, frame, slot, exits),
        }
        frames.next()
    }

    /// Sends frames as long as they are of the row. `prepare` makes a frame what it has to be on the wire; `None`, and it is as it was, when
    /// that needs more.
    #[inline(never)]
    fn send_fitting<'s, P: Port>(
        &self,
        context: &Context<'t>,
        first: (Frame, &'s Slot),
        frames: &mut impl Iterator<Item = (Frame, &'s Slot)>,
        exits: &mut Exits<'_, P>,
        prepare: impl Fn(&mut Frame, &mut Identification) -> Option<()>,
        transmit: impl Fn(&mut P, Frame) -> Result<(), Frame>,
    ) -> End<'s> {
        let Some(queue) = exits.ports.tx(self.port) else { return End::Unfit(first.0, first.1) };
        let (mut sent_frames, mut sent_bytes) = (0, 0);
        let mut next = Some(first);
        let end = loop {
            let Some((mut frame, slot)) = next else { break End::Batch };
            if slot.fate != Fate::Forward(self.egress) || slot.domain != self.domain {
                break End::Next(frame, slot);
            }
            let frame_bytes = frame.head_len();
            if !frame.is_linear()
                || frame_bytes > self.max_frame_bytes
                || prepare(&mut frame, exits.identification).is_none()
            {
                break End::Unfit(frame, slot);
            }
            if let Err(frame) = transmit(queue, frame) {
                break End::Refused(frame, slot);
            }
            sent_frames += 1;
            sent_bytes += frame_bytes as u64;
            next = frames.next();
        };
        self.count(context, sent_frames, sent_bytes);
        end
    }

    /// Adds frames that left. Units: bytes of inner frames.
    #[inline]
    fn count(&self, context: &Context<'_>, frames: u64, bytes: u64) {
        context.counters.forwarded.add(frames);
        if let Some(Outlet { counters, .. }) = self.session {
            counters.tx_frames.add(frames);
            counters.tx_bytes.add(bytes);
        }
    }

    /// Sends a frame that a full ring refused, or ends its way.
    #[cold]
    #[inline(never)]
    fn send_again<P: Port>(
        &self,
        context: &Context<'t>,
        frame: Frame,
        slot: &Slot,
        exits: &mut Exits<'_, P>,
    ) {
        let header_bytes = self.session.map_or(0, |outlet| outlet.session.encap_bytes);
        let inner_bytes = frame.len().saturating_sub(header_bytes);
        let request = self.session.and_then(|outlet| Some(outlet.session.offload?.request));
        match transmit_again(frame, self.port, request, DropReason::TxRingFull, exits) {
            Ok(()) => self.count(context, 1, inner_bytes as u64),
            Err(reason) => {
                count_at_member(context, self.member, reason);
                count(context, slot, Verdict::Dropped(reason));
            }
        }
    }
}

#[cfg(test)]
mod tests;
