//! Schemas of plans; what they describe is written in `plan_batch.rs`.

use utoipa::openapi::schema::ObjectBuilder;

use crate::api::document::schema::{
    AnySchema, Members as _, anything, count, list, map_of, mark, named, nullable, open, text,
};

/// Every schema of this module, by name.
pub(in crate::api) fn schemas() -> Vec<(String, AnySchema)> {
    let all: [(&str, AnySchema); 2] = [("Plan", plan().into()), ("PlannedCall", call().into())];
    all.map(|(name, schema)| (name.to_owned(), schema)).into()
}

fn plan() -> ObjectBuilder {
    open("Every call that a send would make.")
        .must("call_count", count("All calls, repeats not counted."))
        .must("recipient_count", count("All recipients."))
        .must("unsent_count", count("Recipients that no call is for: repeats and impossible ids."))
        .must("calls", list("The first 100 calls.", named("PlannedCall")))
        .may("calls_truncated", mark("There are more calls than shown."))
        .must("warnings", list("One per cause.", named("Warning")))
        .must("eta", nullable("How long it would take at the channels' budgets.", named("Eta")))
}

fn call() -> ObjectBuilder {
    open("One provider call; what is secret in it reads `[redacted]`.")
        .must("route_index", count("The route that it is for."))
        .must("channel", named("ChannelName"))
        .must("provider", text("The channel's provider."))
        .must("method", text("The HTTP method."))
        .must("url", text("Where it goes."))
        .must("headers", map_of("Headers by name.", text("The value.")))
        .must("body", anything("The body: as JSON if it is JSON, else as text."))
        .must("recipient_count", count("How many recipients it is for."))
        .must("volatile", list("Parts that differ each time.", text("As `body.MsgRandom`.")))
}
