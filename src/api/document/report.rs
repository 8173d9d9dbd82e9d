//! Schemas of reports and results; what they describe is written in `report/`.

use utoipa::openapi::schema::ObjectBuilder;

use crate::api::document::request::CHANNEL_NAME;
use crate::api::document::schema::{
    AnySchema, Members as _, amount, any_object, count, flag, list, mark, named, nullable, nullable_text,
    one_of, open, pattern, text, time, word,
};
use crate::api::report::OUTCOMES;
use crate::api::report::walk::STATUSES;
use crate::domain::failure::{FailureKind, Source};
use crate::domain::outcome::Evidence;
use crate::domain::report::{BudgetKind, Status, WarningCode};

/// A batch's id.
pub(in crate::api) const BATCH_ID: &str = "^bat_[0-7][0-9A-HJKMNP-TV-Z]{25}$";

/// Every schema of this module, by name.
pub(in crate::api) fn schemas() -> Vec<(String, AnySchema)> {
    let all: [(&str, AnySchema); 15] = [
        ("Report", report().into()),
        ("HandedOver", handed_over().into()),
        ("Accepted", accepted()),
        ("Counts", counts().into()),
        ("RouteReport", route().into()),
        ("Result", result().into()),
        ("ResultError", error().into()),
        ("Warning", warning().into()),
        ("Eta", eta().into()),
        ("Links", links().into()),
        ("ResultPage", page().into()),
        ("BatchList", batch_list().into()),
        ("BatchSummary", summary().into()),
        ("BatchId", pattern("Names one batch; later batches sort behind earlier ones.", BATCH_ID).into()),
        ("ChannelName", pattern("Names one configured channel.", CHANNEL_NAME).into()),
    ];
    all.map(|(name, schema)| (name.to_owned(), schema)).into()
}

fn report() -> ObjectBuilder {
    let results = list("All results, or none if there are more than 1000.", named("Result"));
    open("A batch as it stands: final, or a snapshot while it runs.")
        .must("id", named("BatchId"))
        .may("client_ref", text("The caller's own reference."))
        .may("resend_of", named("BatchId"))
        .may("resends", list("Batches that sent some of these recipients again.", named("BatchId")))
        .must("status", status())
        .may("outcome", word("What it came to; only once it is over.", OUTCOMES))
        .may("sandbox", mark("A built-in stand-in answered, no provider."))
        .must("created_at", time("When it was accepted."))
        .may("completed_at", time("When it ended; only once it is over."))
        .must("counts", named("Counts"))
        .must("routes", list("One per route, in the request's order.", named("RouteReport")))
        .must("results", results)
        .may("results_truncated", mark("The results are only at `links.results`."))
        .must("warnings", list("One per cause.", named("Warning")))
        .may("eta", named("Eta"))
        .must("links", named("Links"))
}

/// Where a batch stands.
fn status() -> ObjectBuilder {
    word("`canceled`: over, and a cancel stopped somebody.", Status::ALL.map(Status::as_str))
}

fn handed_over() -> ObjectBuilder {
    open("What is certain of a batch that was handed over, when nothing else can be said.")
        .must("id", named("BatchId"))
        .must("status", word("It runs.", ["processing"]))
        .must("links", named("Links"))
}

fn accepted() -> AnySchema {
    // Not `oneOf`: a report is all that the short form is, and more.
    crate::api::document::schema::either(
        "The report as it stands, or as much as is certain.",
        [named("Report"), named("HandedOver")],
    )
    .into()
}

fn counts() -> ObjectBuilder {
    open("How many recipients ended in each way; the parts add up to the total.")
        .must("total", count("All recipients."))
        .must("accepted", count("Taken by the provider."))
        .must("failed", count("Certainly not delivered."))
        .must("unknown", count("May have been delivered."))
        .must("pending", count("Not decided yet."))
}

fn route() -> ObjectBuilder {
    open("One route's part.")
        .must("channel", named("ChannelName"))
        .must("provider", text("The channel's provider."))
        .must("calls", count("Provider calls made, repeats included."))
        .must("retries", count("Calls that were repeats."))
        .must("throttled_ms", count("How long calls waited for a budget, all together, in milliseconds."))
        .must("provider_request_ids", list("Request ids that the provider gave.", text("One of them.")))
        .must("counts", named("Counts"))
}

fn result() -> ObjectBuilder {
    open("What became of one recipient.")
        .must("index", count("Its place over all routes, in the request's order."))
        .must("channel", named("ChannelName"))
        .must("recipient", text("The recipient; `*`: everybody, whom no answer has named yet."))
        .may("chatroom_id", text("The room that a directed message went through."))
        .may("ref", text("The caller's own word for it."))
        .must("status", word("`accepted`: the provider took it; no batch API proves more.", STATUSES))
        .may("evidence", word("What an acceptance rests on.", Evidence::ALL.map(Evidence::as_str)))
        .may("message_id", text("The provider's id of the message."))
        .may("provider_fields", any_object("What else the provider said of it, under its own names."))
        .may("attempts", count("How often it was tried; 0: never called. Missing while it is pending."))
        .may("error", named("ResultError"))
}

fn error() -> ObjectBuilder {
    let causes = "^(connect|timeout|connection_reset|unreadable_answer|unaccounted|http_[0-9]{3})$";
    let cause = one_of(
        "What broke on the way, where the transport and not the provider spoke.",
        [
            pattern("A stable word.", causes).into(),
            ObjectBuilder::new().schema_type(utoipa::openapi::Type::Null).into(),
        ],
    );
    open("Why it failed, or is unknown.")
        .must("code", word("The stable class.", FailureKind::ALL.map(FailureKind::as_str)))
        .must("source", word("Who says so.", Source::ALL.map(Source::as_str)))
        .must("cause", cause)
        .must("retryable", flag("A repeat as it is cannot make a second message and may help."))
        .must("provider_code", nullable_text("The provider's own code, verbatim."))
        .must("provider_message", nullable_text("The provider's own text, verbatim."))
        .must("hint", nullable_text("What it means, from the provider's document."))
}

fn warning() -> ObjectBuilder {
    open("Something that a caller should know about an accepted request.")
        .must("code", word("The stable cause.", WarningCode::ALL.map(WarningCode::as_str)))
        .must("channel", nullable_text("The channel that it concerns."))
        .must("pointer", nullable_text("JSON pointer into the request."))
        .must("detail", text("One sentence for a person."))
}

fn eta() -> ObjectBuilder {
    let budget = open("A budget.")
        .must("channel", named("ChannelName"))
        .must("budget", word("What it counts.", BudgetKind::ALL.map(BudgetKind::as_str)));
    open("How long the rest will take.")
        .must("seconds", amount("Time until the last call can start."))
        .must("bound_by", nullable("Which budget binds; `null`: none does.", budget))
}

fn links() -> ObjectBuilder {
    open("Where more is.").must("self", text("The report.")).must("results", text("The results by page."))
}

fn page() -> ObjectBuilder {
    open("Some of the results.")
        .must("results", list("In the request's order.", named("Result")))
        .must("next_page_token", next_page_token())
}

fn next_page_token() -> ObjectBuilder {
    text("Give it as `page_token` for the next page; empty on the last one.")
}

fn batch_list() -> ObjectBuilder {
    open("Some of the batches.")
        .must("batches", list("The newest first.", named("BatchSummary")))
        .must("next_page_token", next_page_token())
}

fn summary() -> ObjectBuilder {
    open("One batch in a list; the rest is in its report.")
        .must("id", named("BatchId"))
        .may("client_ref", text("The caller's own reference."))
        .must("status", status())
        .may("outcome", word("What it came to; only once it is over.", OUTCOMES))
        .must("created_at", time("When it was accepted."))
        .may("completed_at", time("When it ended; only once it is over."))
        .must("channels", list("In the order of its routes.", named("ChannelName")))
        .must("counts", named("Counts"))
        .must("links", named("Links"))
}
