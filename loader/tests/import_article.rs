//! The article's published commands, one list per gateway: what comes out of them, and what is said about them.

use loader::import::{ImportOptions, Imported, Script, import};
use netlab::article::COMMANDS;

fn imported(gateway: &str, text: &str) -> Imported {
    let script = Script { file: format!("article-{gateway}.sh"), text: text.to_owned() };
    let options = ImportOptions { underlay: vec!["eth0".to_owned()], name: Some(gateway.to_owned()) };
    import(&[script], &options)
}

fn notes(imported: &Imported) -> Vec<String> {
    imported.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn gw_a_becomes_one_udp_tunnel_and_its_typing_error_is_told() {
    let imported = imported("gw-a", COMMANDS[0]);
    assert_eq!(imported.toml, include_str!("data/article-gw-a.toml"));
    assert_eq!(
        notes(&imported),
        [
            "article-gw-a.sh:2: not needed: spanwire needs no L2TP or bridge module [modprobe l2tp_eth]",
            "article-gw-a.sh:7: typo: \"lnk\" is no object of ip; taken as \"link\" [ip lnk set l2tpeth0 master br0]",
        ]
    );
}

#[test]
fn gw_b_becomes_two_tunnels_and_the_link_left_down_is_told() {
    let imported = imported("gw-b", COMMANDS[1]);
    assert_eq!(imported.toml, include_str!("data/article-gw-b.toml"));
    assert_eq!(
        notes(&imported),
        [
            "article-gw-b.sh:2: not needed: spanwire needs no L2TP or bridge module [modprobe l2tp_eth]",
            "article-gw-b.sh:12: not needed: spanwire needs no L2TP or bridge module [modprobe l2tp_ip]",
            "article-gw-b.sh:14: note: no command sets l2tpeth1 up: in the kernel l2tpeth1 would stay down; \
             spanwire brings it up [ip l2tp add session tunnel_id 2000 session_id 2000 peer_session_id 2000]",
        ]
    );
}

#[test]
fn gw_c_becomes_one_ip_tunnel() {
    let imported = imported("gw-c", COMMANDS[2]);
    assert_eq!(imported.toml, include_str!("data/article-gw-c.toml"));
    assert_eq!(imported.notes.len(), 2, "the two modprobe: {:?}", imported.notes);
}

#[test]
fn the_articles_configurations_have_no_finding() {
    for (gateway, text) in [("gw-a", COMMANDS[0]), ("gw-b", COMMANDS[1]), ("gw-c", COMMANDS[2])] {
        let imported = imported(gateway, text);
        assert!(imported.findings.is_empty(), "{gateway}: {}", imported.findings);
        let checked = loader::config::check("x", &imported.toml, None);
        assert_eq!(checked.config, Some(imported.config), "{gateway}");
    }
}

#[test]
fn without_an_underlay_interface_the_output_says_where_it_belongs() {
    let script = Script { file: "gw-a.sh".to_owned(), text: COMMANDS[0].to_owned() };
    let imported = import(&[script], &ImportOptions::default());
    assert!(imported.toml.starts_with(
        "# Imported by spanwire from gw-a.sh.\n\n\
         # No command names the interface that faces the routed network. Put its name here:\n\
         # [port.eth0]\n# role = \"underlay\"\n\n# Interfaces"
    ));
    assert_eq!(
        imported.notes.last().map(ToString::to_string).as_deref(),
        Some(
            "note: no command names the interface that faces the routed network: \
             give --underlay INTERFACE, or add its port to the output"
        )
    );
    assert_eq!(imported.findings.fault_count(), 1);
    assert_eq!(imported.findings.faults[0].problem, "there are tunnels, but no underlay port to carry them");
    let repaired = imported.toml.replace("# [port.eth0]\n# role", "[port.eth0]\nrole");
    assert!(loader::config::check("x", &repaired, None).findings.is_empty());
}
