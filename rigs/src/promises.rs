//! Durable batches with a key each, and whether every promise made about them was kept.
//!
//! The provider's book is the witness: what the gateway says about itself is compared with it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::RigError;
use crate::exchange::Connection;
use crate::figures::{Bound, Sheet};
use crate::load::Sample;
use crate::provider::{Book, Kind, Provider};
use crate::requests::{self, Headers};

/// How long everything may take to come to its end after the last fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// Batches of two, all different.
pub(crate) struct Promises {
    kind: Kind,
    /// Of these requests the samples' lanes are the indices.
    pub(crate) requests: Vec<Vec<u8>>,
}

const RECIPIENTS: u64 = 2;

/// Repeats that are made side by side.
const LANES: usize = 32;

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Requests that were answered 2xx.
    pub(crate) promised: usize,
    /// Of those the ones that nobody knew of afterwards.
    pub(crate) lost: usize,
    /// Requests that were refused with 503, and those of them without `Retry-After`.
    pub(crate) refused: usize,
    pub(crate) bare: usize,
    /// Requests that were refused and sent all the same.
    pub(crate) refused_and_sent: usize,
    /// Requests that were answered otherwise, or not at all.
    pub(crate) other: usize,
    /// Recipients that were taken more than once.
    pub(crate) duplicates: usize,
    /// Recipients about whom the last report was wrong.
    pub(crate) untrue: usize,
    /// Recipients that ended as unknown.
    pub(crate) unknown: usize,
}

impl Promises {
    /// So many requests on the channel of this provider.
    pub(crate) fn new(kind: Kind, count: u64) -> Self {
        let request = |index| {
            let headers = Headers { prefer: Some("respond-async"), key: Some(index) };
            requests::send_with(kind, Self::recipients(index), headers)
        };
        Self { kind, requests: (0..count).map(request).collect() }
    }

    fn recipients(index: u64) -> Range<u64> {
        let first = index * RECIPIENTS + 1;
        first..first + RECIPIENTS
    }

    /// Repeats every request with its key until its batch is over, and compares reports with the book.
    pub(crate) async fn audit(
        &self,
        gateway: SocketAddr,
        samples: &[Sample],
        provider: &Provider,
    ) -> Result<Audit, RigError> {
        let mut audit = Audit::default();
        let before = provider.book();
        for sample in samples {
            audit.note(sample, &before);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let samples: Vec<_> = samples.iter().skip(lane).step_by(LANES).copied().collect();
            lanes.spawn(repeat_all(gateway, self.kind, samples, deadline));
        }
        let mut reports = Vec::new();
        while let Some(repeated) = lanes.join_next().await {
            let repeated = repeated.map_err(|_| RigError::Answer("a repeat broke"))??;
            audit.lost += repeated.lost;
            reports.extend(repeated.reports);
        }
        let book = provider.book();
        for (index, report) in &reports {
            audit.compare(*index, report, &book);
        }
        Ok(audit)
    }
}

/// What repeats came to.
#[derive(Default)]
struct Repeated {
    lost: usize,
    /// Of which request, and how its batch ended.
    reports: Vec<(u64, Value)>,
}

async fn repeat_all(
    gateway: SocketAddr,
    kind: Kind,
    samples: Vec<Sample>,
    deadline: Instant,
) -> Result<Repeated, RigError> {
    let mut all = Repeated::default();
    let mut connection = Connection::open(gateway).await.map_err(RigError::system("a repeat"))?;
    for sample in samples {
        let index = sample.lane as u64;
        let headers = Headers { prefer: Some("wait=25"), key: Some(index) };
        let request = requests::send_with(kind, Promises::recipients(index), headers);
        let (is_known, report) = repeated(gateway, &mut connection, &request, deadline).await?;
        all.lost += usize::from(is_promised(&sample) && !is_known);
        all.reports.push((index, report));
    }
    Ok(all)
}

/// The report of a batch when it is over, and whether its key was known.
async fn repeated(
    gateway: SocketAddr,
    connection: &mut Connection,
    request: &[u8],
    deadline: Instant,
) -> Result<(bool, Value), RigError> {
    let mut is_known = None;
    while Instant::now() < deadline {
        if !connection.is_reusable() {
            *connection = Connection::open(gateway).await.map_err(RigError::system("a repeat"))?;
        }
        let answer = connection.exchange(request).await.map_err(RigError::system("a repeat"))?;
        if (200..300).contains(&answer.status) {
            is_known.get_or_insert(answer.is_replay);
        }
        if matches!(answer.status, 200 | 207) {
            let report = serde_json::from_slice(connection.body());
            let report = report.map_err(|_| RigError::Answer("a report is no JSON"))?;
            return Ok((is_known.unwrap_or(false), report));
        }
    }
    Err(RigError::Answer("a batch does not end"))
}

fn is_promised(sample: &Sample) -> bool {
    (200..300).contains(&sample.status())
}

impl Audit {
    fn note(&mut self, sample: &Sample, book: &Book) {
        let was_sent = Promises::recipients(sample.lane as u64)
            .any(|recipient| book.times_taken(&recipient.to_string()) > 0);
        if is_promised(sample) {
            self.promised += 1;
        } else if sample.status() == 503 {
            self.refused += 1;
            self.bare += usize::from(!sample.has_retry_after());
            self.refused_and_sent += usize::from(was_sent);
        } else {
            self.other += 1;
        }
    }

    fn compare(&mut self, index: u64, report: &Value, book: &Book) {
        let results = report.get("results").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let status = |place: usize| results.get(place)?.get("status")?.as_str();
        for (place, recipient) in Promises::recipients(index).enumerate() {
            let taken = book.times_taken(&recipient.to_string());
            self.duplicates += usize::from(taken > 1);
            match status(place) {
                Some("accepted") => self.untrue += usize::from(taken == 0),
                Some("failed") => self.untrue += usize::from(taken > 0),
                Some("unknown") => self.unknown += 1,
                _ => self.untrue += 1,
            }
        }
    }

    /// Adds what every such rig promises to the sheet, and says the rest below it.
    pub(crate) fn judge(&self, row: &'static str, name: &str, sheet: &mut Sheet) {
        let none = [
            ("promised batches lost", self.lost),
            ("recipients taken twice", self.duplicates),
            ("recipients reported wrongly", self.untrue),
            ("refused and sent all the same", self.refused_and_sent),
            ("503 without Retry-After", self.bare),
        ];
        for (what, count) in none {
            let value = (Some(count as f64), "");
            sheet.add((row, &format!("{name}: {what}")), value, Bound::AtMost(0.0));
        }
        sheet.note(format!(
            "{name}: {} promised, {} refused, {} answered otherwise or not at all, {} recipients unknown",
            self.promised, self.refused, self.other, self.unknown
        ));
    }
}
