//! AF_XDP memory, rings and sockets for gateways that rewrite frames in place.
