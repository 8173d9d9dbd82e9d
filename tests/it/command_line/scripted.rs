//! Against a gateway that is told what to answer.

use serde_json::json;

use super::{Ended, end, interrupt, start, start_with};
use crate::accounts::CANARY;
use crate::fake_provider::{Arrival, Extra, FakeProvider, Reply, Response, queue};

const ID: &str = "bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y";

const SEND: [&str; 6] = ["send", "--channel", "tim", "--text", "hi", "bonnie"];

/// An answer about the batch.
fn report(status: u16, outcome: &str) -> Reply {
    Reply::Respond(about_batch(status, outcome))
}

fn about_batch(status: u16, outcome: &str) -> Response {
    let mut response = Response::json(status, &json!({"id": ID}));
    let total = "total=1; accepted=0; failed=0; unknown=0; pending=1";
    response.headers.push(("batch-id".into(), ID.into()));
    response.headers.push(("batch-outcome".into(), format!("{outcome}; {total}")));
    response
}

fn refusal(status: u16, code: &str) -> Reply {
    let mut response = Response::json(status, &json!({"code": code, "detail": "words", "errors": []}));
    response.headers = vec![("content-type".into(), "application/problem+json".into())];
    Reply::Respond(response)
}

async fn run(fake: &FakeProvider, arguments: &[&str]) -> Ended {
    end(start(arguments, &[("IMCAST_URL", &fake.base_url())])).await
}

fn keys(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|arrival| arrival.header("idempotency-key").unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let proxy = Reply::Respond(Response::json(502, &json!({"error": "upstream"})));
    for lost in [Reply::Reset, Reply::Cut(about_batch(200, "all_accepted"), 30), proxy] {
        let replies = [lost.clone(), refusal(503, "overloaded"), report(200, "partial")];
        let fake = FakeProvider::start(queue(replies, Extra::Fail)).await;
        let ended = run(&fake, &SEND).await;
        assert_eq!(ended.code, Some(2), "{lost:?}: {ended:?}");
        let ledger = fake.ledger();
        assert_eq!(ledger.len(), 3, "{lost:?}");
        let keys = keys(&ledger);
        assert!(keys[0].len() == 36 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert!(ledger.iter().all(|arrival| arrival.body == ledger[0].body));
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_sent_twice() {
    let fake = FakeProvider::start(queue([Reply::Reset], Extra::Repeat)).await;
    let ended = run(&fake, &[&SEND[..], &["--no-idempotency-key"]].concat()).await;
    assert_eq!((ended.code, fake.ledger().len()), (Some(1), 1), "{ended:?}");
    assert_eq!(keys(&fake.ledger()), [""]);
    assert!(ended.errors.contains("\nIt may have been taken, and without an idempotency key"), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_is_final_and_a_key_can_be_given() {
    for (status, code) in
        [(422, "invalid_request"), (401, "unauthenticated"), (429, "quota_exceeded"), (503, "draining")]
    {
        let fake = FakeProvider::start(queue([refusal(status, code)], Extra::Repeat)).await;
        let ended = run(&fake, &[&SEND[..], &["--idempotency-key", "mine-1"]].concat()).await;
        let expected = format!("imcast: the gateway refuses: {status} {code}: words\nNothing was sent.\n");
        assert_eq!((ended.code, ended.errors), (Some(1), expected));
        assert_eq!(keys(&fake.ledger()), ["mine-1"]);
    }
}

#[tokio::test]
async fn nobody_there_exits_1_and_says_so() {
    let fake = FakeProvider::refusing();
    let ended = run(&fake, &SEND).await;
    assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{ended:?}");
    let url = fake.base_url();
    assert!(ended.errors.starts_with(&format!("imcast: no gateway is reached at {url}: ")), "{ended:?}");
    assert!(ended.errors.contains("\nNothing was sent. Its idempotency key was "), "{ended:?}");
    let plan = run(&fake, &["plan", "--channel", "tim", "--text", "hi", "bonnie"]).await;
    assert_eq!(plan.code, Some(1), "{plan:?}");
    // Without a word about where it is, the configuration says it.
    let configured = [("IMCAST__SERVER__LISTEN", &*fake.host())];
    let ended = end(start(&SEND, &configured)).await;
    assert!(ended.errors.starts_with(&format!("imcast: no gateway is reached at {url}: ")), "{ended:?}");
}

#[tokio::test]
async fn what_is_no_gateway_exits_1() {
    let page = Reply::Respond(Response::json(200, &json!({"hello": "world"})));
    let fake = FakeProvider::start(queue([page], Extra::Repeat)).await;
    let ended = run(&fake, &SEND).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.starts_with("imcast: what answers there is no gateway: status 200"), "{ended:?}");
}

#[tokio::test]
async fn a_long_batch_is_waited_for_whatever_happens_to_single_answers() {
    let replies = [
        report(202, "processing"),
        report(200, "processing"),
        Reply::Reset,
        refusal(503, "overloaded"),
        report(200, "all_accepted"),
    ];
    let fake = FakeProvider::start(queue(replies, Extra::Fail)).await;
    let url = fake.base_url();
    let arguments = [&SEND[..5], &["-"]].concat();
    let ended = end(start_with(&arguments, &[("IMCAST_URL", &url)], b"bonnie\n")).await;
    // It is no terminal, so there is no progress.
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{ended:?}");
    let ledger = fake.ledger();
    let seen: Vec<_> =
        ledger.iter().map(|arrival| (arrival.method.as_str(), arrival.header("prefer"))).collect();
    let mut expected = vec![("POST", Some("wait=0"))];
    expected.extend([("GET", Some("wait=25")); 4]);
    assert_eq!(seen, expected);
    assert!(ledger[1..].iter().all(|arrival| arrival.path == format!("/v1/batches/{ID}")));
}

#[tokio::test]
async fn an_interruption_while_waiting_names_the_batch() {
    let fake = FakeProvider::start(queue([report(202, "processing"), Reply::Hang], Extra::Repeat)).await;
    let child = start(&SEND, &[("IMCAST_URL", &fake.base_url())]);
    fake.arrived(2).await;
    interrupt(&child);
    let ended = end(child).await;
    let url = fake.base_url();
    let expected =
        format!("imcast: interrupted\nThe batch {ID} goes on; its report is at {url}/v1/batches/{ID}\n");
    assert_eq!((ended.code, ended.output.as_str(), ended.errors), (Some(1), "", expected));
}

#[tokio::test]
async fn an_interruption_before_the_answer_names_the_key() {
    let fake = FakeProvider::start(queue([Reply::Hang], Extra::Repeat)).await;
    let child = start(&SEND, &[("IMCAST_URL", &fake.base_url())]);
    fake.arrived(1).await;
    interrupt(&child);
    let ended = end(child).await;
    let ledger = fake.ledger();
    let key = ledger[0].header("idempotency-key").unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.contains(&format!("--idempotency-key {key} does not send it twice")), "{ended:?}");
}

#[tokio::test]
async fn a_batch_that_is_gone_exits_1_and_is_named() {
    let fake =
        FakeProvider::start(queue([report(202, "processing"), refusal(404, "not_found")], Extra::Fail)).await;
    let ended = run(&fake, &SEND).await;
    assert_eq!((ended.code, fake.ledger().len()), (Some(1), 2));
    assert!(ended.errors.contains(&format!("404 not_found: words\nThe batch {ID} goes on")), "{ended:?}");
}

#[tokio::test]
async fn the_key_stands_in_no_argument_and_goes_to_the_gateway_only() {
    let key_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key_file.path(), format!("{CANARY}\n")).unwrap();
    let key_path = key_file.path().display().to_string();
    let moved =
        Response { status: 307, headers: vec![("location".into(), "/elsewhere".into())], body: Vec::new() };
    for (arguments, environment) in
        [(vec![], Some(("IMCAST_KEY", CANARY))), (vec!["--key-file", &key_path], None)]
    {
        let fake = FakeProvider::start(queue([Reply::Hang], Extra::Repeat)).await;
        let url = fake.base_url();
        let environment: Vec<_> = environment.into_iter().chain([("IMCAST_URL", url.as_str())]).collect();
        let child = start(&[&SEND[..], &arguments].concat(), &environment);
        fake.arrived(1).await;
        #[cfg(target_os = "linux")]
        {
            let shown = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
            assert!(!String::from_utf8_lossy(&shown).contains(CANARY));
        }
        interrupt(&child);
        let ended = end(child).await;
        assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
        assert_eq!(fake.ledger()[0].header("authorization"), Some(&*format!("Bearer {CANARY}")));
        // A redirect is no reason to show it to somebody else.
        let fake = FakeProvider::start(queue([Reply::Respond(moved.clone())], Extra::Repeat)).await;
        let url = fake.base_url();
        let ended = end(start(&[&SEND[..], &["--url", &url], &arguments].concat(), &environment)).await;
        assert_eq!((ended.code, fake.ledger().len()), (Some(1), 1), "{ended:?}");
    }
}
