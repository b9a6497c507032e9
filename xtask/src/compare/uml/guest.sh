#!/bin/sh
# The first and only process of the User-mode Linux guest. Its root is the host's, read-only; `compare=DIR` on the kernel's
# command line names the folder with what to do: `plan` (lines of system, frame size, frames), and for each system one
# script for either gateway. Writes one line per run to the console, and `done`.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for word in $(cat /proc/cmdline); do
	case $word in compare=*) DIR=${word#compare=} ;; esac
done

GEN=02:00:00:01:00:00
SNK=02:00:00:02:00:00

# wire NODE INTERFACE NODE INTERFACE MTU
wire() {
	ip -n "$1" link add "$2" mtu "$5" type veth peer name "$4" mtu "$5" netns "$3"
	for end in "$1 $2" "$3 $4"; do
		set -- $end
		ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off txvlan off > /dev/null
		ip -n "$1" link set "$2" up
	done
}

mac() {
	ip netns exec "$1" cat "/sys/class/net/$2/address"
}

# address NODE ADDRESS PEER PEER_ADDRESS
address() {
	ip -n "$1" address add "$2/30" dev wan
	ip -n "$1" neighbour replace "$4" lladdr "$(mac "$3" wan)" nud permanent dev wan
}

lay() {
	for node in gen a b snk; do
		ip netns add $node
		ip -n $node link set lo up
		for scope in all default; do
			ip netns exec $node sh -c "echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6"
		done
	done
	wire gen lan a lan 1500
	wire a wan b wan 1600
	wire b lan snk lan 1500
	wire gen wire snk wire 1500
	address a 10.200.100.1 b 10.200.100.2
	address b 10.200.100.2 a 10.200.100.1
}

# send NODE INTERFACE SOURCE DESTINATION BYTES FRAMES: prints the microseconds it took.
send() {
	ip netns exec "$1" sh -c '
		cd /proc/net/pktgen
		echo reset > pgctrl
		echo "add_device $1" > kpktgend_0
		for setting in "count $5" "pkt_size $4" "delay 0" "clone_skb 0" "src_mac $2" "dst_mac $3" \
			"src_min 198.18.0.1" "dst_min 198.19.0.1" "flag NO_TIMESTAMP"; do
			echo "$setting" > "$1"
		done
		echo start > pgctrl
		sed -n "s/^Result: OK: \([0-9]*\)(.*/\1/p" "$1"
	' send "$2" "$3" "$4" "$5" "$6"
}

came() {
	ip netns exec snk cat "/sys/class/net/$1/statistics/rx_packets"
}

# run ROUND SYSTEM BYTES FRAMES
run() {
	lay
	at=lan
	if [ "$2" = wire ]; then
		at=wire
	else
		for side in a b; do
			ip netns exec $side sh -e "$DIR/$2-$side.sh" > /dev/null || echo "failed $2: $side"
		done
		send snk lan $SNK $GEN 64 10 > /dev/null
		# A first run, unmeasured, also teaches the other direction and fills caches.
	fi
	send gen $at $GEN $SNK "$3" 2000 > /dev/null
	before=$(came $at)
	took=$(send gen $at $GEN $SNK "$3" "$4")
	echo "result $1 $2 $3 $4 $(($(came $at) - before)) $took"
	for node in gen a b snk; do
		ip netns delete $node
	done
}

while read -r line; do
	run $line
done < "$DIR/plan"
echo "done"
sleep 1000
