//! Prepares a route and writes its calls.

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::wire::{WireRequest, WireResponse, push_json_string};
use crate::adapter::{Answer, Audience, Call, Chunking, DecodeError, MessageCost, Prepared};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::report::Warning;
use crate::domain::route::{Push, Route};
use crate::providers::openim::content::{self, Content, Findings, NOTIFICATION};
use crate::providers::openim::options::{NOTIFICATION_CHAT, Options, POINTER, PushInfo, SINGLE_CHAT};
use crate::providers::openim::wire::{self, SEND_PATH, SendFields};
use crate::providers::openim::{NAME, OpenIm, answer};

/// What every recipient adds to the time that a call may take: the server sends to one after the other
/// before it answers. Assumed.
const TIME_PER_RECIPIENT: Duration = Duration::from_millis(20);

/// What a body starts with.
const HEAD: &[u8] = b"{\"recvIDs\":[";

/// One route that can be sent.
pub(super) struct PreparedSend {
    /// What follows the last recipient: the same in all calls.
    tail: Vec<u8>,
    warnings: Vec<Warning>,
    audience: Audience,
    recipients_per_call: usize,
    timeout: Duration,
}

/// Checks everything about a route but its recipients, and writes the message part.
pub(super) fn prepare(adapter: &OpenIm, route: &Route) -> Result<PreparedSend, Vec<Fault>> {
    let mut findings =
        Findings { faults: adapter.profile.check(route).err().unwrap_or_default(), warnings: Vec::new() };
    let options = Options::read(route, &mut findings.faults);
    let content = content::translate(&route.message, adapter.extra_content_types, &mut findings);
    if let Some(content) = &content {
        check_size(adapter, content, &mut findings);
        check_session(content, &options, &mut findings);
    }
    check_audience(adapter, route, &options, &mut findings);
    check_twice_given(route, &options, &mut findings);
    match (content, &route.sender) {
        (Some(content), Some(sender)) if findings.faults.is_empty() => {
            let is_everyone = options.is_send_all == Some(true);
            Ok(PreparedSend {
                tail: write_tail(route, sender, &content, &options),
                warnings: findings.warnings,
                audience: if is_everyone { Audience::Everyone } else { Audience::To },
                recipients_per_call: adapter.profile.recipients_per_call.get(),
                timeout: if is_everyone { adapter.send_all_timeout } else { adapter.timeout },
            })
        }
        _ => Err(findings.faults),
    }
}

fn check_size(adapter: &OpenIm, content: &Content, findings: &mut Findings) {
    let most = adapter.profile.max_payload_bytes.unwrap_or(usize::MAX);
    if content.json.len() > most {
        let detail =
            format!("the message takes {} bytes as JSON; this channel allows {most}", content.json.len());
        findings.fault("/message", FaultCode::TooLarge, detail);
    }
}

/// The server takes session type 4 with another content type, and then fails every recipient silently.
///
/// Source: openimsdk/protocol `sdkws/sdkws.go` (`MsgData.Check`), read 2026-11-21.
fn check_session(content: &Content, options: &Options, findings: &mut Findings) {
    let is_notification = content.content_type == NOTIFICATION;
    let asks_for_notification = options.session_type.map(|session_type| session_type == NOTIFICATION_CHAT);
    if asks_for_notification.is_some_and(|asks| asks != is_notification) {
        findings.fault(
            &format!("{POINTER}/session_type"),
            FaultCode::Conflict,
            "session type 4 and content type 1400 go together and with nothing else",
        );
    }
}

fn check_audience(adapter: &OpenIm, route: &Route, options: &Options, findings: &mut Findings) {
    if options.is_send_all != Some(true) {
        return;
    }
    if !adapter.allow_send_all {
        findings.fault(
            &format!("{POINTER}/is_send_all"),
            FaultCode::NotAllowed,
            "this channel does not allow sending to every registered user (`allow_send_all`)",
        );
    }
    if !route.to.is_empty() {
        findings.fault(
            "/to",
            FaultCode::Conflict,
            "must be empty together with `is_send_all`: the server would ignore it",
        );
    }
}

/// Refuses what is said in two places.
fn check_twice_given(route: &Route, options: &Options, findings: &mut Findings) {
    if route.ext.is_some() && options.ex.is_some() {
        let detail = "give either `ext` or the option `ex`";
        findings.fault("/ext", FaultCode::Conflict, detail);
    }
    let Some(push) = &route.push else {
        return;
    };
    if options.offline_push_info.is_some() || options.not_offline_push.is_some() {
        let detail = "give either `push` or the options `offline_push_info` and `not_offline_push`";
        findings.fault("/push", FaultCode::Conflict, detail);
    }
    if push.android_sound.is_some() {
        let detail = format!("{NAME} has no field for the sound on Android");
        findings.fault("/push/android/sound", FaultCode::Unsupported, detail);
    }
}

/// Everything after the recipients: `],"sendID":...,"content":{...}}`.
fn write_tail(route: &Route, sender: &str, content: &Content, options: &Options) -> Vec<u8> {
    let push = route.push.as_ref();
    let push_info = push.and_then(push_info);
    let push_info = options.offline_push_info.as_ref().or(push_info.as_ref());
    let session_type = match content.content_type {
        NOTIFICATION => NOTIFICATION_CHAT,
        _ => SINGLE_CHAT,
    };
    // Who spells out one of the two fields that address a message gets both, as in the provider's example.
    let is_send_all = options.is_send_all.or_else(|| options.session_type.map(|_| false));
    let fields = wire::to_json(&SendFields {
        send_id: sender,
        sender_nickname: options.sender_nickname.as_deref(),
        sender_face_url: options.sender_face_url.as_deref(),
        sender_platform_id: options.sender_platform_id,
        content_type: content.content_type,
        session_type,
        is_online_only: options.is_online_only,
        not_offline_push: options.not_offline_push.or(push.and_then(|push| push.disabled)),
        send_time: options.send_time,
        offline_push_info: push_info.map(|info| wire::OfflinePushInfo {
            title: info.title.as_deref(),
            desc: info.desc.as_deref(),
            ex: info.ex.as_deref(),
            ios_push_sound: info.ios_push_sound.as_deref(),
            ios_badge_count: info.ios_badge_count,
        }),
        ex: options.ex.as_deref().or_else(|| route.ext.as_ref().map(|ext| ext.as_text())),
        is_send_all,
    });
    let members = fields.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let members = members.unwrap_or_default();
    format!("],{members},\"content\":{}}}", content.json).into_bytes()
}

/// The notification that `push` asks for; `None` if it only switches push on or off.
fn push_info(push: &Push) -> Option<PushInfo> {
    let info = PushInfo {
        title: push.title.clone(),
        desc: push.body.clone(),
        ex: push.ext.as_ref().map(|ext| Arc::from(ext.as_text())),
        ios_push_sound: push.ios_sound.clone(),
        ios_badge_count: push.ios_badge,
    };
    let is_given = info.title.is_some()
        || info.desc.is_some()
        || info.ex.is_some()
        || info.ios_push_sound.is_some()
        || info.ios_badge_count.is_some();
    is_given.then_some(info)
}

impl Prepared for PreparedSend {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn audience(&self) -> Audience {
        self.audience.clone()
    }

    fn chunking(&self) -> Chunking {
        Chunking { recipients_per_call: self.recipients_per_call, cost: MessageCost::PerRecipient }
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.is_empty() {
            let failure = Failure::gateway(FailureKind::InvalidRecipient);
            return Err(failure.with_hint("a recipient id must not be empty"));
        }
        Ok(())
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let recipients = call.recipients;
        // Two quotes and a comma around every id.
        let capacity = HEAD.len() + self.tail.len() + recipients.text_bytes() + 3 * recipients.len();
        let mut body = Vec::with_capacity(capacity);
        body.extend_from_slice(HEAD);
        for (index, id) in recipients.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            push_json_string(&mut body, id);
        }
        body.extend_from_slice(&self.tail);
        let count = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
        let timeout = self.timeout.saturating_add(TIME_PER_RECIPIENT.saturating_mul(count));
        WireRequest::post_json(SEND_PATH, body, timeout)
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        match self.audience {
            Audience::Everyone => answer::decode_everyone(response),
            Audience::To | Audience::Members { .. } => answer::decode(call, response),
        }
    }
}
