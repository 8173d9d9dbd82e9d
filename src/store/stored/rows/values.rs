//! Single columns: times, counts and names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::id::{BatchId, ChannelName};
use crate::domain::outcome::Counts;
use crate::store::stored::Unreadable;

/// Nanoseconds since 1970; what does not fit saturates.
pub(crate) fn to_nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |count| -count),
    }
}

/// What [`to_nanoseconds`] wrote.
pub(crate) fn from_nanoseconds(count: i64) -> SystemTime {
    let distance = Duration::from_nanos(count.unsigned_abs());
    let time = if count < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// A count for a column.
pub(crate) fn column(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How many ended in each way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CountsRow {
    pub(crate) total: i64,
    pub(crate) accepted: i64,
    pub(crate) failed: i64,
    pub(crate) unknown: i64,
}

impl From<Counts> for CountsRow {
    fn from(counts: Counts) -> Self {
        let Counts { total, accepted, failed, unknown, pending: _ } = counts;
        Self {
            total: column(total),
            accepted: column(accepted),
            failed: column(failed),
            unknown: column(unknown),
        }
    }
}

impl From<CountsRow> for Counts {
    fn from(row: CountsRow) -> Self {
        let count = |column: i64| usize::try_from(column).unwrap_or_default();
        let (total, accepted) = (count(row.total), count(row.accepted));
        let (failed, unknown) = (count(row.failed), count(row.unknown));
        Self { total, accepted, failed, unknown, pending: total.saturating_sub(accepted + failed + unknown) }
    }
}

/// Reads a channel's name.
pub(crate) fn read_channel(text: &str) -> Result<ChannelName, Unreadable> {
    ChannelName::parse(text).ok_or_else(|| Unreadable::new("a channel that has no name"))
}

/// Reads a batch's name.
pub(crate) fn read_id(text: &str) -> Result<BatchId, Unreadable> {
    BatchId::parse(text).ok_or_else(|| Unreadable::new("a batch that has no name"))
}

/// Reads a count that was written from 32 bits.
pub(super) fn u32_of(column: i64) -> Result<u32, Unreadable> {
    u32::try_from(column).map_err(|_| Unreadable::new("a count out of range"))
}
