//! What becomes of a configuration, and which cases rest on each option.

use super::*;
use crate::interop::matrix;

const CONFIGURATION: &str = r#"
    [tunnel.t1]
    local = "10.200.0.1"
    remote = "10.200.0.3"
    encap = "udp"
    udp_sport = 20000
    [tunnel.t1.session.w1]
    session_id = 4294967295
    cookie = "a1b2c3d4"
    seq = "both"
    [tunnel.t2]
    encap = "ip"
    [tunnel.t2.session.w2]
    session_id = 1
"#;

fn broken(key: &str) -> Result<Table> {
    let mut table: Table = CONFIGURATION.parse().unwrap();
    of(key).unwrap().apply(&mut table).map(|()| table)
}

#[test]
fn an_option_is_changed_wherever_it_stands_and_an_absent_one_from_its_default() {
    let table = broken("session_id").unwrap();
    assert_eq!(table["tunnel"]["t1"]["session"]["w1"]["session_id"].as_integer(), Some(0xfeff_ffff));
    assert_eq!(table["tunnel"]["t2"]["session"]["w2"]["session_id"].as_integer(), Some(0x0100_0001));
    let table = broken("cookie").unwrap();
    assert_eq!(table["tunnel"]["t1"]["session"]["w1"]["cookie"].as_str(), Some("a1b2c3d5"));
    let table = broken("udp_csum").unwrap();
    assert_eq!(table["tunnel"]["t1"]["udp_csum"].as_bool(), Some(true));
    let table = broken("local").unwrap();
    assert_eq!(table["tunnel"]["t1"]["local"].as_str(), Some("10.200.0.11"));
}

#[test]
fn what_a_broken_option_does_not_go_with_is_changed_too() {
    let table = broken("l2spec_type").unwrap();
    assert_eq!(table["tunnel"]["t1"]["session"]["w1"].get("seq"), None);
    let table = broken("encap").unwrap();
    assert_eq!(table["tunnel"]["t1"]["encap"].as_str(), Some("udp"));
    assert_eq!(table["tunnel"]["t2"]["udp_dport"].as_integer(), Some(1701));
}

#[test]
fn a_key_of_our_own_is_rested_on_by_the_cases_that_have_it() {
    let matrix = matrix::all();
    let cases: Vec<_> = matrix.cases.iter().collect();
    let names = |key: &str| {
        let resting = of(key).unwrap().cases(&matrix.tunnels, &cases);
        resting.iter().map(|case| case.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(names("peer"), ["udp4/peer-learn", "udp6/peer-learn"]);
    assert_eq!(names("df"), ["udp4/marks/df", "ip4/marks/df"]);
    assert!(!names("remote").contains(&"udp4/peer-learn"));
}

#[test]
fn a_breakage_that_changes_nothing_is_an_error() {
    assert!(broken("peer_cookie").is_err());
    assert!(named("cookie,tunnel_id").is_err());
    assert_eq!(named("cookie,seq").unwrap().len(), 2);
}

#[test]
fn some_case_rests_on_every_option() {
    let matrix = matrix::all();
    let cases: Vec<_> = matrix.cases.iter().collect();
    for breakage in ALL {
        let resting = breakage.cases(&matrix.tunnels, &cases).len();
        assert!(resting > 0 && resting < cases.len(), "{}: {resting}", breakage.key);
    }
}
