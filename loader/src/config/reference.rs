//! The reference page of the configuration file, generated from [`super::keys::KEYS`].

use std::fmt::Write;

use ebpf::abi::{ACCESS_VLANS_MAX, ENDPOINTS_MAX, PORTS_MAX};

use super::checks::POSITIONS_MAX;
use super::keys::{Absent, KEYS, Key, Kind};

/// Path of the page in the repository.
pub const REFERENCE_PAGE: &str = "docs/src/reference/configuration.md";

const HEAD: &str = "\
# Configuration file

<!-- Generated from the code: `spanwire`'s test `the_reference_page_is_up_to_date` says how to renew it. -->

One TOML file describes one gateway. `spanwire config check FILE` names every fault at once, with line, column, key and
what would be right; `spanwire run` refuses a file with faults and attaches nothing. A note does not stop it.

- `NAME` stands for a name of your choice: 1 to 32 letters, digits, `_` and `-`, a letter or digit first. Session names are
  unique in the whole file and differ from port names, because bridges name both.
- L2TP keys have the words of `ip l2tp`: `cookie` is what this gateway sends, `peer_cookie` what it expects.
- Unknown keys are refused.
";

const EXAMPLE: &str = r#"
## Example

```toml
[gateway]
name = "gw-b"

[port.eth0]
role = "underlay"

[port.eth1]
role = "access"

[tunnel.t1000]
local = "10.200.100.6"
remote = "10.200.100.2"
tunnel_id = 1000
peer_tunnel_id = 1000
encap = "udp"
udp_sport = 6001
udp_dport = 5001

[tunnel.t1000.session.l2tpeth0]
session_id = 1000
peer_session_id = 1000

[bridge.br0]
members = ["eth1", "l2tpeth0"]
```
"#;

/// What each table is, in the order of [`KEYS`].
const TABLES: &[(&str, &str)] = &[
    ("gateway", "The process. The table and all its keys may be left out."),
    ("umem", "Frame memory, shared by all sockets. The table and all its keys may be left out."),
    (
        "port.NAME",
        "An interface that the gateway holds AF_XDP sockets on. No other interface is ever touched.",
    ),
    (
        "tunnel.NAME",
        "A pair of underlay addresses, and UDP ports when it has them. No two tunnels have the same.",
    ),
    ("tunnel.NAME.session.NAME", "A pseudowire in the tunnel."),
    (
        "bridge.NAME",
        "A bridge domain: one LAN. Each port, session, or VLAN of one is a member of one bridge at most; a port with role `both` \
         gives VLANs only, because its untagged frames belong to the underlay.",
    ),
];

/// The page as it has to stand in [`REFERENCE_PAGE`].
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str(&limits());
    for (table, text) in TABLES {
        // Writing to a String does not fail.
        let _ = write!(
            page,
            "\n## `[{table}]`\n\n{text}\n\n| key | value | unit | default | meaning |\n|---|---|---|---|---|\n"
        );
        for key in KEYS.iter().filter(|key| key.table() == *table) {
            page.push_str(&row(key));
        }
    }
    page + EXAMPLE
}

/// What one gateway has room for.
fn limits() -> String {
    format!(
        "- There is room for {PORTS_MAX} ports, {ENDPOINTS_MAX} tunnel endpoints (one for a tunnel over IP, two for one \
         over UDP,\n  three if it learns its peer), {ACCESS_VLANS_MAX} VLANs of ports in bridges, {POSITIONS_MAX} bridges and {POSITIONS_MAX} members \
         of a bridge. More is a fault.\n"
    )
}

fn row(key: &Key) -> String {
    let unit = if key.unit.is_empty() { "" } else { key.unit };
    format!(
        "| `{}` | {} | {unit} | {} | {} |\n",
        key.name(),
        value(&key.kind),
        default(key.default),
        key.text
    )
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Text(rule) => format!("string: {rule}"),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::Address => String::from("string: IPv4 or IPv6 address"),
        Kind::Cookie => String::from("string: 8 or 16 hexadecimal digits"),
        Kind::Boolean => String::from("`true`, `false`"),
        Kind::Integer { min, max } => format!("integer, {min} to {max}"),
        Kind::PowerOfTwo { min, max } => format!("power of two, {min} to {max}"),
        Kind::OneOf(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        Kind::WordOrInteger { words, min, max } => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            format!("{}, or integer, {min} to {max}", words.join(", "))
        }
        Kind::IntegerList { min, max } => format!("list of integers, {min} to {max}"),
        Kind::TextList(rule) => format!("list of strings: {rule}"),
    }
}

fn default(absent: Absent) -> String {
    match absent {
        Absent::Required => String::from("**required**"),
        Absent::Integer(value) => format!("`{value}`"),
        Absent::Word(word) => format!("`\"{word}\"`"),
        Absent::Boolean(value) => format!("`{value}`"),
        Absent::Text(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_on_the_page_once() {
        let listed: usize =
            TABLES.iter().map(|(table, _)| KEYS.iter().filter(|key| key.table() == *table).count()).sum();
        assert_eq!(listed, KEYS.len());
    }

    #[test]
    fn the_example_is_a_configuration_without_findings() {
        let toml = EXAMPLE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let checked = crate::config::check("example", toml, None);
        assert!(checked.findings.is_empty(), "{}", checked.findings);
    }
}
