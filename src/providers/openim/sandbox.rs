//! The stand-in: an OpenIM server of the 3.8 line, as its document and public source describe it.
//!
//! Written apart from the adapter, so that one mistake does not cancel the other. Every recipient is taken but
//! these:
//!
//! | recipient | what the stand-in does |
//! |---|---|
//! | [`REFUSE`] | puts it into `failedUserIDs` |
//! | [`OMIT`] | names it in neither list |
//! | [`REJECT_CALL`] | refuses the call: errCode 1004 |
//! | [`THROTTLE_ONCE`] | refuses the first call that has it: HTTP 429, wait a second |
//! | [`THROTTLE`] | refuses every call that has it: HTTP 429, wait a second |
//! | [`DROP`] | reads the request and closes the connection |
//! | [`HANG`] | reads the request and never answers |
//! | [`BAD_GATEWAY`] | answers like a proxy in front: HTTP 502, HTML |
//! | [`GARBAGE`] | takes the message, cuts the answer short |
//! | [`EXPIRE`] | ends the token of the first call that has it: errCode 1501 |
//! | [`UNDECIDED`] | answers HTTP 500 without a body: some may have been sent |
//!
//! Only the last 30 tokens are good, older ones answer 1506, as in v3.8.1. With `isSendAll` the users are
//! `imAdmin`, the sender, `alice`, `bob` and [`REFUSE`].
//! Source: OpenIM, batch send message, get admin token, error codes; open-im-server `internal/api/` at 7848d7c,
//! read 2026-11-21.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;
use crate::providers::openim::sandbox_body::{self, Refusal, SendRequest};

/// Is listed as failed.
pub const REFUSE: &str = "magic-refuse";
/// Is missing from the answer.
pub const OMIT: &str = "magic-omit";
/// Makes the stand-in refuse the call for good.
pub const REJECT_CALL: &str = "magic-reject-call";
/// Makes the stand-in refuse the first call as too fast.
pub const THROTTLE_ONCE: &str = "magic-throttle-once";
/// Makes the stand-in refuse every call as too fast.
pub const THROTTLE: &str = "magic-throttle";
/// Closes the connection after the request was read.
pub const DROP: &str = "magic-drop";
/// Is never answered.
pub const HANG: &str = "magic-hang";
/// Is answered by a proxy's error page.
pub const BAD_GATEWAY: &str = "magic-502";
/// Is answered by half an answer.
pub const GARBAGE: &str = "magic-garbage";
/// Ends the token of the first call.
pub const EXPIRE: &str = "magic-expire";
/// Is answered by an error that may come after the sending.
pub const UNDECIDED: &str = "magic-undecided";

/// The stand-in and its channel.
pub(super) const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-openim",
    settings: "admin_user_id = \"imAdmin\"\nsecret = \"openIM123\"\nallow_send_all = true\n",
    recipients: ("alice", REFUSE),
    sender: ADMIN,
    build: || Box::new(Server::default()),
};

const ADMIN: &str = "imAdmin";
const SECRET: &str = "openIM123";

/// How long a token lives: 90 days, in seconds.
const TOKEN_SECONDS: u64 = 7_776_000;

/// What stands around the number of a token: it looks like the JSON web tokens of a real server.
const TOKEN_PREFIX: &str = "eyJhbGciOiJIUzI1NiJ9.sandbox-";
const TOKEN_SUFFIX: &str = ".c2FuZGJveA";

/// How many tokens of an administrator are good at once.
const MOST_TOKENS: usize = 30;

/// Everything that a server remembers.
#[derive(Default)]
struct Server(Mutex<State>);

#[derive(Default)]
struct State {
    /// The tokens that are good, the youngest last.
    tokens: VecDeque<IssuedToken>,
    issued_count: u64,
    has_throttled: bool,
    has_expired: bool,
    message_count: u64,
}

struct IssuedToken {
    number: u64,
    end: SystemTime,
}

impl StandIn for Server {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = match (request.method, request.path) {
            ("POST", "/auth/get_admin_token") => state.grant(request, now, None),
            ("POST", "/auth/user_token") => state.grant(request, now, Some(10)),
            ("POST", "/msg/batch_send_msg") => return state.send(request, now),
            _ => return respond_text(StatusCode::NOT_FOUND, "text/plain", "404 page not found"),
        };
        answered.unwrap_or_else(|refusal| refuse(&refusal))
    }
}

impl State {
    /// Gives a token; `platform` is what an old server wants to hear of an administrator.
    fn grant(
        &mut self,
        request: &Arrival<'_>,
        now: SystemTime,
        platform: Option<u64>,
    ) -> Result<StandInAnswer, Refusal> {
        check_operation_id(request)?;
        let body = sandbox_body::parse_object(request)?;
        if platform.is_some() && body.get("platformID").and_then(Value::as_u64) != platform {
            return Err(Refusal::arguments("platformID must be 10 for an administrator"));
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("secret") != SECRET {
            return Err(Refusal::new(1002, "NoPermissionError", "secret invalid"));
        }
        match text("userID") {
            ADMIN => {}
            "" => return Err(Refusal::arguments("userID is empty")),
            other => {
                let detail = format!("userID is error., userID={other}, adminUserID=[{ADMIN}]");
                return Err(Refusal::new(1001, "ArgsError", &detail));
            }
        }
        self.issued_count += 1;
        self.tokens.push_back(IssuedToken {
            number: self.issued_count,
            end: now + Duration::from_secs(TOKEN_SECONDS),
        });
        if self.tokens.len() > MOST_TOKENS {
            self.tokens.pop_front();
        }
        let token = format!("{TOKEN_PREFIX}{}{TOKEN_SUFFIX}", self.issued_count);
        Ok(respond_ok(&json!({"token": token, "expireTimeSeconds": TOKEN_SECONDS})))
    }

    fn send(&mut self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        let checked = check_operation_id(request)
            .and_then(|()| self.check_token(request, now))
            .and_then(|number| Ok((number, SendRequest::read(request, ADMIN)?)));
        match checked {
            Ok((number, send)) => self.misbehave(&send, number).unwrap_or_else(|| self.deliver(&send, now)),
            Err(refusal) => refuse(&refusal),
        }
    }

    /// The number of the token that the request carries.
    ///
    /// Source: openimsdk/tools `mw/gin.go`, `tokenverify/jwt_token.go`, read 2026-11-21.
    fn check_token(&self, request: &Arrival<'_>, now: SystemTime) -> Result<u64, Refusal> {
        let Some(token) = request.header("token").filter(|token| !token.is_empty()) else {
            return Err(Refusal::new(1001, "ArgsError", "header must have token"));
        };
        let number = token
            .strip_prefix(TOKEN_PREFIX)
            .and_then(|rest| rest.strip_suffix(TOKEN_SUFFIX))
            .and_then(|digits| digits.parse::<u64>().ok())
            .filter(|number| (1..=self.issued_count).contains(number));
        let Some(number) = number else {
            return Err(Refusal::new(1505, "TokenUnknownError", "signature is invalid"));
        };
        match self.tokens.iter().find(|token| token.number == number) {
            None => Err(Refusal::new(1506, "TokenKickedError", "")),
            Some(token) if now >= token.end => Err(expired()),
            Some(_) => Ok(number),
        }
    }

    /// What a recipient with a special name makes the server do instead of delivering.
    fn misbehave(&mut self, send: &SendRequest, token_number: u64) -> Option<StandInAnswer> {
        let has = |name: &str| send.recipients.iter().any(|id| id == name);
        if has(REJECT_CALL) {
            let refusal = Refusal::new(1004, "RecordNotFoundError", ": [1004]RecordNotFoundError");
            return Some(refuse(&refusal));
        }
        if has(EXPIRE) && !self.has_expired {
            self.has_expired = true;
            // From now on it is as good as one that ended long ago.
            for token in &mut self.tokens {
                if token.number == token_number {
                    token.end = SystemTime::UNIX_EPOCH;
                }
            }
            return Some(refuse(&expired()));
        }
        if has(THROTTLE) || (has(THROTTLE_ONCE) && !self.has_throttled) {
            self.has_throttled |= has(THROTTLE_ONCE);
            return Some(throttle());
        }
        if has(DROP) {
            return Some(StandInAnswer::Drop);
        }
        if has(HANG) {
            return Some(StandInAnswer::Hang);
        }
        if has(BAD_GATEWAY) {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
            return Some(respond_text(StatusCode::BAD_GATEWAY, "text/html", page));
        }
        if has(UNDECIDED) {
            return Some(respond_text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", ""));
        }
        None
    }

    /// Sends to one after the other and lists everybody.
    fn deliver(&mut self, send: &SendRequest, now: SystemTime) -> StandInAnswer {
        let everybody = [ADMIN, &send.sender, "alice", "bob", REFUSE].map(str::to_owned);
        let recipients: &[String] = if send.is_send_all { &everybody } else { &send.recipients };
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let send_time = match send.send_time {
            0 => i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX),
            given => given,
        };
        self.message_count += 1;
        let client_id = format!("c{:031x}", self.message_count);
        let (mut results, mut failed) = (Vec::new(), Vec::new());
        for id in recipients {
            if id == OMIT {
                continue;
            }
            if id == REFUSE || send.fails_for_everybody {
                failed.push(Value::from(id.as_str()));
                continue;
            }
            self.message_count += 1;
            let server_id = format!("{:032x}", self.message_count);
            results.push(json!({"serverMsgID": server_id, "clientMsgID": client_id,
                                "sendTime": send_time, "recvID": id}));
        }
        // Empty lists are nil on the server, and nil is written as null.
        let list = |items: Vec<Value>| {
            if items.is_empty() { Value::Null } else { items.into() }
        };
        let data = json!({"results": list(results), "failedUserIDs": list(failed)});
        if recipients.iter().any(|id| id == GARBAGE) {
            let text = ok_text(&data);
            let half = text.get(..text.len() / 2).unwrap_or_default();
            return StandInAnswer::Respond(WireResponse::json(StatusCode::OK, half.to_owned()));
        }
        respond_ok(&data)
    }
}

fn check_operation_id(request: &Arrival<'_>) -> Result<(), Refusal> {
    match request.header("operationID") {
        Some(id) if !id.is_empty() => Ok(()),
        Some(_) | None => Err(Refusal::new(1001, "ArgsError", "header must have operationID")),
    }
}

fn expired() -> Refusal {
    Refusal::new(1501, "TokenExpiredError", "jwt parse error")
}

fn ok_text(data: &Value) -> String {
    json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": data}).to_string()
}

fn respond_ok(data: &Value) -> StandInAnswer {
    StandInAnswer::Respond(WireResponse::json(StatusCode::OK, ok_text(data)))
}

fn refuse(refusal: &Refusal) -> StandInAnswer {
    let body = json!({"errCode": refusal.code, "errMsg": refusal.message, "errDlt": refusal.detail});
    StandInAnswer::Respond(WireResponse::json(refusal.status, body.to_string()))
}

/// Source: open-im-server `internal/api/ratelimit.go`, read 2026-11-21; the content type was observed.
fn throttle() -> StandInAnswer {
    let message = "too many requests, please try again later";
    let body = json!({"errCode": 429, "errMsg": message, "errDlt": ""}).to_string();
    let mut response = WireResponse::json(StatusCode::TOO_MANY_REQUESTS, body);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers.insert(CONTENT_TYPE, text);
    response.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    StandInAnswer::Respond(response)
}

fn respond_text(status: StatusCode, content_type: &'static str, body: &'static str) -> StandInAnswer {
    let mut response = WireResponse::json(status, body);
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    StandInAnswer::Respond(response)
}
