//! What it costs: load generator, null forwarder, in-memory benches.

fn main() {}
