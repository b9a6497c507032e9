//! The JSON of every row, literally: a renamed or reordered field fails here.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// The row is written as `text`, and `text` is read back as the row.
fn is_written_as<Row: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(row: &Row, text: &str) {
    assert_eq!(serde_json::to_string(row).unwrap(), text);
    assert_eq!(&serde_json::from_str::<Row>(text).unwrap(), row);
}

#[test]
fn a_gateway_has_these_json_fields() {
    is_written_as(
        &FixedSource.gateway(),
        r#"{"name":"gw-a","version":"0.1.0","uptime_s":61,"pid":4242,"mode":"adaptive"}"#,
    );
}

#[test]
fn a_tunnel_has_these_json_fields() {
    is_written_as(
        &tunnels()[0],
        concat!(
            r#"{"name":"t1000","state":"up","reason":null,"encap":"udp","local":"10.200.100.2","#,
            r#""remote":"10.200.100.6","udp_sport":5001,"udp_dport":6001,"#,
            r#""peer":"learn","peer_heard_s":17,"peer_moves":2,"peer_moves_held_back":1,"#,
            r#""tunnel_id":1000,"peer_tunnel_id":1000,"#,
            r#""port":"eth0","vlan":100,"next_hop":"10.200.100.1","next_hop_mac":"02:00:00:00:00:01","path_mtu":1400,"#,
            r#""path":{"mtu_source":"icmp","mtu_locked":false,"mtu_expires_s":590,"unreachable":true,"#,
            r#""icmp_errors":{"host_unreachable":1,"too_big":2},"#,
            r#""last_icmp_error":"host unreachable, from 10.200.100.1","last_icmp_error_s":4},"#,
            r#""fragmentation":"outer","df":false,"mss_clamp":"auto","spread":"auto","spread_active":true,"sessions":["l2tpeth0"],"#,
            r#""warnings":["UDP port 5001 of 10.200.100.2 is in use by dnsmasq (process 7)"]}"#,
        ),
    );
    is_written_as(
        &tunnels()[1],
        concat!(
            r#"{"name":"t2000","state":"down","reason":"no route to 10.200.100.10","encap":"ip","#,
            r#""local":"10.200.100.2","remote":"10.200.100.10","udp_sport":null,"udp_dport":null,"#,
            r#""peer":"fixed","peer_heard_s":null,"peer_moves":0,"peer_moves_held_back":0,"#,
            r#""tunnel_id":2000,"peer_tunnel_id":4294967295,"port":null,"vlan":null,"next_hop":null,"next_hop_mac":null,"#,
            r#""path_mtu":null,"path":{"mtu_source":null,"mtu_locked":false,"mtu_expires_s":null,"unreachable":false,"#,
            r#""icmp_errors":{},"last_icmp_error":null,"last_icmp_error_s":null},"#,
            r#""fragmentation":"drop","df":true,"mss_clamp":"off","spread":"off","spread_active":false,"sessions":["l2tpeth1"],"warnings":[]}"#,
        ),
    );
}

#[test]
fn a_session_has_these_json_fields() {
    is_written_as(
        &sessions()[0],
        concat!(
            r#"{"name":"l2tpeth0","tunnel":"t1000","bridge":"br0","vlan":10,"session_id":1000,"#,
            r#""peer_session_id":1001,"state":"up","reason":null,"rx_frames":7,"rx_bytes":700,"tx_frames":12345,"#,
            r#""tx_bytes":1234500,"tx_fragments":24,"last_heard_s":3,"drops":{"cookie_mismatch":2,"wrong_source":1},"#,
            r#""overhead_bytes":48,"path_mtu_bytes":1400,"max_frame_bytes":1352,"inner_mtu":1334,"#,
            r#""mss_clamped":5,"inner_fragmented":6,"icmp_sent":16,"icmp_limited":8,"#,
            r#""l2spec_type":"default","cookie_bytes":8,"#,
            r#""peer_cookie_bytes":4,"peer_cookie_also":true,"peer_cookie_also_frames":6,"seq":"send","#,
            r#""seq_discards":0,"oos_packets":2,"seq_resyncs":1,"#,
            r#""spread":true,"observed":{"numbered":7,"lost":3,"reordered":2,"duplicates":1}}"#,
        ),
    );
}

#[test]
fn a_change_has_these_json_fields() {
    is_written_as(&changed(), r#"{"name":"l2tpeth0","changed":["cookie"],"persistent":false}"#);
}

#[test]
fn a_port_has_these_json_fields() {
    is_written_as(
        &ports()[0],
        concat!(
            r#"{"name":"lan","interface":"eth1","ifindex":3,"role":"both","state":"up","reason":null,"#,
            r#""driver":"veth","xdp_mode":"native","zero_copy":false,"multi_buffer":true,"copy_reason":"no driver support","#,
            r#""tx_checksum":"kernel","tx_checksum_reason":"copy mode","queues":1,"mtu":1500,"#,
            r#""mac":"02:00:00:00:00:02","promiscuous":true,"#,
            r#""changed_features":["rx-gro off","rx-vlan-hw-parse off"],"rx_frames":5,"rx_bytes":320,"#,
            r#""tx_frames":6,"tx_bytes":384,"rx_chained":2,"rx_discarded":1,"tx_chained":3,"steering":{"to_engine":5,"to_kernel":9},"#,
            r#""kernel_rings":{"rx_dropped":1,"rx_ring_full":0,"fill_ring_empty":0,"tx_ring_empty":0,"#,
            r#""rx_invalid_descs":0,"tx_invalid_descs":0},"#,
            r#""warnings":["its veth peer leaves checksums to hardware"]}"#,
        ),
    );
}

#[test]
fn an_fdb_entry_has_these_json_fields() {
    is_written_as(
        &fdb()[1],
        concat!(
            r#"{"bridge":"br1","mac":"02:00:00:00:00:0b","member":"l2tpeth0","vlan":10,"age_s":299,"#,
            r#""kind":"static"}"#,
        ),
    );
}

#[test]
fn a_worker_has_these_json_fields() {
    is_written_as(
        &workers()[0],
        concat!(
            r#"{"id":0,"cpu":1,"state":"running","batches":4,"received":14,"forwarded":6,"flooded":2,"#,
            r#""dropped":1,"handed":4,"taken":5,"reassembled":3,"parked":3,"reassembled_packets":2,"extra_fragments":7,"#,
            r#""copies":2,"polls":99,"sleeps":4,"wakeups":3,"fdb_full":0,"#,
            r#""chunks":{"free":100,"fill":2048,"tx":12,"parked":4,"total":2164,"conserved":true},"#,
            r#""warnings":["CPU 1 also has a worker"]}"#,
        ),
    );
}

#[test]
fn a_drop_reason_has_these_json_fields() {
    is_written_as(
        &drops()[0],
        concat!(
            r#"{"reason":"cookie_mismatch","text":"the cookie is not the session's","frames":3,"#,
            r#""by_worker":[2,1],"copies":5}"#,
        ),
    );
}

#[test]
fn every_word_is_displayed_as_in_json() {
    fn same<Word: Serialize + std::fmt::Display>(words: &[Word]) {
        for word in words {
            assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{word}\""));
        }
    }
    same(&[State::Up, State::Down]);
    same(&[Encap::Udp, Encap::Ip]);
    same(&[MtuSource::Interface, MtuSource::Route, MtuSource::Icmp]);
    same(&[Role::Underlay, Role::Access, Role::Both]);
    same(&[XdpMode::Native, XdpMode::Generic]);
    same(&[FdbKind::Dynamic, FdbKind::Static]);
    same(&[WorkerState::Running, WorkerState::Stopped]);
}
