//! The request of a send or a plan, made of the command line and of the files that it names.
//!
//! Everything is read and checked as far as it can be here before anything is sent; the gateway judges the rest.

mod recipients;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::commands::InputError;
use crate::commands::batch_request::recipients::Recipients;
use crate::domain::json::JsonText;

/// Lists beyond this go out as lines, and their reports hold no results.
const MOST_LISTED: usize = 1000;

/// No gateway can be told to take a longer body.
const MOST_BYTES: usize = 1 << 30;

/// Bodies from here on are of batches that take a while.
const LONG_BODY_BYTES: usize = 64 * 1024;

/// Deeper than anything that a gateway takes.
const MOST_DEPTH: usize = 100;

/// What to send to whom.
#[derive(Debug, Default, clap::Args)]
// Several commands have groups of this name.
#[group(skip)]
pub(super) struct Arguments {
    /// Whom to send to; `-` reads standard input as --to-file reads a file
    #[arg(value_name = "RECIPIENT")]
    recipients: Vec<String>,
    /// A file of recipients, one a line: an id as it stands, or JSON such as {"id":"rong","ref":"user-2"}
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Through which channel
    #[arg(long, required_unless_present = "body")]
    channel: Option<String>,
    /// The visible sender [default: the channel's]
    #[arg(long, value_name = "ID")]
    from: Option<String>,
    /// What the recipients are [default: what the provider naturally targets]
    #[arg(long, value_parser = ["user", "group", "chatroom"])]
    target_type: Option<String>,
    /// The message, if it is a text
    #[arg(long, required_unless_present_any = ["message", "body"], conflicts_with = "message")]
    text: Option<String>,
    /// The message of any type, as in the API
    #[arg(long, value_name = "JSON|@FILE")]
    message: Option<String>,
    /// Custom data that travels with the message: a JSON object, or any text
    #[arg(long, value_name = "JSON|TEXT|@FILE")]
    ext: Option<String>,
    /// Offline push, as in the API
    #[arg(long, value_name = "JSON|@FILE")]
    push: Option<String>,
    /// Blocks by provider, as in the API
    #[arg(long, value_name = "JSON|@FILE")]
    provider_options: Option<String>,
    /// Your own name for the batch
    #[arg(long, value_name = "TEXT")]
    client_ref: Option<String>,
    /// No call starts after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// What to do about ids that the provider cannot take: send to the others, or refuse all [default: skip]
    #[arg(long, value_parser = ["skip", "reject"])]
    on_invalid: Option<String>,
    /// Send again what may have arrived: some may get the message twice
    #[arg(long)]
    retry_unknown: bool,
    /// A file with the whole request, as in the API, in place of everything above; `-`: standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "recipients", "to_file", "channel", "from", "target_type", "text", "message", "ext", "push",
        "provider_options", "client_ref", "expires_at", "on_invalid", "retry_unknown",
    ])]
    body: Option<PathBuf>,
}

/// A request that can be sent.
#[derive(Debug)]
pub(super) struct BatchRequest {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// Whether its batch may well take longer than an answer waits.
    pub(super) is_long: bool,
}

/// The fields of a request but the recipients.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_type: Option<&'a str>,
    message: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_options: Option<Box<RawValue>>,
    options: Options<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_invalid: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retry_unknown: bool,
}

impl Arguments {
    /// Reads everything that the arguments name, and `input` if they name standard input.
    pub(super) fn read(&self, input: &mut dyn Read) -> Result<BatchRequest, InputError> {
        let mut files = Files { input: Some(input) };
        let Some(body) = &self.body else {
            return self.assemble(&mut files);
        };
        let is_streamed = is_standard_input(body);
        let body = files.read(body)?;
        let content_type =
            content_type(&body).map_err(|source| InputError::Json { option: "body", source })?;
        let is_long = is_streamed || body.len() > LONG_BODY_BYTES;
        Ok(BatchRequest { content_type, body: body.into(), is_long })
    }

    fn assemble(&self, files: &mut Files<'_>) -> Result<BatchRequest, InputError> {
        let mut head = self.head(files)?;
        let (recipients, is_streamed) = self.read_recipients(files)?;
        if recipients.count() == 0 {
            return Err(InputError::NoRecipient);
        }
        if recipients.count() > MOST_LISTED {
            let body = format!("{}\n{}", write("recipient", &head)?, recipients.lines());
            return Ok(BatchRequest {
                content_type: "application/x-ndjson",
                body: body.into(),
                is_long: true,
            });
        }
        head.to = Some(raw("recipient", recipients.array())?);
        let body = write("recipient", &head)?.into();
        Ok(BatchRequest { content_type: "application/json", body, is_long: is_streamed })
    }

    /// The recipients, and whether standard input named some.
    fn read_recipients(&self, files: &mut Files<'_>) -> Result<(Recipients, bool), InputError> {
        let mut found = Recipients::default();
        let mut is_streamed = false;
        for recipient in &self.recipients {
            if recipient == "-" {
                found.push_lines("standard input", &files.read(Path::new("-"))?)?;
                is_streamed = true;
            } else {
                found.push(recipient).map_err(|source| InputError::Json { option: "recipient", source })?;
            }
        }
        if let Some(path) = &self.to_file {
            is_streamed |= is_standard_input(path);
            found.push_lines(&name(path), &files.read(path)?)?;
        }
        Ok((found, is_streamed))
    }

    fn head(&self, files: &mut Files<'_>) -> Result<Head<'_>, InputError> {
        let message = match (&self.text, &self.message) {
            (Some(text), _) => write("text", &serde_json::json!({ "type": "text", "text": text }))
                .and_then(|text| raw("text", text))?,
            (None, message) => files.object("message", message.as_deref().unwrap_or_default())?,
        };
        let mut object = |option, given: &Option<String>| {
            given.as_deref().map(|text| files.object(option, text)).transpose()
        };
        Ok(Head {
            client_ref: self.client_ref.as_deref(),
            channel: self.channel.as_deref().unwrap_or_default(),
            from: self.from.as_deref(),
            target_type: self.target_type.as_deref(),
            message,
            push: object("push", &self.push)?,
            provider_options: object("provider-options", &self.provider_options)?,
            ext: self.ext.as_deref().map(|text| files.object_or_text("ext", text)).transpose()?,
            options: Options {
                expires_at: self.expires_at.as_deref(),
                on_invalid: self.on_invalid.as_deref(),
                retry_unknown: self.retry_unknown,
            },
            to: None,
        })
    }
}

/// What can be read: files, and standard input once.
struct Files<'a> {
    input: Option<&'a mut dyn Read>,
}

impl Files<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, InputError> {
        let unreadable = |source| InputError::Unreadable { name: name(path), source };
        let mut content = Vec::new();
        // One byte more than allowed shows that there are too many.
        let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        if is_standard_input(path) {
            let input = self.input.take().ok_or(InputError::InputTwice)?;
            input.take(most).read_to_end(&mut content).map_err(unreadable)?;
        } else {
            let file = std::fs::File::open(path).map_err(unreadable)?;
            file.take(most).read_to_end(&mut content).map_err(unreadable)?;
        }
        if content.len() > MOST_BYTES { Err(InputError::TooLong { name: name(path) }) } else { Ok(content) }
    }

    /// The value of an option, or the text of the file that it names.
    fn text(&mut self, option: &'static str, given: &str) -> Result<String, InputError> {
        match given.strip_prefix('@') {
            None => Ok(given.to_owned()),
            Some(path) => {
                String::from_utf8(self.read(Path::new(path))?).map_err(|_| InputError::NoText { option })
            }
        }
    }

    fn object(&mut self, option: &'static str, given: &str) -> Result<Box<RawValue>, InputError> {
        let text = self.text(option, given)?;
        if !text.trim_start().starts_with('{') {
            return Err(InputError::NoObject { option });
        }
        compact(option, &text)
    }

    fn object_or_text(&mut self, option: &'static str, given: &str) -> Result<Box<RawValue>, InputError> {
        let text = self.text(option, given)?;
        if text.trim_start().starts_with('{') {
            return compact(option, &text);
        }
        write(option, &text).and_then(|text| raw(option, text))
    }
}

/// JSON on one line, its numbers as they were written.
fn compact(option: &'static str, text: &str) -> Result<Box<RawValue>, InputError> {
    serde_json::from_str::<&RawValue>(text).map_err(|source| InputError::Json { option, source })?;
    let compact = JsonText::parse(text, MOST_DEPTH);
    let compact = compact.map_err(|source| InputError::Unusable { option, source })?;
    raw(option, compact.as_str().to_owned())
}

fn write(option: &'static str, value: &impl Serialize) -> Result<String, InputError> {
    serde_json::to_string(value).map_err(|source| InputError::Json { option, source })
}

fn raw(option: &'static str, json: String) -> Result<Box<RawValue>, InputError> {
    RawValue::from_string(json).map_err(|source| InputError::Json { option, source })
}

/// Whether a body is one JSON value, or lines that begin with one.
fn content_type(body: &[u8]) -> Result<&'static str, serde_json::Error> {
    let whole = match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => return Ok("application/json"),
        Err(error) => error,
    };
    let mut lines = body.splitn(2, |byte| *byte == b'\n');
    let is_value = lines.next().is_some_and(|line| serde_json::from_slice::<IgnoredAny>(line).is_ok());
    if is_value { Ok("application/x-ndjson") } else { Err(whole) }
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}
