//! The stand-in: answers as the provider's document says, apart from the adapter.
//!
//! It knows one app (`sandbox-org`/`sandbox-app`), its token endpoint and both ways to send. It checks the app
//! token, the shape and limits of the body, and both rates of the app. Like the provider it takes any room and
//! any member, except these ids, as a room or as a member of a directed message:
//!
//! | id | what happens |
//! |---|---|
//! | [`REFUSE`] | the call is refused, 403 `forbidden_op`: the API cannot refuse a single room |
//! | [`OMIT`] | the room is missing from `data` |
//! | [`REJECT_CALL`] | the call is refused, 400 `message_send_error` 14007 |
//! | [`THROTTLE_ONCE`] | the first call that has it is refused for its message rate, 403; then it is taken |
//! | [`THROTTLE`] | every call that has it is refused for its call rate, 429 |
//! | [`DROP`] | the connection closes after the request was read |
//! | [`HANG`] | no answer ever comes |
//! | [`BAD_GATEWAY`] | an HTML page with status 502 |
//! | [`GARBAGE`] | status 200 with JSON that breaks off |
//! | [`EXPIRE`] | the first call that has it finds its token expired, 401; then it is taken |
//! | [`UNDECIDED`] | 500 `internal_server_error`: nobody can tell what became of it |
//!
//! What it does not do: drop messages above 20 per second and room, which nobody could see in an answer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer, percent_decode};
use crate::adapter::wire::WireResponse;
use crate::providers::easemob_chatroom::sandbox_rules::{self, Sent};

/// Refused for want of permission, with its whole call.
pub const REFUSE: &str = "magic-refuse";
/// Missing from the answer.
pub const OMIT: &str = "magic-omit";
/// Refused for good, with its whole call.
pub const REJECT_CALL: &str = "magic-reject-call";
/// Refused once for the message rate, then taken.
pub const THROTTLE_ONCE: &str = "magic-throttle-once";
/// Refused always for the call rate.
pub const THROTTLE: &str = "magic-throttle";
/// Read, then the connection closes.
pub const DROP: &str = "magic-drop";
/// Read, then silence.
pub const HANG: &str = "magic-hang";
/// Answered with a proxy's HTML page.
pub const BAD_GATEWAY: &str = "magic-502";
/// Answered with JSON that breaks off.
pub const GARBAGE: &str = "magic-garbage";
/// Ends the life of the token that its first call came with, then taken.
pub const EXPIRE: &str = "magic-expire";
/// Answered with an error that leaves the outcome open.
pub const UNDECIDED: &str = "magic-undecided";

/// The stand-in's row: a channel with the credentials that it accepts.
pub(super) const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-room",
    settings: r#"org_name = "sandbox-org"
app_name = "sandbox-app"
client_id = "sandbox-client-id"
client_secret = "sandbox-client-secret"
"#,
    recipients: ("185145305923585", REFUSE),
    sender: "admin",
    build: || Box::new(ChatroomStandIn::default()),
};

const ORG: &str = "sandbox-org";
const APP: &str = "sandbox-app";
const CLIENT_ID: &str = "sandbox-client-id";
const CLIENT_SECRET: &str = "sandbox-client-secret";

/// Calls, and messages, of one app per second.
///
/// Source: Easemob, send chatroom messages, call frequency, read 2026-11-21.
const PER_SECOND: usize = 100;

/// Lifetime of a token that nobody asked a lifetime for: 60 days.
///
/// Source: Easemob, app token, `ttl`, read 2026-11-21.
const DEFAULT_TTL_SECONDS: u64 = 5_184_000;

/// First message id: larger than 2^53, as the document's are.
const FIRST_MESSAGE_ID: u64 = 1_029_545_553_039_460_728;

/// One app at the provider.
#[derive(Default)]
struct ChatroomStandIn {
    state: Mutex<State>,
}

/// What the app remembers; ends with the stand-in.
#[derive(Default)]
struct State {
    /// Issued tokens and when they end; `None` = never.
    tokens: HashMap<String, Option<SystemTime>>,
    issued: u64,
    messages: u64,
    calls_window: Window,
    messages_window: Window,
    /// Magic ids whose one time is over.
    spent: HashSet<&'static str>,
}

/// What happened within the last second.
#[derive(Default)]
struct Window(VecDeque<SystemTime>);

impl Window {
    /// Counts `count` events at `now`; `false` if they do not fit, then none is counted.
    fn admit(&mut self, count: usize, now: SystemTime) -> bool {
        let is_over =
            |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age >= Duration::from_secs(1));
        while self.0.front().is_some_and(is_over) {
            self.0.pop_front();
        }
        if self.0.len() + count > PER_SECOND {
            return false;
        }
        self.0.extend(std::iter::repeat_n(now, count));
        true
    }
}

impl StandIn for ChatroomStandIn {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.serve(request, now) {
            Ok(answer) => answer,
            Err(refusal) => StandInAnswer::Respond(refusal.respond(now)),
        }
    }
}

/// An error answer of the provider.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Empty = no body at all.
    pub(super) error: &'static str,
    pub(super) code: Option<u32>,
    pub(super) description: String,
}

impl Refusal {
    /// An error without a number.
    pub(super) fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, code: None, description: description.into() }
    }

    fn respond(self, now: SystemTime) -> WireResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.error.is_empty() {
            return WireResponse { status, headers: HeaderMap::new(), body: self.description.into() };
        }
        let mut body = Map::new();
        body.insert("error".into(), self.error.into());
        if self.error == "message_send_error" {
            body.insert("exception".into(), "MessageSendException".into());
        }
        body.insert("timestamp".into(), unix_ms(now).into());
        body.insert("duration".into(), 0.into());
        if let Some(code) = self.code {
            body.insert("error_code".into(), code.into());
        }
        body.insert("error_description".into(), self.description.into());
        WireResponse::json(status, Value::Object(body).to_string())
    }
}

impl State {
    fn serve(&mut self, request: &Arrival<'_>, now: SystemTime) -> Result<StandInAnswer, Refusal> {
        let Some(path) = percent_decode(request.path) else {
            return Err(Refusal::new(400, "illegal_argument", "malformed path"));
        };
        let parts: Vec<&str> = path.trim_start_matches('/').splitn(3, '/').collect();
        let (org, app, action) = match parts.as_slice() {
            [org, app, action] => (*org, *app, *action),
            _ => {
                return Err(Refusal::new(404, "service_resource_not_found", "Service resource not found"));
            }
        };
        if (org, app) != (ORG, APP) {
            let text = format!("Could not find application for {org}/{app} from URI: {org}/{app}/{action}");
            return Err(Refusal::new(404, "organization_application_not_found", text));
        }
        if !matches!(action, "token" | "messages/chatrooms" | "messages/chatrooms/users") {
            return Err(Refusal::new(404, "service_resource_not_found", "Service resource not found"));
        }
        check_front(request)?;
        match action {
            "token" => self.grant(request, now),
            "messages/chatrooms" => self.send(request, false, now),
            _ => self.send(request, true, now),
        }
    }

    fn grant(&mut self, request: &Arrival<'_>, now: SystemTime) -> Result<StandInAnswer, Refusal> {
        let ttl = sandbox_rules::read_grant(request.body, CLIENT_ID, CLIENT_SECRET)?;
        let seconds = ttl.unwrap_or(DEFAULT_TTL_SECONDS);
        self.issued += 1;
        let token = format!("YWMtsandbox{:08}", self.issued);
        let end = (seconds > 0).then(|| now.checked_add(Duration::from_secs(seconds))).flatten();
        self.tokens.insert(token.clone(), end);
        let body = json!({
            "access_token": token,
            "expires_in": seconds,
            "application": "8be024f0-e978-11e8-b697-5d598d5f8402",
        });
        Ok(StandInAnswer::Respond(WireResponse::json(StatusCode::OK, body.to_string())))
    }

    /// The token of a request, if it is good.
    fn check_token(&self, request: &Arrival<'_>, now: SystemTime) -> Result<String, Refusal> {
        let expired =
            || Refusal::new(401, "unauthorized", "Unable to authenticate due to expired access token");
        let token = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(expired)?;
        match self.tokens.get(token) {
            Some(None) => Ok(token.to_owned()),
            Some(Some(end)) if now < *end => Ok(token.to_owned()),
            Some(Some(_)) => Err(expired()),
            None => Err(Refusal::new(401, "auth_bad_access_token", "Unable to authenticate")),
        }
    }

    fn send(
        &mut self,
        request: &Arrival<'_>,
        is_directed: bool,
        now: SystemTime,
    ) -> Result<StandInAnswer, Refusal> {
        let token = self.check_token(request, now)?;
        if !self.calls_window.admit(1, now) {
            return Err(call_rate());
        }
        let sent = sandbox_rules::read_send(request.body, is_directed)?;
        // A directed call goes to one room, whoever in it may see the message.
        if !self.messages_window.admit(sent.rooms.len(), now) {
            return Err(message_rate());
        }
        if let Some(answer) = self.play(&sent, &token)? {
            return Ok(answer);
        }
        let mut data = Map::new();
        for room in &sent.rooms {
            if room != OMIT && !sent.users.iter().any(|user| user == OMIT) {
                let message_id = FIRST_MESSAGE_ID + 4 * self.messages;
                self.messages += 1;
                data.insert(room.clone(), message_id.to_string().into());
            }
        }
        let body = json!({
            "path": "/messages/chatrooms",
            "uri": format!("https://sandbox/{ORG}/{APP}/messages/chatrooms"),
            "timestamp": unix_ms(now),
            "organization": ORG,
            "application": "8be024f0-e978-11e8-b697-5d598d5f8402",
            "action": "post",
            "data": data,
            "duration": 0,
            "applicationName": APP,
        });
        Ok(StandInAnswer::Respond(WireResponse::json(StatusCode::OK, body.to_string())))
    }

    /// Does what a magic id asks for; `None` = the call is taken.
    fn play(&mut self, sent: &Sent, token: &str) -> Result<Option<StandInAnswer>, Refusal> {
        let has = |magic: &str| sent.rooms.iter().chain(&sent.users).any(|id| id == magic);
        if has(DROP) {
            return Ok(Some(StandInAnswer::Drop));
        }
        if has(HANG) {
            return Ok(Some(StandInAnswer::Hang));
        }
        if has(EXPIRE) && self.spent.insert(EXPIRE) {
            self.tokens.remove(token);
            let text = "Unable to authenticate due to expired access token";
            return Err(Refusal::new(401, "unauthorized", text));
        }
        if has(THROTTLE) {
            return Err(call_rate());
        }
        if has(THROTTLE_ONCE) && self.spent.insert(THROTTLE_ONCE) {
            return Err(message_rate());
        }
        if has(REFUSE) {
            return Err(Refusal::new(403, "forbidden_op", "The operation is not allowed"));
        }
        if has(REJECT_CALL) {
            return Err(sandbox_rules::too_large());
        }
        if has(UNDECIDED) {
            return Err(Refusal::new(500, "internal_server_error", "Internal Server Error"));
        }
        Ok(if has(BAD_GATEWAY) {
            Some(page(StatusCode::BAD_GATEWAY, "text/html", "<html><title>502 Bad Gateway</title></html>"))
        } else if has(GARBAGE) {
            Some(page(StatusCode::OK, "application/json", r#"{"path":"/messages/chatrooms","data":{"18"#))
        } else {
            None
        })
    }
}

/// What holds for every request before anybody looks at who sends it.
fn check_front(request: &Arrival<'_>) -> Result<(), Refusal> {
    if request.method != "POST" {
        return Err(Refusal::new(405, "", ""));
    }
    let media_type = request.header("content-type").and_then(|value| value.split(';').next());
    if media_type.map(str::trim) != Some("application/json") {
        return Err(Refusal::new(415, "web_application", "Unsupported Media Type"));
    }
    if request.header("accept") != Some("application/json") {
        return Err(Refusal::new(400, "illegal_argument", "Accept must be application/json"));
    }
    if !request.query.is_empty() {
        return Err(Refusal::new(400, "illegal_argument", "no query parameter is documented"));
    }
    Ok(())
}

fn call_rate() -> Refusal {
    Refusal::new(429, "reach_limit", "This request has reached api limit")
}

fn message_rate() -> Refusal {
    Refusal::new(403, "message_send_error", " message send reach limit")
}

fn page(status: StatusCode, media_type: &'static str, text: &'static str) -> StandInAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    StandInAnswer::Respond(WireResponse { status, headers, body: text.into() })
}

fn unix_ms(now: SystemTime) -> u64 {
    let age = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
