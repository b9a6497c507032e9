# What stands in the guest, and what is done with it; every script begins by reading this file.
#
#   namespace sta        namespace gw                     namespace peer
#   lan0 ====hub 0==== lan   (gateway)   wan ====hub 1==== wan   l2tp_eth -- br0 -- tap0 -- st0
#
# All cards are igb. The gateway is spanwire or the kernel's own; the peer is always the kernel.

sta_mac=02:00:00:00:01:01
st0_mac=02:00:00:00:01:02
# Nobody's: the cards take no frames for it.
nobody_mac=02:00:00:00:01:99

in_ns() { $ip netns exec "$@"; }

# The four cards, in their namespaces; the peer; neighbours that need no question, so that all that is counted was sent.
lay_out() {
    for name in sta gw peer; do
        $ip netns add $name
        in_ns $name sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
        $ip -n $name link set lo up
    done
    card 02:00:00:00:00:01 sta lan0 $sta_mac
    card 02:00:00:00:00:02 gw lan
    card 02:00:00:00:00:03 gw wan
    card 02:00:00:00:00:04 peer wan
    $ip -n sta addr add 10.0.0.1/24 dev lan0
    $ip -n gw addr add 192.0.2.1/24 dev wan
    $ip -n peer addr add 192.0.2.2/24 dev wan
    pseudowire peer 192.0.2.2 192.0.2.1 2 1
    $ip -n peer link add tap0 type veth peer name st0 address $st0_mac
    $ip -n peer link set tap0 master br0 up
    $ip -n peer addr add 10.0.0.2/24 dev st0
    $ip -n peer link set st0 up
    $ip -n sta neigh replace 10.0.0.2 lladdr $st0_mac dev lan0 nud permanent
    $ip -n peer neigh replace 10.0.0.1 lladdr $sta_mac dev st0 nud permanent
    $ip -n peer neigh replace 192.0.2.1 lladdr 02:00:00:00:00:03 dev wan nud permanent
    wire_to 02:00:00:00:00:04
}

# card MAC NAMESPACE NAME [OTHER_MAC]: puts the card with an address where it belongs, and waits for its link.
card() {
    found=$($ip -br link | sed -n "s/^\([^ ]*\) .*$1.*/\1/p")
    $ip link set "$found" netns "$2"
    $ip -n "$2" link set "$found" name "$3"
    [ $# -lt 4 ] || $ip -n "$2" link set "$3" address "$4"
    $ip -n "$2" link set "$3" up
    await_carrier "$2" "$3"
}

await_carrier() {
    tries=0
    until [ "$(in_ns "$1" cat "/sys/class/net/$2/carrier")" = 1 ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "$2 of $1 has no carrier"; return 1; }
        usleep 100000
    done
}

# pseudowire NAMESPACE LOCAL REMOTE SESSION PEER_SESSION: the kernel's end, bridged.
pseudowire() {
    $ip -n "$1" l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 encap udp local "$2" remote "$3" udp_sport 1701 udp_dport 1701
    $ip -n "$1" l2tp add session name l2tpeth0 tunnel_id 1 session_id "$4" peer_session_id "$5"
    $ip -n "$1" link add br0 type bridge mcast_snooping 0
    $ip -n "$1" link set br0 up
    $ip -n "$1" link set l2tpeth0 mtu 1500 up master br0
}

# wire_to MAC: where the gateway's packets to the peer go.
wire_to() { $ip -n gw neigh replace 192.0.2.2 lladdr "$1" dev wan nud permanent; }

# wide_underlay MTU: packets between gateway and peer may be so long.
wide_underlay() {
    for name in gw peer; do
        $ip -n $name link set wan mtu "$1"
        await_carrier $name wan
    done
}

# The kernel as the gateway, and its end.
kernel_up() {
    pseudowire gw 192.0.2.1 192.0.2.2 1 2
    $ip -n gw link set lan master br0
}
kernel_down() {
    $ip -n gw link set lan nomaster
    $ip -n gw link del br0
    $ip -n gw l2tp del session tunnel_id 1 session_id 1
    $ip -n gw l2tp del tunnel tunnel_id 1
}

# spanwire_up FILE: spanwire as the gateway; waits until its tunnel is up, which is after both cards have their links again.
spanwire_up() {
    $ip netns exec gw /tools/spanwire run --config "$1" >/tmp/spanwire.log 2>&1 3>&- &
    echo $! >/tmp/spanwire.pid
    tries=0
    until /tools/spanwire tunnel show --json 2>/dev/null | grep -q '"state": *"up"'; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] && [ -d "/proc/$(cat /tmp/spanwire.pid)" ] || { cat /tmp/spanwire.log; return 1; }
        usleep 100000
    done
    await_carrier gw lan
}

# ended PID NAME: asks a process to end and waits until it has.
ended() {
    kill "$1"
    tries=0
    while [ -d "/proc/$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "$2 does not end"; return 1; }
        usleep 100000
    done
}

# Ends spanwire and says what it has written since it runs; its exit status is that of its process.
spanwire_down() {
    ended "$(cat /tmp/spanwire.pid)" spanwire
    cat /tmp/spanwire.log
    await_carrier gw lan
    await_carrier gw wan
}

# ping_each COUNT CONTENT_BYTES: both ways at once; prints `NAMESPACE XMT/RCV`.
ping_each() {
    for pair in sta:10.0.0.2 peer:10.0.0.1; do
        in_ns ${pair%%:*} /tools/fping -q -c "$1" -p 20 -t 2000 -b "$2" ${pair#*:} 2>&1 |
            sed -n "s|.*xmt/rcv/%[a-z]* = \([0-9]*/[0-9]*\)/.*|${pair%%:*} \1|p"
    done
}

# flood_set NAMESPACE INTERFACE COUNT BYTES SRC_MAC DST_MAC DELAY_NS BURST
#
# On a card one buffer is sent again and again; veth hands buffers on, so there each frame is a new one, and BURST has to be 1.
flood_set() {
    clones=1000000
    [ "$2" != st0 ] || clones=0
    in_ns "$1" sh -eu -c "
        echo rem_device_all >/proc/net/pktgen/kpktgend_0
        echo add_device $2 >/proc/net/pktgen/kpktgend_0
        for word in 'count $3' 'pkt_size $4' 'src_mac $5' 'dst_mac $6' 'delay $7' 'clone_skb $clones' 'burst $8' \
            'dst 10.0.0.9' 'flag NO_TIMESTAMP'; do echo \$word >/proc/net/pktgen/$2; done"
}

# flood NAMESPACE...: starts what was set in these, and waits for all to be sent.
flood() {
    pids=
    for name; do
        $ip netns exec "$name" sh -c 'echo start >/proc/net/pktgen/pgctrl' 3>&- &
        pids="$pids $!"
    done
    wait $pids
}

# counted NAMESPACE INTERFACE FILE: the kernel's count.
counted() { in_ns "$1" cat "/sys/class/net/$2/statistics/$3"; }

# The kernel's bridge without a tunnel, and its end.
bridge_up() {
    $ip -n gw link add br0 type bridge mcast_snooping 0
    $ip -n gw link set br0 up
    $ip -n gw link set lan master br0
    $ip -n gw link set wan master br0
}
bridge_down() {
    $ip -n gw link set lan nomaster
    $ip -n gw link set wan nomaster
    $ip -n gw link del br0
}

# The null forwarder as the gateway, with the gateway's rules of sleep; waits until it forwards and both cards have their links again.
null_up() {
    for name in lan wan; do $ip -n gw link set $name promisc on; done
    $ip netns exec gw /tools/spanwire-bench null-forward --interface lan --interface wan --mode zero-copy --chunk-bytes 4096 \
        --idle-rounds 32 >/tmp/null.json 2>/tmp/null.log 3>&- &
    echo $! >/tmp/null.pid
    tries=0
    until grep -q '^forwarding' /tmp/null.log; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] && [ -d "/proc/$(cat /tmp/null.pid)" ] || { cat /tmp/null.log; return 1; }
        usleep 100000
    done
    await_carrier gw lan
    await_carrier gw wan
}
null_down() {
    ended "$(cat /tmp/null.pid)" 'the null forwarder'
    for name in lan wan; do
        $ip -n gw link set $name promisc off
        await_carrier gw $name
    done
}

# replay NAMESPACE INTERFACE WORD...: starts a generator; its report goes to a file of its own.
replay() {
    name=$1 card=$2
    shift 2
    $ip netns exec "$name" /tools/spanwire-bench replay --interface "$card" "$@" >"/tmp/replay.$name" 2>"/tmp/replay-log.$name" 3>&- &
    pids="$pids $!"
}

# Waits for the generators whose processes are in pids, and for the links of their cards, which go with their programs.
replays_end() {
    for pid in $pids; do wait "$pid" || { cat /tmp/replay-log.*; return 1; }; done
    await_carrier sta lan0
    await_carrier peer wan
}

# card_sent INTERFACE: frames that a card of the gateway has sent, by its own count, whoever gave it them.
card_sent() { in_ns gw /tools/ethtool -S "$1" | sed -n 's/^ *tx_packets: *//p'; }
