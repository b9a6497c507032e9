# gw-a: to gw-b over UDP
modprobe l2tp_eth
ip l2tp add tunnel local 10.200.100.2 remote 10.200.100.6 tunnel_id 1000 peer_tunnel_id 1000 encap udp udp_sport 5001 udp_dport 6001
ip l2tp add session tunnel_id 1000 session_id 1000 peer_session_id 1000
ip link set l2tpeth0 up
ip link add br0 type bridge
ip lnk set l2tpeth0 master br0
ip link set eth1 master br0
ip link set br0 up
