//! The stand-in: answers `batchsendmsg` as the provider's documents say, apart from the adapter's own code.
//!
//! It verifies the `UserSig`, checks every field's type and range, and counts calls in windows of one second.
//! HTTP is 200 for everything, as documented. Magic accounts:
//!
//! | account | what happens |
//! |---|---|
//! | `magic-refuse` | it alone fails: 20003 in `ErrorList` |
//! | `magic-omit` | an entry without an account stands in `ErrorList`, so nobody can tell who failed |
//! | `magic-reject-call` | the whole call fails: 90010 |
//! | `magic-throttle-once` | 60007 for the first call that has it, then taken |
//! | `magic-throttle` | 60007 for every call that has it |
//! | `magic-drop` | the connection closes after the request was read |
//! | `magic-hang` | no answer ever comes |
//! | `magic-502` | a 502 page of HTML |
//! | `magic-garbage` | a 200 whose JSON breaks off |
//! | `magic-expire` | 70001 for the first call that has it, then taken |
//! | `magic-undecided` | the whole call answers 60008: it may have been processed |

use std::collections::{HashSet, VecDeque};
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;

/// Fails alone.
pub const MAGIC_REFUSE: &str = "magic-refuse";
/// Makes the list of failures unreadable.
pub const MAGIC_OMIT: &str = "magic-omit";
/// Makes the whole call fail for good.
pub const MAGIC_REJECT_CALL: &str = "magic-reject-call";
/// Makes the first call too frequent.
pub const MAGIC_THROTTLE_ONCE: &str = "magic-throttle-once";
/// Makes every call too frequent.
pub const MAGIC_THROTTLE: &str = "magic-throttle";
/// Closes the connection after the request was read.
pub const MAGIC_DROP: &str = "magic-drop";
/// Never gets an answer.
pub const MAGIC_HANG: &str = "magic-hang";
/// Gets a page of HTML.
pub const MAGIC_502: &str = "magic-502";
/// Gets half an answer.
pub const MAGIC_GARBAGE: &str = "magic-garbage";
/// Makes the first call's signature expired.
pub const MAGIC_EXPIRE: &str = "magic-expire";
/// Makes the call's fate uncertain.
pub const MAGIC_UNDECIDED: &str = "magic-undecided";

const SDK_APP_ID: u64 = 1_400_000_000;
const IDENTIFIER: &str = "administrator";
const KEY: &str = "sandbox-secret-key-of-no-application";

/// The stand-in and the channel that talks to it.
pub(super) const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-tim",
    settings: "sdk_app_id = 1400000000\nidentifier = \"administrator\"\n\
               secret_key = \"sandbox-secret-key-of-no-application\"\n",
    recipients: ("bonnie", MAGIC_REFUSE),
    sender: "dave",
    build: || Box::new(Console::default()),
};

/// The provider's side: what it remembers between calls.
#[derive(Default)]
struct Console(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    calls: VecDeque<SystemTime>,
    seen_once: HashSet<&'static str>,
    next_key: u64,
}

/// An error for a whole call: its code and text.
type Refusal = (i64, &'static str);

impl StandIn for Console {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = check_route(request)
            .and_then(|()| check_signature(request, now))
            .and_then(|()| memory.count_call(now))
            .and_then(|()| check_body(request.body));
        match accounts {
            Ok(accounts) => memory.play(&accounts, now),
            Err(refusal) => refuse(refusal),
        }
    }
}

fn refuse((code, info): Refusal) -> StandInAnswer {
    respond(&json!({ "ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": info }))
}

fn respond(body: &Value) -> StandInAnswer {
    StandInAnswer::Respond(WireResponse::json(StatusCode::OK, body.to_string()))
}

/// Source: REST API introduction (POST only, JSON body, query parameters), read 2026-11-21.
fn check_route(request: &Arrival<'_>) -> Result<(), Refusal> {
    if request.path != "/v4/openim/batchsendmsg" {
        return Err((60009, "resource not found"));
    }
    if request.method != "POST" || request.query_value("contenttype").as_deref() != Some("json") {
        return Err((60002, "http request parse error"));
    }
    let random = request.query_value("random").unwrap_or_default();
    if random.parse::<u32>().is_err() {
        return Err((60002, "random is not an unsigned 32-bit integer"));
    }
    let Some(app) = request.query_value("sdkappid") else {
        return Err((60012, "sdkappid is missing"));
    };
    if app != SDK_APP_ID.to_string() {
        return Err((70020, "sdkappid not found"));
    }
    if request.query_value("identifier").as_deref() != Some(IDENTIFIER) {
        return Err((60010, "identifier is not an administrator"));
    }
    Ok(())
}

/// Takes the signature apart the way it was put together.
fn check_signature(request: &Arrival<'_>, now: SystemTime) -> Result<(), Refusal> {
    let given = request.query_value("usersig").unwrap_or_default();
    if given.is_empty() {
        return Err((70002, "usersig is empty"));
    }
    let ticket = open_signature(&given).ok_or((70003, "usersig is broken"))?;
    let number = |name: &str| {
        ticket
            .get(name)
            .and_then(Value::as_u64)
            .ok_or((70003, "usersig is broken"))
    };
    let (time, expire, app) = (
        number("TLS.time")?,
        number("TLS.expire")?,
        number("TLS.sdkappid")?,
    );
    let identifier = ticket
        .get("TLS.identifier")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if identifier != IDENTIFIER {
        return Err((70013, "identifier differs"));
    }
    if app != SDK_APP_ID {
        return Err((70014, "sdkappid differs"));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).map_err(|_| (70016, "no key"))?;
    for line in [
        format!("TLS.identifier:{identifier}\n"),
        format!("TLS.sdkappid:{app}\n"),
        format!("TLS.time:{time}\n"),
        format!("TLS.expire:{expire}\n"),
    ] {
        mac.update(line.as_bytes());
    }
    let expected = STANDARD.encode(mac.finalize().into_bytes());
    if ticket.get("TLS.sig").and_then(Value::as_str) != Some(&expected) {
        return Err((70009, "usersig was made with another key"));
    }
    let ends_at = SystemTime::UNIX_EPOCH + Duration::from_secs(time.saturating_add(expire).min(1 << 40));
    if now >= ends_at {
        Err((70001, "usersig expired"))
    } else {
        Ok(())
    }
}

fn open_signature(given: &str) -> Option<Map<String, Value>> {
    let base64 = given.replace('*', "+").replace('-', "/").replace('_', "=");
    let compressed = STANDARD.decode(base64).ok()?;
    let mut text = String::new();
    ZlibDecoder::new(compressed.as_slice())
        .take(4096)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

/// Source: batch one-to-one messages, sections 2.6, 2.7 and 3, read 2026-11-21.
fn check_body(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err((90001, "body is not JSON"));
    };
    if body
        .get("From_Account")
        .is_some_and(|sender| sender.as_str().is_none_or(str::is_empty))
    {
        return Err((90008, "From_Account is invalid"));
    }
    if !is_u32(body.get("MsgRandom")) {
        return Err((90005, "MsgRandom is invalid"));
    }
    if body.contains_key("MsgSeq") && !is_u32(body.get("MsgSeq")) {
        return Err((90004, "MsgSeq is invalid"));
    }
    if let Some(life) = body.get("MsgLifeTime") {
        let seconds = life.as_u64().ok_or((90044, "MsgLifeTime is not an integer"))?;
        if seconds > 604_800 {
            return Err((90026, "MsgLifeTime is too long"));
        }
    }
    if body.get("OfflinePushInfo").is_some_and(|info| !info.is_object()) {
        return Err((90043, "OfflinePushInfo is invalid"));
    }
    check_elements(body.get("MsgBody"))?;
    check_accounts(body.get("To_Account"))
}

fn is_u32(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_u64)
        .is_some_and(|number| u32::try_from(number).is_ok())
}

fn check_elements(body: Option<&Value>) -> Result<(), Refusal> {
    let elements = body
        .and_then(Value::as_array)
        .ok_or((90007, "MsgBody is not an array"))?;
    let is_sound = |element: &Value| {
        element.get("MsgType").is_some_and(Value::is_string)
            && element.get("MsgContent").is_some_and(Value::is_object)
    };
    if elements.is_empty() || !elements.iter().all(is_sound) {
        return Err((90002, "MsgBody is invalid"));
    }
    let size = serde_json::to_vec(elements).map_or(usize::MAX, |text| text.len());
    if size > 12 * 1024 {
        Err((93000, "the packet is too long"))
    } else {
        Ok(())
    }
}

fn check_accounts(accounts: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let accounts = accounts
        .and_then(Value::as_array)
        .ok_or((90028, "To_Account is not an array"))?;
    if accounts.is_empty() {
        return Err((90029, "To_Account is empty"));
    }
    if accounts.len() > 500 {
        return Err((90011, "more than 500 accounts"));
    }
    let texts = accounts.iter().map(|account| account.as_str().map(str::to_owned));
    texts
        .collect::<Option<Vec<_>>>()
        .ok_or((90003, "To_Account holds something else than strings"))
}

impl Memory {
    /// Counts a call in a sliding window of one second.
    ///
    /// Source: batch one-to-one messages, section 2.3 (100 calls a second), read 2026-11-21.
    fn count_call(&mut self, now: SystemTime) -> Result<(), Refusal> {
        let window = Duration::from_secs(1);
        while self
            .calls
            .front()
            .is_some_and(|call| now.duration_since(*call).is_ok_and(|age| age >= window))
        {
            self.calls.pop_front();
        }
        if self.calls.len() >= 100 {
            return Err((60007, "too many calls a second"));
        }
        self.calls.push_back(now);
        Ok(())
    }

    fn play(&mut self, accounts: &[String], now: SystemTime) -> StandInAnswer {
        let has = |magic: &str| accounts.iter().any(|account| account == magic);
        let whole_call: &[(&str, StandInAnswer)] = &[
            (MAGIC_DROP, StandInAnswer::Drop),
            (MAGIC_HANG, StandInAnswer::Hang),
            (MAGIC_502, html_502()),
            (MAGIC_GARBAGE, half_an_answer()),
            (MAGIC_REJECT_CALL, refuse((90010, "the body is invalid"))),
            (MAGIC_THROTTLE, refuse((60007, "too many calls a second"))),
            (MAGIC_UNDECIDED, refuse((60008, "the service timed out"))),
        ];
        if let Some((_, answer)) = whole_call.iter().find(|(magic, _)| has(magic)) {
            return answer.clone();
        }
        if has(MAGIC_THROTTLE_ONCE) && self.seen_once.insert(MAGIC_THROTTLE_ONCE) {
            return refuse((60007, "too many calls a second"));
        }
        if has(MAGIC_EXPIRE) && self.seen_once.insert(MAGIC_EXPIRE) {
            return refuse((70001, "usersig expired"));
        }
        self.next_key += 1;
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut failed = Vec::new();
        if has(MAGIC_REFUSE) {
            failed.push(json!({ "To_Account": MAGIC_REFUSE, "ErrorCode": 20003 }));
        }
        if has(MAGIC_OMIT) {
            failed.push(json!({ "ErrorCode": 20003 }));
        }
        let status = if failed.is_empty() { "OK" } else { "SomeError" };
        respond(&json!({
            "ActionStatus": status,
            "ErrorCode": 0,
            "ErrorInfo": "",
            "ErrorList": failed,
            "MsgKey": format!("{}_{}_{seconds}", self.next_key, accounts.len()),
        }))
    }
}

fn html_502() -> StandInAnswer {
    let mut response = WireResponse::json(StatusCode::BAD_GATEWAY, "<html><h1>502 Bad Gateway</h1></html>");
    response.headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/html"),
    );
    StandInAnswer::Respond(response)
}

fn half_an_answer() -> StandInAnswer {
    StandInAnswer::Respond(WireResponse::json(
        StatusCode::OK,
        "{\"ActionStatus\": \"OK\", \"ErrorC",
    ))
}
