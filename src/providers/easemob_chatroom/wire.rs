//! The provider's JSON: how requests are written and how answers are taken apart.
//!
//! Answers are read tolerantly: a field of another type than documented counts as not there, numbers keep
//! every digit.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapter::fields::members::Key;
use crate::adapter::wire::push_json_string;

/// Writes one JSON object, compact, member by member.
pub(super) struct ObjectWriter(Vec<u8>);

impl ObjectWriter {
    /// Opens an object.
    pub(super) fn new() -> Self {
        Self(b"{".to_vec())
    }

    /// Starts a member; its value must follow.
    pub(super) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        // No value ends in an opening brace, so this is the first member.
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        push_json_string(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    /// A string member.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        push_json_string(self.name(name), value);
    }

    /// A string member, if there is a value.
    pub(super) fn optional_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A number member, if there is a value.
    pub(super) fn optional_number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.raw(name, value.to_string().as_bytes());
        }
    }

    /// A member whose value is already JSON.
    pub(super) fn raw(&mut self, name: &str, json: &[u8]) {
        self.name(name).extend_from_slice(json);
    }

    /// An array member of strings.
    pub(super) fn texts<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        let out = self.name(name);
        out.push(b'[');
        push_texts(out, values);
        out.push(b']');
    }

    /// Closes the object.
    pub(super) fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    /// What is written so far, the object still open.
    pub(super) fn into_open(self) -> Vec<u8> {
        self.0
    }
}

/// Appends JSON strings with commas between them.
pub(super) fn push_texts<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a str>) {
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json_string(out, value);
    }
}

/// What any answer may hold, as it stands.
#[derive(serde::Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_description: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) access_token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) expires_in: Option<&'a RawValue>,
}

/// An error in the provider's words.
pub(super) struct ErrorBody<'a> {
    /// The error type, e.g. `message_send_error`.
    pub(super) error: Cow<'a, str>,
    /// The number beside it, e.g. `14007`; not every error has one.
    pub(super) code: Option<Cow<'a, str>>,
    /// What happened; may be empty.
    pub(super) description: Cow<'a, str>,
}

impl<'a> Answer<'a> {
    /// Reads a body; `None` unless it is a JSON object.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        // Serde would also take an array for a struct.
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
        serde_json::from_slice(body).ok().filter(|_| *first == b'{')
    }

    /// The error that the answer states; `None` without an `error` string.
    pub(super) fn error(&self) -> Option<ErrorBody<'a>> {
        let code = self.error_code.and_then(|raw| text(raw).or_else(|| integer(raw)));
        Some(ErrorBody {
            error: text(self.error?)?,
            code: code.filter(|code| !code.is_empty()),
            description: self.error_description.and_then(text).unwrap_or_default(),
        })
    }
}

/// The content of a JSON string.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(raw.get()).ok().map(|key| key.0)
}

/// The token of a JSON integer, digit by digit.
pub(super) fn integer(raw: &RawValue) -> Option<Cow<'_, str>> {
    let token = raw.get();
    let digits = token.strip_prefix('-').unwrap_or(token);
    is_digits(digits).then_some(Cow::Borrowed(token))
}

/// Whether `text` is nothing but decimal digits, at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `data` of an answer: rooms and what the provider says of each, in its order.
pub(super) struct Rooms<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Rooms<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RoomsVisitor;
        impl<'de> Visitor<'de> for RoomsVisitor {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of message ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut rooms = Vec::new();
                while let Some(room) = map.next_key::<Key<'de>>()? {
                    rooms.push((room.0, map.next_value()?));
                }
                Ok(rooms)
            }
        }
        deserializer.deserialize_map(RoomsVisitor).map(Rooms)
    }
}
