//! The committed object file, as `cargo xtask ebpf` built it.

/// Loaders read 8-byte words of the ELF file in place.
#[repr(C, align(32))]
struct Aligned<Bytes: ?Sized>(Bytes);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/spanwire.bpf.o"));

/// The compiled steering program: an ELF file for the kernel's BPF machine, aligned to 32 bytes.
pub static OBJECT: &[u8] = &FILE.0;

#[cfg(test)]
mod tests {
    use super::OBJECT;

    #[test]
    fn the_object_is_an_aligned_elf_file_for_bpf() {
        assert_eq!(OBJECT.as_ptr().align_offset(32), 0);
        assert_eq!(
            &OBJECT[..6],
            &[
                0x7f, b'E', b'L', b'F', // magic
                2,    // 64 bit
                1,    // little endian
            ]
        );
        assert_eq!(&OBJECT[18..20], &[247, 0]); // machine: EM_BPF
    }

    #[test]
    fn the_object_names_every_map_and_the_program() {
        use crate::abi;
        for name in [
            abi::PROGRAM,
            abi::PORTS,
            abi::PORT_CELLS,
            abi::ENDPOINT_CELLS_V4,
            abi::ENDPOINT_CELLS_V6,
            abi::ENDPOINTS_V4,
            abi::ENDPOINTS_V6,
            abi::ACCESS_VLANS,
            abi::SOCKETS,
            abi::STATS,
            abi::LOGS,
            abi::LOG_LEVEL,
            "xdp.frags",
        ] {
            let needle = [&[0], name.as_bytes(), &[0]].concat();
            assert!(OBJECT.windows(needle.len()).any(|window| window == needle), "{name} is missing");
        }
    }
}
