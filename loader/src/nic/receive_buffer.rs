//! What a card in zero-copy mode really receives into: a part of a chunk that its driver rounds down.
//!
//! In copy mode the kernel fills chunks, and uses all of them. In zero-copy mode the card does, and what it can be told is the driver's
//! matter. A frame that is longer than that comes as several that are none, or does not come at all; no bind is refused for it.

/// Drivers that tell the card the size of a buffer in whole KiB, as far as zero-copy goes.
///
/// - igb, igc: what does not fit one buffer is handed on in parts, as frames of their own.
/// - ixgbe: on an 82599 it is dropped. Its later cards take any size, and bear the same driver's name.
///
/// Source: `SRRCTL.BSIZEPKT` in `igb_setup_srrctl`, `igc_configure_rx_ring` and `ixgbe_configure_srrctl` of
/// drivers/net/ethernet/intel, v6.14.
const WHOLE_KIB: [&str; 3] = ["igb", "igc", "ixgbe"];

/// Bytes of a frame that a driver's card can put into a chunk with so much room behind its headroom, in zero-copy mode.
#[must_use]
pub fn zero_copy_room(driver: &str, room_bytes: usize) -> usize {
    if WHOLE_KIB.contains(&driver) { room_bytes & !0x3ff } else { room_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_of_whole_kib_lose_what_is_beyond_the_last_one() {
        for (room, left) in [(1023, 0), (1024, 1024), (1792, 1024), (2048, 2048), (3840, 3072)] {
            assert_eq!(zero_copy_room("igb", room), left);
        }
        assert_eq!(zero_copy_room("ice", 1792), 1792);
    }
}
