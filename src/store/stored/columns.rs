//! Reads the columns of any engine's rows.

use std::sync::Arc;

use sqlx::{Error, Row as _};

use crate::domain::id::BatchId;
use crate::store::Head;
use crate::store::stored::rows::{BatchRow, ChunkRow, CountsRow, RouteCounters, RouteRow};

/// A row of some engine: its columns by name.
pub(crate) trait Columns {
    fn integer(&self, name: &str) -> Result<i64, Error>;
    fn optional_integer(&self, name: &str) -> Result<Option<i64>, Error>;
    fn truth(&self, name: &str) -> Result<bool, Error>;
    fn text(&self, name: &str) -> Result<String, Error>;
    fn optional_text(&self, name: &str) -> Result<Option<Arc<str>>, Error>;
    fn bytes(&self, name: &str) -> Result<Vec<u8>, Error>;
    fn optional_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn integer(&self, name: &str) -> Result<i64, Error> {
                self.try_get(name)
            }

            fn optional_integer(&self, name: &str) -> Result<Option<i64>, Error> {
                self.try_get(name)
            }

            fn truth(&self, name: &str) -> Result<bool, Error> {
                self.try_get(name)
            }

            fn text(&self, name: &str) -> Result<String, Error> {
                self.try_get(name)
            }

            fn optional_text(&self, name: &str) -> Result<Option<Arc<str>>, Error> {
                Ok(self.try_get::<Option<String>, _>(name)?.map(Arc::from))
            }

            fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
                self.try_get(name)
            }

            fn optional_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
                self.try_get(name)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
columns_of!(sqlx::sqlite::SqliteRow);
#[cfg(feature = "postgres")]
columns_of!(sqlx::postgres::PgRow);

/// Reads whose a batch is, and as `is_over` whether it is that.
pub(crate) fn head_row(row: &impl Columns) -> Result<Head, Error> {
    Ok(Head { caller: row.optional_text("caller")?, is_over: row.truth("is_over")? })
}

/// Reads a row of `batches`; `resends` come from `links`.
pub(crate) fn batch_row(id: BatchId, row: &impl Columns, resends: Vec<BatchId>) -> Result<BatchRow, Error> {
    Ok(BatchRow {
        id,
        caller: row.optional_text("caller")?,
        client_ref: row.optional_text("client_ref")?,
        created_at: row.integer("created_at")?,
        expires_at: row.integer("expires_at")?,
        completed_at: row.optional_integer("completed_at")?,
        canceled: row.truth("canceled")?,
        on_invalid: row.text("on_invalid")?,
        retry_unknown: row.text("retry_unknown")?,
        resend: row.optional_text("resend")?.map(|resend| resend.to_string()),
        callback: row.optional_text("callback")?,
        resends,
        is_canceled: row.truth("is_canceled")?,
        warnings: row.text("warnings")?,
        counts: CountsRow { total: row.integer("total")?, ..counts_row(row)? },
    })
}

/// Reads a row of `routes`.
pub(crate) fn route_row(row: &impl Columns) -> Result<RouteRow, Error> {
    Ok(RouteRow {
        route_index: row.integer("route_index")?,
        channel: row.text("channel")?,
        provider: row.text("provider")?,
        is_sandbox: row.truth("is_sandbox")?,
        route: row.text("route")?,
        recipients: row.bytes("recipients")?,
        entries: row.optional_bytes("entries")?,
        chatroom_id: row.optional_bytes("chatroom_id")?.map(read_text).transpose()?,
        unsent_positions: row.optional_bytes("unsent_positions")?,
        unsent_outcomes: row.optional_bytes("unsent_outcomes")?,
        counters: RouteCounters {
            calls: row.integer("calls")?,
            retries: row.integer("retries")?,
            throttled: row.integer("throttled")?,
            request_ids: row.text("request_ids")?,
        },
    })
}

/// Reads a row of `chunks`.
pub(crate) fn chunk_row(row: &impl Columns) -> Result<ChunkRow, Error> {
    Ok(ChunkRow {
        route_index: row.integer("route_index")?,
        first_position: row.integer("first_position")?,
        positions: row.bytes("positions")?,
        outcomes: row.optional_bytes("outcomes")?,
        attempts: row.integer("attempts")?,
        remarks: row.optional_text("remarks")?,
        counts: counts_row(row)?,
    })
}

/// Reads how many ended in each way; their total is another column.
pub(crate) fn counts_row(row: &impl Columns) -> Result<CountsRow, Error> {
    let (accepted, failed, unknown) =
        (row.integer("accepted")?, row.integer("failed")?, row.integer("unknown")?);
    Ok(CountsRow { total: 0, accepted, failed, unknown })
}

/// Some engines keep text as bytes where a caller may have put a NUL into it.
fn read_text(bytes: Vec<u8>) -> Result<Arc<str>, Error> {
    String::from_utf8(bytes).map(Arc::from).map_err(|error| Error::Decode(error.into()))
}
