//! Who makes the UDP checksums of packets that leave by a port: decided when the port is attached, from what was asked for and obtained.
//!
//! | sockets | driver fills in | `auto` | `on` |
//! |---|---|---|---|
//! | zero-copy | yes | card | card |
//! | zero-copy | no | gateway | refused |
//! | copy | whatever | gateway | kernel |
//! | a kernel without TX metadata | whatever | gateway | refused |
//!
//! In copy mode the kernel makes a packet of its own of each frame, and then does what it does for any socket: it leaves the checksum to
//! the card if that can, else it makes the pass itself. A veth claims that it can, and fills in nothing.

use xsk::{
    XskQueue,
    nic::{Ethtool, xdp_capabilities},
};

use crate::{
    config::{Port, model::TxChecksum},
    control::api::ChecksumBy,
    nic::PortFacts,
};

/// A device feature that a veth claims. Source: `VETH_FEATURES`, drivers/net/veth.c, v6.12.
const CLAIM: &str = "tx-checksum-ip-generic";

/// Who does it on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checksums {
    pub(super) by: ChecksumBy,
    /// Why it is the gateway.
    pub(super) reason: Option<String>,
}

/// What the sockets of a port can do.
#[derive(Clone, Copy, Debug)]
struct Ability {
    /// Frames can ask for something.
    has_metadata: bool,
    /// Some of the sockets are zero-copy.
    is_zero_copy: bool,
    /// The driver answers in zero-copy mode.
    driver_fills_in: bool,
}

/// Decides for a port with these open queues.
///
/// # Errors
/// What the port demands is not to be had.
pub(super) fn decide(port: &Port, facts: &PortFacts, queues: &[XskQueue]) -> anyhow::Result<Checksums> {
    let ability = Ability {
        has_metadata: queues.iter().all(XskQueue::has_tx_metadata),
        is_zero_copy: queues.iter().any(XskQueue::is_zero_copy),
        driver_fills_in: xdp_capabilities(facts.ifindex).is_ok_and(|able| able.tx_checksum),
    };
    choose(port.driving.tx_checksum, ability, &facts.driver).map_err(|reason| {
        anyhow::anyhow!("tx_checksum = \"on\", but {reason}; set it to \"auto\", and the gateway makes them")
    })
}

/// Who it is; or, when it has to be somebody else than the gateway and nobody is there, why not.
fn choose(asked: TxChecksum, ability: Ability, driver: &str) -> Result<Checksums, String> {
    let Ability { has_metadata, is_zero_copy, driver_fills_in } = ability;
    let obtained = match asked {
        TxChecksum::Off => Err("tx_checksum = \"off\"".to_owned()),
        _ if !has_metadata => {
            Err("this kernel has no TX metadata for AF_XDP, which Linux 6.11 has".to_owned())
        }
        _ if is_zero_copy && driver_fills_in => Ok(ChecksumBy::Card),
        _ if is_zero_copy => Err(format!("driver {driver} fills in no checksums in zero-copy mode")),
        TxChecksum::On => Ok(ChecksumBy::Kernel),
        TxChecksum::Auto => {
            Err("copy mode: only `tx_checksum = \"on\"` leaves them to the kernel".to_owned())
        }
    };
    match (obtained, asked) {
        (Ok(by), _) => Ok(Checksums { by, reason: None }),
        (Err(reason), TxChecksum::On) => Err(reason),
        (Err(reason), _) => Ok(Checksums { by: ChecksumBy::Gateway, reason: Some(reason) }),
    }
}

impl Checksums {
    /// What to do about a device that only claims to fill checksums in.
    pub(super) fn warning(&self, facts: &PortFacts) -> Option<String> {
        if self.by != ChecksumBy::Kernel || facts.driver != "veth" {
            return None;
        }
        let interface = &facts.interface;
        let claimed = Ethtool::open(interface).ok()?.feature(CLAIM).ok()??;
        claimed.active.then(|| {
            format!(
                "the kernel leaves checksums to {interface}, and a veth has no hardware for them: \
                 run `ethtool -K {interface} tx off`, or set tx_checksum = \"auto\""
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: Ability = Ability { has_metadata: true, is_zero_copy: false, driver_fills_in: true };
    const ZERO_COPY: Ability = Ability { is_zero_copy: true, ..COPY };

    /// Who it is, and whether a reason is told.
    fn chosen(asked: TxChecksum, ability: Ability) -> Result<(ChecksumBy, bool), String> {
        choose(asked, ability, "igb").map(|checksums| (checksums.by, checksums.reason.is_some()))
    }

    #[test]
    fn it_is_the_card_where_its_driver_says_so_and_frames_are_not_copied() {
        for asked in [TxChecksum::Auto, TxChecksum::On] {
            assert_eq!(chosen(asked, ZERO_COPY), Ok((ChecksumBy::Card, false)));
        }
        let unable = Ability { driver_fills_in: false, ..ZERO_COPY };
        assert_eq!(chosen(TxChecksum::Auto, unable), Ok((ChecksumBy::Gateway, true)));
        let refusal = chosen(TxChecksum::On, unable).unwrap_err();
        assert_eq!(refusal, "driver igb fills in no checksums in zero-copy mode");
    }

    #[test]
    fn it_is_the_kernel_where_frames_are_copied_and_it_is_demanded() {
        let unable = Ability { driver_fills_in: false, ..COPY };
        for ability in [COPY, unable] {
            assert_eq!(chosen(TxChecksum::Auto, ability), Ok((ChecksumBy::Gateway, true)));
            assert_eq!(chosen(TxChecksum::On, ability), Ok((ChecksumBy::Kernel, false)));
        }
    }

    #[test]
    fn it_is_the_gateway_where_the_kernel_knows_no_metadata_or_it_is_told_to() {
        for ability in [COPY, ZERO_COPY] {
            assert_eq!(chosen(TxChecksum::Off, ability), Ok((ChecksumBy::Gateway, true)));
            let old = Ability { has_metadata: false, ..ability };
            assert_eq!(chosen(TxChecksum::Auto, old), Ok((ChecksumBy::Gateway, true)));
            assert!(chosen(TxChecksum::On, old).unwrap_err().contains("Linux 6.11"));
        }
    }
}
