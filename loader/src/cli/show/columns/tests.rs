//! Every table, literally.

use super::*;
use crate::control::tests as rows;

#[test]
fn tunnels_are_shown_with_endpoints_and_the_reason_last() {
    assert_eq!(
        tunnels(&rows::tunnels()),
        "\
NAME   STATE  ENCAP  LOCAL              REMOTE               ID     PEER-ID  PORT      NEXT-HOP      PATH-MTU  SAID-BY  PATH         ICMP-ERRORS  SPREAD  SESSIONS  REASON
t1000  up     udp    10.200.100.2:5001  10.200.100.6:6001  1000        1000  eth0.100  10.200.100.1      1400  icmp     unreachable            3  yes     l2tpeth0  -
t2000  down   ip     10.200.100.2       10.200.100.10      2000  4294967295  -         -                    -  -        -                      0  no      l2tpeth1  no route to 10.200.100.10
warning: t1000: UDP port 5001 of 10.200.100.2 is in use by dnsmasq (process 7)
"
    );
}

#[test]
fn an_ipv6_endpoint_has_brackets_only_before_a_port() {
    let address = "2001:db8::1".parse().unwrap();
    assert_eq!(endpoint(address, Some(5001)), "[2001:db8::1]:5001");
    assert_eq!(endpoint(address, None), "2001:db8::1");
}

#[test]
fn sessions_are_shown_with_frames_last_heard_and_all_drops() {
    assert_eq!(
        sessions(&rows::sessions()),
        "\
NAME      STATE  TUNNEL  BRIDGE  VLAN    ID  PEER-ID  RX-FRAMES  RX-BYTES  TX-FRAMES  TX-BYTES  HEARD  OVERHEAD  PATH-MTU  MAX-FRAME  INNER-MTU  DROPS  SPREAD  REASON
l2tpeth0  up     t1000   br0       10  1000     1001          7       700      12345   1234500     3s        48      1400       1352       1334      3  yes     -
l2tpeth1  down   t2000   -          -  1000     1001          0         0          0         0  never        48         -          -          -      0  no      tunnel t2000 is down: no route to 10.200.100.10
"
    );
}

#[test]
fn ports_are_shown_with_their_mode_and_their_warnings_below() {
    assert_eq!(
        ports(&rows::ports()),
        "\
NAME  STATE  INTERFACE  ROLE      DRIVER  MODE         CHECKSUM  QUEUES   MTU  RX-FRAMES  RX-BYTES  TX-FRAMES  TX-BYTES  REASON
lan   up     eth1       both      veth    native/copy  kernel         1  1500          5       320          6       384  -
wan   down   eth0       underlay  -       -            -              0     -          0         0          0         0  there is no interface eth0
warning: lan: its veth peer leaves checksums to hardware
"
    );
}

#[test]
fn the_fdb_is_shown_one_address_a_line() {
    assert_eq!(
        fdb(&rows::fdb()),
        "\
BRIDGE  MAC                MEMBER    VLAN   AGE  KIND
br0     02:00:00:00:00:0a  lan          -    0s  dynamic
br1     02:00:00:00:00:0b  l2tpeth0    10  299s  static
"
    );
}

#[test]
fn workers_are_shown_with_their_chunks_and_warnings() {
    assert_eq!(
        workers(&rows::workers()),
        "\
ID  CPU  STATE    RECEIVED  TAKEN  FORWARDED  FLOODED  DROPPED  HANDED  REASSEMBLED  COPIES  BATCHES  POLLS  SLEEPS  WAKEUPS  FREE  FILL  TX  PARKED  CHUNKS  CONSERVED
 0    1  running        14      5          6        2        1       4            3       2        4     99       4        3   100  2048  12       4    2164  yes
warning: worker 0: CPU 1 also has a worker
"
    );
}

#[test]
fn drops_are_shown_with_their_meaning() {
    assert_eq!(
        drops(&rows::drops()),
        "\
FRAMES  COPIES  REASON           MEANING
     3       5  cookie_mismatch  the cookie is not the session's
     0       0  truncated        the frame ends within a header
"
    );
}
