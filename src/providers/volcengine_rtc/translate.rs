//! Checks a route and writes its calls.

use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapter::fields::members::Key;
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::adapter::wire::{WireRequest, WireResponse, push_json_string};
use crate::adapter::{Answer, Call, Chunking, DecodeError, MessageCost, Prepared};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::report::{Warning, WarningCode};
use crate::domain::route::Route;
use crate::providers::volcengine_rtc::content::{self, Content};
use crate::providers::volcengine_rtc::settings::MAX_NUMBER;
use crate::providers::volcengine_rtc::{NAME, VolcengineRtc, answer};

/// The block in `provider_options`, for the document of the API.
pub(super) const OPTIONS: &[OptionField] = &[
    OptionField::new(
        "inbox_type",
        OptionShape::Whole(0, MAX_NUMBER),
        "The inbox that the message goes to, in the provider's numbers.",
        "0",
    ),
    OptionField::new(
        "is_normal_user",
        OptionShape::Flag,
        "Whether the sender counts as an ordinary user.",
        "true",
    ),
];

/// What a user id must be, as a sentence.
pub(super) const USER_ID_RULE: &str =
    "must be a whole number from 0 to 9223372036854775807 without sign, space or leading zero";

/// Whether `text` is a user id: a canonical decimal of a non-negative 64-bit integer.
///
/// A leading zero is refused, since "007" and "7" would be one key in the answer.
/// Source: `BatchSendMessage`, "Body" (Long); Volcengine RTC, `SendMessage` (not negative), read 2026-11-21.
pub(super) fn is_user_id(text: &str) -> bool {
    const LARGEST: &str = "9223372036854775807";
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = text == "0" || !text.starts_with('0');
    is_decimal
        && is_canonical
        && (text.len() < LARGEST.len() || (text.len() == LARGEST.len() && text <= LARGEST))
}

/// One route, written but for the receivers.
pub(super) struct PreparedRoute {
    /// The body up to the first receiver.
    head: Vec<u8>,
    warnings: Vec<Warning>,
    chunking: Chunking,
    timeout: Duration,
}

/// The body after the last receiver.
const TAIL: &[u8] = b"]}";

/// Fields of the request that a caller may set by name.
#[derive(Default)]
struct Options {
    inbox_type: Option<u64>,
    is_normal_user: Option<bool>,
}

/// Checks `route` and writes what its calls share.
///
/// # Errors
/// Every fault at once, with pointers relative to the route.
pub(super) fn prepare(adapter: &VolcengineRtc, route: &Route) -> Result<PreparedRoute, Vec<Fault>> {
    let mut faults = adapter.profile.check(route).err().unwrap_or_default();
    let sender = route.sender.as_deref().unwrap_or_default();
    if !sender.is_empty() && !is_user_id(sender) {
        faults.push(Fault::new("/from", FaultCode::OutOfRange, USER_ID_RULE));
    }
    let content = content::write(&route.message, adapter.format)
        .and_then(|content| match content {
            Some(content) => check_size(content, adapter.profile.max_payload_bytes).map(Some),
            None => Ok(None),
        })
        .map_err(|found| faults.extend(found));
    let options = read_options(route.provider_options.as_ref()).map_err(|found| faults.extend(found));
    let ext = write_ext(route.ext.as_ref()).map_err(|found| faults.push(found));
    match (content, options, ext) {
        (Ok(Some(content)), Ok(options), Ok(ext)) if faults.is_empty() => Ok(PreparedRoute {
            head: write_head(adapter.app_id, sender, &content, &options, &ext),
            warnings: content.left_out.iter().map(|name| left_out(name)).collect(),
            chunking: Chunking {
                recipients_per_call: adapter.profile.recipients_per_call.get(),
                // Source: `BatchSendMessage`, "Notes": one call to 500 users counts 500, read 2026-11-21.
                cost: MessageCost::PerRecipient,
            },
            timeout: adapter.timeout,
        }),
        _ => Err(faults),
    }
}

impl Prepared for PreparedRoute {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn chunking(&self) -> Chunking {
        self.chunking
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if is_user_id(id) {
            Ok(())
        } else {
            Err(Failure::gateway(FailureKind::InvalidRecipient)
                .with_hint(&format!("an id of {NAME} {USER_ID_RULE}")))
        }
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let recipients = call.recipients;
        let size = self.head.len() + recipients.text_bytes() + recipients.len() + TAIL.len();
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(&self.head);
        for (index, id) in recipients.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            // A JSON number as it stands, since `check_recipient` lets nothing else through.
            body.extend_from_slice(id.as_bytes());
        }
        body.extend_from_slice(TAIL);
        let mut request = WireRequest::post_json("/", body, self.timeout);
        request.push_query("Action", "BatchSendMessage");
        request.push_query("Version", "2020-12-01");
        request
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        answer::decode(call, response)
    }
}

fn write_head(app_id: u32, sender: &str, content: &Content, options: &Options, ext: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(192 + content.text.len() + ext.len());
    let numbers =
        format!(r#"{{"AppId":{app_id},"Sender":{sender},"MsgType":{},"Content":"#, content.msg_type);
    head.extend_from_slice(numbers.as_bytes());
    push_json_string(&mut head, &content.text);
    if let Some(inbox_type) = options.inbox_type {
        head.extend_from_slice(format!(r#","InboxType":{inbox_type}"#).as_bytes());
    }
    if let Some(is_normal_user) = options.is_normal_user {
        head.extend_from_slice(format!(r#","IsNormalUser":{is_normal_user}"#).as_bytes());
    }
    if !ext.is_empty() {
        head.extend_from_slice(br#","Ext":"#);
        head.extend_from_slice(ext);
    }
    head.extend_from_slice(br#","Receiver":["#);
    head
}

fn check_size(content: Content, most: Option<usize>) -> Result<Content, Vec<Fault>> {
    match most {
        Some(most) if content.text.len() > most => {
            let detail =
                format!("is {} bytes as `Content` of {NAME}; this channel allows {most}", content.text.len());
            Err(vec![Fault::new("/message", FaultCode::TooLarge, detail)])
        }
        Some(_) | None => Ok(content),
    }
}

fn read_options(block: Option<&JsonText>) -> Result<Options, Vec<Fault>> {
    let Some(block) = block else {
        return Ok(Options::default());
    };
    let pointer = format!("/provider_options/{NAME}");
    let mut fields = Fields::parse(block.as_str(), pointer, Numbers::Strict).map_err(|fault| vec![fault])?;
    let options = Options {
        inbox_type: fields.u64("inbox_type", 0..=MAX_NUMBER),
        is_normal_user: fields.bool("is_normal_user"),
    };
    let faults = fields.finish();
    if faults.is_empty() { Ok(options) } else { Err(faults) }
}

/// `Ext` as JSON text, every value a string; empty if there is none.
fn write_ext(ext: Option<&TextOrJson>) -> Result<Vec<u8>, Fault> {
    let object = match ext {
        None => return Ok(Vec::new()),
        Some(TextOrJson::Json(json)) if json.is_object() => json,
        Some(TextOrJson::Text(_) | TextOrJson::Json(_)) => {
            return Err(Fault::new(
                "/ext",
                FaultCode::Unsupported,
                format!("{NAME} carries `ext` as a map; give an object"),
            ));
        }
    };
    let mut text = Vec::with_capacity(object.as_str().len() + 16);
    let mut deserializer = serde_json::Deserializer::from_str(object.as_str());
    match ExtWriter(&mut text).deserialize(&mut deserializer) {
        Ok(()) => Ok(text),
        Err(_) => Err(Fault::new("/ext", FaultCode::WrongType, "must be an object")),
    }
}

/// Copies an object and turns every value that is no string into the string of its JSON text.
struct ExtWriter<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ExtWriter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ExtWriter<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(out) = self;
        let mut separator = b'{';
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            out.push(separator);
            separator = b',';
            push_json_string(out, &key.0);
            out.push(b':');
            if value.get().starts_with('"') {
                out.extend_from_slice(value.get().as_bytes());
            } else {
                push_json_string(out, value.get());
            }
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }
}

fn left_out(name: &str) -> Warning {
    Warning {
        code: WarningCode::FieldLeftOut,
        channel: None,
        pointer: Some(format!("/message/{name}")),
        detail: format!("{NAME} has no field for `{name}`; it was left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json::MAX_PASSTHROUGH_DEPTH;

    #[test]
    fn user_ids_are_canonical_decimals_of_63_bits() {
        for id in ["0", "7", "10001", "999999999999999999", "9223372036854775807"] {
            assert!(is_user_id(id), "{id}");
        }
        for id in ["", "00", "007", "-1", "+1", " 8", "8 ", "1.0", "1e3", "٣", "bonnie"] {
            assert!(!is_user_id(id), "{id}");
        }
        assert!(!is_user_id("9223372036854775808"));
        assert!(!is_user_id("10000000000000000000"));
    }

    #[test]
    fn ext_values_become_strings() {
        let check = |given: &str, expected: &str| {
            let json = JsonText::parse(given, MAX_PASSTHROUGH_DEPTH).unwrap();
            let text = write_ext(Some(&TextOrJson::Json(json))).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        };
        check("{}", "{}");
        check(r#"{"a\n":"b\"","n":null}"#, r#"{"a\n":"b\"","n":"null"}"#);
        check(r#"{"o": {"k": [1, "x"]}}"#, r#"{"o":"{\"k\":[1,\"x\"]}"}"#);
        check(r#"{"n":12345678901234567890123}"#, r#"{"n":"12345678901234567890123"}"#);
    }
}
