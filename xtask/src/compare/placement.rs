//! Placement: which CPU does what.
//!
//! The generator has the first CPU. In its system call the frames go on through the first gateway's port, in softirqs on the
//! same CPU: all of a kernel gateway's work is done there. Programs of gateways have the CPUs behind it, one for each gateway
//! where there are enough, and what they send goes on in softirqs there. Nothing else is moved: no interrupts, no RPS.

use std::thread;

/// CPUs of those who are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) struct Placement {
    /// The generator's.
    pub(super) generator: usize,
    /// The gateways' programs'.
    pub(super) gateways: [usize; 2],
    /// How many there are.
    pub(super) cpus: usize,
}

impl Placement {
    /// The placement on this machine.
    pub(super) fn here() -> Self {
        Self::on(thread::available_parallelism().map_or(1, usize::from))
    }

    fn on(cpus: usize) -> Self {
        let last = cpus.saturating_sub(1);
        Self { generator: 0, gateways: [1.min(last), 2.min(last)], cpus }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let Self { generator, gateways: [a, b], cpus } = self;
        let programs = if a == b {
            format!("the programs of both gateways share CPU {a}")
        } else {
            format!("the programs of the gateways have CPUs {a} and {b}")
        };
        format!(
            "{cpus} CPUs: the generator, and with it the softirqs of the first gateway's LAN port and all of a kernel \
             gateway's work, are on CPU {generator}; {programs}, with the softirqs of what they send"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_have_cpus_of_their_own_where_there_are_enough() {
        assert_eq!(Placement::on(1), Placement { generator: 0, gateways: [0, 0], cpus: 1 });
        assert_eq!(Placement::on(2), Placement { generator: 0, gateways: [1, 1], cpus: 2 });
        assert_eq!(Placement::on(8), Placement { generator: 0, gateways: [1, 2], cpus: 8 });
    }
}
