//! Shell scripts of `ip l2tp`, `ip link`, `bridge`, `brctl` and `modprobe` commands, to a configuration.
//!
//! ```text
//! text -> script (commands with lines) -> commands (effect of each) -> state -> build -> Config and notes
//! ```
//! Nothing is run and nothing is dropped silently: every command either has its effect in the configuration or a
//! [`Note`] that says why not. Words are taken abbreviated as iproute2 takes them; a typing error is noted and the
//! command translated as it was most likely meant.

mod build;
mod commands;
mod links;
mod names;
mod notes;
mod redirections;
mod script;
mod state;
mod words;

pub use notes::{Note, NoteKind};
pub use script::Script;

use crate::config::{Config, Fault, Faults, Level, check};
use build::{Built, Origins};
use state::State;

/// What the scripts cannot say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Interfaces that face the routed network.
    pub underlay: Vec<String>,
    /// Name of the gateway.
    pub name: Option<String>,
}

/// Outcome of an import.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The configuration, as far as the commands go; [`Imported::findings`] says whether it can be used.
    pub config: Config,
    /// The configuration as a file.
    pub toml: String,
    /// What was not translated, not needed, mistyped, or is to be known, in the order of the commands.
    pub notes: Vec<Note>,
    /// What `config check` says about [`Imported::toml`].
    pub findings: Faults,
}

/// Translates `scripts`, in their order, to the configuration of one gateway.
#[must_use]
pub fn import(scripts: &[Script], options: &ImportOptions) -> Imported {
    let mut state = State::new(&options.underlay);
    for script in scripts {
        for command in script::commands(&script.text) {
            commands::translate(&script.file, &command, &mut state);
        }
        state.depth = 0;
    }
    state.forget_all();
    let Built { config, origins } = build::build(&mut state, options);
    let toml = with_head(&config, scripts, options);
    let findings = check("imported configuration", &toml, None).findings;
    note_faults(&findings, &origins, &mut state);
    let order = |note: &Note| (scripts.iter().position(|script| script.file == note.file), note.line);
    let mut notes = state.notes;
    notes.sort_by_key(|note| (note.line == 0, order(note)));
    Imported { config, toml, notes, findings }
}

/// Says of each fault that comes of a command which command that is.
fn note_faults(findings: &Faults, origins: &Origins, state: &mut State) {
    for fault in findings.faults.iter().filter(|fault| fault.level == Level::Fault) {
        if let Some(place) = origins.of(&fault.key) {
            let Fault { key, problem, remedy, .. } = fault;
            let text = format!("the configuration has a fault that comes of it: {key}: {problem}; {remedy}");
            state.note_at(place, NoteKind::Untranslated, text);
        }
    }
}

/// The file, with where it comes from, and the place of the underlay port when it is not known.
fn with_head(config: &Config, scripts: &[Script], options: &ImportOptions) -> String {
    let files: Vec<_> = scripts.iter().map(|script| printable(&script.file)).collect();
    let mut head = format!("# Imported by spanwire from {}.\n\n", files.join(", "));
    if options.underlay.is_empty() && !config.tunnels.is_empty() {
        head.push_str("# No command names the interface that faces the routed network. Put its name here:\n");
        head.push_str("# [port.eth0]\n# role = \"underlay\"\n\n");
    }
    head + &config.to_toml()
}

/// The file name on one line of a comment.
fn printable(file: &str) -> String {
    file.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
