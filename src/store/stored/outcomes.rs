//! Outcomes as bytes: the distinct ones as JSON, and which one each recipient has.

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::failure::{Cause, Failure, FailureKind, Source};
use crate::domain::json::JsonText;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::recipients::{narrow, widen};
use crate::store::stored::packed::{Reader, Writer};
use crate::store::stored::{Unreadable, json};

/// Everybody has the only outcome.
const SAME: u8 = 0;
/// Everybody has one of several.
const EACH: u8 = 1;

#[derive(Serialize)]
struct Borrowed<'a>(#[serde(serialize_with = "StoredOutcome::serialize")] &'a Outcome);

#[derive(Deserialize)]
struct Owned(#[serde(with = "StoredOutcome")] Outcome);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", rename_all = "snake_case")]
enum StoredOutcome {
    Accepted(#[serde(with = "StoredAcceptance")] Acceptance),
    Failed(#[serde(serialize_with = "StoredFailure::serialize", deserialize_with = "boxed")] Box<Failure>),
    Unknown(#[serde(serialize_with = "StoredFailure::serialize", deserialize_with = "boxed")] Box<Failure>),
}

fn boxed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Failure>, D::Error> {
    StoredFailure::deserialize(deserializer).map(Box::new)
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Acceptance")]
struct StoredAcceptance {
    #[serde(with = "StoredEvidence")]
    evidence: Evidence,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json::optional_text")]
    provider_fields: Option<JsonText>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Evidence", rename_all = "snake_case")]
enum StoredEvidence {
    Explicit,
    Implied,
    Unverified,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Failure")]
struct StoredFailure {
    #[serde(with = "StoredKind")]
    kind: FailureKind,
    #[serde(with = "StoredSource")]
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_cause")]
    cause: Option<Cause>,
    retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_code: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_message: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<Box<str>>,
}

/// The names are those of the API.
#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureKind", rename_all = "snake_case")]
pub(super) enum StoredKind {
    InvalidRequest,
    InvalidRecipient,
    Authentication,
    Permission,
    ContentRejected,
    RateLimited,
    ProviderUnavailable,
    ProviderError,
    Unknown,
    DuplicateRecipient,
    CircuitOpen,
    Expired,
    Canceled,
    Shutdown,
    Internal,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Source", rename_all = "snake_case")]
enum StoredSource {
    Provider,
    Transport,
    Gateway,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cause", rename_all = "snake_case")]
enum StoredCause {
    Connect,
    Timeout,
    ConnectionReset,
    UnreadableAnswer,
    Unaccounted,
    HttpStatus(u16),
}

/// A cause where there may be none.
mod optional_cause {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Cause, StoredCause};

    #[derive(Serialize, Deserialize)]
    struct WithCause(#[serde(with = "StoredCause")] Cause);

    pub(super) fn serialize<S: Serializer>(cause: &Option<Cause>, serializer: S) -> Result<S::Ok, S::Error> {
        cause.map(WithCause).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cause>, D::Error> {
        Ok(Option::<WithCause>::deserialize(deserializer)?.map(|with_cause| with_cause.0))
    }
}

/// Packs outcomes; one that everybody shares takes its JSON and a few bytes, however many recipients have it.
pub(crate) fn encode_outcomes(outcomes: &Outcomes) -> Result<Vec<u8>, Unreadable> {
    let written = |json: serde_json::Result<Vec<u8>>| json.map_err(|error| Unreadable(error.to_string()));
    let count = outcomes.len();
    let picks = || (0..count).map(|offset| outcomes.pick(offset).unwrap_or_default());
    let first = picks().next().unwrap_or_default();
    if let (Some(shared), true) = (outcomes.distinct().get(first), picks().all(|pick| pick == first)) {
        let json = written(serde_json::to_vec(&Borrowed(shared)))?;
        let mut writer = Writer::with_capacity(json.len() + 7);
        writer.byte(SAME);
        writer.number(narrow(count));
        writer.bytes(&json);
        return Ok(writer.finish());
    }
    let distinct: Vec<_> = outcomes.distinct().iter().map(Borrowed).collect();
    let json = written(serde_json::to_vec(&distinct))?;
    let mut writer = Writer::with_capacity(json.len() + count + 12);
    writer.byte(EACH);
    writer.number(narrow(json.len()));
    writer.bytes(&json);
    writer.number(narrow(count));
    for pick in picks() {
        writer.number(narrow(pick));
    }
    Ok(writer.finish())
}

/// Reads what [`encode_outcomes`] wrote for `count` recipients.
pub(crate) fn decode_outcomes(bytes: &[u8], count: usize) -> Result<Outcomes, Unreadable> {
    let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
    let wrong_count = || Unreadable::new("outcomes for another number of recipients");
    let mut reader = Reader::new(bytes)?;
    match reader.byte()? {
        SAME => {
            if widen(reader.number()?) != count {
                return Err(wrong_count());
            }
            let shared: Owned = serde_json::from_slice(reader.rest()).map_err(unreadable)?;
            Ok(Outcomes::same(shared.0, count))
        }
        EACH => {
            let json_bytes = widen(reader.number()?);
            let distinct: Vec<Owned> =
                serde_json::from_slice(reader.bytes(json_bytes)?).map_err(unreadable)?;
            if reader.count()? != count {
                return Err(wrong_count());
            }
            let distinct_count = distinct.len();
            let mut distinct = distinct.into_iter().map(|owned| owned.0);
            let Some(first) = distinct.next() else {
                return if count == 0 { Ok(Outcomes::from_each(Vec::new())) } else { Err(wrong_count()) };
            };
            let mut builder = OutcomesBuilder::new(first, count);
            for outcome in distinct {
                builder.add(outcome);
            }
            for offset in 0..count {
                let pick = reader.number()?;
                if widen(pick) >= distinct_count {
                    return Err(Unreadable::new("an outcome that is not there"));
                }
                builder.assign(offset, pick);
            }
            reader.finish()?;
            Ok(builder.build())
        }
        _ => Err(Unreadable::new("unknown kind of outcomes")),
    }
}
