# gw-b: to gw-a over UDP
modprobe l2tp_eth
ip l2tp add tunnel local 10.200.100.6 remote 10.200.100.2 tunnel_id 1000 peer_tunnel_id 1000 encap udp udp_sport 6001 udp_dport 5001
ip l2tp add session tunnel_id 1000 session_id 1000 peer_session_id 1000
ip link set l2tpeth0 up
ip link add br0 type bridge
ip link set l2tpeth0 master br0
ip link set eth1 master br0
ip link set br0 up

# gw-b: to gw-c over IP protocol 115
modprobe l2tp_ip
ip l2tp add tunnel tunnel_id 2000 peer_tunnel_id 2000 local 10.200.100.6 remote 10.200.100.10 encap ip
ip l2tp add session tunnel_id 2000 session_id 2000 peer_session_id 2000
ip link set l2tpeth1 master br0
