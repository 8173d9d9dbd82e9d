//! The provider's stand-in: rehearses batch one-to-one messages without an account.
//!
//! Written from the documents and apart from the adapter. It verifies the signature, checks every documented
//! field, keeps the documented rate of 100 calls in one second, and accepts every account but these:
//!
//! | recipient | what happens |
//! |---|---|
//! | [`REFUSE`] | is listed as failed with 20003, the others are served |
//! | [`REJECT_CALL`] | the whole call is refused with 90012, every time |
//! | [`THROTTLE_ONCE`] | the first try of a call is refused with 60007, its repeat is served |
//! | [`THROTTLE`] | the call is refused with 60007, every time |
//! | [`EXPIRE`] | the first try of a call is refused with 70001 (signature expired), its repeat is served |
//! | [`UNDECIDED`] | the whole call is answered with 60008: it may have been processed |
//! | [`BAD_GATEWAY`] | an HTML page with status 502 |
//! | [`GARBAGE`] | status 200 and JSON that breaks off |
//! | [`DROP`] | the connection closes after the request was read |
//! | [`HANG`] | no answer ever comes |
//!
//! A repeat is a call with the same `MsgRandom`. There is no recipient that the answer omits: a successful
//! answer never names anybody.
//!
//! Source: batch one-to-one messages, REST API introduction, error codes and UserSig, read 2026-11-21.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;
use crate::providers::tencent_tim::{sandbox_body, sandbox_signature};

/// Listed as failed; the others of its call are served.
pub const REFUSE: &str = "magic-refuse";
/// Makes the stand-in refuse the whole call for good.
pub const REJECT_CALL: &str = "magic-reject-call";
/// Makes the first try of a call too fast.
pub const THROTTLE_ONCE: &str = "magic-throttle-once";
/// Makes every try of a call too fast.
pub const THROTTLE: &str = "magic-throttle";
/// Makes the signature of a call's first try expired.
pub const EXPIRE: &str = "magic-expire";
/// Makes the stand-in answer with a code after which nobody knows what happened.
pub const UNDECIDED: &str = "magic-undecided";
/// Makes a gateway in front of the stand-in answer with a page.
pub const BAD_GATEWAY: &str = "magic-502";
/// Makes the answer break off.
pub const GARBAGE: &str = "magic-garbage";
/// Makes the connection close without an answer.
pub const DROP: &str = "magic-drop";
/// Makes the stand-in never answer.
pub const HANG: &str = "magic-hang";

/// The channel that talks to the stand-in.
pub(super) const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-tim",
    settings: r#"sdk_app_id = 1499990001
identifier = "sandbox-admin"
secret_key = "stand-in-key-that-opens-nothing"
"#,
    recipients: ("bonnie", REFUSE),
    sender: "dave",
    build: || Box::new(BatchSend::default()),
};

/// Source: batch one-to-one messages, section 2.3.
const CALLS_PER_SECOND: usize = 100;

/// Wrong signatures within a minute after which the stand-in locks.
///
/// Source: error codes, 70050 (verification failed too often, wait a minute); the number is Assumed.
const WRONG_SIGNATURES: usize = 10;

/// First tries that are remembered; older ones are forgotten all at once.
const REMEMBERED: usize = 10_000;

/// A refusal: code and text.
pub(super) type Refusal = (u32, &'static str);

/// Everything that the stand-in remembers; gone with it.
#[derive(Default)]
struct BatchSend {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// When the calls of the last second came.
    calls: VecDeque<SystemTime>,
    /// When the wrong signatures of the last minute came.
    wrong_signatures: VecDeque<SystemTime>,
    /// `MsgRandom` of calls whose first try was refused.
    refused_once: HashSet<u64>,
    /// How many calls were served.
    served: u64,
}

impl StandIn for BatchSend {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.admit(request, now) {
            Ok(call) => memory.serve(&call, now),
            Err(refusal) => refuse(refusal),
        }
    }
}

impl Memory {
    /// Everything that is checked before a message is looked at, in an order that the documents leave open.
    fn admit(&mut self, request: &Arrival<'_>, now: SystemTime) -> Result<sandbox_body::Call, Refusal> {
        if request.method != "POST" {
            return Err((60002, "only POST is allowed"));
        }
        if request.path != "/v4/openim/batchsendmsg" {
            return Err((60009, "wrong resource"));
        }
        keep_since(&mut self.wrong_signatures, now, Duration::from_secs(60));
        if self.wrong_signatures.len() >= WRONG_SIGNATURES {
            return Err((70050, "verification failed too often, wait a minute"));
        }
        if let Err(refusal) = sandbox_signature::check(request, now) {
            // An expired signature is right in all but its time.
            if matches!(refusal.0, 70003 | 70005 | 70009 | 70013 | 70014) {
                self.wrong_signatures.push_back(now);
            }
            return Err(refusal);
        }
        keep_since(&mut self.calls, now, Duration::from_secs(1));
        if self.calls.len() >= CALLS_PER_SECOND {
            return Err((60007, "too many calls in one second"));
        }
        self.calls.push_back(now);
        sandbox_body::check(request.body)
    }

    fn serve(&mut self, call: &sandbox_body::Call, now: SystemTime) -> StandInAnswer {
        let names = |recipient: &str| call.recipients.iter().any(|id| id == recipient);
        if names(DROP) {
            return StandInAnswer::Drop;
        }
        if names(HANG) {
            return StandInAnswer::Hang;
        }
        if names(BAD_GATEWAY) {
            return bad_gateway();
        }
        if names(GARBAGE) {
            let text = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgK"#;
            return StandInAnswer::Respond(WireResponse::json(StatusCode::OK, text));
        }
        if names(THROTTLE) {
            return refuse((60007, "too many calls in one second"));
        }
        if names(REJECT_CALL) {
            return refuse((90012, "account is not registered"));
        }
        if names(UNDECIDED) {
            return refuse((60008, "service timed out"));
        }
        if (names(THROTTLE_ONCE) || names(EXPIRE)) && self.is_first_try(call.random) {
            return refuse(if names(EXPIRE) {
                (70001, "UserSig is expired")
            } else {
                (60007, "too many calls in one second")
            });
        }
        self.served += 1;
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        taken(call, &format!("{}_{}_{seconds}", self.served, call.random))
    }

    fn is_first_try(&mut self, random: u64) -> bool {
        if self.refused_once.len() >= REMEMBERED {
            self.refused_once.clear();
        }
        self.refused_once.insert(random)
    }
}

fn keep_since(times: &mut VecDeque<SystemTime>, now: SystemTime, window: Duration) {
    while times.front().is_some_and(|time| now.duration_since(*time).is_ok_and(|age| age >= window)) {
        times.pop_front();
    }
}

/// A code other than 0 comes only if nobody was served.
fn taken(call: &sandbox_body::Call, key: &str) -> StandInAnswer {
    let failed: Vec<Value> = call
        .recipients
        .iter()
        .filter(|id| *id == REFUSE)
        .map(|id| json!({"To_Account": id, "ErrorCode": 20003}))
        .collect();
    let answer = if failed.is_empty() {
        json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": key})
    } else if failed.len() < call.recipients.len() {
        json!({
            "ActionStatus": "SomeError", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": key, "ErrorList": failed,
        })
    } else {
        json!({
            "ActionStatus": "FAIL", "ErrorInfo": "invalid account", "ErrorCode": 20003, "ErrorList": failed,
        })
    };
    StandInAnswer::Respond(WireResponse::json(StatusCode::OK, answer.to_string()))
}

/// Source: batch one-to-one messages, section 3: refusals too have HTTP status 200.
fn refuse((code, info): Refusal) -> StandInAnswer {
    let answer = json!({"ActionStatus": "FAIL", "ErrorInfo": info, "ErrorCode": code});
    StandInAnswer::Respond(WireResponse::json(StatusCode::OK, answer.to_string()))
}

fn bad_gateway() -> StandInAnswer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/html"));
    StandInAnswer::Respond(WireResponse {
        status: StatusCode::BAD_GATEWAY,
        headers,
        body: "<html><head><title>502 Bad Gateway</title></head><body></body></html>".into(),
    })
}
