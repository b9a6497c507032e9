//! No command is dropped silently: each changes what comes out, or is named in a note.

use loader::import::{ImportOptions, Imported, Script, import};
use proptest::prelude::*;

fn imported(lines: &[String]) -> Imported {
    let script =
        Script { file: "s".to_owned(), text: lines.iter().map(|line| format!("{line}\n")).collect() };
    import(&[script], &ImportOptions { underlay: vec!["wan0".to_owned()], name: None })
}

/// Whether the last of `lines` is in a note, or changes the configuration or what is said of the lines before it.
fn is_last_reflected(lines: &[String]) -> bool {
    let (with, without) = (imported(lines), imported(&lines[..lines.len() - 1]));
    let is_named = with.notes.iter().any(|note| note.line == lines.len());
    is_named || with.toml != without.toml || with.notes != without.notes
}

/// Commands that mean something; `$` marks a link, `%` a small number, `~` an optional setting.
const PATTERNS: &[&str] = &[
    "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.1% tunnel_id % peer_tunnel_id % encap ip",
    "ip l2tp add tunnel local 192.0.2.1 remote 192.0.2.1% tunnel_id % peer_tunnel_id % udp_sport % udp_dport %",
    "ip l2tp add session tunnel_id % session_id % peer_session_id %",
    "ip l2tp add session tunnel_id % session_id % peer_session_id % name $",
    "ip l2tp del tunnel tunnel_id %",
    "ip l2tp del session tunnel_id % session_id %",
    "ip link add $ ~ type bridge",
    "ip link add $ ~ type bridge ageing_time %00000",
    "ip link add link $ name $ ~ type vlan id %",
    "ip link add $ ~ type veth peer name $",
    "ip link set $ ~",
    "ip link set $ ~ ~",
    "ip link set $ master $",
    "ip link set $ nomaster",
    "ip link set $ name $",
    "ip link set $ ~ type bridge",
    "ip link set $ ~ type bridge ageing_time %0000 stp_state %",
    "ip link set $ type bridge stp_state 0",
    "ip link del $",
    "brctl addbr $",
    "brctl delbr $",
    "brctl addif $ $",
    "brctl delif $ $",
    "brctl setageing $ %00",
    "brctl stp $ off",
    "ip addr add 192.0.2.% dev $",
    "LAN=$",
    "export BR=$ LAN=$",
    "brctl addif $BR $LAN",
    "ip link set $LAN master $",
    "if true; then ip link set $ up; fi",
    "[ -e /x ] && ip link set $ up",
    "[ -e /x ] && LAN=$",
    "ip link set $ up || ip link set $ down",
    "modprobe l2tp_eth",
];

const LINKS: &[&str] =
    &["br0", "br1", "br.1", "br_1", "eth1", "eth1.3", "l2tpeth0", "l2tpeth1", "v", "wan0", "wan0.2", "$LAN"];

const SETTINGS: &[&str] =
    &["", "up", "down", "mtu 1400", "master br0", "nomaster", "promisc on", "name w", "up up"];

/// A pattern with its marks filled in.
fn commands() -> impl Strategy<Value = String> {
    let pick = prop::collection::vec(any::<prop::sample::Index>(), 8);
    (prop::sample::select(PATTERNS), pick).prop_map(|(pattern, picks)| {
        let mut picks = picks.into_iter();
        let mut pick = |of: &[&str]| picks.next().map_or(String::new(), |pick| (*pick.get(of)).to_owned());
        let mut command = String::new();
        let mut rest = pattern.chars().peekable();
        while let Some(mark) = rest.next() {
            match mark {
                '$' if rest.peek().is_some_and(char::is_ascii_uppercase) => command.push('$'),
                '$' => command += &pick(LINKS),
                '%' => command += &pick(&["1", "2", "3"]),
                '~' => command += &pick(SETTINGS),
                other => command.push(other),
            }
        }
        command
    })
}

/// Programs, and how their commands begin.
const BEGINNINGS: &str = "ip, ip link, ip link set, ip link add, ip link del, ip l2tp, ip l2tp add, ip -n, ip -4 link set, \
    bridge, bridge link, brctl, brctl addbr, brctl delbr, brctl addif, brctl delif, brctl stp, brctl setageing, sudo, \
    sudo ip link, modprobe, export, echo, set";

/// Words of the commands.
const WORDS: &str = "add del set tunnel session tunnel_id 1 2 dev name type bridge vlan id master nomaster up down br0 br1 \
    eth1 l2tpeth0 v link mtu stp_state 0 ageing_time 30000 encap ip local remote 192.0.2.1 192.0.2.2 session_id off -4";

/// Any words in any order.
fn jumbles() -> impl Strategy<Value = String> {
    let beginnings: Vec<_> = BEGINNINGS.split(", ").map(str::trim).collect();
    let words: Vec<_> = WORDS.split_whitespace().collect();
    (prop::sample::select(beginnings), prop::collection::vec(prop::sample::select(words), 0..6))
        .prop_map(|(beginning, words)| format!("{beginning} {}", words.join(" ")))
}

/// Pieces of shell text that mean something to a shell, and such as nobody expects.
const PIECES: &[&str] = &[
    "ip ",
    "link ",
    "set ",
    "brctl addif ",
    "br0 ",
    "eth1",
    " ",
    "\t",
    "\n",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "<",
    "<<",
    "<<<",
    "<<-",
    ">",
    ">>",
    ">|",
    "2>",
    "EOF",
    "'",
    "\"",
    "\\",
    "$",
    "${",
    "}",
    "$(",
    "$((",
    "))",
    ")",
    "(",
    "{",
    "`",
    "#",
    "=",
    "A=",
    "if ",
    "fi",
    "case x in a)",
    "esac",
    "done",
    "sudo ",
    "\0",
    "\u{a0}",
    "\u{fffd}",
    "\u{e4}",
    "0x",
    "-",
];

/// Any pieces in any order.
fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_command_changes_what_comes_out_or_is_named(
        lines in prop::collection::vec(prop_oneof![4 => commands(), 1 => jumbles()], 1..14)
    ) {
        for end in 1..=lines.len() {
            prop_assert!(is_last_reflected(&lines[..end]), "dropped silently: {:?}", lines[end - 1]);
        }
    }

    #[test]
    fn whatever_stands_in_front_of_it_a_command_is_named_or_in_what_was_said_to_be_left_out(text in any_text()) {
        let imported = imported(&[text, "frobnicate the network".to_owned()]);
        let said = |note: &loader::import::Note| {
            note.command.contains("frobnicate") || note.text.contains("does not end") || note.text.contains("is not closed")
        };
        prop_assert!(imported.notes.iter().any(said), "{:?}", imported.notes);
    }

    #[test]
    fn what_comes_out_has_no_fault_without_a_line_of_the_script(
        lines in prop::collection::vec(commands(), 1..20)
    ) {
        let imported = imported(&lines);
        let told = imported.notes.iter().filter(|note| note.text.contains("has a fault that comes of it"));
        prop_assert_eq!(told.filter(|note| note.line > 0).count(), imported.findings.fault_count(), "{}", imported.findings);
    }
}
