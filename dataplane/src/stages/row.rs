//! row: frames one behind the other that leave by the same member, for which everything is looked up once.
//!
//! ```text
//!  batch  | A A A A A A A A | B | C C C C C C C |     A: to the station behind one session, C: behind another
//!          \_____ row ____/       \___ row ___/      B: flooded
//! ```
//! Place on the path: `emit` divides a batch into rows, which get their headers where they stand, and then sends them; the frames that no row
//! takes go one by one through `send`, which knows everything there is to know about a member. A row takes what nearly all frames are: in one
//! chunk, fitting whole, for a port or session that is up and has no tag to push and nothing to fill in but [`QuickHeaders`].
//!
//! Bench: `encap`, 542 -> 372 instructions per frame; 1000 sessions in turn, each a row of one frame, 541 -> 507. Two passes, headers and
//! then transmission, need fewer registers at a time than one: `encap`, 126 -> 111 in both; `decap`, 63 -> 45.

use wire::overhead::MAX_ENCAP_BYTES;
use xsk::{ChecksumRequest, Frame};

use super::{
    Context, Exits,
    emit::count,
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
        next_hops::TxSession,
        quick_headers::{Kind, QuickHeaders, SHORT_BYTES},
    },
    verdict::{DropReason, Verdict},
};

/// What the frames of a row have in common.
struct Way<'t> {
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

/// Frames that are ready for transmission; or one that has to go by itself.
pub(super) struct Row<'t> {
    /// `None`: nothing was done to the frame.
    ready: Option<Ready<'t>>,
    /// How many there are.
    frames: usize,
}

/// What is known about frames that are ready.
struct Ready<'t> {
    member: &'t Member,
    exit: Exit,
    /// What was written in front of each frame. Units: bytes.
    header_bytes: u16,
    /// Of a session.
    counters: Option<&'t SessionCounters>,
    /// Frames that leave, and inner frames of them all together. Units: bytes.
    leaving: (u64, u64),
}

/// Where and how frames leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    port: PortId,
    /// What the port has to fill in.
    request: Option<ChecksumRequest>,
}

impl<'t> Way<'t> {
    /// The way of a frame that begins a row; `None`: its member, or its fate, is none for rows.
    #[inline]
    fn of(context: &Context<'t>, slot: &Slot) -> Option<Self> {
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

    /// Makes the first frames, as long as they are of one row, what they have to be on the wire. `None`: not even the first one is.
    #[inline]
    fn prepare(
        &self,
        frames: &mut [Frame],
        slots: &[Slot],
        identification: &mut Identification,
    ) -> Option<Row<'t>> {
        let (count, bytes) = match self.session {
            None => self.prepare_with(frames, slots, |_| Some(())),
            Some(Outlet { session, quick, .. }) => {
                let template = &session.template;
                // A loop for each kind: what it is has not to be asked for each frame.
                match (quick.kind(), quick.is_short()) {
                    (Kind::V4 { sum }, true) => self.prepare_with(frames, slots, move |frame| {
                        quick.write::<SHORT_BYTES>(Kind::V4 { sum }, template, frame, identification)
                    }),
                    (Kind::V4Udp { sum }, true) => self.prepare_with(frames, slots, move |frame| {
                        quick.write::<SHORT_BYTES>(Kind::V4Udp { sum }, template, frame, identification)
                    }),
                    (Kind::V6Udp, _) => self.prepare_with(frames, slots, move |frame| {
                        quick.write::<MAX_ENCAP_BYTES>(Kind::V6Udp, template, frame, identification)
                    }),
                    (kind, _) => self.prepare_with(frames, slots, move |frame| {
                        quick.write::<MAX_ENCAP_BYTES>(kind, template, frame, identification)
                    }),
                }
            }
        };
        let ready = Ready {
            member: self.member,
            exit: Exit { port: self.port, request: self.request() },
            header_bytes: self.session.map_or(0, |outlet| outlet.quick.header_bytes()),
            counters: self.session.map(|outlet| outlet.counters),
            leaving: (count as u64, bytes as u64),
        };
        (count > 0).then_some(Row { ready: Some(ready), frames: count })
    }

    /// What the port has to fill in.
    #[inline]
    fn request(&self) -> Option<ChecksumRequest> {
        Some(self.session?.session.offload?.request)
    }

    /// [`Self::prepare`] by `write`; `None`, and the frame is as it was, when that needs more. Returns how many frames, and their bytes.
    #[inline(never)]
    fn prepare_with(
        &self,
        frames: &mut [Frame],
        slots: &[Slot],
        mut write: impl FnMut(&mut Frame) -> Option<()>,
    ) -> (usize, usize) {
        let Self { domain, egress, max_frame_bytes, .. } = *self;
        let (mut ready, mut bytes) = (0, 0);
        for (frame, slot) in frames.iter_mut().zip(slots) {
            let frame_bytes = frame.head_len();
            let is_own = slot.fate == Fate::Forward(egress) && slot.domain == domain;
            if !is_own || !frame.is_linear() || frame_bytes > max_frame_bytes || write(frame).is_none() {
                break;
            }
            (ready, bytes) = (ready + 1, bytes + frame_bytes);
        }
        (ready, bytes)
    }
}

impl<'t> Row<'t> {
    /// The row that the first frame begins.
    #[inline]
    pub(super) fn of(
        context: &Context<'t>,
        frames: &mut [Frame],
        slots: &[Slot],
        identification: &mut Identification,
    ) -> Self {
        let way = slots.first().and_then(|slot| Way::of(context, slot));
        let row = way.and_then(|way| way.prepare(frames, slots, identification));
        row.unwrap_or(Self { ready: None, frames: 1 })
    }

    /// How many frames there are.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.frames
    }

    /// Where they leave; `None` for one that has to go by itself.
    #[inline]
    pub(super) fn exit(&self) -> Option<Exit> {
        self.ready.as_ref().map(|ready| ready.exit)
    }
}

/// Sends the frames of rows that leave in one way, which are the next ones, and counts them. `slots` are theirs.
#[inline]
pub(super) fn send<P: Port>(
    context: &Context<'_>,
    exit: Exit,
    rows: &mut [Row<'_>],
    frames: &mut impl Iterator<Item = Frame>,
    slots: &[Slot],
    exits: &mut Exits<'_, P>,
) {
    let mut rest = slots;
    while let Some((frame, passed)) = transmit(exit, frames, rest.len(), exits) {
        let Some((slot, behind)) = rest.get(passed..).and_then(<[_]>::split_first) else { break };
        send_again(context, rows, slots.len() - behind.len(), (frame, slot), exits);
        rest = behind;
    }
    let mut all = 0;
    for ready in rows.iter().filter_map(|row| row.ready.as_ref()) {
        let (frames, bytes) = ready.leaving;
        all += frames;
        if let Some(counters) = ready.counters {
            counters.tx_frames.add(frames);
            counters.tx_bytes.add(bytes);
        }
    }
    context.counters.forwarded.add(all);
}

/// Transmits so many frames, until one is refused: that one, and how many were transmitted before it.
#[inline]
fn transmit<P: Port>(
    Exit { port, request }: Exit,
    frames: &mut impl Iterator<Item = Frame>,
    count: usize,
    exits: &mut Exits<'_, P>,
) -> Option<(Frame, usize)> {
    if count == 0 {
        return None;
    }
    let Some(queue) = exits.ports.tx(port) else { return Some((frames.next()?, 0)) };
    match request {
        None => transmit_all(queue, frames, count),
        Some(request) => transmit_requesting(queue, frames, count, request),
    }
}

/// A function of its own: its loop needs all the registers.
#[inline(never)]
fn transmit_all<P: Port>(
    queue: &mut P,
    frames: &mut impl Iterator<Item = Frame>,
    count: usize,
) -> Option<(Frame, usize)> {
    queue.transmit_row(frames, count)
}

/// The same for frames whose checksum is still to be filled in.
#[inline(never)]
fn transmit_requesting<P: Port>(
    queue: &mut P,
    frames: &mut impl Iterator<Item = Frame>,
    count: usize,
    request: ChecksumRequest,
) -> Option<(Frame, usize)> {
    for passed in 0..count {
        if let Err(frame) = queue.transmit_requesting(frames.next()?, request) {
            return Some((frame, passed));
        }
    }
    None
}

/// Sends the last of the first `through` frames of rows, which a full ring refused, or ends its way.
#[cold]
#[inline(never)]
fn send_again<P: Port>(
    context: &Context<'_>,
    rows: &mut [Row<'_>],
    through: usize,
    (frame, slot): (Frame, &Slot),
    exits: &mut Exits<'_, P>,
) {
    let mut before = 0;
    let row = rows.iter_mut().find(|row| {
        before += row.frames;
        before >= through
    });
    let Some(ready) = row.and_then(|row| row.ready.as_mut()) else { return exits.cache.give_frame(frame) };
    let inner_bytes = frame.len().saturating_sub(usize::from(ready.header_bytes)) as u64;
    let Exit { port, request } = ready.exit;
    let is_there = exits.ports.tx(port).is_some();
    let reason = if is_there { DropReason::TxRingFull } else { DropReason::NoTxQueue };
    if let Err(reason) = transmit_again(frame, port, request, reason, exits) {
        ready.leaving = (ready.leaving.0 - 1, ready.leaving.1 - inner_bytes);
        count_at_member(context, ready.member, reason);
        count(context, slot, Verdict::Dropped(reason));
    }
}

#[cfg(test)]
mod tests;
