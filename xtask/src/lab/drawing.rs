//! The article's network as a picture of letters.

use netlab::article::{SITES, Site};

/// Where the middle of each site's column is.
const COLUMNS: [usize; 3] = [15, 36, 57];

/// What joins the gateways, below their names. The article's commands say the same.
const TUNNELS: &str = "
               |   L2TPv3 over UDP  |   L2TPv3 over IP   |
               |   ports 5001, 6001 |   protocol 115     |
               |   tunnel 1000      |   tunnel 2000      |
               |   session 1000     |   session 2000     |";

/// The network as the lab lays it out, line by line from the router to the PCs.
pub(super) fn topology() -> String {
    let each = |word: fn(&Site) -> String| line(&SITES.each_ref().map(word));
    let wire = || each(|_| "|".to_owned());
    let [a, b, c] = SITES.map(|site| site.gateway);
    [
        line(&[String::new(), "router".to_owned(), String::new()]),
        each(|site| format!("{} {}", site.router_interface, site.router)),
        wire(),
        each(|site| format!("eth0 {}", site.underlay)),
        format!("{a:>17} <=============> {b} <=============> {c}{TUNNELS}"),
        each(|_| "eth1".to_owned()),
        wire(),
        each(|_| "eth0".to_owned()),
        each(|site| site.pc.to_owned()),
        each(|site| format!("{}/24", site.lan)),
    ]
    .join("\n")
        + "\n"
}

/// One word per site, each in the middle of its column.
fn line(words: &[String; 3]) -> String {
    words.iter().zip(COLUMNS).fold(String::new(), |line, (word, middle)| {
        let indent = (middle + 1).saturating_sub(word.len().div_ceil(2)).saturating_sub(line.len());
        if word.is_empty() { line } else { line + &" ".repeat(indent) + word }
    })
}

#[cfg(test)]
mod tests {
    use netlab::article::COMMANDS;

    use super::*;

    #[test]
    fn every_wire_starts_and_ends_in_the_middle_of_its_columns_words() {
        let drawing = topology();
        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[2], "               |                    |                    |");
        for middle in COLUMNS {
            for (number, line) in lines.iter().enumerate().skip(1) {
                assert!(line.as_bytes()[middle] != b' ', "line {number} has nothing at {middle}:\n{drawing}");
            }
        }
    }

    #[test]
    fn the_drawing_says_of_the_tunnels_what_the_commands_say() {
        for (commands, said) in [
            (
                COMMANDS[0],
                ["encap udp", "udp_sport 5001 udp_dport 6001", "tunnel_id 1000", "session_id 1000"],
            ),
            (COMMANDS[2], ["encap ip", "remote 10.200.100.6", "tunnel_id 2000", "session_id 2000"]),
        ] {
            assert!(said.iter().all(|text| commands.contains(text)), "{commands}");
        }
        for drawn in [
            ["L2TPv3 over UDP", "L2TPv3 over IP"],
            ["ports 5001, 6001", "protocol 115"],
            ["tunnel 1000", "tunnel 2000"],
            ["session 1000", "session 2000"],
        ] {
            let in_order = |line: &str| line.find(drawn[0]) < line.find(drawn[1]) && line.contains(drawn[0]);
            assert!(TUNNELS.lines().any(in_order), "{drawn:?}");
        }
    }
}
