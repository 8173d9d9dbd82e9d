//! Which batches a list takes: what stands behind the columns of its statement, the same for every engine.
//!
//! It starts from what is rarest of what the filter names, and each start has an index in the order of the list
//! (`migrations/*/*_lists.sql`), so that a page costs about as much as it holds, however many batches are kept.

use sqlx::{Database, Encode, QueryBuilder, Type};

use crate::domain::report::Status;
use crate::store::Filter;
use crate::store::stored::rows::column;

/// Appends everything from `FROM` on to a statement that names columns of `batches`.
pub(crate) fn push_filter<DB: Database>(statement: &mut QueryBuilder<DB>, filter: &Filter)
where
    String: for<'q> Encode<'q, DB> + Type<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
{
    let Filter { caller, status, channel, before, most } = filter;
    // Few batches run or were canceled at any time, and a caller's own come before those of others.
    let starts_with_channel = caller.is_none() && matches!(status, None | Some(Status::Completed));
    let id = match channel {
        None => {
            statement.push(" FROM batches WHERE true");
            "batches.id"
        }
        Some(channel) if starts_with_channel => {
            // The first of a batch's routes through the channel stands for all of them.
            let first = " FROM routes AS sent CROSS JOIN batches WHERE batches.id = sent.batch \
                AND NOT EXISTS (SELECT 1 FROM routes AS earlier WHERE earlier.batch = sent.batch \
                AND earlier.channel = sent.channel AND earlier.route_index < sent.route_index) \
                AND sent.channel = ";
            statement.push(first).push_bind(channel.to_string());
            "sent.batch"
        }
        Some(channel) => {
            let some = " FROM batches WHERE EXISTS (SELECT 1 FROM routes \
                WHERE routes.batch = batches.id AND routes.channel = ";
            statement.push(some).push_bind(channel.to_string()).push(")");
            "batches.id"
        }
    };
    if let Some(caller) = caller {
        statement.push(" AND batches.caller = ").push_bind(caller.to_string());
    }
    // Word by word what the indexes say.
    statement.push(match status {
        None => "",
        Some(Status::Processing) => " AND completed_at IS NULL",
        Some(Status::Completed) => " AND completed_at IS NOT NULL AND NOT canceled",
        Some(Status::Canceled) => " AND completed_at IS NOT NULL AND canceled",
    });
    if let Some(before) = before {
        statement.push(" AND ").push(id).push(" < ").push_bind(before.to_string());
    }
    statement.push(" ORDER BY ").push(id).push(" DESC LIMIT ").push_bind(column(*most));
}
