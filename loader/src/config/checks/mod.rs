//! Checks between values: what each value alone cannot show to be wrong.

mod bridges;
mod capacity;
mod gateway;
mod peers;
mod ports;
mod sessions;
mod tunnels;

pub(crate) use capacity::POSITIONS_MAX;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::draft::Draft;
use super::interfaces::InterfaceLookup;
use super::report::Report;

/// Runs every check. Without `interfaces`, whether they exist is not looked at.
pub(crate) fn run(draft: &Draft, interfaces: Option<&dyn InterfaceLookup>, report: &mut Report<'_>) {
    gateway::check(draft, report);
    ports::check(draft, interfaces, report);
    tunnels::check(draft, report);
    peers::check(draft, report);
    sessions::check(draft, report);
    bridges::check(draft, report);
    capacity::check(draft, report);
}

/// Every item whose key an earlier item has, with the first that has it. Items without a key are left out.
fn repeats<'i, T, K: Hash + Eq>(items: &'i [T], key: impl Fn(&'i T) -> Option<K>) -> Vec<(&'i T, &'i T)> {
    let mut first = HashMap::new();
    let mut repeats = Vec::new();
    for item in items {
        let Some(key) = key(item) else { continue };
        match first.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(item);
            }
            Entry::Occupied(slot) => repeats.push((*slot.get(), item)),
        }
    }
    repeats
}
