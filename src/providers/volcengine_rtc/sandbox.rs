//! The stand-in: answers as the provider's document says, and misbehaves for magic receivers.
//!
//! | receiver | what happens |
//! |---|---|
//! | [`REFUSE`] | it is in `FailedReceiver` |
//! | [`OMIT`] | it is in neither list |
//! | [`REJECT_CALL`] | the call is refused: `InvalidParameter.IllegalTo` |
//! | [`THROTTLE_ONCE`] | the first call that has it meets `AccountFlowLimitExceeded`, later ones are taken |
//! | [`THROTTLE`] | `FlowLimitExceeded.QPSOverLimit`, always |
//! | [`DROP`] | the connection is closed without an answer |
//! | [`HANG`] | no answer ever |
//! | [`BAD_GATEWAY`] | a 502 page in HTML |
//! | [`GARBAGE`] | a 200 whose JSON is cut off |
//! | [`EXPIRE`] | the first call that has it meets `InvalidTimestamp`, later ones are taken |
//! | [`UNDECIDED`] | `InternalError`: the messages may have been sent |
//!
//! Every other receiver is accepted. The rate is the documented one: 12,000 messages in any minute, one for
//! each receiver.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;
use crate::providers::volcengine_rtc::sandbox_checks::{self, EXPIRED, Refusal};

/// Is listed as failed.
pub const REFUSE: i64 = 990_001;
/// Is left out of the answer.
pub const OMIT: i64 = 990_002;
/// Makes the stand-in refuse the whole call.
pub const REJECT_CALL: i64 = 990_003;
/// Makes it refuse the first call for its rate.
pub const THROTTLE_ONCE: i64 = 990_004;
/// Makes it refuse every call for its rate.
pub const THROTTLE: i64 = 990_005;
/// Makes it close the connection after reading.
pub const DROP: i64 = 990_006;
/// Makes it never answer.
pub const HANG: i64 = 990_007;
/// Makes it answer like a broken proxy.
pub const BAD_GATEWAY: i64 = 990_008;
/// Makes it answer with half a JSON text.
pub const GARBAGE: i64 = 990_009;
/// Makes it call the first signature expired.
pub const EXPIRE: i64 = 990_010;
/// Makes it fail in a way that leaves open whether the messages were sent.
pub const UNDECIDED: i64 = 990_011;

/// The stand-in and the channel that talks to it.
pub const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-volc",
    settings: r#"
app_id = 666675
access_key_id = "AKLTSANDBOX0000000000000000000000"
secret_access_key = "SandboxSecretOfNobody"
"#,
    recipients: ("10002", "990001"),
    sender: "10001",
    build: || Box::new(VolcengineStandIn::default()),
};

/// Source: `BatchSendMessage`, "Notes": 12,000 messages a minute, read 2026-11-21.
const MESSAGES_PER_MINUTE: usize = 12_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Message ids start beyond 2^53, so that whoever reads them as floats is found out.
const FIRST_MESSAGE_ID: u64 = 7_368_834_897_000_000_001;

#[derive(Default)]
struct VolcengineStandIn {
    /// Lives as long as the stand-in.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: u64,
    messages: u64,
    /// When calls of the last minute came, and how many messages they were.
    window: VecDeque<(SystemTime, usize)>,
    has_throttled: bool,
    has_expired: bool,
}

impl StandIn for VolcengineStandIn {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        let receivers = match sandbox_checks::check(request, now) {
            Ok(receivers) => receivers,
            Err(refusal) => return state.refuse(refusal),
        };
        if let Some(answer) = state.misbehave(&receivers) {
            return answer;
        }
        if !state.admit(receivers.len(), now) {
            return state.refuse(ACCOUNT_LIMIT);
        }
        state.send(&receivers)
    }
}

const ACCOUNT_LIMIT: Refusal = Refusal::gateway(
    429,
    "AccountFlowLimitExceeded",
    100_027,
    "Request speed exceeds the account flow control limit.",
);
const CALL_LIMIT: Refusal = Refusal::gateway(429, "FlowLimitExceeded.QPSOverLimit", 0, "QPS over limit");
const INTERNAL_ERROR: Refusal =
    Refusal::gateway(500, "InternalError", 100_014, "The service has an internal error.");

impl State {
    /// What the first magic receiver of this list makes of the call.
    fn misbehave(&mut self, receivers: &[i64]) -> Option<StandInAnswer> {
        let has = |magic: i64| receivers.contains(&magic);
        if has(DROP) {
            return Some(StandInAnswer::Drop);
        }
        if has(HANG) {
            return Some(StandInAnswer::Hang);
        }
        if has(BAD_GATEWAY) {
            return Some(respond(502, "text/html", "<html>502 Bad Gateway</html>"));
        }
        if has(GARBAGE) {
            return Some(respond(200, "application/json", r#"{"ResponseMetadata":{"Requ"#));
        }
        let refusal = if has(EXPIRE) && !std::mem::replace(&mut self.has_expired, true) {
            EXPIRED
        } else if has(REJECT_CALL) {
            Refusal::service("InvalidParameter.IllegalTo", "illegal Receiver")
        } else if has(UNDECIDED) {
            INTERNAL_ERROR
        } else if has(THROTTLE) {
            CALL_LIMIT
        } else if has(THROTTLE_ONCE) && !std::mem::replace(&mut self.has_throttled, true) {
            ACCOUNT_LIMIT
        } else {
            return None;
        };
        Some(self.refuse(refusal))
    }

    /// Counts `messages` against the minute that ends now.
    fn admit(&mut self, messages: usize, now: SystemTime) -> bool {
        let is_over = |came: SystemTime| now.duration_since(came).is_ok_and(|age| age >= MINUTE);
        while self.window.front().is_some_and(|(came, _)| is_over(*came)) {
            self.window.pop_front();
        }
        let spent: usize = self.window.iter().map(|(_, messages)| messages).sum();
        let is_admitted = spent + messages <= MESSAGES_PER_MINUTE;
        if is_admitted {
            self.window.push_back((now, messages));
        }
        is_admitted
    }

    fn send(&mut self, receivers: &[i64]) -> StandInAnswer {
        let mut sent = Map::new();
        let mut failed = Vec::new();
        for receiver in receivers {
            match *receiver {
                REFUSE => failed.push(Value::from(REFUSE)),
                OMIT => {}
                accepted => {
                    sent.insert(accepted.to_string(), (FIRST_MESSAGE_ID + self.messages).into());
                    self.messages += 1;
                }
            }
        }
        let body = json!({
            "ResponseMetadata": self.metadata(),
            "Result": { "UserMessageId": sent, "FailedReceiver": failed },
        });
        respond(200, "application/json", body.to_string())
    }

    fn refuse(&self, refusal: Refusal) -> StandInAnswer {
        let mut error = Map::new();
        if refusal.number != 0 {
            error.insert("CodeN".to_owned(), refusal.number.into());
        }
        error.insert("Code".to_owned(), refusal.code.into());
        error.insert("Message".to_owned(), refusal.message.into());
        let mut metadata = self.metadata();
        metadata.insert("Error".to_owned(), error.into());
        let body = json!({ "ResponseMetadata": metadata });
        respond(refusal.status, "application/json", body.to_string())
    }

    fn metadata(&self) -> Map<String, Value> {
        let pairs = [
            ("RequestId", format!("SANDBOX{:024}", self.requests)),
            ("Action", "BatchSendMessage".to_owned()),
            ("Version", "2020-12-01".to_owned()),
            ("Service", "rtc".to_owned()),
            ("Region", "cn-north-1".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }
}

fn respond(status: u16, kind: &'static str, body: impl Into<bytes::Bytes>) -> StandInAnswer {
    StandInAnswer::Respond(WireResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
        body: body.into(),
    })
}
