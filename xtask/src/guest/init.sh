#!/bin/busybox sh
# The guest's first process: does what it is told over the control port, one script after the other.
#
# A question is a line with the length of a script in bytes, then the script. The answer is a line with its exit status and
# the length of its output, then the output. This shell prefers its own applets, so what is not busybox is called by its
# whole path: $ip.
set -eu
trap 'reboot -f' EXIT
PATH=/bin
ip=/tools/ip
export PATH ip

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /etc /run/netns /var /debug
# Not below /sys, which `ip netns exec` covers.
mount -t debugfs debugfs /debug
ln -s /run /var/run
# fping looks its protocols up.
printf 'icmp 1\nipv6-icmp 58\n' >/etc/protocols
for module in /modules/*.ko; do insmod "$module"; done

exec 3<>"$(ls /dev/vport* | head -n 1)"
while true; do
    # Nobody is at the other end of the port.
    read -r length <&3 || { usleep 100000; continue; }
    head -c "$length" <&3 >/tmp/script
    status=0
    sh -eu /tmp/script >/tmp/output 2>&1 </dev/null || status=$?
    { echo "$status $(wc -c </tmp/output)"; cat /tmp/output; } >&3
done
