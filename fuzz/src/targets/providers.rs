//! The five providers' answers: routes to read them for, and what every documented success has at least.
//!
//! The conditions are written from the documents, apart from the adapters, and only as far as they hold for
//! every success; what exactly an answer means is for the fixtures to say.

use std::sync::OnceLock;

use serde_json::Value;

use crate::targets::decoder::Subject;

pub(crate) static EASEMOB_CHATROOM: Subject = Subject {
    provider: "easemob_chatroom",
    keys: "org_name = 'o'\napp_name = 'a'\nclient_id = 'i'\nclient_secret = 's'",
    requests: &[
        r#"{"to":["185","186"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"to":["1"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"to":["1","01","a\"b","ü","data","error"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"to":["185"],"message":{"type":"text","text":"hi"},
            "provider_options":{"easemob_chatroom":{"users":["u1","u2","u3"]}}}"#,
    ],
    takes: |answer, id| {
        let room = answer.room.unwrap_or(id);
        answer.status == 200 && !answer.json["error"].is_string() && answer.json["data"].get(room).is_some()
    },
    ready: OnceLock::new(),
};

pub(crate) static EASEMOB_RELAY: Subject = Subject {
    provider: "easemob_relay",
    keys: "query = { api_version = '01', client = 'c', version = '1.15', channel = 'h', sign = 's' }",
    requests: &[
        r#"{"from":"o1","to":["148","149"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"o1","to":["1"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"o1","to":["1","01","a\"b","ü","toUser"],"message":{"type":"text","text":"hi"}}"#,
    ],
    takes: |answer, id| {
        let data = &answer.json["data"];
        let names = |entry: &Value| text(entry).as_deref() == Some(id);
        let is_listed = data.as_array().is_some_and(|entries| entries.iter().any(names));
        match text(&answer.json["code"]).as_deref() {
            Some("200") => !is_listed,
            // "Not everything was sent" proves something only where it says what was not.
            Some("500") => {
                !is_listed && (data.is_object() || data.as_array().is_some_and(|list| !list.is_empty()))
            }
            _ => false,
        }
    },
    ready: OnceLock::new(),
};

pub(crate) static OPENIM: Subject = Subject {
    provider: "openim",
    keys: "admin_user_id = 'imAdmin'\nsecret = 's'\nallow_send_all = true",
    requests: &[
        r#"{"from":"f","to":["994","937"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"f","to":["1"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"f","to":["1","01","a\"b","ü","recvID"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"f","to":[],"message":{"type":"text","text":"hi"},
            "provider_options":{"openim":{"is_send_all":true}}}"#,
    ],
    takes: |answer, id| {
        let results = answer.json["data"]["results"].as_array();
        is_zero(&answer.json["errCode"])
            && results.is_some_and(|results| results.iter().any(|entry| entry["recvID"] == id))
    },
    ready: OnceLock::new(),
};

pub(crate) static TENCENT_TIM: Subject = Subject {
    provider: "tencent_tim",
    keys: "sdk_app_id = 88888888\nidentifier = 'admin'\nsecret_key = 'k'",
    requests: &[
        r#"{"to":["bonnie","rong"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"to":["1"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"to":["1","01","a\"b","ü","OK"],"message":{"type":"text","text":"hi"}}"#,
    ],
    takes: |answer, id| {
        let list = &answer.json["ErrorList"];
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let is_told = answer.json["ActionStatus"] == "OK" || !entries.is_empty();
        let is_listed = entries.iter().any(|entry| entry["To_Account"] == id);
        let code = &answer.json["ErrorCode"];
        (code.is_null() || is_zero(code)) && (list.is_null() || list.is_array()) && is_told && !is_listed
    },
    ready: OnceLock::new(),
};

pub(crate) static VOLCENGINE_RTC: Subject = Subject {
    provider: "volcengine_rtc",
    keys: "app_id = 666675\naccess_key_id = 'AK'\nsecret_access_key = 's'",
    requests: &[
        r#"{"from":"9","to":["1","2"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"9","to":["10001"],"message":{"type":"text","text":"hi"}}"#,
        r#"{"from":"9","to":[9007199254740993,"9223372036854775807","12"],"message":{"type":"text","text":"hi"}}"#,
    ],
    takes: |answer, id| {
        let result = &answer.json["Result"];
        let failed = result["FailedReceiver"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_failed = failed.iter().any(|entry| text(entry).as_deref() == Some(id));
        (200..300).contains(&answer.status)
            && answer.json["ResponseMetadata"]["Error"].is_null()
            && result["UserMessageId"].get(id).is_some()
            && !is_failed
    },
    ready: OnceLock::new(),
};

/// A string, or a whole number digit by digit.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0) || value.as_str().and_then(|text| text.parse::<i64>().ok()) == Some(0)
}
