//! An independent judge of the compiled XDP object: libbpf and the verifier.

fn main() {}
