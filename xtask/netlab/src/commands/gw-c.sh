# gw-c: to gw-b over IP protocol 115
modprobe l2tp_eth
modprobe l2tp_ip
ip l2tp add tunnel tunnel_id 2000 peer_tunnel_id 2000 local 10.200.100.10 remote 10.200.100.6 encap ip
ip l2tp add session tunnel_id 2000 session_id 2000 peer_session_id 2000
ip link set l2tpeth0 up
ip link add br0 type bridge
ip link set l2tpeth0 master br0
ip link set eth1 master br0
ip link set br0 up
