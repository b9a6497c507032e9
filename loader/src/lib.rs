//! AF_XDP L2TPv3 pseudowire gateway: one Layer 2 network over plain Layer 3.
