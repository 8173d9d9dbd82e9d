//! The five wire formats as the providers' documents state them, apart from the adapters.
//!
//! Sources, read 2026-11-21: the provider documents as the fact sheets of the five providers quote them.

use serde_json::{Map, Value, json};

use crate::fake_provider::{Arrival, Response};
use crate::ledger::Named;

/// One wire format.
pub(crate) struct Dialect {
    provider: &'static str,
    /// Most recipients of one call.
    pub(crate) most_recipients: usize,
    /// Whether an answer can say that a single recipient was refused. Where it cannot, it leaves him out.
    pub(crate) names_refused: bool,
    /// Whether an answer names those it took. Where it does not, whoever is not refused was taken.
    pub(crate) names_taken: bool,
    pub(crate) read: fn(&Arrival) -> Named,
    /// The token of a call, where there are tokens.
    pub(crate) token: fn(&Arrival) -> Option<String>,
    /// The answer when everybody but these was taken.
    pub(crate) served: fn(&Named, &[String]) -> Value,
    pub(crate) throttled: fn() -> Response,
    /// A failure inside, documented as safe to repeat.
    pub(crate) busy: Option<fn() -> Response>,
    /// The signature or token is out of date.
    pub(crate) stale: fn() -> Response,
}

static DIALECTS: [Dialect; 5] = [
    // Sheet: Easemob chatroom, sections 2 to 6.
    Dialect {
        provider: "easemob_chatroom",
        most_recipients: 10,
        names_refused: false,
        names_taken: true,
        read: |arrival| {
            let body = arrival.json();
            Named { marker: text(&body["body"]["msg"]), recipients: texts(&body["to"]), ..Named::default() }
        },
        token: |arrival| Some(arrival.header("authorization")?.strip_prefix("Bearer ")?.to_owned()),
        served: |named, refused| {
            let rooms = taken(named, refused).map(|room| (room.clone(), json!("1029545553039460728")));
            json!({"path": "/messages/chatrooms", "timestamp": 1_657_254_052_191_u64, "action": "post",
                   "data": rooms.collect::<Map<_, _>>(), "duration": 0})
        },
        throttled: || chatroom_error(429, "reach_limit", "This request has reached api limit"),
        busy: Some(|| chatroom_error(403, "message_send_error", "message send reach limit")),
        stale: || chatroom_error(401, "unauthorized", "Unable to authenticate due to expired access token"),
    },
    // Sheet: Easemob relay, sections 3, 5 and 6. It documents no rate and no lifetime: only the bare status is left.
    Dialect {
        provider: "easemob_relay",
        most_recipients: 500,
        names_refused: true,
        names_taken: false,
        read: |arrival| {
            let body = arrival.json();
            let bodies = || body["messages"].as_array().unwrap().iter().map(|message| &message["msgBody"]);
            let marker = text(&bodies().next().unwrap()["msg"]);
            Named {
                marker,
                recipients: bodies().map(|inner| text(&inner["toUser"])).collect(),
                ..Named::default()
            }
        },
        token: |_| None,
        served: |named, refused| {
            let listed: Vec<_> = named.recipients.iter().filter(|id| refused.contains(id)).collect();
            if listed.is_empty() {
                return json!({"code": 200, "message": "成功", "data": [], "page": null});
            }
            let data =
                listed.iter().map(|id| json!({"msgType": "txt", "msgBody": {"toUser": id, "ext": ""}}));
            let texts = vec!["未知异常"; listed.len()].join(", ");
            json!({"code": 500, "message": format!("[{texts}]"), "data": data.collect::<Vec<_>>()})
        },
        throttled: || page(429),
        busy: None,
        stale: || page(401),
    },
    // Sheet: OpenIM, sections 2, 3, 5 and 6.
    Dialect {
        provider: "openim",
        most_recipients: 1000,
        names_refused: true,
        names_taken: true,
        read: |arrival| {
            let body = arrival.json();
            Named {
                marker: text(&body["content"]["content"]),
                recipients: texts(&body["recvIDs"]),
                ..Named::default()
            }
        },
        token: |arrival| arrival.header("token").map(str::to_owned),
        served: |named, refused| {
            let list = |ids: Vec<Value>| if ids.is_empty() { Value::Null } else { Value::Array(ids) };
            let results = taken(named, refused).map(|id| {
                json!({"serverMsgID": format!("server-{id}"), "clientMsgID": "c", "sendTime": 1, "recvID": id})
            });
            let failed = named.recipients.iter().filter(|id| refused.contains(id)).map(|id| json!(id));
            json!({"errCode": 0, "errMsg": "", "errDlt": "",
                   "data": {"results": list(results.collect()), "failedUserIDs": list(failed.collect())}})
        },
        throttled: || openim_error(429, 429, "too many requests, please try again later"),
        busy: Some(|| openim_error(200, 90004, "NetworkError")),
        stale: || openim_error(200, 1501, "TokenExpiredError"),
    },
    // Sheet: Tencent TIM, sections 3, 5 and 6.
    Dialect {
        provider: "tencent_tim",
        most_recipients: 500,
        names_refused: true,
        names_taken: false,
        read: |arrival| {
            let body = arrival.json();
            Named {
                marker: text(&body["MsgBody"][0]["MsgContent"]["Text"]),
                recipients: texts(&body["To_Account"]),
                ..Named::default()
            }
        },
        token: |_| None,
        served: |named, refused| {
            let listed = named.recipients.iter().filter(|id| refused.contains(id));
            let list: Vec<_> = listed.map(|id| json!({"To_Account": id, "ErrorCode": 90012})).collect();
            let (status, code) = match list.len() {
                0 => ("OK", 0),
                count if count < named.recipients.len() => ("SomeError", 0),
                _ => ("FAIL", 90012),
            };
            json!({"ActionStatus": status, "ErrorInfo": "", "ErrorCode": code, "ErrorList": list, "MsgKey": "1_2_3"})
        },
        throttled: || tim_error(60011, "too frequent"),
        busy: Some(|| tim_error(91000, "internal error, retry")),
        stale: || tim_error(70001, "usersig expired"),
    },
    // Sheet: Volcengine RTC, sections 3, 5 and 6.
    Dialect {
        provider: "volcengine_rtc",
        most_recipients: 500,
        names_refused: true,
        names_taken: true,
        read: |arrival| {
            let body = arrival.json();
            let content: Value = serde_json::from_str(body["Content"].as_str().unwrap()).unwrap();
            let receivers = body["Receiver"].as_array().unwrap();
            let recipients = receivers.iter().map(|id| id.as_u64().unwrap().to_string()).collect();
            Named { marker: text(&content["text"]), recipients, ..Named::default() }
        },
        token: |_| None,
        served: |named, refused| {
            let ids = taken(named, refused).map(|id| (id.clone(), json!(900_000)));
            let failed = named.recipients.iter().filter(|id| refused.contains(id));
            let failed: Vec<_> = failed.map(|id| json!(id.parse::<u64>().unwrap())).collect();
            json!({"ResponseMetadata": {"RequestId": "r1", "Action": "BatchSendMessage"},
                   "Result": {"UserMessageId": ids.collect::<Map<_, _>>(), "FailedReceiver": failed}})
        },
        throttled: || volcengine_error(429, "AccountFlowLimitExceeded", 100_027),
        busy: Some(|| volcengine_error(502, "FailToConnect", 100_015)),
        stale: || volcengine_error(403, "InvalidTimestamp", 100_006),
    },
];

impl Dialect {
    pub(crate) fn of(provider: &str) -> &'static Self {
        DIALECTS.iter().find(|dialect| dialect.provider == provider).expect("a dialect for every provider")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}")).iter().map(text).collect()
}

fn taken<'a>(named: &'a Named, refused: &'a [String]) -> impl Iterator<Item = &'a String> {
    named.recipients.iter().filter(|id| !refused.contains(id))
}

fn page(status: u16) -> Response {
    let headers = vec![("content-type".into(), "text/html".into())];
    Response { status, headers, body: b"<html>no</html>".to_vec() }
}

fn chatroom_error(status: u16, error: &str, description: &str) -> Response {
    let body = json!({"error": error, "exception": "Exception", "timestamp": 1_657_254_052_191_u64, "duration": 0,
                      "error_description": description});
    Response::json(status, &body)
}

fn openim_error(status: u16, code: i64, message: &str) -> Response {
    Response::json(status, &json!({"errCode": code, "errMsg": message, "errDlt": ""}))
}

fn tim_error(code: i64, info: &str) -> Response {
    Response::json(200, &json!({"ActionStatus": "FAIL", "ErrorInfo": info, "ErrorCode": code}))
}

fn volcengine_error(status: u16, code: &str, number: u64) -> Response {
    let error = json!({"Code": code, "CodeN": number, "Message": "no"});
    Response::json(status, &json!({"ResponseMetadata": {"RequestId": "r1", "Error": error}}))
}
