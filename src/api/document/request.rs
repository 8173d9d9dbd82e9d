//! Schemas of what callers send; what they describe is read in `dto/`.

use utoipa::openapi::schema::ObjectBuilder;

use crate::adapter::channel::Provider;
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::api::document::schema::{
    AnySchema, Members as _, any_object, closed, either, flag, id, list, named, named_here, one_of, pattern,
    text, text_or_object, time, whole, word,
};
use crate::api::dto::entries::MOST_REFERENCE_CHARACTERS;
use crate::api::dto::options::ON_INVALID;
use crate::api::dto::request::MOST_CLIENT_REF_CHARACTERS;
use crate::api::dto::resend::STATUSES;
use crate::domain::callback::MOST_URL_BYTES;
use crate::domain::route::TargetType;

/// A channel's name.
pub(in crate::api) const CHANNEL_NAME: &str = "^[a-z0-9-]{1,64}$";

/// Texts without control characters.
const PRINTABLE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// Every schema of this module, by name.
pub(in crate::api) fn schemas(providers: &[Provider]) -> Vec<(String, AnySchema)> {
    let all: [(&str, AnySchema); 8] = [
        ("SendRequest", send_request()),
        ("ShortSend", short_send().into()),
        ("FullSend", full_send().into()),
        ("Route", route().into()),
        ("Recipient", recipient()),
        ("ProviderOptions", provider_options(providers).into()),
        ("SendOptions", options().into()),
        ("ResendRequest", resend().into()),
    ];
    all.map(|(name, schema)| (name.to_owned(), schema)).into()
}

fn send_request() -> AnySchema {
    one_of(
        "The short form for one route, or the full form for several.",
        [named("ShortSend"), named("FullSend")],
    )
    .into()
}

fn short_send() -> ObjectBuilder {
    let start = target(closed("One route.")).must("message", named("Message"));
    for_all(common(start))
}

fn full_send() -> ObjectBuilder {
    let routes = list(
        "At least one, at most `limits.routes_per_batch` (16 unless configured otherwise).",
        named("Route"),
    )
    .min_items(Some(1));
    let message = named_here("Message", "Serves every route that gives none of its own.");
    let start = closed(
        "Several routes. `message`, `ext`, `push`, `from` and `provider_options` serve every route; one given \
         in a route replaces it whole.",
    );
    for_all(common(start.must("routes", routes).may("message", message)))
}

fn route() -> ObjectBuilder {
    let message = named_here("Message", "Needed here or at the top of the request.");
    common(target(closed("One channel with its recipients.")).may("message", message))
}

/// What makes a route one.
fn target(start: ObjectBuilder) -> ObjectBuilder {
    let to = list(
        "At least one, unless a provider's option says who the recipients are. An id that comes twice is sent \
         to once: the repeat is `failed` / `duplicate_recipient`.",
        named("Recipient"),
    );
    let target_types = TargetType::ALL.map(TargetType::as_str);
    start
        .must("channel", pattern("The channel that sends.", CHANNEL_NAME))
        .may("to", to)
        .may("target_type", word("What the ids name; default: what the provider targets.", target_types))
}

/// What stands in a route or at the top.
fn common(start: ObjectBuilder) -> ObjectBuilder {
    start
        .may("from", id("The visible sender, not empty; missing: the channel's `default_from`."))
        .may("ext", text_or_object("Custom data that travels with the message."))
        .may("push", named("Push"))
        .may("provider_options", named("ProviderOptions"))
}

/// What holds for all routes.
fn for_all(start: ObjectBuilder) -> ObjectBuilder {
    let client_ref = pattern("The caller's own reference, echoed.", PRINTABLE);
    start
        .may("client_ref", client_ref.max_length(Some(MOST_CLIENT_REF_CHARACTERS)))
        .may("options", named("SendOptions"))
}

fn recipient() -> AnySchema {
    let reference = text("The caller's own word for it, echoed.").max_length(Some(MOST_REFERENCE_CHARACTERS));
    let object = closed("An id with a word of the caller's own.")
        .must("id", id("The recipient; an integer counts as its decimal text."))
        .may("ref", reference);
    let plain = id("An id; an integer counts as its decimal text.");
    either("Who is sent to, in the provider's ids.", [plain.into(), object.into()]).into()
}

fn options() -> ObjectBuilder {
    let words = ON_INVALID.map(|(word, _)| word);
    closed("How the batch is sent.")
        .may("expires_at", expires_at())
        .may(
            "on_invalid",
            word(
                "A recipient id that the provider cannot take: fail that one, or refuse the request.",
                words,
            ),
        )
        .may("retry_unknown", flag("`true`: duplicates are accepted, so a lost answer may be retried."))
        .may("callback", callback())
}

fn callback() -> ObjectBuilder {
    let url = text("An http or https URL at a server of `callbacks.allowed_hosts`.");
    closed("Who is told the end of the batch, with a signed webhook. Makes the batch durable.")
        .must("url", url.min_length(Some(1)).max_length(Some(MOST_URL_BYTES)))
}

fn expires_at() -> ObjectBuilder {
    time(
        "No attempt starts after this; the rest becomes `failed` / `expired`. Default and latest: \
         `batches.max_age_seconds` from the acceptance (24 h unless configured otherwise).",
    )
}

fn resend() -> ObjectBuilder {
    let statuses = list("Who is sent to again; default: the failed.", word("A status.", STATUSES));
    closed("Which recipients are sent to again. Nothing at all asks for the failed.")
        .may("statuses", statuses.min_items(Some(1)))
        .may(
            "accept_duplicates",
            flag("Must be `true` with `unknown`: whoever is unknown may have got the message already."),
        )
        .may("expires_at", expires_at())
}

fn provider_options(providers: &[Provider]) -> ObjectBuilder {
    let start = closed(
        "Fields that only one provider has. A block that no route reads is refused, in a route one of another \
         provider.",
    );
    providers.iter().fold(start, |object, provider| {
        object.may(provider.name, block(&format!("For {}.", provider.name), provider.options))
    })
}

fn block(about: &str, fields: &[OptionField]) -> ObjectBuilder {
    fields.iter().fold(closed(about), |object, field| object.may(field.name, option(field)))
}

fn option(field: &OptionField) -> AnySchema {
    let about = field.about;
    let examples = || serde_json::from_str::<serde_json::Value>(field.example).ok();
    let only = |schema: ObjectBuilder| AnySchema::from(schema.examples(examples()));
    match field.shape {
        OptionShape::Text => only(text(about)),
        OptionShape::Pattern(rule) => only(pattern(about, rule)),
        OptionShape::Flag => only(flag(about)),
        OptionShape::Whole(least, most) => only(whole(about, least..=most)),
        OptionShape::Numbers(numbers) => {
            only(whole(about, 0..=u64::MAX).enum_values(Some(numbers.iter().copied())))
        }
        OptionShape::Words(words) => only(word(about, words.iter().copied())),
        OptionShape::WordList(words) => {
            list(about, word("One word.", words.iter().copied())).examples(examples()).into()
        }
        OptionShape::Ids(least, most) => {
            let ids = list(about, id("An id.")).min_items((least > 0).then_some(least));
            ids.max_items(most).examples(examples()).into()
        }
        OptionShape::Object => only(any_object(about)),
        OptionShape::Fields(fields) => block(about, fields).into(),
    }
}
