//! Checks a route, writes its calls and reads the answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::attribution::Attribution;
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::profile::Profile;
use crate::adapter::wire::{WireRequest, WireResponse, push_json_string};
use crate::adapter::{Answer, Call, Chunking, DecodeError, MessageCost, Prepared, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::report::{Warning, WarningCode};
use crate::domain::route::{Push, Route};
use crate::providers::tencent_tim::NAME;
use crate::providers::tencent_tim::codes::{self, Whole};
use crate::providers::tencent_tim::elements;
use crate::providers::tencent_tim::wire::{ErrorEntry, SendResponse, integer, text};

/// Source: batch one-to-one messages, section 2.1, read 2026-11-21.
const PATH: &str = "/v4/openim/batchsendmsg";

/// One route, written but for the accounts and the random number.
pub(super) struct PreparedRoute {
    /// The body up to the first account.
    head: Vec<u8>,
    warnings: Vec<Warning>,
    recipients_per_call: usize,
    timeout: Duration,
}

/// Fields of the request that a caller may set by name.
#[derive(Default)]
struct Options {
    msg_seq: Option<u64>,
    sync_to_sender: Option<bool>,
    msg_life_time: Option<u64>,
    online_only_flag: Option<u64>,
    send_msg_control: Option<Vec<Arc<str>>>,
    cloud_custom_data: Option<Arc<str>>,
    offline_push_info: Option<JsonText>,
}

/// Checks `route` and writes what its calls share.
///
/// # Errors
/// Every fault at once, with pointers relative to the route.
pub(super) fn prepare(
    profile: &Profile,
    timeout: Duration,
    route: &Route,
) -> Result<PreparedRoute, Vec<Fault>> {
    let mut faults = profile.check(route).err().unwrap_or_default();
    let elements = elements::write(&route.message, &mut faults);
    if let Some(most) = profile.max_payload_bytes
        && elements.body.len() > most
    {
        let detail = format!(
            "is {} bytes as `MsgBody` of {NAME}; this channel allows {most}",
            elements.body.len()
        );
        faults.push(Fault::new("/message", FaultCode::TooLarge, detail));
    }
    let options = read_options(route.provider_options.as_ref(), &mut faults);
    refuse_twice(route, &options, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut head = Vec::with_capacity(256 + elements.body.len());
    head.push(b'{');
    if let Some(sender) = &route.sender {
        push_member(&mut head, "From_Account", sender);
    }
    head.extend_from_slice(b"\"MsgBody\":");
    head.extend_from_slice(elements.body.as_bytes());
    head.push(b',');
    write_options(&mut head, route, &options, elements.is_silent);
    head.extend_from_slice(b"\"To_Account\":[");
    Ok(PreparedRoute {
        head,
        warnings: elements.left_out.into_iter().map(left_out).collect(),
        recipients_per_call: profile.recipients_per_call.get(),
        timeout,
    })
}

/// Source: batch one-to-one messages (newer page of the same call), request fields, read 2026-11-21.
fn read_options(block: Option<&JsonText>, faults: &mut Vec<Fault>) -> Options {
    let Some(block) = block else {
        return Options::default();
    };
    let mut fields = match Fields::parse(
        block.as_str(),
        format!("/provider_options/{NAME}"),
        Numbers::Strict,
    ) {
        Ok(fields) => fields,
        Err(fault) => {
            faults.push(fault);
            return Options::default();
        }
    };
    let options = Options {
        msg_seq: fields.u64("msg_seq", 0..=u64::from(u32::MAX)),
        sync_to_sender: fields.bool("sync_to_sender"),
        msg_life_time: fields.u64("msg_life_time", 0..=604_800),
        online_only_flag: fields.u64("online_only_flag", 0..=1),
        send_msg_control: fields.texts("send_msg_control"),
        cloud_custom_data: fields.text("cloud_custom_data"),
        offline_push_info: fields.json_object("offline_push_info"),
    };
    for (index, word) in options.send_msg_control.iter().flatten().enumerate() {
        if !["NoUnread", "NoLastMsg", "WithMuteNotifications"].contains(&&**word) {
            let detail = "must be one of: NoUnread, NoLastMsg, WithMuteNotifications";
            fields.fault(Fault::new(
                format!("/send_msg_control/{index}"),
                FaultCode::OutOfRange,
                detail,
            ));
        }
    }
    faults.extend(fields.finish());
    options
}

fn refuse_twice(route: &Route, options: &Options, faults: &mut Vec<Fault>) {
    let pairs = [
        (
            "ext",
            route.ext.is_some(),
            "cloud_custom_data",
            options.cloud_custom_data.is_some(),
        ),
        (
            "push",
            route.push.is_some(),
            "offline_push_info",
            options.offline_push_info.is_some(),
        ),
    ];
    for (field, has_field, option, has_option) in pairs {
        if has_field && has_option {
            let pointer = format!("/provider_options/{NAME}/{option}");
            faults.push(Fault::new(
                pointer,
                FaultCode::Conflict,
                format!("`{field}` says the same; give one of them"),
            ));
        }
    }
}

fn write_options(head: &mut Vec<u8>, route: &Route, options: &Options, is_silent: bool) {
    let sync = options.sync_to_sender.map(|sync| if sync { 1 } else { 2 });
    let numbers = [
        ("MsgSeq", options.msg_seq),
        ("SyncOtherMachine", sync),
        ("MsgLifeTime", options.msg_life_time),
        ("OnlineOnlyFlag", options.online_only_flag),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            head.extend_from_slice(format!("\"{name}\":{number},").as_bytes());
        }
    }
    let given_data = options.cloud_custom_data.as_deref();
    if let Some(data) = route.ext.as_ref().map(|ext| ext.as_text()).or(given_data) {
        push_member(head, "CloudCustomData", data);
    }
    // A command shows nothing, so it must not count, push or become the last message, unless the caller says so.
    let silent_control = || is_silent.then(|| vec!["NoUnread".into(), "NoLastMsg".into()]);
    if let Some(control) = options.send_msg_control.clone().or_else(silent_control) {
        head.extend_from_slice(b"\"SendMsgControl\":[");
        for (index, word) in control.iter().enumerate() {
            if index > 0 {
                head.push(b',');
            }
            push_json_string(head, word);
        }
        head.extend_from_slice(b"],");
    }
    let silent_push = || is_silent.then(|| r#"{"PushFlag":1}"#.to_owned());
    let given_push = options.offline_push_info.as_ref().map(ToString::to_string);
    if let Some(push) = route
        .push
        .as_ref()
        .map(write_push)
        .or(given_push)
        .or_else(silent_push)
    {
        head.extend_from_slice(format!("\"OfflinePushInfo\":{push},").as_bytes());
    }
}

/// Source: batch one-to-one messages, section 2.6.2; message format, `OfflinePushInfo`, read 2026-11-21.
fn write_push(push: &Push) -> String {
    let mut info = serde_json::Map::new();
    let mut put = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            info.insert(name.into(), value);
        }
    };
    put(
        "PushFlag",
        push.disabled.map(|disabled| u8::from(disabled).into()),
    );
    put("Title", push.title.as_deref().map(Into::into));
    put("Desc", push.body.as_deref().map(Into::into));
    put("Ext", push.ext.as_ref().map(|ext| ext.as_text().into()));
    put(
        "AndroidInfo",
        push.android_sound
            .as_deref()
            .map(|sound| serde_json::json!({ "Sound": sound })),
    );
    let mut apns = serde_json::Map::new();
    if let Some(sound) = &push.ios_sound {
        apns.insert("Sound".into(), (&**sound).into());
    }
    if let Some(counts) = push.ios_badge {
        // The provider's flag says the opposite: 1 = does not count.
        apns.insert("BadgeMode".into(), u8::from(!counts).into());
    }
    put("ApnsInfo", (!apns.is_empty()).then(|| apns.into()));
    serde_json::Value::from(info).to_string()
}

fn push_member(head: &mut Vec<u8>, name: &str, value: &str) {
    push_json_string(head, name);
    head.push(b':');
    push_json_string(head, value);
    head.push(b',');
}

fn left_out(name: &str) -> Warning {
    Warning {
        code: WarningCode::FieldLeftOut,
        channel: None,
        pointer: Some(format!("/message/{name}")),
        detail: format!("{NAME} has no field for `{name}`; it was left out"),
    }
}

impl Prepared for PreparedRoute {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn chunking(&self) -> Chunking {
        Chunking {
            recipients_per_call: self.recipients_per_call,
            cost: MessageCost::PerRecipient,
        }
    }

    fn check_recipient(&self, _: &str) -> Result<(), Failure> {
        // Ids over the documented 32 bytes are left to the provider, whose own code says it better.
        Ok(())
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let recipients = call.recipients;
        let size = self.head.len() + recipients.text_bytes() + 3 * recipients.len() + 32;
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(&self.head);
        for (index, id) in recipients.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            push_json_string(&mut body, id);
        }
        // 32 bits, unsigned; the same for a repeat of this call.
        body.extend_from_slice(format!("],\"MsgRandom\":{}}}", call.nonce >> 32).as_bytes());
        WireRequest::post_json(PATH, body, self.timeout)
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        let answer = SendResponse::parse(&response.body).ok_or(DecodeError::NotDocumented)?;
        let code = answer.error_code.and_then(|raw| integer(raw.get()));
        let failed = answer.failed();
        match code {
            Some(code) if code != 0 => Ok(whole_call(
                call,
                &answer,
                code,
                failed.unwrap_or_default(),
                response,
            )),
            // A code that is no number says nothing.
            None if answer.error_code.is_some_and(|raw| raw.get() != "null") => Ok(undecided(&answer)),
            _ => Ok(match failed {
                Err(()) => undecided(&answer),
                Ok(failed) if failed.is_empty() => nobody_failed(call, &answer),
                Ok(failed) => some_failed(call, &answer, failed),
            }),
        }
    }
}

/// A code for the whole call, even beside `ActionStatus` "OK".
fn whole_call(
    call: &Call<'_>,
    answer: &SendResponse<'_>,
    code: i64,
    failed: Vec<Option<ErrorEntry<'_>>>,
    response: &WireResponse,
) -> Answer {
    let meaning = codes::find(code);
    let info = answer
        .error_info
        .and_then(|raw| text(raw.get()))
        .unwrap_or_default();
    let failure = meaning.call_failure(code, &info);
    if failed.is_empty() {
        return match meaning.whole() {
            Whole::Refused(repeat) => Verdict::Refused {
                failure,
                repeat,
                retry_after: response.retry_after(),
            },
            Whole::Undecided => Verdict::Undecided(failure),
        }
        .into();
    }
    let rest = match meaning.whole() {
        Whole::Refused(Repeat::Safe | Repeat::Never | Repeat::EndsRoute | Repeat::WithNewToken) => {
            Outcome::failed(failure)
        }
        Whole::Undecided => Outcome::unknown(failure),
    };
    let (outcomes, warnings) = attribute(call, rest, failed, answer);
    Answer {
        verdict: Verdict::Answered(outcomes),
        request_id: None,
        warnings,
    }
}

fn nobody_failed(call: &Call<'_>, answer: &SendResponse<'_>) -> Answer {
    let is_ok = answer.action_status.is_some_and(|raw| raw.get() == "\"OK\"");
    if !is_ok {
        // The documents contradict each other about a failure without a code and without a list.
        return undecided(answer);
    }
    Verdict::Answered(Outcomes::same(accepted(answer), call.recipients.len())).into()
}

/// The list decides: who is on it failed, who is not was taken.
fn some_failed(call: &Call<'_>, answer: &SendResponse<'_>, failed: Vec<Option<ErrorEntry<'_>>>) -> Answer {
    let is_complete = failed
        .iter()
        .all(|entry| entry.as_ref().is_some_and(|entry| entry.account().is_some()));
    let rest = if is_complete {
        accepted(answer)
    } else {
        unaccounted(answer)
    };
    let (outcomes, warnings) = attribute(call, rest, failed, answer);
    Answer {
        verdict: Verdict::Answered(outcomes),
        request_id: None,
        warnings,
    }
}

/// Gives every listed account its own outcome, the first entry of an account winning.
fn attribute(
    call: &Call<'_>,
    rest: Outcome,
    failed: Vec<Option<ErrorEntry<'_>>>,
    answer: &SendResponse<'_>,
) -> (Outcomes, Vec<Warning>) {
    let mut builder = OutcomesBuilder::new(rest, call.recipients.len());
    let mut attribution = Attribution::new(call.recipients);
    let mut picks: HashMap<Option<i64>, u32> = HashMap::new();
    let mut stranger_count = 0;
    for entry in failed.into_iter().flatten() {
        let Some(account) = entry.account() else { continue };
        match attribution.find(&account) {
            Some(offset) if builder.is_rest(offset) => {
                let code = entry.code();
                let pick = *picks
                    .entry(code)
                    .or_insert_with(|| builder.add(listed(code, answer)));
                builder.assign(offset, pick);
            }
            Some(_) => {}
            None => stranger_count += 1,
        }
    }
    let warnings = if stranger_count == 0 {
        Vec::new()
    } else {
        vec![strangers(stranger_count)]
    };
    (builder.build(), warnings)
}

/// An account on the list; without a code, or with that of success, the list contradicts itself.
fn listed(code: Option<i64>, answer: &SendResponse<'_>) -> Outcome {
    let code = match code {
        Some(code) if code != 0 => return Outcome::failed(codes::find(code).account_failure(code)),
        code => code,
    };
    let mut failure =
        Failure::provider(FailureKind::ProviderError).with_hint("listed as failed, but without a code");
    if let Some(code) = code {
        failure = failure.with_code(code.to_string());
    }
    if let Some(id) = message_id(answer) {
        failure = failure.with_message_id(id);
    }
    Outcome::unknown(failure)
}

fn strangers(count: usize) -> Warning {
    Warning {
        code: WarningCode::UnexpectedRecipient,
        channel: None,
        pointer: None,
        detail: format!("the answer lists {count} accounts that were not sent to; they were ignored"),
    }
}

fn accepted(answer: &SendResponse<'_>) -> Outcome {
    let message_id = message_id(answer).map(|id| id.into_owned().into_boxed_str());
    Outcome::Accepted(Acceptance {
        evidence: Evidence::Implied,
        message_id,
        provider_fields: None,
    })
}

fn message_id<'a>(answer: &SendResponse<'a>) -> Option<Cow<'a, str>> {
    answer
        .msg_key
        .and_then(|raw| text(raw.get()))
        .filter(|key| !key.is_empty())
}

/// The answer speaks of failures without saying whose.
fn unaccounted(answer: &SendResponse<'_>) -> Outcome {
    let mut failure = Failure::provider(FailureKind::ProviderError).with_cause(Cause::Unaccounted);
    if let Some(id) = message_id(answer) {
        failure = failure.with_message_id(id);
    }
    Outcome::unknown(failure)
}

fn undecided(answer: &SendResponse<'_>) -> Answer {
    let info = answer
        .error_info
        .and_then(|raw| text(raw.get()))
        .unwrap_or_default();
    let failure = Failure::provider(FailureKind::ProviderError).with_message(&info);
    Verdict::Undecided(failure.with_hint("the answer says neither who failed nor that nobody did")).into()
}
