//! A batch as rows, whatever the engine: one of the batch, one a route, one a call that is out or done.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::domain::batch::{Batch, OnInvalid, Resend, RetryUnknown};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::outcome::Counts;
use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Report, RouteReport, Settled, Warning, WarningCode};
use crate::domain::route::Route;
use crate::store::StoreError;
use crate::store::durable::{Chunk, Unfinished};
use crate::store::stored::outcomes::{decode_outcomes, encode_outcomes};
use crate::store::stored::packed::{
    decode_positions, decode_recipients, encode_positions, encode_recipients,
};
use crate::store::stored::route::{decode_route, encode_route};
use crate::store::stored::{Providers, Unreadable, from_document, to_document};

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Corrupt(unreadable.0)
    }
}

/// A batch with everything decided so far.
#[derive(Debug)]
pub(crate) struct BatchRows {
    pub(crate) batch: BatchRow,
    pub(crate) routes: Vec<RouteRow>,
    pub(crate) chunks: Vec<ChunkRow>,
}

#[derive(Debug)]
pub(crate) struct BatchRow {
    pub(crate) id: BatchId,
    pub(crate) caller: Option<Arc<str>>,
    pub(crate) client_ref: Option<Arc<str>>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) completed_at: Option<i64>,
    pub(crate) canceled: bool,
    pub(crate) on_invalid: String,
    pub(crate) retry_unknown: String,
    pub(crate) resend: Option<String>,
    pub(crate) callback: Option<Arc<str>>,
    pub(crate) warnings: String,
    /// Batches that send some of its recipients again.
    pub(crate) resends: Vec<BatchId>,
    /// Whether no further call may start.
    pub(crate) is_canceled: bool,
    /// Of a batch that has ended: everybody. Before: those that were decided without a call.
    pub(crate) counts: CountsRow,
}

/// How many ended in each way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CountsRow {
    pub(crate) total: i64,
    pub(crate) accepted: i64,
    pub(crate) failed: i64,
    pub(crate) unknown: i64,
}

#[derive(Debug)]
pub(crate) struct RouteRow {
    pub(crate) route_index: i64,
    pub(crate) channel: String,
    pub(crate) provider: String,
    pub(crate) is_sandbox: bool,
    pub(crate) route: String,
    pub(crate) recipients: Vec<u8>,
    /// The entries of `to` where they are not the recipients.
    pub(crate) entries: Option<Vec<u8>>,
    pub(crate) chatroom_id: Option<Arc<str>>,
    pub(crate) unsent_positions: Option<Vec<u8>>,
    pub(crate) unsent_outcomes: Option<Vec<u8>>,
    pub(crate) counters: RouteCounters,
}

/// What changes in a route beside its calls.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    pub(crate) calls: i64,
    pub(crate) retries: i64,
    pub(crate) throttled: i64,
    pub(crate) request_ids: String,
}

#[derive(Debug)]
pub(crate) struct ChunkRow {
    pub(crate) route_index: i64,
    pub(crate) first_position: i64,
    pub(crate) positions: Vec<u8>,
    /// `None` = the call is out.
    pub(crate) outcomes: Option<Vec<u8>>,
    pub(crate) attempts: i64,
    pub(crate) counts: CountsRow,
}

#[derive(Serialize, Deserialize)]
struct StoredResend {
    of: String,
    root: String,
    root_routes: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct StoredWarning {
    code: String,
    channel: Option<String>,
    pointer: Option<String>,
    detail: String,
}

const WARNING_CODES: [WarningCode; 3] =
    [WarningCode::FieldLeftOut, WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer];

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

impl BatchRows {
    /// Everything that a report says, and the calls that are out.
    pub(crate) fn encode(report: &Report, in_flight: &[Chunk]) -> Result<Self, Unreadable> {
        let mut chunks = Vec::new();
        for (route_index, route) in report.routes.iter().enumerate() {
            for settled in &route.settled {
                chunks.push(ChunkRow::done(route_index, settled)?);
            }
        }
        chunks.extend(in_flight.iter().map(ChunkRow::in_flight));
        let routes = report.batch.routes.iter().zip(&report.routes).enumerate();
        let routes = routes.map(|(index, (route, kept))| RouteRow::encode(index, route, kept));
        Ok(Self { batch: BatchRow::encode(report)?, routes: routes.collect::<Result<_, _>>()?, chunks })
    }

    /// Bytes that the rows take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let chunk = |chunk: &ChunkRow| chunk.bytes();
        let route = |route: &RouteRow| {
            let optional = [&route.entries, &route.unsent_positions, &route.unsent_outcomes];
            let optional: usize = optional.into_iter().flatten().map(Vec::len).sum();
            route.route.len() + route.recipients.len() + optional
        };
        self.routes.iter().map(route).sum::<usize>() + self.chunks.iter().map(chunk).sum::<usize>()
    }

    /// The batch as it stood when the rows were written, and the calls that were out.
    pub(crate) fn decode(self, providers: Providers) -> Result<Unfinished, Unreadable> {
        let mut routes = Vec::with_capacity(self.routes.len());
        let mut reports = Vec::with_capacity(self.routes.len());
        for row in self.routes {
            let (route, report) = row.decode(providers, self.batch.resend.is_some())?;
            routes.push(Arc::new(route));
            reports.push(report);
        }
        let mut in_flight = Vec::new();
        for chunk in self.chunks {
            let route_index = usize::try_from(chunk.route_index).unwrap_or(usize::MAX);
            let report = reports.get_mut(route_index).ok_or_else(|| Unreadable::new("a call of no route"))?;
            let positions = positions_within(&chunk.positions, &report.recipients)?;
            match chunk.outcomes {
                None => in_flight.push(Chunk { route_index, positions }),
                // The rows come in the order of their first positions.
                Some(outcomes) => {
                    let outcomes = decode_outcomes(&outcomes, positions.len())?;
                    let attempts = u32_of(chunk.attempts)?;
                    report.settled.push(Settled { positions, outcomes, attempts });
                }
            }
        }
        let is_canceled = self.batch.is_canceled;
        let report = self.batch.decode(routes, reports)?;
        Ok(Unfinished { report: Arc::new(report), in_flight, is_canceled })
    }
}

impl BatchRow {
    fn encode(report: &Report) -> Result<Self, Unreadable> {
        // Taken apart, so that a new field has to be looked at here.
        let Batch {
            id,
            caller,
            client_ref,
            created_at,
            expires_at,
            on_invalid,
            retry_unknown,
            routes: _,
            resend,
            callback,
        } = &*report.batch;
        Ok(Self {
            id: *id,
            caller: caller.clone(),
            client_ref: client_ref.clone(),
            created_at: to_nanoseconds(*created_at),
            expires_at: to_nanoseconds(*expires_at),
            completed_at: report.completed_at.map(to_nanoseconds),
            canceled: report.canceled,
            on_invalid: match on_invalid {
                OnInvalid::Skip => "skip".to_owned(),
                OnInvalid::Reject => "reject".to_owned(),
            },
            retry_unknown: match retry_unknown {
                RetryUnknown::Never => "never".to_owned(),
                RetryUnknown::Allowed => "allowed".to_owned(),
            },
            resend: resend.as_ref().map(encode_resend).transpose()?,
            callback: callback.clone(),
            warnings: encode_warnings(&report.warnings)?,
            resends: report.resends.clone(),
            is_canceled: false,
            counts: Self::counts(report),
        })
    }

    fn counts(report: &Report) -> CountsRow {
        if report.is_over() {
            return report.counts().into();
        }
        let mut counts = Counts::default();
        for unsent in report.routes.iter().filter_map(|route| route.unsent.as_ref()) {
            counts += unsent.outcomes.counts();
        }
        counts.total = report.routes.iter().map(|route| route.recipients.len()).sum();
        counts.into()
    }

    fn decode(self, routes: Vec<Arc<Route>>, reports: Vec<RouteReport>) -> Result<Report, Unreadable> {
        let on_invalid = match self.on_invalid.as_str() {
            "skip" => OnInvalid::Skip,
            "reject" => OnInvalid::Reject,
            other => return Err(Unreadable(format!("unknown on_invalid `{other}`"))),
        };
        let retry_unknown = match self.retry_unknown.as_str() {
            "never" => RetryUnknown::Never,
            "allowed" => RetryUnknown::Allowed,
            other => return Err(Unreadable(format!("unknown retry_unknown `{other}`"))),
        };
        let batch = Batch {
            id: self.id,
            caller: self.caller,
            client_ref: self.client_ref,
            created_at: from_nanoseconds(self.created_at),
            expires_at: from_nanoseconds(self.expires_at),
            on_invalid,
            retry_unknown,
            routes,
            resend: self.resend.as_deref().map(decode_resend).transpose()?,
            callback: self.callback,
        };
        Ok(Report {
            batch: Arc::new(batch),
            completed_at: self.completed_at.map(from_nanoseconds),
            canceled: self.canceled,
            routes: reports,
            warnings: decode_warnings(&self.warnings)?,
            resends: self.resends,
            eta: None,
        })
    }
}

impl RouteRow {
    fn encode(route_index: usize, route: &Route, report: &RouteReport) -> Result<Self, Unreadable> {
        let RouteReport {
            channel,
            provider,
            is_sandbox,
            recipients,
            chatroom_id,
            settled: _,
            unsent,
            calls: _,
            retries: _,
            throttled: _,
            provider_request_ids: _,
        } = report;
        let unsent_outcomes = unsent.as_ref().map(|unsent| encode_outcomes(&unsent.outcomes)).transpose()?;
        Ok(Self {
            route_index: column(route_index),
            channel: channel.as_str().to_owned(),
            provider: (*provider).to_owned(),
            is_sandbox: *is_sandbox,
            route: encode_route(route)?,
            recipients: encode_recipients(recipients),
            entries: (!is_same(&route.to, recipients)).then(|| encode_recipients(&route.to)),
            chatroom_id: chatroom_id.clone(),
            unsent_positions: unsent.as_ref().map(|unsent| encode_positions(&unsent.positions)),
            unsent_outcomes,
            counters: RouteCounters::encode(report)?,
        })
    }

    fn decode(self, providers: Providers, is_resend: bool) -> Result<(Route, RouteReport), Unreadable> {
        let channel = read_channel(&self.channel)?;
        let provider = providers(&self.provider)
            .ok_or_else(|| Unreadable(format!("no provider `{}`", self.provider)))?;
        let recipients = Arc::new(decode_recipients(&self.recipients)?);
        let entries = match &self.entries {
            None => Arc::clone(&recipients),
            Some(entries) => Arc::new(decode_recipients(entries)?),
        };
        let unsent = match (&self.unsent_positions, &self.unsent_outcomes) {
            (Some(positions), Some(outcomes)) => {
                let positions = positions_within(positions, &recipients)?;
                let outcomes = decode_outcomes(outcomes, positions.len())?;
                Some(Settled { positions, outcomes, attempts: 0 })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(Unreadable::new("half of the unsent")),
        };
        // Whom a resend goes to was chosen when it began: they are its recipients.
        let only = is_resend.then(|| Arc::clone(&recipients));
        let route = Route { only, ..decode_route(&self.route, channel.clone(), entries)? };
        let report = RouteReport {
            channel,
            provider,
            is_sandbox: self.is_sandbox,
            recipients,
            chatroom_id: self.chatroom_id,
            settled: Vec::new(),
            unsent,
            calls: u32_of(self.counters.calls)?,
            retries: u32_of(self.counters.retries)?,
            throttled: Duration::from_nanos(u64::try_from(self.counters.throttled).unwrap_or_default()),
            provider_request_ids: from_document(&self.counters.request_ids)?,
        };
        Ok((route, report))
    }
}

impl RouteCounters {
    /// What a route counts while it runs.
    pub(crate) fn encode(report: &RouteReport) -> Result<Self, Unreadable> {
        Ok(Self {
            calls: i64::from(report.calls),
            retries: i64::from(report.retries),
            throttled: i64::try_from(report.throttled.as_nanos()).unwrap_or(i64::MAX),
            request_ids: to_document(&report.provider_request_ids)?,
        })
    }
}

impl ChunkRow {
    /// A call that is out.
    pub(crate) fn in_flight(chunk: &Chunk) -> Self {
        Self {
            route_index: column(chunk.route_index),
            first_position: first_position(&chunk.positions),
            positions: encode_positions(&chunk.positions),
            outcomes: None,
            attempts: 0,
            counts: CountsRow::default(),
        }
    }

    /// Recipients that are decided.
    pub(crate) fn done(route_index: usize, settled: &Settled) -> Result<Self, Unreadable> {
        Ok(Self {
            route_index: column(route_index),
            first_position: first_position(&settled.positions),
            positions: encode_positions(&settled.positions),
            outcomes: Some(encode_outcomes(&settled.outcomes)?),
            attempts: i64::from(settled.attempts),
            counts: settled.outcomes.counts().into(),
        })
    }

    /// Bytes that the row takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        64 + self.positions.len() + self.outcomes.as_ref().map_or(0, Vec::len)
    }
}

/// Names a call within its route.
pub(crate) fn first_position(positions: &Positions) -> i64 {
    i64::from(positions.get(0).unwrap_or_default())
}

/// Reads positions that must be those of recipients: a send-to-all may have named fewer than it was begun for.
fn positions_within(bytes: &[u8], recipients: &RecipientList) -> Result<Positions, Unreadable> {
    let positions = decode_positions(bytes)?;
    let last = positions.len().checked_sub(1).and_then(|offset| positions.get(offset));
    if last.is_some_and(|last| last >= narrow(recipients.len())) {
        return Err(Unreadable::new("a position behind the last recipient"));
    }
    Ok(positions)
}

/// Whether two lists are the same, without comparing them where they are one.
pub(crate) fn is_same(left: &Arc<RecipientList>, right: &Arc<RecipientList>) -> bool {
    Arc::ptr_eq(left, right) || left == right
}

/// Reads a channel's name.
pub(crate) fn read_channel(text: &str) -> Result<ChannelName, Unreadable> {
    ChannelName::parse(text).ok_or_else(|| Unreadable::new("a channel that has no name"))
}

/// Reads a batch's name.
pub(crate) fn read_id(text: &str) -> Result<BatchId, Unreadable> {
    BatchId::parse(text).ok_or_else(|| Unreadable::new("a batch that has no name"))
}

fn u32_of(column: i64) -> Result<u32, Unreadable> {
    u32::try_from(column).map_err(|_| Unreadable::new("a count out of range"))
}

fn encode_resend(resend: &Resend) -> Result<String, Unreadable> {
    let Resend { of, root, root_routes } = resend;
    to_document(StoredResend { of: of.to_string(), root: root.to_string(), root_routes: root_routes.clone() })
}

fn decode_resend(text: &str) -> Result<Resend, Unreadable> {
    let StoredResend { of, root, root_routes } = from_document(text)?;
    Ok(Resend { of: read_id(&of)?, root: read_id(&root)?, root_routes })
}

/// Writes warnings.
pub(crate) fn encode_warnings(warnings: &[Warning]) -> Result<String, Unreadable> {
    let stored = warnings.iter().map(|Warning { code, channel, pointer, detail }| StoredWarning {
        code: code.as_str().to_owned(),
        channel: channel.as_ref().map(|channel| channel.as_str().to_owned()),
        pointer: pointer.clone(),
        detail: detail.clone(),
    });
    to_document(stored.collect::<Vec<_>>())
}

fn decode_warnings(text: &str) -> Result<Vec<Warning>, Unreadable> {
    let stored: Vec<StoredWarning> = from_document(text)?;
    let read = stored.into_iter().map(|StoredWarning { code, channel, pointer, detail }| {
        let found = WARNING_CODES.into_iter().find(|known| known.as_str() == code);
        let code = found.ok_or_else(|| Unreadable(format!("unknown warning `{code}`")))?;
        let channel = channel.as_deref().map(read_channel).transpose()?;
        Ok(Warning { code, channel, pointer, detail })
    });
    read.collect()
}
