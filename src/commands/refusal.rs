//! What a gateway, or whoever answers in its place, says when it refuses.

use std::fmt;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::api::report::text::printable;
use crate::commands::gateway::Answer;

/// A refusal, fit for a terminal.
#[derive(Debug, thiserror::Error)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    pointer: String,
    detail: String,
}

impl Refusal {
    /// Reads an answer that is no 2xx.
    pub(super) fn read(answer: &Answer) -> Self {
        let is_problem = answer.header(CONTENT_TYPE.as_str()).starts_with("application/problem+json");
        let problem = is_problem.then(|| serde_json::from_slice(&answer.body).ok()).flatten();
        Self { status: answer.status, problem }
    }

    /// Whether a gateway may have taken the request all the same: somebody between speaks of it.
    pub(super) fn is_hearsay(&self) -> bool {
        self.problem.is_none() && self.status.is_server_error()
    }

    /// Whether the same request may be taken a little later.
    pub(super) fn is_passing(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(problem) = &self.problem else {
            return write!(formatter, "the answer has status {} and does not say why", self.status);
        };
        let (code, detail) = (printable(&problem.code), printable(&problem.detail));
        write!(formatter, "the gateway refuses: {} {code}: {detail}", self.status.as_u16())?;
        // One fault stands in the detail already.
        for fault in problem.errors.iter().filter(|_| problem.errors.len() > 1) {
            let pointer = if fault.pointer.is_empty() { "the request" } else { &fault.pointer };
            write!(formatter, "\n  {}: {}", printable(pointer), printable(&fault.detail))?;
        }
        Ok(())
    }
}
