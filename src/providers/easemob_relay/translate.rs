//! From a route to calls.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::adapter::profile::Profile;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Call, Chunking, DecodeError, MessageCost, Prepared};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::report::Warning;
use crate::domain::route::{Route, TargetType};
use crate::providers::easemob_relay::answer;
use crate::providers::easemob_relay::content::{self, Content};
use crate::providers::easemob_relay::options::{self, Options};
use crate::providers::easemob_relay::settings::Settings;
use crate::providers::easemob_relay::wire::{MessagePart, Template};

/// What every recipient adds to the time of a call.
///
/// Assumed: the relay calls Easemob once per message, one after the other.
const TIME_PER_RECIPIENT: Duration = Duration::from_millis(200);

/// A route that can be sent through the relay.
#[derive(Debug)]
pub(super) struct Sending {
    template: Template,
    path: Arc<str>,
    timeout: Duration,
    recipients_per_call: usize,
    warnings: Vec<Warning>,
}

/// Checks a route and encodes its message; all faults at once.
pub(super) fn prepare(
    profile: &Profile,
    settings: &Settings,
    timeout: Duration,
    route: &Route,
) -> Result<Sending, Vec<Fault>> {
    let (natural, mut faults) = match profile.check(route) {
        Ok(target_type) => (target_type, Vec::new()),
        Err(faults) => (TargetType::User, faults),
    };
    let mut warnings = Vec::new();
    let mut options = options::read(route.provider_options.as_ref(), &mut faults);
    let content = content::read(&route.message, &mut warnings, &mut faults);
    let target_type = target_word(natural, route.target_type, &options, &mut faults);
    let ext = read_ext(route, &mut options, &content, &mut faults);
    let media_file = media_file(&options, &content, &mut faults);
    let file_url = file_url(&options, &content, &mut faults);
    check_size(
        profile.max_payload_bytes,
        content.msg.len() + ext.as_ref().map_or(0, |ext| ext.as_str().len()),
        &mut faults,
    );
    if !faults.is_empty() {
        return Err(faults);
    }
    let part = MessagePart {
        msg_type: &content.msg_type,
        from_user: route.sender.as_deref().unwrap_or_default(),
        msg: &content.msg,
        media_file: &media_file,
        ext: ext.as_ref().map_or("null", JsonText::as_str).as_bytes(),
        target_type,
        more: &content.more,
        file_url: &file_url,
    };
    let req_url = options.req_url.as_deref().unwrap_or(&settings.req_url);
    Ok(Sending {
        template: Template::new(req_url, &part, settings.msg_body_encoding),
        path: settings.path.clone(),
        timeout,
        recipients_per_call: profile.recipients_per_call.get(),
        warnings,
    })
}

/// `targetType`: what the request or its option says, never the document's own default.
fn target_word(
    natural: TargetType,
    asked: Option<TargetType>,
    options: &Options,
    faults: &mut Vec<Fault>,
) -> &'static str {
    if let (Some(asked), Some(option)) = (asked, options.target_type)
        && asked != option
    {
        faults.push(options::fault("target_type", FaultCode::Conflict, "contradicts `target_type`"));
    }
    match options.target_type.unwrap_or(natural) {
        TargetType::Group => "chatgroups",
        // The profile refuses chatrooms.
        TargetType::User | TargetType::Chatroom => "users",
    }
}

/// `ext` may come from the request, its option or a native message; from one of them only.
fn read_ext(
    route: &Route,
    options: &mut Options,
    content: &Content,
    faults: &mut Vec<Fault>,
) -> Option<JsonText> {
    let normalized = match &route.ext {
        Some(TextOrJson::Json(json)) if json.is_object() => Some(json.clone()),
        Some(TextOrJson::Json(_) | TextOrJson::Text(_)) => {
            faults.push(Fault::new(
                "/ext",
                FaultCode::WrongType,
                "easemob_relay takes `ext` as an object only",
            ));
            None
        }
        None => None,
    };
    if options.ext.is_some() && route.ext.is_some() {
        faults.push(options::fault("ext", FaultCode::Conflict, "`ext` is given as well"));
    }
    if content.ext.is_some() && (options.ext.is_some() || route.ext.is_some()) {
        faults.push(Fault::new(
            "/message/payload/ext",
            FaultCode::Conflict,
            "`ext` is given outside the payload as well",
        ));
    }
    options.ext.take().or(normalized).or_else(|| content.ext.clone())
}

fn media_file(options: &Options, content: &Content, faults: &mut Vec<Fault>) -> Vec<u8> {
    if options.media_file.is_some() && content.media_file.is_some() {
        faults.push(options::fault(
            "media_file",
            FaultCode::Conflict,
            "the payload has a `mediaFile` as well",
        ));
    }
    match &content.media_file {
        Some(json) => json.as_str().as_bytes().to_vec(),
        None => content::json_string(options.media_file.as_deref().unwrap_or_default()),
    }
}

fn file_url(options: &Options, content: &Content, faults: &mut Vec<Fault>) -> Arc<str> {
    if options.file_url.is_some() && !content.may_have_file {
        faults.push(options::fault("file_url", FaultCode::Unsupported, "this message type has no file"));
    }
    options.file_url.as_ref().unwrap_or(&content.file_url).clone()
}

fn check_size(most: Option<usize>, bytes: usize, faults: &mut Vec<Fault>) {
    if let Some(most) = most
        && bytes > most
    {
        faults.push(Fault::new(
            "/message",
            FaultCode::TooLarge,
            format!("`msg` and `ext` take {bytes} bytes as JSON; the channel allows {most}"),
        ));
    }
}

impl Prepared for Sending {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn chunking(&self) -> Chunking {
        Chunking { recipients_per_call: self.recipients_per_call, cost: MessageCost::PerRecipient }
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.is_empty() {
            let failure = Failure::gateway(FailureKind::InvalidRecipient);
            return Err(failure.with_hint("the id of a user or group must not be empty"));
        }
        Ok(())
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let count = u32::try_from(call.recipients.len()).unwrap_or(u32::MAX);
        let timeout = self.timeout.saturating_add(TIME_PER_RECIPIENT.saturating_mul(count));
        let body = self.template.fill(call.recipients);
        let mut request = WireRequest::post_json(&*self.path, body, timeout);
        // Assumed: the document names no content type; its texts are Chinese.
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        request
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        answer::decode(call, response)
    }
}
