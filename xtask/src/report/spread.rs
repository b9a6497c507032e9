//! Spread: a number that was measured several times.

/// The middle of some rounds, with the lowest and the highest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of some numbers; `None` of none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let (upper, lower) = (sorted.len() / 2, (sorted.len() - 1) / 2);
        Some(Self { low, median: f64::midpoint(sorted[lower], sorted[upper]), high })
    }

    /// Of the inverse.
    pub(crate) fn inverse(self, of: f64) -> Self {
        Self { low: of / self.high, median: of / self.median, high: of / self.low }
    }
}
