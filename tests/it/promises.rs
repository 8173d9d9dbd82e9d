//! What the gateway promises its callers, one test or more for each promise.

use std::sync::{Arc, Mutex, Once, PoisonError};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::accounts::{ACCOUNTS, Account, CANARY};
use crate::fake_provider::{Extra, FakeProvider, Reply, Response, Script, queue};
use crate::harness::{Answer, TestGateway};

const CHANNEL: &str = "under-test";

/// A channel's section of the configuration.
fn channel(name: &str, account: &Account, fake: &FakeProvider, more: &str) -> String {
    format!(
        "[channels.{name}]\nprovider = '{}'\nbase_url = '{}'\n{}\n{more}\n",
        account.provider,
        fake.base_url(),
        account.canaries
    )
}

/// A provider that gives tokens and answers sends by `sends`.
async fn provider(account: &'static Account, mut sends: Script) -> FakeProvider {
    FakeProvider::start(Box::new(move |arrival| match account.token {
        Some(token) if account.asks_for_token(arrival) => Reply::Respond(Response::json(200, &token())),
        _ => sends(arrival),
    }))
    .await
}

/// A provider that serves everybody.
async fn willing(account: &'static Account) -> FakeProvider {
    let answer = |arrival: &_| Reply::Respond(Response::json(200, &(account.success)(arrival)));
    provider(account, Box::new(answer)).await
}

fn sends(account: &Account, fake: &FakeProvider) -> usize {
    let ledger = fake.ledger();
    ledger
        .iter()
        .filter(|arrival| !account.asks_for_token(arrival))
        .count()
}

fn page(status: u16, text: &str) -> Response {
    Response {
        status,
        headers: vec![("content-type".into(), "text/html".into())],
        body: text.as_bytes().to_vec(),
    }
}

/// The statuses of a report, in order.
fn statuses(answer: &Answer) -> Vec<String> {
    let report = answer.json();
    let results = report["results"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", answer.text));
    results
        .iter()
        .map(|result| result["status"].as_str().unwrap().to_owned())
        .collect()
}

// A 4xx answer means that no call was or will be made.

#[tokio::test]
async fn a_refused_request_makes_no_call() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&format!(
        "[limits]\nbody_bytes = 4096\nrecipients_per_batch = 10\n{}",
        channel(CHANNEL, account, &fake, "")
    ))
    .await;
    let good = account.send(CHANNEL);
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        body[pointer] = value;
        body.to_string()
    };
    let two_routes = json!({"message": good["message"], "routes": [
        {"channel": CHANNEL, "from": "dave", "to": ["a"]},
        {"channel": "nobody-has-this", "from": "dave", "to": ["a"]},
    ]});
    for (status, code, body) in [
        (400, "invalid_json", "{".to_owned()),
        (400, "invalid_json", String::new()),
        (422, "invalid_request", "[]".to_owned()),
        (422, "invalid_request", "{}".to_owned()),
        (422, "invalid_request", changed("no_such_field", json!(1))),
        (
            422,
            "invalid_request",
            changed("channel", json!("nobody-has-this")),
        ),
        (422, "invalid_request", changed("to", json!([]))),
        (422, "invalid_request", changed("to", json!(["a", null]))),
        (422, "invalid_request", changed("to", json!(["a", 1.5]))),
        (422, "invalid_request", changed("to", json!(vec!["a"; 11]))),
        (
            422,
            "invalid_request",
            changed("message", json!({"type": "smoke"})),
        ),
        (
            422,
            "invalid_request",
            changed("provider_options", json!({"tencent_tim": {}})),
        ),
        (
            422,
            "invalid_request",
            changed("options", json!({"expires_at": "yesterday"})),
        ),
        (422, "invalid_request", two_routes.to_string()),
        (413, "too_large", changed("client_ref", json!("x".repeat(5000)))),
    ] {
        let answer = gateway.post("/v1/batches", &body, &[]).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["code"], code, "{body}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let answer = gateway
        .post(
            "/v1/batches",
            &good.to_string(),
            &[("content-type", "text/plain")],
        )
        .await;
    assert_eq!(answer.status, 415, "{}", answer.text);
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&good).await.status, 200);
}

#[tokio::test]
async fn an_invalid_recipient_refuses_the_request_only_if_asked_to() {
    let account = Account::of("volcengine_rtc");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let mut send = account.send(CHANNEL);
    send["to"] = json!(["1", "not-a-number"]);
    send["options"] = json!({"on_invalid": "reject"});
    let refused = gateway.send(&send).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(fake.ledger().is_empty());
    send["options"] = json!({"on_invalid": "skip"});
    assert_eq!(statuses(&gateway.send(&send).await), ["accepted", "failed"]);
}

#[tokio::test]
async fn a_plan_makes_no_call() {
    for account in ACCOUNTS {
        let fake = willing(account).await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
        let answer = gateway
            .post("/v1/batches/plan", &account.send(CHANNEL).to_string(), &[])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(fake.ledger().is_empty(), "{}", account.provider);
    }
}

// Every entry of `to` has exactly one result, at its own index.

#[tokio::test]
async fn every_entry_has_one_result_whatever_it_is() {
    for account in ACCOUNTS {
        let fake = willing(account).await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "recipients_per_call = 1")).await;
        let [first, second] = account.recipients;
        let mut send = account.send(CHANNEL);
        send["to"] = json!([first, {"id": second, "ref": "r2"}, first, "", {"id": second, "ref": "again"}]);
        let answer = gateway.send(&send).await;
        assert_eq!(answer.status, 207, "{}: {}", account.provider, answer.text);
        let report = answer.json();
        let results = report["results"].as_array().unwrap();
        let seen: Vec<_> = results
            .iter()
            .map(|result| {
                let code = result["error"]["code"].as_str().unwrap_or_default();
                (
                    result["recipient"].as_str().unwrap(),
                    code,
                    result["ref"].as_str().unwrap_or_default(),
                )
            })
            .collect();
        let wanted = [
            (first, "", ""),
            (second, "", "r2"),
            (first, "duplicate_recipient", ""),
            ("", "invalid_recipient", ""),
            (second, "duplicate_recipient", "again"),
        ];
        assert_eq!(seen, wanted, "{}", account.provider);
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result["index"], index);
            let was_called = result["attempts"] != 0;
            assert_eq!(was_called, result["status"] == "accepted", "{result}");
        }
        let counts = json!({"total": 5, "accepted": 2, "failed": 3, "unknown": 0, "pending": 0});
        assert_eq!(report["counts"], counts);
        assert_eq!(sends(account, &fake), 2, "{}", account.provider);
    }
}

#[tokio::test]
async fn somebody_the_provider_did_not_mention_is_unknown_and_a_stranger_is_a_warning() {
    let account = Account::of("openim");
    let body = json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": {"failedUserIDs": [], "results": [
        {"recvID": account.recipients[0], "serverMsgID": "m1", "clientMsgID": "c", "sendTime": 1},
        {"recvID": "a-stranger", "serverMsgID": "m2", "clientMsgID": "c", "sendTime": 1},
    ]}});
    let reply = Reply::Respond(Response::json(200, &body));
    let fake = provider(account, queue([reply], Extra::Fail)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let answer = gateway.send(&account.send(CHANNEL)).await;
    assert_eq!(statuses(&answer), ["accepted", "unknown"]);
    let report = answer.json();
    assert_eq!(report["results"][1]["error"]["cause"], "unaccounted");
    assert_eq!(
        report["warnings"].as_array().unwrap().len(),
        1,
        "{}",
        report["warnings"]
    );
    assert_eq!(report["warnings"][0]["channel"], CHANNEL);
    assert!(!answer.text.contains("a-stranger"), "{}", answer.text);
}

// `unknown` is honest, and nothing that may have been delivered is sent again.

/// Ways to lose an answer after the request was written, and the cause that the report names.
fn losses() -> Vec<(&'static str, Reply)> {
    vec![
        ("connection_reset", Reply::Reset),
        ("connection_reset", Reply::Cut(page(200, "{}"), 10)),
        (
            "unreadable_answer",
            Reply::Cut(page(200, "{\"code\":200,\"errCode\":0}"), 90),
        ),
        ("http_502", Reply::Respond(page(502, "<html>Bad Gateway</html>"))),
        ("http_503", Reply::Respond(page(503, "<html>Away</html>"))),
        ("http_504", Reply::Respond(page(504, ""))),
        (
            "unreadable_answer",
            Reply::Respond(page(200, "<html>Log in</html>")),
        ),
        ("timeout", Reply::Hang),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_unknown_and_nothing_is_sent_again() {
    for account in ACCOUNTS {
        for (cause, loss) in losses() {
            let what = format!("{}: {loss:?}", account.provider);
            let fake = provider(account, queue([loss], Extra::Repeat)).await;
            let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "timeout_ms = 200")).await;
            let answer = gateway.send(&account.send(CHANNEL)).await;
            assert_eq!(answer.status, 207, "{what}: {}", answer.text);
            for result in answer.json()["results"].as_array().unwrap() {
                assert_eq!(result["status"], "unknown", "{what}: {result}");
                assert_eq!(result["error"]["retryable"], false, "{what}: {result}");
                // Some sheets read a page's status or body themselves, in other words.
                if ["timeout", "connection_reset"].contains(&cause) {
                    assert_eq!(result["error"]["cause"], cause, "{what}: {result}");
                    assert_eq!(result["error"]["source"], "transport", "{what}: {result}");
                }
            }
            assert_eq!(sends(account, &fake), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_only_if_the_caller_accepts_duplicates() {
    for account in ACCOUNTS {
        let mut replies = vec![Reply::Reset];
        let fake = provider(
            account,
            Box::new(move |arrival| {
                let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
                replies.pop().unwrap_or(success)
            }),
        )
        .await;
        let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
        let mut send = account.send(CHANNEL);
        send["options"] = json!({"retry_unknown": true});
        let answer = gateway.send(&send).await;
        assert_eq!(
            statuses(&answer),
            ["accepted"; 2],
            "{}: {}",
            account.provider,
            answer.text
        );
        assert_eq!(sends(account, &fake), 2, "{}", account.provider);
        assert_eq!(answer.json()["results"][0]["attempts"], 2, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let account = Account::of("tencent_tim");
    let elsewhere = willing(account).await;
    let redirect = Response {
        status: 307,
        headers: vec![("location".into(), elsewhere.base_url())],
        body: Vec::new(),
    };
    let fake = provider(account, queue([Reply::Respond(redirect)], Extra::Repeat)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let answer = gateway.send(&account.send(CHANNEL)).await;
    assert_eq!(statuses(&answer), ["unknown"; 2], "{}", answer.text);
    assert_eq!(sends(account, &fake), 1);
    assert!(elsewhere.ledger().is_empty());
}

#[tokio::test]
async fn an_answer_over_the_limit_is_unknown() {
    let account = Account::of("tencent_tim");
    let padded = json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "x".repeat(5000)});
    let reply = Reply::Respond(Response::json(200, &padded));
    let fake = provider(account, queue([reply], Extra::Repeat)).await;
    let settings = format!(
        "[transport]\nanswer_bytes = 4096\n{}",
        channel(CHANNEL, account, &fake, "")
    );
    let answer = TestGateway::start(&settings)
        .await
        .send(&account.send(CHANNEL))
        .await;
    assert_eq!(statuses(&answer), ["unknown"; 2], "{}", answer.text);
    assert_eq!(sends(account, &fake), 1);
}

// Nothing is dropped silently.

#[tokio::test]
async fn a_hint_without_a_field_is_left_out_with_a_warning() {
    let account = Account::of("openim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let mut send = account.send(CHANNEL);
    send["message"] = json!({"type": "image", "url": "https://cdn.example.com/a.png", "width": 1, "height": 1,
                             "filename": "a.png"});
    let answer = gateway.send(&send).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let warnings = answer.json()["warnings"].clone();
    assert_eq!(warnings.as_array().unwrap().len(), 1, "{warnings}");
    assert_eq!(warnings[0]["pointer"], "/message/filename");
    assert_eq!(warnings[0]["channel"], CHANNEL);
}

// Secrets stay inside.

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects what is logged from here on, at every level; only one test may.
fn collect_log() -> Log {
    static ONCE: Once = Once::new();
    let log = Log::default();
    let writer = log.clone();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    });
    log
}

#[tokio::test]
async fn no_secret_is_answered_or_logged() {
    const CONTENT: &str = "nobody-logs-this-text";
    let log = collect_log();
    let mut seen = String::new();
    for account in ACCOUNTS {
        let mut replies = losses().into_iter().map(|(_, reply)| reply).collect::<Vec<_>>();
        replies.extend([401, 403, 429, 400].map(|status| Reply::Respond(page(status, "no"))));
        let rounds = replies.len() + 1;
        let fake = provider(
            account,
            Box::new(move |arrival| {
                let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
                replies.pop().unwrap_or(success)
            }),
        )
        .await;
        let nobody = FakeProvider::refusing();
        let gateway = TestGateway::start(&format!(
            "{}{}",
            channel(CHANNEL, account, &fake, "timeout_ms = 200"),
            channel("nobody", account, &nobody, "")
        ))
        .await;
        let mut send = account.send(CHANNEL);
        send["message"]["text"] = json!(CONTENT);
        for _ in 0..rounds {
            seen.push_str(&gateway.send(&send).await.text);
        }
        seen.push_str(&gateway.send(&account.send("nobody")).await.text);
        seen.push_str(
            &gateway
                .post("/v1/batches/plan", &send.to_string(), &[])
                .await
                .text,
        );
        for path in [
            "/v1/channels",
            &format!("/v1/channels/{CHANNEL}"),
            "/v1/batches",
            "/readyz",
        ] {
            seen.push_str(&gateway.get(path).await.text);
        }
        send["no_such_field"] = json!(1);
        seen.push_str(&gateway.send(&send).await.text);
    }
    for secret in [
        CANARY,
        "TEST-APP-TOKEN",
        "TEST-ADMIN-TOKEN",
        "Signature=",
        "usersig=e",
    ] {
        assert!(!seen.contains(secret), "an answer shows {secret}");
    }
    assert!(
        seen.contains("[redacted]"),
        "a plan shows that something is hidden"
    );
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    for secret in [
        CANARY,
        "TEST-APP-TOKEN",
        "TEST-ADMIN-TOKEN",
        "Signature=",
        "usersig=",
        CONTENT,
    ] {
        let place = log.find(secret);
        assert!(
            place.is_none(),
            "the log shows {secret}: {:?}",
            place.map(|place| &log[place.saturating_sub(200)..place])
        );
    }
}

// One channel's trouble stays its own.

#[tokio::test]
async fn a_hanging_provider_does_not_hold_up_another() {
    let (slow, quick) = (Account::of("tencent_tim"), Account::of("openim"));
    let hanging = provider(slow, queue([Reply::Hang], Extra::Repeat)).await;
    let fake = willing(quick).await;
    let gateway = TestGateway::start(&format!(
        "{}{}",
        channel("slow", slow, &hanging, "max_in_flight = 2"),
        channel("quick", quick, &fake, "")
    ))
    .await;
    for _ in 0..4 {
        let answer = gateway
            .post(
                "/v1/batches",
                &slow.send("slow").to_string(),
                &[("prefer", "respond-async")],
            )
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    hanging.arrived(2).await;
    assert_eq!(gateway.send(&quick.send("quick")).await.status, 200);
    // In one batch the quick route is settled while the slow one is not.
    let [first, second] = quick.recipients;
    let both = json!({"message": {"type": "text", "text": "x"}, "routes": [
        {"channel": "slow", "to": ["a"]},
        {"channel": "quick", "from": "dave", "to": [first, second]},
    ]});
    let answer = gateway
        .post("/v1/batches", &both.to_string(), &[("prefer", "wait=1")])
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(statuses(&answer), ["pending", "accepted", "accepted"]);
}

// A batch that was taken runs to its end.

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_a_batch() {
    let account = Account::of("openim");
    let release = CancellationToken::new();
    let gate = release.clone();
    let fake = provider(
        account,
        Box::new(move |arrival| {
            let success = Reply::Respond(Response::json(200, &(account.success)(arrival)));
            Reply::After(gate.clone(), Box::new(success))
        }),
    )
    .await;
    let one_by_one = "recipients_per_call = 1\nmax_in_flight = 1";
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, one_by_one)).await;
    let mut send = account.send(CHANNEL);
    send["to"] = json!(["a", "b", "c"]);
    let body = send.to_string();
    let mut caller = gateway.connect().await;
    let request = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    caller.write_all(request.as_bytes()).await.unwrap();
    // The token and the first call.
    fake.arrived(2).await;
    drop(caller);
    release.cancel();
    fake.arrived(4).await;
    assert_eq!(sends(account, &fake), 3);
}

#[tokio::test]
async fn a_batch_can_be_followed_to_its_end() {
    let account = Account::of("tencent_tim");
    let release = CancellationToken::new();
    let success = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "MsgKey": "k"});
    let held = Reply::After(
        release.clone(),
        Box::new(Reply::Respond(Response::json(200, &success))),
    );
    let fake = provider(account, queue([held], Extra::Fail)).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let body = account.send(CHANNEL).to_string();
    let taken = gateway
        .post("/v1/batches", &body, &[("prefer", "respond-async")])
        .await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_eq!(taken.header("preference-applied"), "respond-async");
    assert!(!taken.header("retry-after").is_empty());
    let place = taken.header("location").to_owned();
    assert_eq!(taken.json()["links"]["self"], place);
    fake.arrived(1).await;
    let running = gateway.get(&place).await.json();
    assert_eq!(running["status"], "processing");
    assert_eq!(running["counts"]["pending"], 2);
    release.cancel();
    let ended = gateway.get_with(&place, &[("prefer", "wait=25")]).await;
    let report = ended.json();
    assert_eq!((ended.status, &report["status"]), (200, &json!("completed")));
    assert_eq!(report["outcome"], "all_accepted");
    assert_eq!(statuses(&ended), ["accepted"; 2]);
}

// No input crashes it.

#[tokio::test]
async fn senseless_requests_are_answered() {
    let account = Account::of("tencent_tim");
    let fake = willing(account).await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "")).await;
    let deep = format!(
        "{{\"channel\":\"{CHANNEL}\",\"to\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let ext = format!("{{\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let mut with_ext = account.send(CHANNEL).to_string();
    with_ext.insert_str(1, &format!("\"ext\":{ext},"));
    for body in [
        deep.as_str(),
        &with_ext,
        "nul\u{0}l",
        "{\"to\":[1e999]}",
        "{\"to\":\"\\ud800\"}",
        "{\"channel\":\"a\",\"channel\":\"b\"}",
    ] {
        let answer = gateway.post("/v1/batches", body, &[]).await;
        assert!(
            (400..500).contains(&answer.status),
            "{}: {}",
            answer.status,
            answer.text
        );
    }
    for path in [
        "/v1/batches/bat_x",
        "/v1/batches/%FF",
        "/no/such/path",
        "/v1/channels/..%2f",
    ] {
        let status = gateway.get(path).await.status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert!(fake.ledger().is_empty());
    assert_eq!(gateway.send(&account.send(CHANNEL)).await.status, 200);
}
