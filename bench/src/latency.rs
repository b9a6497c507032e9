//! Latencies that the sink counted by classes, as an HDR histogram and its percentiles.
//!
//! The sink adds every frame to a class in the kernel; here the classes become a histogram, each frame with the middle
//! of its class. A class is at most 1/64 of its values wide, so a value is within 0.8 % of the truth.

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Bits of a value below which each value is a class of its own; `bpf/sink.bpf.c` has the same.
const CLASS_BITS: u32 = 6;

/// Significant digits of the histogram: finer than the classes.
const DIGITS: u8 = 3;

/// Ticks of the plotted curve for each halving of what is left to 100 %.
const CURVE_TICKS: u32 = 2;

/// How long after they were due frames arrived.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Frames that carried the time at which they were due.
    pub frames: u64,
    /// Shortest.
    pub min_ns: u64,
    /// Average.
    pub mean_ns: f64,
    /// Half of the frames took no longer.
    pub p50_ns: u64,
    /// 9 of 10 frames took no longer.
    pub p90_ns: u64,
    /// 99 of 100 frames took no longer.
    pub p99_ns: u64,
    /// 999 of 1000 frames took no longer.
    pub p999_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Share of the frames that took no longer (0 to 1), and that time in ns; for plotting.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    /// Percentiles of what was counted, by class; `None` when nothing was.
    ///
    /// # Errors
    /// A class is beyond what a histogram holds.
    pub fn of_classes(counts: &[u64]) -> anyhow::Result<Option<Self>> {
        let mut histogram = Histogram::<u64>::new(DIGITS).context("making a histogram")?;
        for (class, &count) in (0..).zip(counts) {
            if count > 0 {
                histogram.record_n(middle_ns(class), count).context("adding to a histogram")?;
            }
        }
        if histogram.is_empty() {
            return Ok(None);
        }
        let curve =
            histogram.iter_quantiles(CURVE_TICKS).map(|step| (step.quantile(), step.value_iterated_to()));
        Ok(Some(Self {
            frames: histogram.len(),
            min_ns: histogram.min(),
            mean_ns: histogram.mean(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
            curve: curve.collect(),
        }))
    }
}

/// The middle of a class: itself below 64, then 64 classes for each doubling.
fn middle_ns(class: u32) -> u64 {
    let shift = (class >> CLASS_BITS).saturating_sub(1);
    let low = u64::from(class - (shift << CLASS_BITS)) << shift;
    low + (1_u64 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of a latency, told independently of the program: by division instead of bits.
    fn class_of(latency_ns: u64) -> u32 {
        let (mut shift, mut value) = (0, latency_ns);
        while value >= 128 {
            (shift, value) = (shift + 1, value / 2);
        }
        shift * 64 + u32::try_from(value).expect("below 128")
    }

    #[test]
    fn the_middle_of_a_latencys_class_is_within_a_percent_of_it() {
        let mut latency_ns = 1_u64;
        while latency_ns < 60_000_000_000 {
            let middle = middle_ns(class_of(latency_ns));
            assert!(middle.abs_diff(latency_ns) * 100 <= latency_ns, "{latency_ns} became {middle}");
            latency_ns += latency_ns / 7 + 1;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_frames() {
        let mut counts = vec![0; 1984];
        counts[class_of(1_000) as usize] = 900;
        counts[class_of(50_000) as usize] = 99;
        counts[class_of(9_000_000) as usize] = 1;
        let latency = Latency::of_classes(&counts).expect("a histogram").expect("frames");
        let near = |found: u64, expected: u64| assert!(found.abs_diff(expected) * 50 <= expected, "{found}");
        assert_eq!(latency.frames, 1000);
        near(latency.min_ns, 1_000);
        near(latency.p50_ns, 1_000);
        near(latency.p90_ns, 1_000);
        near(latency.p99_ns, 50_000);
        near(latency.p999_ns, 50_000);
        near(latency.max_ns, 9_000_000);
        let (share, longest) = *latency.curve.last().expect("points");
        assert!((share - 1.0).abs() < 1e-9);
        near(longest, 9_000_000);
    }

    #[test]
    fn nothing_counted_is_no_latency() {
        assert_eq!(Latency::of_classes(&[0; 1984]).expect("a histogram"), None);
    }
}
