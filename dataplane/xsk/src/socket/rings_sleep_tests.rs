//! Tests of what the kernel is told of before a sleep.

use super::*;

const NOTHING: Overdue = Overdue { tx: false, fill: false };
const TX: Overdue = Overdue { tx: true, fill: false };
const FILL: Overdue = Overdue { tx: false, fill: true };

impl Bench {
    /// For a queue in zero-copy mode whose kernel says when it wants to be woken.
    fn overdue(&mut self) -> Overdue {
        self.rings.overdue(&self.lent, true, true)
    }

    /// Shows the kernel a frame to be sent.
    fn send(&mut self) {
        let frame = self.frame(&[7; 60]);
        self.transmit(frame).unwrap();
        self.rings.ends.tx.publish();
    }
}

#[test]
fn a_kernel_that_asks_is_told_of_frames_and_chunks_that_it_has_not_taken() {
    let mut bench = Bench::new();
    bench.refill();
    bench.send();
    assert_eq!(bench.overdue(), NOTHING, "it comes by itself");
    bench.kernel.tx.ask_for_wakeup(true);
    assert_eq!((bench.overdue(), bench.overdue()), (TX, TX), "each time");
    bench.kernel.transmit().unwrap();
    bench.reap();
    assert_eq!(bench.overdue(), NOTHING);
    bench.kernel.fill.ask_for_wakeup(true);
    assert_eq!(bench.overdue(), FILL);
    while bench.kernel.fill.pop().is_some() {}
    bench.kernel.fill.release();
    assert_eq!(bench.overdue(), NOTHING, "there is no chunk for it");
}

#[test]
fn a_driver_that_has_all_frames_is_told_of_them_when_it_completed_none_since_the_last_sleep() {
    let mut bench = Bench::new();
    bench.kernel.tx.ask_for_wakeup(true);
    (0..2).for_each(|_| bench.send());
    // It takes both, and completes none of them.
    let taken = [bench.kernel.tx.pop().unwrap(), bench.kernel.tx.pop().unwrap()];
    bench.kernel.tx.release();
    assert_eq!(bench.overdue(), NOTHING, "not asleep before");
    assert_eq!(bench.overdue(), TX);
    for entry in taken {
        assert_eq!(bench.overdue(), TX);
        bench.kernel.completion.push(entry.ring_address).unwrap();
        bench.kernel.completion.publish();
        assert_eq!(bench.overdue(), NOTHING, "one came back, if nobody has taken it yet");
        bench.reap();
        // As many are under way as before: one was completed, and another one sent.
        bench.send();
        bench.kernel.tx.pop().unwrap();
        bench.kernel.tx.release();
        assert_eq!((bench.lent.held().tx, bench.overdue()), (2, NOTHING));
    }
    assert_eq!(bench.overdue(), TX);
    assert_eq!(bench.rings.overdue(&bench.lent, false, true), NOTHING, "in copy mode nobody completes later");
}

#[test]
fn a_kernel_that_never_asks_is_told_of_frames_all_the_same() {
    let mut bench = Bench::new();
    bench.refill();
    assert_eq!(bench.rings.overdue(&bench.lent, true, false), NOTHING);
    bench.send();
    assert_eq!(bench.rings.overdue(&bench.lent, true, false), TX);
    assert_eq!(bench.rings.overdue(&bench.lent, false, false), TX);
}
