//! The relay's JSON: the body that is sent and the envelope that comes back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::fields::members::Key;
use crate::adapter::fields::read_id;
use crate::adapter::wire::push_json_string;
use crate::domain::recipients::Recipients;
use crate::providers::easemob_relay::settings::MsgBodyEncoding;

/// One message as the relay wants it, without its recipient. All but words of ours is JSON already.
pub(super) struct MessagePart<'a> {
    /// `msgType`, outside and inside.
    pub(super) msg_type: &'a str,
    /// `fromUser`.
    pub(super) from_user: &'a str,
    /// `msg`, as JSON.
    pub(super) msg: &'a [u8],
    /// `mediaFile`, as JSON.
    pub(super) media_file: &'a [u8],
    /// `ext`, as JSON; an object or `null`.
    pub(super) ext: &'a [u8],
    /// `targetType`.
    pub(super) target_type: &'a str,
    /// Further members of `msgBody`: names and values as JSON, each pair after a comma.
    pub(super) more: &'a [u8],
    /// `fileUrl`; empty without a file.
    pub(super) file_url: &'a str,
}

/// A call's body with gaps for the recipients: the message is encoded once and repeated around each id.
#[derive(Debug)]
pub(super) struct Template {
    head: Vec<u8>,
    before_id: Vec<u8>,
    after_id: Vec<u8>,
    encoding: MsgBodyEncoding,
}

/// Ends the list of messages and the body.
const TAIL: &[u8] = b"]}";

impl Template {
    /// Encodes everything but the recipients.
    ///
    /// All seven fields of `msgBody` are always written, in the document's order, `targetType` above all: its
    /// default is a group.
    /// Source: interface 2.8, "parameters", "message fields", "body format", read 2026-11-21.
    pub(super) fn new(req_url: &str, part: &MessagePart<'_>, encoding: MsgBodyEncoding) -> Self {
        let mut head = br#"{"reqUrl":"#.to_vec();
        push_json_string(&mut head, req_url);
        head.extend_from_slice(br#","messages":["#);

        let mut before_id = br#"{"msgType":"#.to_vec();
        push_json_string(&mut before_id, part.msg_type);
        before_id.extend_from_slice(br#","msgBody":"#);
        let mut after_id = Vec::new();
        let body = body_after_id(part);
        match encoding {
            MsgBodyEncoding::Object => {
                before_id.extend_from_slice(BODY_START);
                after_id.extend_from_slice(&body);
            }
            MsgBodyEncoding::Text => {
                before_id.push(b'"');
                push_nested(&mut before_id, BODY_START);
                push_nested(&mut after_id, &body);
                after_id.push(b'"');
            }
        }
        after_id.extend_from_slice(br#","fileUrl":"#);
        push_json_string(&mut after_id, part.file_url);
        after_id.push(b'}');
        Self { head, before_id, after_id, encoding }
    }

    /// The body for these recipients.
    pub(super) fn fill(&self, recipients: Recipients<'_>) -> Vec<u8> {
        // A comma and two quotes, which take a backslash each inside a string.
        let around = self.before_id.len() + self.after_id.len() + 5;
        let messages = around.saturating_mul(recipients.len());
        let mut body = Vec::with_capacity(self.head.len() + messages + recipients.text_bytes() + TAIL.len());
        body.extend_from_slice(&self.head);
        for (index, id) in recipients.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.before_id);
            match self.encoding {
                MsgBodyEncoding::Object => push_json_string(&mut body, id),
                MsgBodyEncoding::Text => push_nested_id(&mut body, id),
            }
            body.extend_from_slice(&self.after_id);
        }
        body.extend_from_slice(TAIL);
        body
    }
}

const BODY_START: &[u8] = br#"{"toUser":"#;

fn body_after_id(part: &MessagePart<'_>) -> Vec<u8> {
    let mut body = br#","fromUser":"#.to_vec();
    push_json_string(&mut body, part.from_user);
    body.extend_from_slice(br#","msgType":"#);
    push_json_string(&mut body, part.msg_type);
    for (name, value) in [
        (br#","msg":"#.as_slice(), part.msg),
        (br#","mediaFile":"#, part.media_file),
        (br#","ext":"#, part.ext),
    ] {
        body.extend_from_slice(name);
        body.extend_from_slice(value);
    }
    body.extend_from_slice(br#","targetType":"#);
    push_json_string(&mut body, part.target_type);
    body.extend_from_slice(part.more);
    body.push(b'}');
    body
}

/// Appends JSON as the inside of a JSON string, without the quotes around it.
///
/// Escapes byte by byte: whatever is not ASCII, or not special, stays as it is.
fn push_nested(out: &mut Vec<u8>, json: &[u8]) {
    for byte in json {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        // Compact JSON has no control characters outside escape sequences.
        out.push(*byte);
    }
}

fn push_nested_id(out: &mut Vec<u8>, id: &str) {
    let mut text = Vec::with_capacity(id.len() + 2);
    push_json_string(&mut text, id);
    push_nested(out, &text);
}

/// The envelope of every answer; `page` and `foot` say nothing about messages.
///
/// Source: interface 2.8, "returned JSON, examples", read 2026-11-21.
#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// The envelope, as far as it can be read.
pub(super) struct Envelope<'a> {
    /// `code` as decimal text; a string of digits counts as a number.
    pub(super) code: Box<str>,
    /// `message`; empty if there is none or it is no text.
    pub(super) message: Cow<'a, str>,
    /// `data`: the messages that were not sent.
    pub(super) data: Data<'a>,
}

/// What stands in `data`.
pub(super) enum Data<'a> {
    /// One entry per message; `None` = an entry that names nobody.
    Listed(Vec<Option<Cow<'a, str>>>),
    /// Neither a list nor anything that may stand for one.
    Unreadable,
}

impl<'a> Envelope<'a> {
    /// Reads an answer's body; `None` if it is no envelope.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        // A derived struct would also take an array.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let raw: RawEnvelope<'a> = serde_json::from_slice(body).ok()?;
        Some(Self {
            code: read_code(raw.code?.get())?,
            message: raw.message.and_then(|token| read_text(token.get())).unwrap_or_default(),
            data: raw.data.map_or_else(|| Data::Listed(Vec::new()), Data::read),
        })
    }
}

fn read_code(token: &str) -> Option<Box<str>> {
    let code = read_id(token)?;
    let digits = code.strip_prefix('-').unwrap_or(&code);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| Box::from(&*code))
}

fn read_text(token: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(token).ok().map(|text| text.0)
}

impl<'a> Data<'a> {
    /// `""` stands for an empty list, and an object for a list of one: the relay prints maps and lists
    /// loosely (its example turns a `null` into `""`).
    fn read(token: &'a RawValue) -> Self {
        let token = token.get();
        if token == "\"\"" {
            return Self::Listed(Vec::new());
        }
        if token.starts_with('{') {
            return Self::Listed(vec![read_entry(token)]);
        }
        match serde_json::from_str::<Vec<&'a RawValue>>(token) {
            Ok(entries) => Self::Listed(entries.iter().map(|entry| read_entry(entry.get())).collect()),
            Err(_) => Self::Unreadable,
        }
    }
}

/// An echo of a message that was sent; only who it was for matters, since `ext` and others come back changed.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, rename = "msgBody")]
    msg_body: Option<&'a RawValue>,
    #[serde(borrow, rename = "toUser")]
    to_user: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "toUser")]
    to_user: Option<&'a RawValue>,
}

/// Who an entry of `data` is about.
///
/// Source: interface 2.8: the text says ids, the example shows whole messages; both are read. `msgBody` may be
/// an object or, by the table, a JSON string. Read 2026-11-21.
fn read_entry(token: &str) -> Option<Cow<'_, str>> {
    if !token.starts_with('{') {
        return read_user(token);
    }
    let entry: Entry<'_> = serde_json::from_str(token).ok()?;
    entry.msg_body.and_then(|body| read_body(body.get())).or_else(|| read_user(entry.to_user?.get()))
}

fn read_body(token: &str) -> Option<Cow<'_, str>> {
    if token.starts_with('{') {
        let body: Body<'_> = serde_json::from_str(token).ok()?;
        return read_user(body.to_user?.get());
    }
    let text = read_text(token)?;
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let body: Body<'_> = serde_json::from_str(&text).ok()?;
    read_user(body.to_user?.get()).map(|id| Cow::Owned(id.into_owned()))
}

/// An id: a string, or an integer digit by digit. An empty one names nobody.
fn read_user(token: &str) -> Option<Cow<'_, str>> {
    let id = if token.starts_with('"') {
        read_text(token)?
    } else {
        let digits = token.strip_prefix('-').unwrap_or(token);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Cow::Borrowed(token)
    };
    (!id.is_empty()).then_some(id)
}
