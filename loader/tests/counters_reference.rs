//! The page of counters says what the code says.

use dataplane::verdict::DropReason;
use ebpf::abi::Stat;

const PAGE: &str = include_str!("../../docs/src/reference/counters.md");

/// Name and meaning of every row of the page's tables.
fn rows() -> Vec<(&'static str, &'static str)> {
    let cells =
        PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    cells.filter(|(name, _)| *name != "name").collect()
}

#[test]
fn the_page_lists_every_counter_with_its_meaning_in_order() {
    let drops = DropReason::ALL.iter().map(|reason| (reason.name(), reason.text()));
    let steering = Stat::ALL.iter().map(|stat| (stat.name(), stat.text()));
    let expected: Vec<_> = drops.chain(steering).collect();
    assert_eq!(rows(), expected);
}
