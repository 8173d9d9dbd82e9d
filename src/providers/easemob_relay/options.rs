//! `provider_options.easemob_relay`, checked.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::route::TargetType;
use crate::providers::easemob_relay::settings::check_req_url;

/// Where the block stands in a route.
const POINTER: &str = "/provider_options/easemob_relay";

/// The block, for the document of the API.
pub(super) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "target_type",
        OptionShape::Words(&["users", "chatgroups"]),
        "What the ids name, in the provider's words.",
        r#""chatgroups""#,
    ),
    OptionField::new("media_file", OptionShape::Text, "The field `mediaFile`.", r#""voice.amr""#),
    OptionField::new(
        "file_url",
        OptionShape::Pattern(HTTP_URL),
        "An absolute http or https URL, in place of the message's.",
        r#""https://cdn.example.com/voice.amr""#,
    ),
    OptionField::new(
        "ext",
        OptionShape::Object,
        "Custom data, in place of the request's `ext`.",
        r#"{"campaign": "c42"}"#,
    ),
    OptionField::new(
        "req_url",
        OptionShape::Pattern(PATH),
        "A path, in place of the channel's: without scheme, host, `//`, `\\` and white space.",
        r#""/v2/messages""#,
    ),
    OptionField::new(
        "query",
        OptionShape::Fields(QUERY),
        "Parts of the signed query, in place of the channel's; all secret.",
        r#"{"version": "1"}"#,
    ),
];

/// The block `query`.
const QUERY: &[OptionField] = &[
    OptionField::new("api_version", OptionShape::Pattern(FILLED), "Opaque.", r#""1""#),
    OptionField::new("client", OptionShape::Pattern(FILLED), "Opaque.", r#""web""#),
    OptionField::new("version", OptionShape::Pattern(FILLED), "Opaque.", r#""1""#),
    OptionField::new("channel", OptionShape::Pattern(FILLED), "Opaque.", r#""main""#),
    OptionField::new("sign", OptionShape::Pattern(FILLED), "Opaque.", r#""abc""#),
];

/// A text that is not empty.
const FILLED: &str = r"[\s\S]";

/// What `is_http_url` takes.
const HTTP_URL: &str = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/\s\x00-\x1f\x7f-\x9f][^\s\x00-\x1f\x7f-\x9f]*$";

/// What `check_req_url` takes.
const PATH: &str = r"^/(?:[^/\\\s\x00-\x1f\x7f-\x9f]+(?:/[^/\\\s\x00-\x1f\x7f-\x9f]+)*/?)?$";

/// What a caller may set beside the normalized fields; `None` = not given.
///
/// `query` is checked here and applied in `auth.rs`, since it is a credential.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `targetType`, as our own word.
    pub(super) target_type: Option<TargetType>,
    /// `mediaFile`.
    pub(super) media_file: Option<Arc<str>>,
    /// `fileUrl`, in place of the message's URL.
    pub(super) file_url: Option<Arc<str>>,
    /// `ext`: an object.
    pub(super) ext: Option<JsonText>,
    /// `reqUrl`, in place of the channel's.
    pub(super) req_url: Option<Arc<str>>,
}

/// A fault of one option.
pub(super) fn fault(name: &str, code: FaultCode, detail: impl Into<String>) -> Fault {
    Fault::new(format!("{POINTER}/{name}"), code, detail)
}

/// Reads the block and adds what is wrong with it to `faults`.
pub(super) fn read(block: Option<&JsonText>, faults: &mut Vec<Fault>) -> Options {
    let Some(block) = block else {
        return Options::default();
    };
    let mut fields = match Fields::parse(block.as_str(), POINTER, Numbers::Strict) {
        Ok(fields) => fields,
        Err(fault) => {
            faults.push(fault);
            return Options::default();
        }
    };
    let targets = [("users", TargetType::User), ("chatgroups", TargetType::Group)];
    let options = Options {
        target_type: fields.choice("target_type", &targets),
        media_file: fields.text("media_file"),
        file_url: fields.text("file_url").filter(|url| is_http_url(url, &mut fields)),
        ext: fields.json_object("ext"),
        req_url: fields.text("req_url").and_then(|text| check_req_url(&mut fields, text)),
    };
    fields.object("query", |query| {
        for name in ["api_version", "client", "version", "channel", "sign"] {
            if query.text(name).is_some_and(|value| value.is_empty()) {
                query.fault_at(name, FaultCode::OutOfRange, "must not be empty");
            }
        }
        Some(())
    });
    faults.extend(fields.finish());
    options
}

fn is_http_url(text: &str, fields: &mut Fields<'_>) -> bool {
    let is_url = ["http://", "https://"].iter().any(|scheme| {
        text.split_at_checked(scheme.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(scheme) && !rest.is_empty() && !rest.starts_with('/')
        })
    }) && !text.contains(|symbol: char| symbol.is_whitespace() || symbol.is_control());
    if !is_url {
        fields.fault_at("file_url", FaultCode::OutOfRange, "must be an absolute http or https URL");
    }
    is_url
}
