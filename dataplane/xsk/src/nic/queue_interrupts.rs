//! Which interrupt serves which receive queue, asked of the kernel's `netdev` netlink family.
//!
//! The kernel has answered since 6.8, for drivers that tell it. Source: linux/netdev.h, v6.12.

use std::io;

use super::generic_netlink::{Family, attribute, attributes, number};

const NETDEV_CMD_QUEUE_GET: u8 = 10;
const NETDEV_A_QUEUE_ID: u16 = 1;
const NETDEV_A_QUEUE_IFINDEX: u16 = 2;
const NETDEV_A_QUEUE_TYPE: u16 = 3;
const NETDEV_A_QUEUE_NAPI_ID: u16 = 4;
const NETDEV_QUEUE_TYPE_RX: u32 = 0;
const NETDEV_CMD_NAPI_GET: u8 = 11;
const NETDEV_A_NAPI_IFINDEX: u16 = 1;
const NETDEV_A_NAPI_ID: u16 = 2;
const NETDEV_A_NAPI_IRQ: u16 = 3;

/// A receive queue and its interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueInterrupt {
    /// Number of the receive queue.
    pub queue: u32,
    /// Number of the interrupt that starts its polling.
    pub irq: u32,
}

/// Asks which interrupt serves which receive queue, by queue; queues of which the driver does not tell are left out.
///
/// # Errors
///
/// When the kernel is too old to answer, or there is no such interface.
pub fn queue_interrupts(ifindex: u32) -> io::Result<Vec<QueueInterrupt>> {
    let netdev = Family::find("netdev")?;
    let of_link = |kind| attribute(kind, &ifindex.to_ne_bytes());
    let queues = netdev.dump(NETDEV_CMD_QUEUE_GET, &of_link(NETDEV_A_QUEUE_IFINDEX))?;
    let napis = netdev.dump(NETDEV_CMD_NAPI_GET, &of_link(NETDEV_A_NAPI_IFINDEX))?;
    Ok(join(&queues, &napis))
}

/// Joins queues and interrupts by the polling instance (NAPI) that they have in common.
fn join(queues: &[Vec<u8>], napis: &[Vec<u8>]) -> Vec<QueueInterrupt> {
    let irq_of = |napi| {
        let found = napis.iter().find(|answer| value(answer, NETDEV_A_NAPI_ID) == Some(napi))?;
        value(found, NETDEV_A_NAPI_IRQ)
    };
    let interrupt = |answer: &Vec<u8>| {
        let is_rx = value(answer, NETDEV_A_QUEUE_TYPE)? == NETDEV_QUEUE_TYPE_RX;
        let irq = irq_of(value(answer, NETDEV_A_QUEUE_NAPI_ID)?)?;
        is_rx.then_some(QueueInterrupt { queue: value(answer, NETDEV_A_QUEUE_ID)?, irq })
    };
    let mut joined: Vec<_> = queues.iter().filter_map(interrupt).collect();
    joined.sort_unstable_by_key(|interrupt| interrupt.queue);
    joined
}

/// The number under an attribute.
fn value(answer: &[u8], kind: u16) -> Option<u32> {
    attributes(answer).find(|(found, _)| *found == kind).and_then(|(_, value)| number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attributes with numbers as values.
    fn answer(numbers: &[(u16, u32)]) -> Vec<u8> {
        numbers.iter().flat_map(|(kind, number)| attribute(*kind, &number.to_ne_bytes())).collect()
    }

    #[test]
    fn queues_find_their_interrupts_by_napi() {
        // As a virtio card with two queues answers: transmit queues too, and an instance of its own for each.
        let queues = [
            answer(&[(1, 1), (3, 0), (4, 516), (2, 2)]),
            answer(&[(1, 0), (3, 0), (4, 514), (2, 2)]),
            answer(&[(1, 0), (3, 1), (4, 515), (2, 2)]),
        ];
        let napis =
            [answer(&[(2, 516), (1, 2), (3, 40)]), answer(&[(2, 515), (1, 2)]), answer(&[(2, 514), (3, 38)])];
        let expected = [QueueInterrupt { queue: 0, irq: 38 }, QueueInterrupt { queue: 1, irq: 40 }];
        assert_eq!(join(&queues, &napis), expected);
    }

    #[test]
    fn a_queue_without_instance_or_interrupt_is_left_out() {
        let queues = [answer(&[(1, 0), (3, 0), (2, 5)]), answer(&[(1, 1), (3, 0), (4, 9), (2, 5)])];
        assert_eq!(join(&queues, &[answer(&[(2, 9), (1, 5)])]), []);
    }

    #[test]
    fn an_answer_cut_anywhere_is_read_as_far_as_it_goes() {
        let whole = answer(&[(1, 0), (3, 0), (4, 514)]);
        let napi = [answer(&[(2, 514), (3, 38)])];
        for len in 0..whole.len() {
            assert_eq!(join(&[whole[..len].to_vec()], &napi), [], "{len}");
        }
        assert_eq!(join(&[whole], &napi).len(), 1);
    }
}
