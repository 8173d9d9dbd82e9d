//! `GET /v1/batches`: recent batches, newest first, by page.

use axum::extract::State as FromState;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;

use crate::api::answer;
use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::query;
use crate::api::report::json;
use crate::api::router::State;
use crate::domain::fault::Fault;
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::report::Status;
use crate::store::Filter;

/// Batches of a page when the caller does not say.
const DEFAULT_PAGE_SIZE: usize = 50;

/// Most batches of a page; a caller that asks for more gets this many, as AIP-158 says.
const MOST_PAGE_SIZE: usize = 500;

/// How soon to come back while the store is away, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Answers with the caller's batches; with everybody's if an operator asks.
///
/// # Errors
/// A [`Problem`] if a parameter is wrong, or the store is away.
pub async fn list_batches(
    FromState(state): FromState<State>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let Parameters { status, channel, page_size, before } =
        Parameters::read(&uri).map_err(Problem::faults)?;
    let own = if caller.is_operator() { None } else { caller.name().cloned() };
    // One more tells whether there is another page.
    let filter = Filter { caller: own, status, channel, before, most: page_size + 1 };
    let mut lines = state.api.dispatcher.list(filter).await.map_err(|error| {
        tracing::error!(%error, "Recorded batches cannot be listed.");
        let detail = "recorded batches cannot be read now";
        Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(RETRY_AFTER_SECONDS)
    })?;
    let has_more = lines.len() > page_size;
    lines.truncate(page_size);
    let next = lines.last().filter(|_| has_more).map(|line| write_token(line.id));
    Ok(answer::with_type("application/json", json::list(&lines, &next.unwrap_or_default())))
}

/// What a caller wants of the list.
#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    status: Option<Status>,
    channel: Option<ChannelName>,
    page_size: usize,
    /// Only batches older than this one.
    before: Option<BatchId>,
}

impl Parameters {
    fn read(uri: &Uri) -> Result<Self, Vec<Fault>> {
        let mut found = Self { status: None, channel: None, page_size: DEFAULT_PAGE_SIZE, before: None };
        let known = ["status", "channel", "page_size", "page_token"];
        let faults = query::read(uri, &known, |name, value| {
            match name {
                "status" => found.status = Some(read_status(value)?),
                "channel" => {
                    found.channel = Some(ChannelName::parse(value).ok_or("is no name of a channel")?);
                }
                "page_size" => found.page_size = query::page_size(value, DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE)?,
                _ => found.before = Some(read_token(value).ok_or("is not a token of this list")?),
            }
            Ok(())
        });
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }
}

fn read_status(word: &str) -> Result<Status, &'static str> {
    let status = Status::ALL.into_iter().find(|status| status.as_str() == word);
    status.ok_or("must be one of: processing, completed, canceled")
}

/// The token of the page after this batch: callers pass it back unread.
fn write_token(last: BatchId) -> String {
    URL_SAFE_NO_PAD.encode(last.to_string())
}

fn read_token(token: &str) -> Option<BatchId> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    BatchId::parse(std::str::from_utf8(&bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, Vec<String>> {
        let uri: Uri = format!("/v1/batches{query}").parse().unwrap();
        let told = |fault: &Fault| format!("{} {:?}", fault.pointer, fault.code);
        Parameters::read(&uri).map_err(|faults| faults.iter().map(told).collect())
    }

    #[test]
    fn reads_parameters_and_names_what_is_wrong() {
        let none = Parameters { status: None, channel: None, page_size: 50, before: None };
        assert_eq!(read(""), Ok(none));
        let before = BatchId::new(7, 9);
        let all = Parameters {
            status: Some(Status::Canceled),
            channel: ChannelName::parse("main"),
            page_size: 500,
            before: Some(before),
        };
        let token = write_token(before);
        assert_eq!(read(&format!("?status=canceled&channel=main&page_size=999&page_token={token}")), Ok(all));
        let faults = read("?status=over&channel=NO&page_size=-1&page_token=x&x=1&x=2").unwrap_err();
        let expected = [
            "/status OutOfRange",
            "/channel OutOfRange",
            "/page_size OutOfRange",
            "/page_token OutOfRange",
            "/x UnknownField",
            "/x Conflict",
        ];
        assert_eq!(faults, expected);
    }
}
