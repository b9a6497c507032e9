//! `spread`: whether a tunnel's received packets may be taken by any worker.
//!
//! Place: part of [`super::model::Tunnel`]; checked here, because it concerns nothing but the sessions' sequence numbers.
//! Deliberately not here: when a tunnel with `auto` is spread, which is the supervisor's, and how, which is the engine's (`dataplane::exchange`).

use super::report::Report;
use super::sequencing::Sequencing;

/// Whether packets that one worker receives of a tunnel are spread over all workers, by inner flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Spread {
    /// While the tunnel is more than the worker that receives it can do.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Spread {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, spread)| *spread == self).map_or("", |(word, _)| word)
    }
}

/// Finds the session at `path`, of a tunnel with this setting, that is never spread whatever the tunnel says.
pub(super) fn check(path: &str, spread: Option<Spread>, sequencing: Sequencing, report: &mut Report<'_>) {
    if spread != Some(Spread::On) || sequencing.is_free_of_order() {
        return;
    }
    let key = if sequencing.observe { "seq_observe" } else { "seq" };
    report.note(
        &format!("{path}.{key}"),
        "looks at received numbers in order, so one worker takes all its packets, and the tunnel's spread = \"on\" does nothing for it",
        format!("remove {key}, or spread"),
    );
}
