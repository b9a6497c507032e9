//! The quickstart shows the article's commands, and what really comes of them.

use loader::import::{ImportOptions, Script, import};
use netlab::article::COMMANDS;

const PAGE: &str = include_str!("../../docs/src/guide/quickstart.md");

/// The only block of code of `language` that `part` stands in.
fn block(language: &str, part: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<_> = blocks.filter(|block| block.contains(part)).collect();
    assert_eq!(found.len(), 1, "{language} blocks with {part:?}");
    found[0]
}

#[test]
fn the_quickstarts_commands_are_the_articles() {
    let commands = COMMANDS[0].lines().filter(|line| !line.starts_with('#'));
    assert_eq!(block("sh", "ip l2tp add tunnel").lines().collect::<Vec<_>>(), commands.collect::<Vec<_>>());
}

#[test]
fn the_quickstart_shows_what_import_makes_and_says() {
    assert_eq!(
        block("sh", "spanwire import"),
        "spanwire import --underlay eth0 --name gw-a gw-a.sh > gw-a.toml\n",
        "what is done below"
    );
    let script = Script { file: "gw-a.sh".to_owned(), text: block("sh", "ip l2tp add tunnel").to_owned() };
    let options = ImportOptions { underlay: vec!["eth0".to_owned()], name: Some("gw-a".to_owned()) };
    let imported = import(&[script], &options);
    assert_eq!(block("toml", "# Imported by spanwire"), imported.toml);
    let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
    assert_eq!(block("text", "gw-a.sh:1: "), notes);
    assert!(imported.findings.is_empty(), "{}", imported.findings);
}
