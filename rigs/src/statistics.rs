//! Exact percentiles of samples.

use std::fmt;
use std::time::Duration;

use crate::load::{End, Sample};

/// Latencies in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        samples.into_iter().map(|sample| sample.latency).collect()
    }

    /// What the rig itself took before it began to send; a part of the latencies.
    pub(crate) fn of_lags<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        samples.into_iter().map(|sample| sample.lag).collect()
    }

    /// The latency that this part of all samples do not exceed (nearest rank), in milliseconds; `None` without
    /// samples.
    pub(crate) fn quantile_ms(&self, part: f64) -> Option<f64> {
        let rank = (self.0.len() as f64 * part).ceil() as usize;
        self.0.get(rank.max(1) - 1).map(|latency| latency.as_secs_f64() * 1000.0)
    }

    pub(crate) fn p99_ms(&self) -> Option<f64> {
        self.quantile_ms(0.99)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut sorted: Vec<_> = latencies.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "n={}", self.0.len())?;
        for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            if let Some(latency) = self.quantile_ms(part) {
                write!(formatter, " {name}={latency:.2}")?;
            }
        }
        write!(formatter, " ms")
    }
}

/// `part / whole`; `None` if either is missing or the whole is 0.
pub(crate) fn ratio(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0.0)?;
    Some(part? / whole)
}

/// How often each status came, as text: `200: 17, 503: 4, lost: 1`.
pub(crate) fn count_ends<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for sample in samples {
        let name = match sample.end {
            End::Answered(answer) => answer.status.to_string(),
            End::Lost => "lost".to_owned(),
            End::Unsent => "unsent".to_owned(),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let latencies: Latencies = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(latencies.p99_ms(), Some(198.0));
        assert_eq!(latencies.quantile_ms(1.0), Some(200.0));
        assert_eq!(Latencies::default().p99_ms(), None);
    }
}
