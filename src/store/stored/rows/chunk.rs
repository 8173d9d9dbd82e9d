//! One call that is out, or the recipients that one has decided.

use std::sync::Arc;

use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Remarks, Settled};
use crate::store::durable::Chunk;
use crate::store::stored::Unreadable;
use crate::store::stored::outcomes::encode_outcomes;
use crate::store::stored::packed::{decode_positions, encode_positions};
use crate::store::stored::rows::remarks::encode_remarks;
use crate::store::stored::rows::values::{CountsRow, column};

#[derive(Debug)]
pub(crate) struct ChunkRow {
    pub(crate) route_index: i64,
    pub(crate) first_position: i64,
    pub(crate) positions: Vec<u8>,
    /// `None` = the call is out.
    pub(crate) outcomes: Option<Vec<u8>>,
    pub(crate) attempts: i64,
    /// What the answer said beside its outcomes; of a batch that has ended, its route and the batch itself have it all.
    pub(crate) remarks: Option<Arc<str>>,
    pub(crate) counts: CountsRow,
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
            remarks: None,
            counts: CountsRow::default(),
        }
    }

    /// Recipients that are decided.
    pub(crate) fn done(route_index: usize, settled: &Settled, remarks: &Remarks) -> Result<Self, Unreadable> {
        Ok(Self {
            route_index: column(route_index),
            first_position: first_position(&settled.positions),
            positions: encode_positions(&settled.positions),
            outcomes: Some(encode_outcomes(&settled.outcomes)?),
            attempts: i64::from(settled.attempts),
            remarks: encode_remarks(remarks)?,
            counts: settled.outcomes.counts().into(),
        })
    }

    /// Bytes that the row takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let remarks = self.remarks.as_ref().map_or(0, |remarks| remarks.len());
        64 + self.positions.len() + self.outcomes.as_ref().map_or(0, Vec::len) + remarks
    }
}

/// Names a call within its route.
pub(crate) fn first_position(positions: &Positions) -> i64 {
    i64::from(positions.get(0).unwrap_or_default())
}

/// Reads positions that must be those of recipients: a send-to-all may have named fewer than it was begun for.
pub(super) fn positions_within(bytes: &[u8], recipients: &RecipientList) -> Result<Positions, Unreadable> {
    let positions = decode_positions(bytes)?;
    let last = positions.len().checked_sub(1).and_then(|offset| positions.get(offset));
    if last.is_some_and(|last| last >= narrow(recipients.len())) {
        return Err(Unreadable::new("a position behind the last recipient"));
    }
    Ok(positions)
}
