#!/bin/busybox sh
# The recording guest's first and only process: two gateways of the kernel's own, one pair of captures per case.
#
#   namespace a                                         namespace b
#   lan0 (l2tp_eth)                                     lan0 (l2tp_eth)
#   wan 10.200.100.2 ---------- underlay (veth) -------- wan 10.200.100.6
#
# Captured in a, eight frames each: ARP, ping of 60 and of 1400 bytes, ping with a VLAN tag; each a request and its answer. Or a
# ping of 1514 bytes, which does not fit.
# This shell prefers its own applets, so what is not busybox is called by its whole path.
set -eu
trap 'reboot -f' EXIT

PATH=/bin
export PATH
ip=/tools/ip

# What a tunnel's packets are, fragments of IPv6 included.
tunnels='udp or ip proto 115 or ip6 proto 115 or ip6 proto 44'

prepare() {
    /bin/busybox --install -s /bin
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    mkdir -p /etc /out /run/netns /var
    # tcpdump looks its user up.
    echo root:x:0:0::/:/bin/sh >/etc/passwd
    ln -s /run /var/run
    for module in /modules/*.ko; do insmod "$module"; done
    uname -r >/out/kernel
    $ip -V | grep -o 'iproute2-[0-9.]*' >/out/iproute2
}

# One gateway's namespace. $1: namespace; $2, $3: its address and the other's; $4, $5: hexadecimal letter of each in the MACs.
underlay() {
    $ip -n "$1" link set lo up
    $ip netns exec "$1" /tools/ethtool -K wan tx off >/dev/null
    $ip -n "$1" link set wan address "02:00:00:00:00:$4" up
    $ip -n "$1" address add "$2/29" dev wan
    $ip -n "$1" neighbour add "$3" lladdr "02:00:00:00:00:$5" dev wan nud permanent
}

# The LAN side of one gateway. $1: namespace; $2: last byte of its address; $3, $4: last byte of each MAC.
lan() {
    $ip -n "$1" link set lan0 address "02:00:00:00:01:$3" up
    $ip -n "$1" address add "192.168.100.$2/24" dev lan0
    $ip -n "$1" link add link lan0 name lan0.100 type vlan id 100
    $ip -n "$1" link set lan0.100 up
    $ip -n "$1" address add "192.168.101.$2/24" dev lan0.100
    $ip -n "$1" neighbour add "192.168.101.$((3 - $2))" lladdr "02:00:00:00:01:$4" dev lan0.100 nud permanent
}

# Gives the underlay IPv6 addresses, too.
over_ipv6() {
    for side in a b; do
        $ip netns exec $side sh -c 'echo 0 >/proc/sys/net/ipv6/conf/wan/accept_dad'
        $ip netns exec $side sh -c 'echo 0 >/proc/sys/net/ipv6/conf/wan/disable_ipv6'
    done
    $ip -n a address add fd00:200:100::2/64 dev wan
    $ip -n b address add fd00:200:100::6/64 dev wan
    $ip -n a neighbour add fd00:200:100::6 lladdr 02:00:00:00:00:0b dev wan nud permanent
    $ip -n b neighbour add fd00:200:100::2 lladdr 02:00:00:00:00:0a dev wan nud permanent
}

# Makes the two namespaces and the wire between them. IPv6 is off, so that nothing speaks unasked.
begin() {
    echo "case $1"
    for side in a b; do
        $ip netns add $side
        $ip netns exec $side sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
    done
    $ip -n a link add wan type veth peer name wan netns b
    underlay a 10.200.100.2 10.200.100.6 0a 0b
    underlay b 10.200.100.6 10.200.100.2 0b 0a
}

# Listens on an interface of a until $4 frames are written, in process $listener. $1: interface; $2: file; $3: filter.
listen() {
    # The case before has left its words here.
    rm -f "/tmp/$1.log"
    $ip netns exec a timeout 60 /tools/tcpdump -i "$1" -c "$4" -w "$2" --immediate-mode -Z root "$3" 2>"/tmp/$1.log" &
    listener=$!
    tries=0
    until grep -qs 'listening on' "/tmp/$1.log"; do
        tries=$((tries + 1))
        if [ $tries -gt 500 ]; then
            cat "/tmp/$1.log"
            exit 1
        fi
        usleep 20000
    done
}

ping_b() {
    $ip netns exec a ping -q -c 1 -W 10 -p a5 -s "$1" "$2" >/tmp/ping.log
}

# Records one case whose tunnel and sessions stand.
record() {
    lan a 1 0a 0b
    lan b 2 0b 0a
    # b shall not ask back for a's address.
    $ip -n b neighbour add 192.168.100.1 lladdr 02:00:00:00:01:0a dev lan0 nud permanent
    listen wan "/out/$1.underlay.pcap" "$tunnels" 8
    on_underlay=$listener
    listen lan0 "/out/$1.lan.pcap" '' 8
    on_lan=$listener
    ping_b 18 192.168.100.2
    ping_b 1358 192.168.100.2
    ping_b 18 192.168.101.2
    end
}

# Records one case whose frames do not fit. The kernel makes a session's MTU fit the path, which it shall not here.
record_fragments() {
    lan a 1 0a 0b
    lan b 2 0b 0a
    for side in a b; do $ip -n $side link set lan0 mtu 1500; done
    $ip -n a neighbour add 192.168.100.2 lladdr 02:00:00:00:01:0b dev lan0 nud permanent
    $ip -n b neighbour add 192.168.100.1 lladdr 02:00:00:00:01:0a dev lan0 nud permanent
    listen wan "/out/$1.underlay.pcap" "$tunnels" 4
    on_underlay=$listener
    listen lan0 "/out/$1.lan.pcap" '' 2
    on_lan=$listener
    ping_b 1472 192.168.100.2
    end
}

# A capture without all of its frames is a failure, and ends the script.
end() {
    wait $on_underlay
    wait $on_lan
    $ip netns delete a
    $ip netns delete b
}

# Hands everything over by the second serial line.
deliver() {
    stty -F /dev/ttyS1 raw -echo
    tar -C /out -cf /dev/ttyS1 .
    echo "all cases recorded"
}

prepare
. /cases.sh
deliver
