//! Schemas of channels; what they describe is written in `channels.rs`.

use utoipa::openapi::schema::ObjectBuilder;

use crate::api::document::schema::{
    AnySchema, Members as _, amount, count, flag, list, named, nullable, nullable_text, open, text, word,
};
use crate::dispatch::circuit::CircuitStatus;
use crate::dispatch::token::TokenStatus;
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::route::TargetType;

/// Every schema of this module, by name.
pub(in crate::api) fn schemas() -> Vec<(String, AnySchema)> {
    let all: [(&str, AnySchema); 4] = [
        ("ChannelList", open("All of them.").must("channels", list("By name.", named("Channel"))).into()),
        ("Channel", channel().into()),
        ("Budget", budget().into()),
        ("MessageSupport", support().into()),
    ];
    all.map(|(name, schema)| (name.to_owned(), schema)).into()
}

fn channel() -> ObjectBuilder {
    let target_types = word("What an id names.", TargetType::ALL.map(TargetType::as_str));
    let limits = open("What the channel keeps to.")
        .must("recipients_per_call", count("Most recipients of one call."))
        .must(
            "max_payload_bytes",
            nullable("Most bytes of the message part; `null`: not checked.", count("Bytes.")),
        )
        .must("max_in_flight", count("Most calls at once."));
    let circuit = open("Whether calls go out.")
        .must("state", word("`open`: none goes out for now.", CircuitStatus::ALL.map(CircuitStatus::as_str)))
        .must(
            "retry_in_seconds",
            nullable("How long until one tries; `null` unless it is open.", amount("Seconds.")),
        );
    let budgets = open("What it may spend.")
        .must("calls", nullable("Provider calls; `null`: not paced.", named("Budget")))
        .must("messages", nullable("Messages; `null`: not paced.", named("Budget")));
    open("What a channel can do, and what is left of it.")
        .must("name", named("ChannelName"))
        .must("provider", text("Its provider."))
        .must("sandbox", flag("Whether a built-in stand-in answers."))
        .must("default_from", nullable_text("The sender when a request names none."))
        .must("message_types", message_types())
        .must("target_types", list("What ids may name; the first is the default.", target_types))
        .must("sender", word("Whether a send needs `from`.", ["required", "optional"]))
        .must("push", flag("Whether `push` is carried."))
        .must("evidence", word("What an acceptance rests on.", Evidence::ALL.map(Evidence::as_str)))
        .must("limits", limits)
        .must("budgets", budgets)
        .must("in_flight", count("Calls that wait for their answer."))
        .must("routes_in_progress", count("Routes of running batches."))
        .must("circuit", circuit)
        .must("token", word("The state of the provider's token.", TokenStatus::ALL.map(TokenStatus::as_str)))
}

fn message_types() -> ObjectBuilder {
    let start = open("Every type of message.");
    MessageType::ALL.iter().fold(start, |object, of| object.must(of.as_str(), named("MessageSupport")))
}

fn support() -> ObjectBuilder {
    open("Whether a type of message is carried.")
        .must("carried", flag("Whether it is."))
        .may("reason", text("Why not, or what to use instead."))
}

fn budget() -> ObjectBuilder {
    open("What may be spent per time.")
        .must("per_second", amount("How much comes back."))
        .must("available", amount("What is left now."))
}
