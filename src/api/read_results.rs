//! `GET /v1/batches/{id}/results`: results by page, or all of them as a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as FromState};
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Uri};

use crate::api::problem::Problem;
use crate::api::read_batch::{batch_id, find};
use crate::api::report::line::LineWriter;
use crate::api::report::walk::{StatusFilter, rows};
use crate::api::report::{csv, json};
use crate::api::router::State;
use crate::api::{accept, answer, page_token};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::report::Report;

/// Results of a page when the caller does not say.
const DEFAULT_PAGE_SIZE: usize = 100;

/// Most results of a page; a caller that asks for more gets this many, as AIP-158 says.
const MOST_PAGE_SIZE: usize = 1000;

/// Bytes of a stream's piece, roughly: large enough to be worth a write, small enough to be forgotten.
const PIECE_BYTES: usize = 64 * 1024;

/// Most results that are looked at for one piece, so that a filter that takes few keeps no thread busy.
const MOST_ROWS_PER_PIECE: usize = 20_000;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Page,
    Lines,
    Csv,
}

/// Answers with results in the caller's order.
///
/// # Errors
/// A [`Problem`] if no such batch is known, a parameter is wrong, or the store is away.
pub async fn read_results(
    FromState(state): FromState<State>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let parameters = Parameters::read(&uri).map_err(Problem::faults)?;
    let report = find(&state, id).await?;
    let others = [("application/x-ndjson", Format::Lines), ("text/csv", Format::Csv)];
    let format = accept::best(&headers, ("application/json", Format::Page), &others);
    let content_type = match format {
        Format::Page => return Ok(answer::with_type("application/json", page(&report, &parameters))),
        Format::Lines => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8; header=present",
    };
    let stream = ResultStream {
        total: report.counts().total,
        report,
        format,
        filter: parameters.filter,
        next_index: parameters.start,
        is_started: false,
    };
    Ok(answer::with_type(content_type, Body::from_stream(stream)))
}

fn page(report: &Report, parameters: &Parameters) -> Vec<u8> {
    let wanted = || rows(report, parameters.start).filter(|row| parameters.filter.takes(row.outcome()));
    let next = wanted().nth(parameters.page_size).map(|row| row.index);
    let token = next.map(|index| page_token::write(index, parameters.filter.bits()));
    json::page(wanted().take(parameters.page_size), &token.unwrap_or_default())
}

#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    filter: StatusFilter,
    page_size: usize,
    start: usize,
}

impl Parameters {
    fn read(uri: &Uri) -> Result<Self, Vec<Fault>> {
        let unreadable = || vec![Fault::new("", FaultCode::WrongType, "the query cannot be read")];
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| unreadable())?;
        let mut faults = Vec::new();
        let mut fault = |name: &str, code, detail: String| {
            let pointer = format!("/{}", crate::domain::fault::pointer_token(name));
            faults.push(Fault::new(pointer, code, detail));
        };
        let mut found = Self {
            filter: StatusFilter::ALL,
            page_size: DEFAULT_PAGE_SIZE,
            start: 0,
        };
        let mut token = String::new();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                fault(name, FaultCode::Conflict, "is given twice".to_owned());
                continue;
            }
            match (name.as_str(), value.as_str()) {
                ("status" | "page_size" | "page_token", "") => {}
                ("status", _) => match StatusFilter::parse(value) {
                    Ok(filter) => found.filter = filter,
                    Err(word) => fault(name, FaultCode::OutOfRange, format!("`{word}` is no status")),
                },
                ("page_size", _) => match value.parse::<usize>() {
                    Ok(0) => {}
                    Ok(size) => found.page_size = size.min(MOST_PAGE_SIZE),
                    Err(_) => fault(
                        name,
                        FaultCode::OutOfRange,
                        "must be a whole number from 0".to_owned(),
                    ),
                },
                ("page_token", _) => token.clone_from(value),
                _ => fault(
                    name,
                    FaultCode::UnknownField,
                    format!("`{name}` is not a known parameter here"),
                ),
            }
        }
        if !token.is_empty() {
            match page_token::read(&token, found.filter.bits()) {
                Some(start) => found.start = start,
                None => {
                    let detail = "is not a token of this list and this `status`".to_owned();
                    fault("page_token", FaultCode::OutOfRange, detail);
                }
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }
}

/// All results as pieces of text, written when the connection asks for them.
struct ResultStream {
    report: Arc<Report>,
    format: Format,
    filter: StatusFilter,
    total: usize,
    next_index: usize,
    is_started: bool,
}

impl ResultStream {
    fn next_piece(&mut self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(PIECE_BYTES + 4096);
        if !self.is_started {
            self.is_started = true;
            if self.format == Format::Csv {
                out.extend_from_slice(csv::HEADER);
            }
        }
        while out.is_empty() && self.next_index < self.total {
            self.write_rows(&mut out);
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    fn write_rows(&mut self, out: &mut Vec<u8>) {
        let mut writer = LineWriter::default();
        let report = Arc::clone(&self.report);
        for row in rows(&report, self.next_index).take(MOST_ROWS_PER_PIECE) {
            self.next_index = row.index + 1;
            if !self.filter.takes(row.outcome()) {
                continue;
            }
            if self.format == Format::Csv {
                csv::push_row(out, &row);
            } else {
                writer.push(out, &row);
                out.push(b'\n');
            }
            if out.len() >= PIECE_BYTES {
                return;
            }
        }
    }
}

impl Stream for ResultStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next_piece().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<(u8, usize, usize), &[(&str, FaultCode)]>) {
        let uri: Uri = format!("/v1/batches/x/results{query}").parse().unwrap();
        let read = Parameters::read(&uri)
            .map(|found| (found.filter.bits(), found.page_size, found.start))
            .map_err(|faults| {
                faults
                    .into_iter()
                    .map(|fault| (fault.pointer, fault.code))
                    .collect()
            });
        let expected = expected.map_err(|faults| {
            faults
                .iter()
                .map(|(at, code)| ((*at).to_owned(), *code))
                .collect::<Vec<_>>()
        });
        assert_eq!(read, expected, "{query}");
    }

    #[test]
    fn reads_parameters_and_names_what_is_wrong() {
        check("", Ok((15, 100, 0)));
        check("?status=failed,unknown&page_size=5", Ok((6, 5, 0)));
        check("?status=failed%2Cunknown&page_size=5000", Ok((6, 1000, 0)));
        check("?page_size=0&page_token=&status=", Ok((15, 100, 0)));
        let token = page_token::write(7, 2);
        check(&format!("?status=failed&page_token={token}"), Ok((2, 100, 7)));
        check(
            &format!("?page_token={token}"),
            Err(&[("/page_token", FaultCode::OutOfRange)]),
        );
        check(
            "?status=lost&page_size=-1&size=3&status=failed",
            Err(&[
                ("/status", FaultCode::OutOfRange),
                ("/page_size", FaultCode::OutOfRange),
                ("/size", FaultCode::UnknownField),
                ("/status", FaultCode::Conflict),
            ]),
        );
    }
}
