//! Scale: where a value stands along an axis, and which values are labelled.

use super::super::document::Scale;

/// Labels that an axis of equal steps should have, about.
const WANTED_STEPS: f64 = 6.0;

/// Steps within a factor of ten that read well.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// An axis between two values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ruler {
    kind: Scale,
    low: f64,
    high: f64,
}

impl Ruler {
    /// An axis with room for all `values`: from zero in equal steps, or from below the smallest in equal factors. It is never
    /// empty, so every value has a place.
    pub(super) fn new(kind: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let top = finite.clone().fold(0.0, f64::max);
        match kind {
            Scale::Linear => {
                let top = if top > 0.0 { top } else { 1.0 };
                let step = step(top);
                Self { kind, low: 0.0, high: (top / step).ceil() * step }
            }
            Scale::Log => {
                let least = finite.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
                let (low, high) = if least.is_finite() { (least, top) } else { (1.0, 10.0) };
                Self { kind, low: rounded_down(low), high: rounded_up(high.max(low * 2.0)) }
            }
        }
    }

    /// An axis that ends at its first and last value.
    pub(super) fn tight(kind: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low < high { Self { kind, low, high } } else { Self { kind, low: low - 0.5, high: low + 0.5 } }
    }

    /// Where a value stands. `Range:` 0 at the low end to 1 at the high end.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = match self.kind {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Values to label, ascending.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self.kind {
            Scale::Linear => {
                let step = step(self.high);
                let mut ticks = vec![self.low];
                while let Some(&last) = ticks.last()
                    && last + step <= self.high * 1.0001
                {
                    ticks.push(last + step);
                }
                ticks
            }
            Scale::Log => {
                let mut ticks = vec![self.low];
                while let Some(&last) = ticks.last()
                    && last < self.high * 0.9999
                {
                    ticks.push(rounded_up(last * 1.5));
                }
                ticks
            }
        }
    }
}

/// The distance between labels of an axis from zero to `top`.
fn step(top: f64) -> f64 {
    let rough = top / WANTED_STEPS;
    let decade = 10_f64.powf(rough.log10().floor());
    STEPS.iter().map(|step| step * decade).find(|&step| step >= rough * 0.999).unwrap_or(decade * 10.0)
}

/// The largest 1, 2 or 5 times a power of ten that is not above `value`.
fn rounded_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    STEPS.iter().rev().map(|step| step * decade).find(|&step| step <= value * 1.001).unwrap_or(decade)
}

/// The smallest 1, 2 or 5 times a power of ten that is not below `value`.
fn rounded_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    STEPS.iter().map(|step| step * decade).find(|&step| step >= value * 0.999).unwrap_or(decade * 10.0)
}

/// A number in as few letters as say it: `0.25`, `64`, `1.5 k`, `1 M`.
pub(super) fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_equal_steps_starts_at_zero_and_ends_on_a_label_above_all_values() {
        let ruler = Ruler::new(Scale::Linear, [3.0, 87.0].into_iter());
        assert_eq!(ruler.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!((ruler.share(50.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_equal_factors_is_labelled_at_one_two_and_five() {
        let ruler = Ruler::new(Scale::Log, [3.0, 87.0].into_iter());
        assert_eq!(
            ruler.ticks().iter().map(|tick| tick.round()).collect::<Vec<_>>(),
            [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        assert!((ruler.share(2.0)).abs() < 1e-9 && (ruler.share(100.0) - 1.0).abs() < 1e-9);
        assert!((ruler.share(200_f64.sqrt()) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn values_that_cannot_stand_anywhere_stand_at_an_end() {
        for kind in [Scale::Linear, Scale::Log] {
            for ruler in [Ruler::new(kind, [].into_iter()), Ruler::new(kind, [0.0, f64::NAN].into_iter())] {
                for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 5.0] {
                    let share = ruler.share(value);
                    assert!((0.0..=1.0).contains(&share), "{kind:?} {value}: {share}");
                }
                assert!(ruler.ticks().len() > 1);
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.25, 64.0, 99.96, 1518.0, 64_000.0, 1_000_000.0, 1_250_000.0, 0.0].map(compact);
        assert_eq!(shown, ["0.25", "64", "100", "1518", "64 k", "1 M", "1.25 M", "0"]);
    }
}
