//! The XDP steering program: its decision, its maps, its compiled object.
