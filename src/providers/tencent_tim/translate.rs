//! From a route to calls.

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::profile::Profile;
use crate::adapter::wire::{WireRequest, WireResponse, push_json_string};
use crate::adapter::{Answer, Call, Chunking, DecodeError, MessageCost, Prepared};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::TextOrJson;
use crate::domain::message::Message;
use crate::domain::report::Warning;
use crate::domain::route::{Push, Route};
use crate::providers::tencent_tim::answer;
use crate::providers::tencent_tim::content::{self, Findings};
use crate::providers::tencent_tim::options::{self, Options};
use crate::providers::tencent_tim::wire::{PlatformInfo, PushInfo, Template, low_half};

/// Source: batch one-to-one messages, section 2.1, read 2026-11-21.
const PATH: &str = "/v4/openim/batchsendmsg";

/// What all calls of a channel share.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The application's number as text.
    pub(super) sdk_app_id: String,
    /// The administrator's account.
    pub(super) identifier: Arc<str>,
    /// Most recipients of one call.
    pub(super) recipients_per_call: usize,
    /// Most time for one try; recipients add nothing, the provider itself gives up after 3 s.
    pub(super) timeout: Duration,
}

/// A route that can be sent.
#[derive(Debug)]
pub(super) struct PreparedRoute {
    endpoint: Arc<Endpoint>,
    template: Template,
    warnings: Vec<Warning>,
}

/// Checks a route and encodes everything but its recipients; all faults at once.
pub(super) fn prepare(
    profile: &Profile,
    endpoint: &Arc<Endpoint>,
    route: &Route,
) -> Result<PreparedRoute, Vec<Fault>> {
    let mut findings =
        Findings { faults: profile.check(route).err().unwrap_or_default(), warnings: Vec::new() };
    let options = options::read(route.provider_options.as_ref(), &mut findings.faults);
    let body = content::write(&route.message, &mut findings).unwrap_or_default();
    if let Some(most) = profile.max_payload_bytes
        && body.len() > most
    {
        findings.faults.push(Fault::new(
            "/message",
            FaultCode::TooLarge,
            format!("takes {} bytes as `MsgBody`, at most {most} are allowed", body.len()),
        ));
    }
    check_conflicts(route, &options, &mut findings.faults);
    let push = push_info(route, &options, &mut findings.faults);
    if !findings.faults.is_empty() {
        return Err(findings.faults);
    }
    Ok(PreparedRoute {
        endpoint: endpoint.clone(),
        template: template(route, &options, &body, push.as_deref()),
        warnings: findings.warnings,
    })
}

/// What says the same thing twice.
fn check_conflicts(route: &Route, options: &Options, faults: &mut Vec<Fault>) {
    for (option, is_twice, other) in [
        ("cloud_custom_data", options.cloud_custom_data.is_some() && route.ext.is_some(), "ext"),
        ("offline_push_info", options.offline_push_info.is_some() && route.push.is_some(), "push"),
    ] {
        if is_twice {
            faults.push(Fault::new(
                options::pointer(option),
                FaultCode::Conflict,
                format!("`{other}` says the same thing"),
            ));
        }
    }
}

/// The JSON of `OfflinePushInfo`; `None` = left out.
fn push_info(route: &Route, options: &Options, faults: &mut Vec<Fault>) -> Option<String> {
    if let Some(given) = &options.offline_push_info {
        return Some(given.as_str().to_owned());
    }
    let mut info = route.push.as_ref().map(from_push).unwrap_or_default();
    if info == PushInfo::default() {
        if !is_command(route) {
            return None;
        }
        // A command shows nothing, so nothing is pushed.
        info.push_flag = Some(1);
    }
    let json = serde_json::to_string(&info);
    if json.is_err() {
        faults.push(Fault::new("/push", FaultCode::WrongType, "cannot be written as JSON"));
    }
    json.ok()
}

fn from_push(push: &Push) -> PushInfo<'_> {
    PushInfo {
        push_flag: push.disabled.map(u8::from),
        title: push.title.as_deref(),
        desc: push.body.as_deref(),
        ext: push.ext.as_ref().map(TextOrJson::as_text),
        android_info: platform_info(push.android_sound.as_deref(), None),
        apns_info: platform_info(push.ios_sound.as_deref(), push.ios_badge),
    }
}

fn platform_info(sound: Option<&str>, badge: Option<bool>) -> Option<PlatformInfo<'_>> {
    let info = PlatformInfo {
        sound,
        // The provider's flag says that the message does not count.
        badge_mode: badge.map(|counts| u8::from(!counts)),
    };
    (info != PlatformInfo::default()).then_some(info)
}

fn is_command(route: &Route) -> bool {
    matches!(&*route.message, Message::Command { .. })
}

fn template(route: &Route, options: &Options, body: &str, push: Option<&str>) -> Template {
    let control = options
        .send_msg_control
        .as_deref()
        // A command shows nothing, so it neither counts as unread nor stands as the last message.
        .or_else(|| is_command(route).then_some("[\"NoUnread\",\"NoLastMsg\"]"));
    let custom_data =
        route.ext.as_ref().map(TextOrJson::as_text).or(options.cloud_custom_data.as_deref()).map(json_string);
    let seq = options.msg_seq.map(|seq| seq.to_string());
    let sync = options.sync_to_sender.map(|syncs| if syncs { "1" } else { "2" });
    let life_time = options.msg_life_time.map(|seconds| seconds.to_string());
    let online_only = options.online_only_flag.map(|flag| flag.to_string());
    let members: Vec<(&'static str, &str)> = [
        ("MsgBody", Some(body)),
        ("OfflinePushInfo", push),
        ("MsgSeq", seq.as_deref()),
        ("SyncOtherMachine", sync),
        ("MsgLifeTime", life_time.as_deref()),
        ("OnlineOnlyFlag", online_only.as_deref()),
        ("CloudCustomData", custom_data.as_deref()),
        ("SendMsgControl", control),
    ]
    .into_iter()
    .filter_map(|(name, json)| Some((name, json?)))
    .collect();
    Template::new(route.sender.as_deref(), &members)
}

fn json_string(text: &str) -> String {
    let mut json = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut json, text);
    String::from_utf8(json).unwrap_or_default()
}

impl Prepared for PreparedRoute {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn chunking(&self) -> Chunking {
        Chunking { recipients_per_call: self.endpoint.recipients_per_call, cost: MessageCost::PerRecipient }
    }

    /// Only an empty id is refused here: the documents' 32 bytes are advice, and a clear 70107 is better than
    /// a gateway that is stricter than the provider.
    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.is_empty() {
            return Err(
                Failure::gateway(FailureKind::InvalidRecipient).with_hint("the recipient id is empty")
            );
        }
        Ok(())
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        // A repeat has the same call and therefore the same `MsgRandom`; another call has another one, or the
        // provider would take two messages of one second for one.
        let body = self.template.write(call.recipients, low_half(call.nonce));
        let mut request = WireRequest::post_json(PATH, body, self.endpoint.timeout);
        request.push_query("sdkappid", self.endpoint.sdk_app_id.as_str());
        request.push_query("identifier", &*self.endpoint.identifier);
        request.push_query("contenttype", "json");
        request
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        answer::decode(call.recipients, response)
    }
}
