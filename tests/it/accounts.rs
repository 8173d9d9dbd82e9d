//! The account that each provider's fixtures use, and what a provider says when all is well.
//!
//! Written from the providers' documents, apart from the adapters.

use serde_json::{Value, json};

use crate::fake_provider::Arrival;

/// A value that stands in a configuration and must never be seen anywhere else.
pub(crate) const CANARY: &str = "canary-6f1d2b";

/// One provider's dummy account.
pub(crate) struct Account {
    pub(crate) provider: &'static str,
    /// Folder below `tests/fixtures`.
    pub(crate) folder: &'static str,
    /// The channel's own keys as TOML, without base URL.
    pub(crate) settings: &'static str,
    /// The same with secrets that hold [`CANARY`].
    pub(crate) canaries: &'static str,
    /// The answer to a request for a token when all is well, where there are tokens.
    pub(crate) token: Option<fn() -> Value>,
    /// The channel's own keys with a token that needs no asking, where there are tokens.
    pub(crate) with_fixed_token: Option<&'static str>,
    /// A sender and two recipients that the provider can take.
    pub(crate) sender: &'static str,
    pub(crate) recipients: [&'static str; 2],
    /// The answer to a send when everybody is served.
    pub(crate) success: fn(&Arrival) -> Value,
}

pub(crate) const ACCOUNTS: &[Account] = &[
    Account {
        provider: "easemob_chatroom",
        folder: "easemob-chatroom",
        settings: "org_name = 'test-org'\napp_name = 'test-app'\nclient_id = 'TEST-ID'\nclient_secret = 'TEST-SECRET'",
        canaries: "org_name = 'test-org'\napp_name = 'test-app'\nclient_id = 'TEST-ID'\nclient_secret = 'canary-6f1d2b'",
        token: Some(
            || json!({"access_token": "TEST-APP-TOKEN", "expires_in": 1_024_000, "application": "8be024f0"}),
        ),
        with_fixed_token: Some("org_name = 'test-org'\napp_name = 'test-app'\napp_token = 'TEST-APP-TOKEN'"),
        sender: "user1",
        recipients: ["185145305923585", "185145305923586"],
        success: |arrival| {
            let to = arrival.json()["to"].as_array().unwrap().clone();
            let data =
                to.iter().map(|room| (room.as_str().unwrap().to_owned(), json!("1029545553039460728")));
            json!({"path": "/messages/chatrooms", "timestamp": 1_657_254_052_191_u64, "action": "post",
                   "data": data.collect::<serde_json::Map<_, _>>(), "duration": 0})
        },
    },
    Account {
        provider: "easemob_relay",
        folder: "easemob-relay",
        settings: RELAY_QUERY,
        canaries: "query = { api_version = '01', client = 'canary-6f1d2b-c', version = '1.15', \
                   channel = 'canary-6f1d2b-h', sign = 'canary-6f1d2b-s' }",
        token: None,
        with_fixed_token: None,
        sender: "o0001c50f32abad2a443ba36da03f5f10371c",
        recipients: ["148238038269428232", "148238038269428233"],
        success: |_| json!({"code": 200, "message": "成功", "data": [], "page": null}),
    },
    Account {
        provider: "openim",
        folder: "openim",
        settings: "admin_user_id = 'imAdmin'\nsecret = 'openIM123'",
        canaries: "admin_user_id = 'imAdmin'\nsecret = 'canary-6f1d2b'",
        token: Some(|| {
            json!({"errCode": 0, "errMsg": "", "errDlt": "",
                   "data": {"token": "TEST-ADMIN-TOKEN", "expireTimeSeconds": 7_776_000}})
        }),
        with_fixed_token: Some("token = 'TEST-ADMIN-TOKEN'"),
        sender: "3473643418",
        recipients: ["9948077346", "9371245179"],
        success: |arrival| {
            let mut ids = arrival.json()["recvIDs"].as_array().unwrap().clone();
            if arrival.json()["isSendAll"] == true {
                ids.push(json!("imAdmin"));
            }
            let results = ids.iter().map(|id| {
                json!({"serverMsgID": "b30cb040685c1ff3e92b32d25826a06e", "clientMsgID": "c", "sendTime": 1, "recvID": id})
            });
            json!({"errCode": 0, "errMsg": "", "errDlt": "",
                   "data": {"results": results.collect::<Vec<_>>(), "failedUserIDs": null}})
        },
    },
    Account {
        provider: "tencent_tim",
        folder: "tencent-tim",
        settings: "sdk_app_id = 88888888\nidentifier = 'admin'\nsecret_key = 'TEST-KEY'",
        canaries: "sdk_app_id = 88888888\nidentifier = 'admin'\nsecret_key = 'canary-6f1d2b'",
        token: None,
        with_fixed_token: None,
        sender: "dave",
        recipients: ["bonnie", "rong"],
        success: |_| json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "1_2_3"}),
    },
    Account {
        provider: "volcengine_rtc",
        folder: "volcengine-rtc",
        settings: "app_id = 666675\naccess_key_id = 'AKLTTEST'\nsecret_access_key = 'TEST-KEY'",
        canaries: "app_id = 666675\naccess_key_id = 'AKLTTEST'\nsecret_access_key = 'canary-6f1d2b'\n\
                   session_token = 'canary-6f1d2b-t'",
        token: None,
        with_fixed_token: None,
        sender: "10001",
        recipients: ["1", "2"],
        success: |arrival| {
            let ids = arrival.json()["Receiver"].as_array().unwrap().clone();
            let sent = ids.iter().map(|id| (id.to_string(), json!(900_000)));
            json!({"ResponseMetadata": {"RequestId": "r1", "Action": "BatchSendMessage"},
                   "Result": {"UserMessageId": sent.collect::<serde_json::Map<_, _>>(), "FailedReceiver": []}})
        },
    },
];

const RELAY_QUERY: &str = "query = { api_version = '01', client = '0123456789abcdef0123456789abcdef', \
    version = '1.15', channel = 'fedcba9876543210fedcba9876543210', sign = '00112233445566778899aabbccddeeff' }";

impl Account {
    pub(crate) fn of(provider: &str) -> &'static Self {
        ACCOUNTS.iter().find(|account| account.provider == provider).expect("an account for every provider")
    }

    /// Whether this request asks for a token.
    pub(crate) fn asks_for_token(&self, arrival: &Arrival) -> bool {
        let ends = ["/token", "/auth/get_admin_token", "/auth/user_token"];
        self.token.is_some() && ends.iter().any(|end| arrival.path.ends_with(end))
    }

    /// A send of a text message to [`Self::recipients`].
    pub(crate) fn send(&self, channel: &str) -> Value {
        json!({"channel": channel, "from": self.sender, "to": self.recipients,
               "message": {"type": "text", "text": "hello"}})
    }
}
