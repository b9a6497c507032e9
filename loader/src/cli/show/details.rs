//! Everything about one row: `key: value`, one line each, keys and order those of the JSON.

use serde::Serialize;
use serde_json::Value;

use super::super::table::NOTHING;

/// Renders a row.
///
/// # Errors
/// When the row cannot be written as JSON.
pub(super) fn of(row: &impl Serialize) -> anyhow::Result<String> {
    let mut text = String::new();
    push(&mut text, "", &serde_json::to_value(row)?);
    Ok(text)
}

/// Appends a value: an object as one line per member, its key in front; a list as one line per item.
fn push(text: &mut String, key: &str, value: &Value) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                let key = if key.is_empty() { member.clone() } else { format!("{key}.{member}") };
                push(text, &key, value);
            }
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| push(text, key, item)),
        value => *text += &format!("{key}: {}\n", word(value)),
    }
}

/// A single value; strings without their quotes.
fn word(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) | Value::Array(_) => NOTHING.to_owned(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests as rows;

    #[test]
    fn a_session_is_shown_with_every_field_in_order() {
        assert_eq!(
            of(&rows::sessions()[0]).unwrap(),
            "name: l2tpeth0\n\
             tunnel: t1000\n\
             bridge: br0\n\
             vlan: 10\n\
             session_id: 1000\n\
             peer_session_id: 1001\n\
             state: up\n\
             reason: -\n\
             rx_frames: 7\n\
             rx_bytes: 700\n\
             tx_frames: 12345\n\
             tx_bytes: 1234500\n\
             tx_fragments: 24\n\
             last_heard_s: 3\n\
             drops.cookie_mismatch: 2\n\
             drops.wrong_source: 1\n\
             overhead_bytes: 48\n\
             path_mtu_bytes: 1400\n\
             max_frame_bytes: 1352\n\
             inner_mtu: 1334\n\
             mss_clamped: 5\n\
             inner_fragmented: 6\n\
             icmp_sent: 16\n\
             icmp_limited: 8\n\
             l2spec_type: default\n\
             cookie_bytes: 8\n\
             peer_cookie_bytes: 4\n\
             peer_cookie_also: yes\n\
             peer_cookie_also_frames: 6\n\
             seq: send\n\
             seq_discards: 0\n\
             oos_packets: 2\n\
             seq_resyncs: 1\n\
             spread: yes\n\
             observed.numbered: 7\n\
             observed.lost: 3\n\
             observed.reordered: 2\n\
             observed.duplicates: 1\n"
        );
        assert!(of(&rows::sessions()[1]).unwrap().ends_with("\nobserved: -\n"));
    }

    #[test]
    fn lists_take_a_line_per_item_and_empty_ones_say_nothing() {
        let port = of(&rows::ports()[0]).unwrap();
        assert!(
            port.contains("changed_features: rx-gro off\nchanged_features: rx-vlan-hw-parse off\n"),
            "{port}"
        );
        assert!(
            port.contains("promiscuous: yes\n") && port.contains("kernel_rings.rx_dropped: 1\n"),
            "{port}"
        );
        let missing = of(&rows::ports()[1]).unwrap();
        assert!(missing.contains("steering: -\n") && missing.contains("warnings: -\n"), "{missing}");
    }
}
