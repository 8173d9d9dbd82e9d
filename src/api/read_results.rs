//! `GET /v1/batches/{id}/results`: results by page, or all of them as a stream.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::read_batch::{batch_id, check_known, store_away, unknown_batch};
use crate::api::report::json;
use crate::api::report::stream::{ResultStream, StreamFormat};
use crate::api::report::walk::rows;
use crate::api::result_parameters::Parameters;
use crate::api::router::State;
use crate::api::{accept, answer, page_token};
use crate::domain::id::BatchId;
use crate::domain::report::Report;

/// Reports with more results are looked through away from the threads that serve connections.
const MANY_RESULTS: usize = 10_000;

/// Answers with results in the caller's order.
///
/// # Errors
/// A [`Problem`] if no such batch is known, a parameter is wrong, or the store is away.
pub async fn read_results(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let parameters = Parameters::read(&uri).map_err(Problem::faults)?;
    let report = find_recent(&state, &caller, id).await?;
    let others = [("application/x-ndjson", Some(StreamFormat::Lines)), ("text/csv", Some(StreamFormat::Csv))];
    let Some(format) = accept::best(&headers, ("application/json", None), &others) else {
        return Ok(answer::with_type("application/json", page_aside(report, parameters).await?));
    };
    let content_type = match format {
        StreamFormat::Lines => "application/x-ndjson",
        StreamFormat::Csv => "text/csv; charset=utf-8; header=present",
    };
    let stream = ResultStream::new(report, format, parameters.filter, parameters.start);
    Ok(answer::with_type(content_type, Body::from_stream(stream)))
}

/// The report of a batch that this caller may know of; a large one is read from the store once, not for every page.
async fn find_recent(state: &State, caller: &Caller, id: BatchId) -> Result<Arc<Report>, Problem> {
    check_known(state, caller, id).await?;
    let away = |error| store_away(id, &error);
    if let Some(report) = state.recent_reports.find(id).await.map_err(away)? {
        return Ok(report);
    }
    let report = state.api.dispatcher.report(id).await.map_err(away)?.ok_or_else(unknown_batch)?;
    state.recent_reports.keep(&report).await;
    Ok(report)
}

/// One page; of a large report it is looked for away from the threads that serve connections, since few may match.
async fn page_aside(report: Arc<Report>, parameters: Parameters) -> Result<Vec<u8>, Problem> {
    if report.counts().total <= MANY_RESULTS {
        return Ok(page(&report, &parameters));
    }
    tokio::task::spawn_blocking(move || page(&report, &parameters)).await.map_err(|error| {
        tracing::error!(%error, "Writing a page of results failed.");
        Problem::new(ProblemCode::Internal, "the page was not written")
    })
}

fn page(report: &Report, parameters: &Parameters) -> Vec<u8> {
    let wanted = || rows(report, parameters.start).filter(|row| parameters.filter.takes(row.outcome()));
    let next = wanted().nth(parameters.page_size).map(|row| row.index);
    let token = next.map(|index| page_token::write(index, parameters.filter.bits()));
    json::page(wanted().take(parameters.page_size), &token.unwrap_or_default())
}
