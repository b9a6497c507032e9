//! Keys that weigh latency, rate and CPU time against each other; none of them changes what becomes of a frame.
//!
//! Place: part of [`super::model::Gateway`] and [`super::model::Port`]; read and written here, as none of it concerns anything else.
//! Why each default is what it is stands in docs/src/performance/knobs.md. Not here: rings and frame memory.

use super::keys;
use super::report::Report;
use super::section::Section;

/// How workers work (`[gateway]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What a worker does when there is nothing to do.
    pub mode: WorkMode,
    /// Frames that a worker takes from a queue at a time. Range: 1 to 64.
    pub batch: u32,
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkMode {
    /// Look again, for ever.
    Busy,
    /// Look again for a while, then sleep until a frame comes.
    Adaptive,
    /// Sleep at once until a frame comes.
    Interrupt,
}

/// Who makes the UDP checksums of packets that leave by a port (`tx_checksum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TxChecksum {
    /// The card, where its driver can in the mode that was obtained; else the gateway.
    Auto,
    /// The gateway.
    Off,
    /// The card, or the kernel in copy mode; else the port is not attached.
    On,
}

/// How the sockets of a port are driven (`[port.NAME]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driving {
    /// Whether the kernel says when it wants a system call, instead of being called every time.
    pub need_wakeup: bool,
    /// Longest that one system call polls the driver; 0: the driver is left to its interrupts. Units: microseconds.
    pub busy_poll_us: u32,
    /// Frames that one such poll takes at most. Units: frames.
    pub busy_poll_budget: u32,
    /// Polls without a frame before the driver's interrupt is on again; `None`: as found, or what busy polling wants.
    pub napi_defer_hard_irqs: Option<u32>,
    /// Time after which the driver is polled when nobody does; `None`: as found, or what busy polling wants. Units: nanoseconds.
    pub gro_flush_timeout_ns: Option<u32>,
    /// Who makes UDP checksums.
    pub tx_checksum: TxChecksum,
}

/// Largest batch, and its default. Units: frames.
pub const BATCH: u32 = 64;
/// Default of `busy_poll_budget`. Units: frames.
pub const BUSY_POLL_BUDGET: u32 = 64;
/// What busy polling wants. Source: Documentation/networking/napi.rst, v6.12, "IRQ mitigation".
pub const NAPI_DEFER_HARD_IRQS: u32 = 2;
/// What busy polling wants. Units: nanoseconds. Source: as above.
pub const GRO_FLUSH_TIMEOUT_NS: u32 = 200_000;

const _: () = assert!(BATCH as usize == dataplane::batch::MOST);

impl Default for Work {
    fn default() -> Self {
        Self { mode: WorkMode::Adaptive, batch: BATCH }
    }
}

impl Default for Driving {
    fn default() -> Self {
        Self {
            need_wakeup: true,
            busy_poll_us: 0,
            busy_poll_budget: BUSY_POLL_BUDGET,
            napi_defer_hard_irqs: None,
            gro_flush_timeout_ns: None,
            tx_checksum: TxChecksum::Auto,
        }
    }
}

impl WorkMode {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("busy", Self::Busy), ("adaptive", Self::Adaptive), ("interrupt", Self::Interrupt)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

impl TxChecksum {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("off", Self::Off), ("on", Self::On)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, who)| *who == self).map_or("", |(word, _)| word)
    }
}

/// The keys of `[gateway]`; what is at fault has its default, and is reported.
pub(super) fn read_work(section: &Section<'_, '_>, report: &mut Report<'_>) -> Work {
    let mode = section.choice(&keys::GATEWAY_MODE, WorkMode::WORDS, report);
    let batch = section.integer(&keys::GATEWAY_BATCH, report);
    Work { mode: mode.unwrap_or(WorkMode::Adaptive), batch: batch.unwrap_or(BATCH) }
}

/// The keys of the port's table; `None` when one is at fault.
pub(super) fn read_driving(section: &Section<'_, '_>, report: &mut Report<'_>) -> Option<Driving> {
    let need_wakeup = section.boolean(&keys::PORT_NEED_WAKEUP, report);
    let busy_poll_us = section.integer(&keys::PORT_BUSY_POLL_US, report);
    let busy_poll_budget = section.integer(&keys::PORT_BUSY_POLL_BUDGET, report);
    let tx_checksum = section.choice(&keys::PORT_TX_CHECKSUM, TxChecksum::WORDS, report);
    Some(Driving {
        napi_defer_hard_irqs: section.integer(&keys::PORT_NAPI_DEFER_HARD_IRQS, report),
        gro_flush_timeout_ns: section.integer(&keys::PORT_GRO_FLUSH_TIMEOUT_NS, report),
        need_wakeup: need_wakeup?,
        busy_poll_us: busy_poll_us?,
        busy_poll_budget: busy_poll_budget?,
        tx_checksum: tx_checksum?,
    })
}
