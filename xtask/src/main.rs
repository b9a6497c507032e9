//! One module per development command: lab, test, ebpf.

fn main() {}
