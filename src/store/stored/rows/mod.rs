//! A batch as rows, whatever the engine: one of the batch, one a route, one a call that is out or done.

mod batch;
mod chunk;
mod remarks;
mod route;
mod values;

use std::sync::Arc;

use crate::domain::report::{Remarks, Report, RouteReport, Settled};
use crate::store::StoreError;
use crate::store::durable::{Chunk, Unfinished};
use crate::store::stored::outcomes::decode_outcomes;
pub(crate) use crate::store::stored::rows::batch::BatchRow;
use crate::store::stored::rows::chunk::positions_within;
pub(crate) use crate::store::stored::rows::chunk::{ChunkRow, first_position};
use crate::store::stored::rows::remarks::decode_remarks;
pub(crate) use crate::store::stored::rows::remarks::encode_warnings;
pub(crate) use crate::store::stored::rows::route::{RouteCounters, RouteRow, is_same};
use crate::store::stored::rows::values::u32_of;
pub(crate) use crate::store::stored::rows::values::{
    CountsRow, column, from_nanoseconds, read_channel, read_id, to_nanoseconds,
};
use crate::store::stored::{Providers, Unreadable};

/// Rows of more bytes are decoded away from the threads that serve connections, which it keeps busy for a millisecond
/// and more.
const LARGE_BYTES: usize = 256 * 1024;

/// A batch with everything decided so far.
#[derive(Debug)]
pub(crate) struct BatchRows {
    pub(crate) batch: BatchRow,
    pub(crate) routes: Vec<RouteRow>,
    pub(crate) chunks: Vec<ChunkRow>,
}

impl BatchRows {
    /// Everything that a report says, and the calls that are out.
    pub(crate) fn encode(report: &Report, in_flight: &[Chunk]) -> Result<Self, Unreadable> {
        let mut chunks = Vec::new();
        for (route_index, route) in report.routes.iter().enumerate() {
            for settled in &route.settled {
                // What their answers said stands with the route and the batch.
                chunks.push(ChunkRow::done(route_index, settled, &Remarks::default())?);
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

    /// As [`decode`](Self::decode), without holding up whoever else works on this thread.
    pub(crate) async fn decode_aside(self, providers: Providers) -> Result<Unfinished, StoreError> {
        if self.bytes() <= LARGE_BYTES {
            return Ok(self.decode(providers)?);
        }
        let decoded = tokio::task::spawn_blocking(move || self.decode(providers)).await;
        Ok(decoded.map_err(|error| Unreadable::new(format!("decoding it broke: {error}")))??)
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
        let has_ended = self.batch.completed_at.is_some();
        let mut in_flight = Vec::new();
        let mut warnings = Vec::new();
        for chunk in self.chunks {
            let route_index = usize::try_from(chunk.route_index).unwrap_or(usize::MAX);
            let report = reports.get_mut(route_index).ok_or_else(|| Unreadable::new("a call of no route"))?;
            let positions = positions_within(&chunk.positions, &report.recipients)?;
            if !has_ended {
                let remarks = decode_remarks(chunk.remarks.as_deref())?;
                report.provider_request_ids.extend(remarks.request_id);
                warnings.extend(remarks.warnings);
            }
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
        if !has_ended {
            reports.iter_mut().for_each(RouteReport::count_calls);
        }
        let is_canceled = self.batch.is_canceled;
        let mut report = self.batch.decode(routes, reports)?;
        warnings.into_iter().for_each(|warning| warning.add_to(&mut report.warnings));
        Ok(Unfinished { report: Arc::new(report), in_flight, is_canceled })
    }
}
