//! Names in the configuration: those of the links where they are legal there, else the nearest that is free.

use std::collections::{BTreeMap, BTreeSet};

use super::notes::NoteKind;
use super::state::{Place, State};
use crate::config::names::name_fault;

/// The name of each link that bridges can name, or of each bridge.
#[derive(Default)]
pub(crate) struct Names {
    names: BTreeMap<String, String>,
}

impl Names {
    /// Names for `links`, each with the command that it comes from, for notes on names that were taken.
    pub(crate) fn new(links: &[(String, Place)], state: &mut State) -> Self {
        let (legal, others): (Vec<_>, Vec<_>) =
            links.iter().partition(|(link, _)| name_fault(link).is_none());
        let mut names: BTreeMap<_, _> = legal.iter().map(|(link, _)| (link.clone(), link.clone())).collect();
        let mut taken: BTreeSet<_> = names.keys().cloned().collect();
        for (link, place) in others {
            if names.contains_key(link) {
                continue;
            }
            let near = near(link);
            let name = free(&near, &taken);
            if name != near {
                let text = format!("{link} is called {name} in the configuration: {near} is another");
                state.note_at(place, NoteKind::Advice, text);
            }
            taken.insert(name.clone());
            names.insert(link.clone(), name);
        }
        Self { names }
    }

    /// The name of `link`; its own when it is not one of those that were given.
    pub(crate) fn of(&self, link: &str) -> String {
        self.names.get(link).cloned().unwrap_or_else(|| link.to_owned())
    }
}

/// `link` without what is not legal in the configuration: dots separate VLAN ids there.
fn near(link: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = link.chars().map(legal).collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) { name } else { format!("x{name}") }
}

/// `near`, or with the lowest number behind it that makes it free.
fn free(near: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2_u32..).map(|number| format!("{near}_{number}"));
    let mut names = std::iter::once(near.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}
