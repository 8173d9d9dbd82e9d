//! Writes all results piece by piece, as the connection asks for them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use crate::api::report::csv;
use crate::api::report::line::LineWriter;
use crate::api::report::walk::{StatusFilter, rows};
use crate::domain::report::Report;

/// Bytes of a stream's piece, roughly: large enough to be worth a write, small enough to be forgotten.
const PIECE_BYTES: usize = 64 * 1024;

/// Most results that are looked at for one piece, so that a filter that takes few keeps no thread busy.
const MOST_ROWS_PER_PIECE: usize = 20_000;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// One JSON object a line.
    Lines,
    /// CSV with a header.
    Csv,
}

/// All results as pieces of text, written when the connection asks for them.
pub struct ResultStream {
    report: Arc<Report>,
    format: StreamFormat,
    filter: StatusFilter,
    total: usize,
    next_index: usize,
    is_started: bool,
}

impl ResultStream {
    /// The results that `filter` takes, from index `start` on.
    #[must_use]
    pub fn new(report: Arc<Report>, format: StreamFormat, filter: StatusFilter, start: usize) -> Self {
        let total = report.routes.iter().map(|route| route.recipients.len()).sum();
        Self { report, format, filter, total, next_index: start, is_started: false }
    }

    /// The next piece; `None` = nothing of what was looked at for it is wanted.
    fn next_piece(&mut self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(PIECE_BYTES + 4096);
        if !self.is_started {
            self.is_started = true;
            if self.format == StreamFormat::Csv {
                out.extend_from_slice(csv::HEADER);
            }
        }
        if out.is_empty() && self.next_index < self.total {
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
            if self.format == StreamFormat::Csv {
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

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.next_piece() {
            None if self.next_index < self.total => {
                // Others take their turn before the search goes on.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            piece => Poll::Ready(piece.map(Ok)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::domain::id::{BatchId, ChannelName};
    use crate::domain::recipients::{Positions, RecipientList};
    use crate::domain::report::RouteReport;
    use crate::domain::samples;

    #[test]
    fn a_search_for_results_that_are_rare_lets_others_take_their_turn() {
        let ids: Vec<String> = (0..90_000).map(|number| number.to_string()).collect();
        let recipients: RecipientList = ids.iter().map(String::as_str).collect();
        let route = RouteReport {
            channel: ChannelName::parse("main").unwrap(),
            provider: "fake",
            is_sandbox: false,
            recipients: Arc::new(recipients),
            chatroom_id: None,
            // The last one is open.
            settled: vec![samples::accepted(Positions::Range(0..89_999))],
            unsent: None,
            calls: 1,
            retries: 0,
            throttled: std::time::Duration::ZERO,
            provider_request_ids: Vec::new(),
        };
        let report = samples::ended(samples::batch(BatchId::new(1, 0), Vec::new()), vec![route]);
        let filter = StatusFilter::parse("pending").unwrap();
        let mut stream = ResultStream::new(Arc::new(report), StreamFormat::Lines, filter, 0);
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = 0;
        let piece = loop {
            match Pin::new(&mut stream).poll_next(&mut context) {
                Poll::Pending => turns += 1,
                Poll::Ready(piece) => break piece.unwrap().unwrap(),
            }
        };
        assert_eq!(turns, 4);
        assert!(piece.starts_with(b"{\"index\":89999,"), "{piece:?}");
        assert!(matches!(Pin::new(&mut stream).poll_next(&mut context), Poll::Ready(None)));
    }
}
