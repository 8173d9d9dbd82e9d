//! Listing batches.

use utoipa::openapi::path::HttpMethod;

use crate::api::document::example::only;
use crate::api::document::operations::parameters::{page_token, query};
use crate::api::document::operations::{Described, answer, content, guarded, operation};
use crate::api::document::request::CHANNEL_NAME;
use crate::api::document::schema::{named, pattern, whole, word};
use crate::api::problem::ProblemCode;
use crate::domain::report::Status;

pub(super) fn list() -> Described {
    let start = operation(
        "listBatches",
        "batches",
        "List batches",
        "The caller's batches that are still kept, newest first, by page; operators see everybody's. The counts \
         of one that runs are as far as they are written.",
    );
    // As for every parameter here, no value is the same as no parameter.
    let statuses = Status::ALL.into_iter().map(Status::as_str).chain([""]);
    let channel = format!("{CHANNEL_NAME}|^$");
    let size = whole("0 counts as the default, 50.", 0..=u64::MAX);
    let batches =
        content(named("BatchList"), only("The first page", include_str!("../examples/batches.json")));
    let operation = start
        .parameter(query(
            "status",
            "Only batches that stand there.",
            word("A status; empty: all.", statuses).into(),
        ))
        .parameter(query(
            "channel",
            "Only batches with a route through this channel.",
            pattern("A name; empty: all.", &channel).into(),
        ))
        .parameter(query("page_size", "Most batches of the page; more than 500 counts as 500.", size.into()))
        .parameter(page_token())
        .response("200", answer("Some batches.").content("application/json", batches));
    let codes = [ProblemCode::InvalidRequest, ProblemCode::StoreUnavailable];
    guarded(HttpMethod::Get, "/v1/batches", operation, &codes)
}
