//! Findings and what is made of them; texts that have to name the same capabilities.

use super::*;

fn everything() -> Findings {
    Findings {
        net_admin: true,
        net_raw: true,
        bpf: true,
        perfmon: true,
        sys_admin: false,
        ipc_lock: true,
        memlock_bytes: Some(8 << 20),
        release: Some(Release { major: 6, minor: 12 }),
        release_text: "6.12.1".into(),
        xdp_socket: Ok(()),
        has_btf: true,
    }
}

fn judge(findings: &Findings) -> Report {
    Report::judge(findings, Some(64 << 20))
}

#[test]
fn a_system_with_everything_passes() {
    let report = judge(&everything());
    assert!(report.is_ok(), "{report}");
    assert!(report.items.iter().all(|item| item.state == State::Ok));
}

#[test]
fn a_missing_capability_is_named_with_its_cure() {
    let report = judge(&Findings { net_admin: false, ..everything() });
    assert_eq!(report.missing().collect::<Vec<_>>(), ["CAP_NET_ADMIN"]);
    let text = report.to_string();
    assert!(text.contains("CAP_NET_ADMIN    missing  not granted"), "{text}");
    assert!(text.contains("setcap cap_net_admin"), "{text}");
    assert!(text.contains("AmbientCapabilities=CAP_NET_ADMIN"), "{text}");
}

#[test]
fn cap_sys_admin_stands_in_for_cap_bpf_and_cap_perfmon() {
    let without = Findings { bpf: false, perfmon: false, ..everything() };
    assert_eq!(judge(&without).missing().collect::<Vec<_>>(), ["CAP_BPF", "CAP_PERFMON"]);
    assert!(judge(&Findings { sys_admin: true, ..without }).is_ok());
}

#[test]
fn the_lock_limit_has_to_hold_the_frame_memory_unless_cap_ipc_lock_lifts_it() {
    let with = |memlock_bytes| Findings { ipc_lock: false, memlock_bytes, ..everything() };
    assert_eq!(judge(&with(Some((64 << 20) - 1))).missing().collect::<Vec<_>>(), ["locked memory"]);
    assert!(judge(&with(Some(64 << 20))).is_ok());
    assert!(judge(&with(None)).is_ok());
    assert!(judge(&Findings { memlock_bytes: Some(0), ..everything() }).is_ok());
}

#[test]
fn a_lock_limit_of_which_nothing_is_known_yet_limits() {
    let findings = Findings { ipc_lock: false, memlock_bytes: Some(8 << 20), ..everything() };
    let report = Report::judge(&findings, None);
    assert!(report.is_ok());
    assert_eq!(report.items[4].state, State::Limited);
}

#[test]
fn an_old_or_unreadable_kernel_version_is_missing() {
    for (release, passes) in [(Some((5, 10)), false), (Some((5, 11)), true), (None, false)] {
        let release = release.map(|(major, minor)| Release { major, minor });
        assert_eq!(judge(&Findings { release, ..everything() }).is_ok(), passes);
    }
}

#[test]
fn a_kernel_without_multi_buffer_limits_the_mtu() {
    for (minor, state) in [(5, State::Limited), (6, State::Ok)] {
        let release = Some(Release { major: 6, minor });
        let report = judge(&Findings { release, ..everything() });
        let item = report.items.iter().find(|item| item.name == "multi-buffer").unwrap();
        assert_eq!((report.is_ok(), item.state), (true, state));
        assert_eq!(report.to_string().contains("keep the MTU of every port at 3818"), minor == 5);
    }
}

#[test]
fn absent_btf_limits_but_does_not_prevent() {
    let report = judge(&Findings { has_btf: false, ..everything() });
    assert!(report.is_ok());
    assert_eq!(report.items.last().unwrap().state, State::Limited);
}

#[test]
fn a_cure_is_printed_once_for_all_that_it_cures() {
    let report = judge(&Findings { net_admin: false, net_raw: false, ..everything() });
    assert_eq!(report.to_string().matches("setcap").count(), 1);
}

#[test]
fn the_report_serializes_with_stable_names() {
    let report = judge(&Findings { net_raw: false, ..everything() });
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["items"][1]["name"], "CAP_NET_RAW");
    assert_eq!(json["items"][1]["state"], "missing");
}

/// The words of a line `KEY=WORD WORD...`.
fn words_of<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("no {key} in {text}"));
    let end = rest.find([',', '\n']).unwrap_or(rest.len());
    rest[..end].split_whitespace().collect()
}

const ALL: [&str; 5] = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON", "CAP_IPC_LOCK"];

#[test]
fn the_cure_names_every_capability_both_ways() {
    assert_eq!(words_of(GRANT, "AmbientCapabilities="), ALL);
    let (_, on_file) = GRANT.split_once("setcap ").unwrap();
    let on_file = on_file.split_once("+ep").unwrap().0.to_uppercase();
    assert_eq!(on_file.split(',').collect::<Vec<_>>(), ALL);
}

#[test]
fn every_capability_of_the_cure_is_looked_for() {
    let nothing = Findings {
        net_admin: false,
        net_raw: false,
        bpf: false,
        perfmon: false,
        ipc_lock: false,
        memlock_bytes: Some(0),
        ..everything()
    };
    let text = judge(&nothing).to_string();
    assert!(
        ALL.iter().all(|name| text.lines().any(|line| line.contains(name) && line.contains("missing"))),
        "{text}"
    );
}

#[test]
fn the_systemd_unit_grants_what_the_cure_names_and_no_more() {
    let unit = include_str!("../../../docs/spanwire@.service");
    assert_eq!(words_of(unit, "\nAmbientCapabilities="), ALL);
    assert_eq!(words_of(unit, "\nCapabilityBoundingSet="), ALL);
}

#[test]
fn the_book_names_what_the_cure_names() {
    let introduction = include_str!("../../../docs/src/introduction.md");
    assert!(ALL.iter().all(|name| introduction.contains(&format!("`{name}`"))));
    let troubleshooting = include_str!("../../../docs/src/guide/troubleshooting.md");
    let (_, setcap) = GRANT.split_once("setcap").unwrap();
    assert!(troubleshooting.contains(&format!("\nsetcap{setcap}\n")));
    let quickstart = include_str!("../../../docs/src/guide/quickstart.md");
    assert!(quickstart.contains("{{#include ../../spanwire@.service}}"));
}
