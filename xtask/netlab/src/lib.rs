//! Networks made of namespaces and veth pairs, removed again whatever happens.
