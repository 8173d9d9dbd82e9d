//! Answers that no document knows: too large, too short, of another kind, about other people.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Lane, gateway, statuses};
use crate::accounts::ACCOUNTS;
use crate::fake_provider::Response;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, Dialect, Named, always, first, judge, willing};

fn answer(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Response { status, headers, body: body.into() }
}

fn json_text(text: &str) -> Response {
    answer(200, "application/json", text)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// The provider's own good answer, and unpacked so many megabytes of blanks behind it.
pub(super) fn gzip_bomb(good: &Value, megabytes: usize) -> Response {
    let blanks = gzip(&vec![b' '; 1 << 20]).repeat(megabytes);
    let mut response = answer(200, "application/json", [gzip(good.to_string().as_bytes()), blanks].concat());
    response.headers.push(("content-encoding".into(), "gzip".into()));
    response
}

/// What is in nobody's document, and proves neither that somebody was served nor that nobody was.
fn senseless(dialect: &Dialect, named: &Named) -> Vec<(&'static str, Response)> {
    let good = (dialect.served)(named, &[]);
    let text = good.to_string();
    vec![
        ("page", answer(200, "text/html", "<html>Log in</html>")),
        ("page in disguise", json_text("<html>Log in</html>")),
        ("nothing", json_text("")),
        ("half", json_text(&text[..text.len() / 2])),
        ("all but one byte", json_text(&text[..text.len() - 1])),
        ("twice", json_text(&format!("{text}{text}"))),
        ("null", json_text("null")),
        ("list", json_text("[]")),
        ("empty object", json_text("{}")),
        ("deep", json_text(&"[".repeat(100_000))),
        ("no text", answer(200, "application/json", b"\xff\xfe{\x00}\x00".to_vec())),
        ("small bomb", gzip_bomb(&good, 0)),
        ("bomb", gzip_bomb(&good, 500)),
        ("moved", answer(301, "text/html", "")),
        ("bad gateway", answer(502, "text/html", "<html>Bad Gateway</html>")),
        ("unavailable", answer(503, "text/html", "")),
        ("gateway timeout", answer(504, "text/html", "")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_senseless_answer_is_unknown_whether_the_provider_took_the_call_or_not() {
    for account in ACCOUNTS {
        let dialect = Dialect::of(account.provider);
        let named = Named {
            marker: "marker".into(),
            recipients: vec!["1000".into(), "1001".into()],
            ..Named::default()
        };
        let mut lanes = Vec::new();
        for (index, (what, response)) in senseless(dialect, &named).into_iter().enumerate() {
            for (kind, conduct) in
                [("taken", Conduct::TakeAndSay(response.clone())), ("not", Conduct::Say(response))]
            {
                let name = format!("case-{index}-{kind}");
                lanes.push((
                    what,
                    Lane::start(account, &name, always(conduct, Carry::Whole), faults([])).await,
                ));
            }
        }
        let gateway = gateway(lanes.iter().map(|(_, lane)| lane.section(""))).await;
        for (what, lane) in &lanes {
            let what = format!("{}: {what}", lane.what());
            let batch = lane.batch("marker", 2);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["unknown"; 2], "{what}: {report}");
            judge(&what, &report, &batch, &lane.ledger, 0);
            assert_eq!(lane.ledger.entries().len(), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_hundred_megabytes_is_not_read_to_its_end() {
    const BODY: u64 = 100 << 20;
    // What the limit lets through and what the systems of both ends hold for a connection.
    const MOST: u64 = 40 << 20;
    for account in ACCOUNTS {
        let page = Conduct::TakeAndSay(answer(200, "application/json", ""));
        let mut announced = answer(200, "application/json", "");
        announced.headers.push(("content-length".into(), BODY.to_string()));
        let plan = first([(page, Carry::Flood(BODY)), (Conduct::TakeAndSay(announced), Carry::Whole)]);
        let lane = Lane::start(account, "flood", plan, faults([])).await;
        let gateway = gateway([lane.section("")]).await;
        for marker in ["flooded", "announced"] {
            let batch = lane.batch(marker, 2);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["unknown"; 2], "{marker}: {report}");
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        }
        let flooded = lane.ledger.fake.flooded_bytes();
        assert!((1..MOST).contains(&flooded), "{}: {flooded}", lane.what());
        // And the channel goes on.
        let batch = lane.batch("afterwards", 2);
        assert_eq!(statuses(&lane.send(&gateway, &batch).await), ["accepted"; 2]);
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    for account in ACCOUNTS {
        let elsewhere = Lane::start(account, "elsewhere", willing(), faults([])).await;
        for status in [301, 302, 303, 307, 308] {
            let mut response = answer(status, "text/html", "");
            response.headers.push(("location".into(), format!("http://{}/", elsewhere.proxy.address())));
            let plan = always(Conduct::Say(response), Carry::Whole);
            let lane = Lane::start(account, "moved", plan, faults([])).await;
            let gateway = gateway([lane.section("")]).await;
            let batch = lane.batch("marker", 2);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["unknown"; 2], "{status}: {report}");
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
            assert_eq!(lane.ledger.entries().len(), 1);
        }
        assert!(elsewhere.proxy.log().is_empty(), "{}: somebody connected", account.provider);
        assert!(elsewhere.ledger.entries().is_empty());
    }
}

/// A good answer of which everything is true but whom it is about.
fn about(dialect: &Dialect, ids: &[&str]) -> Value {
    let recipients = ids.iter().map(|id| (*id).to_owned()).collect();
    (dialect.served)(&Named { recipients, ..Named::default() }, &[])
}

#[tokio::test]
async fn lists_of_the_wrong_length_and_strangers_accept_nobody_who_is_not_named() {
    for account in ACCOUNTS {
        let dialect = Dialect::of(account.provider);
        if !dialect.names_taken {
            continue;
        }
        let (yes, open) = ("accepted", "unknown");
        let cases: [(&[&str], [&str; 3]); 6] = [
            (&[], [open, open, open]),
            (&["1001"], [open, yes, open]),
            (&["1002", "1000"], [yes, open, yes]),
            (&["9001", "9002", "9003"], [open, open, open]),
            (&["9001", "1001", "9002", "1000", "9003", "9004"], [yes, yes, open]),
            (&["10000", "100", "01000", "1000 "], [open, open, open]),
        ];
        for (named, expected) in cases {
            let conduct = Conduct::TakeAndSay(Response::json(200, &about(dialect, named)));
            let mut lane = Lane::start(account, "lists", always(conduct, Carry::Whole), faults([])).await;
            lane.per_call = 3;
            let gateway = gateway([lane.section("")]).await;
            let batch = lane.batch("marker", 3);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), expected, "{} {named:?}: {report}", lane.what());
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
            assert!(!report.to_string().contains("9001"), "{report}");
        }
    }
}

#[tokio::test]
async fn a_failure_that_names_only_strangers_or_nobody_fails_nobody() {
    let stranger = json!({"msgType": "txt", "msgBody": {"toUser": "9001"}});
    let nameless = json!({"msgType": "txt", "msgBody": {}});
    let relay = |data: Value| json!({"code": 500, "message": "[未知异常]", "data": data});
    let tim =
        |list: Value| json!({"ActionStatus": "FAIL", "ErrorInfo": "", "ErrorCode": 0, "ErrorList": list});
    for (provider, body) in [
        ("easemob_relay", relay(json!([]))),
        ("easemob_relay", relay(json!([stranger]))),
        ("easemob_relay", relay(json!([nameless]))),
        ("easemob_relay", relay(json!(17))),
        ("tencent_tim", tim(json!([]))),
        ("tencent_tim", tim(json!([{"ErrorCode": 90012}]))),
        ("tencent_tim", tim(json!(17))),
    ] {
        let account = crate::accounts::Account::of(provider);
        for conduct in [Conduct::TakeAndSay, Conduct::Say] {
            let conduct = conduct(Response::json(200, &body));
            let lane = Lane::start(account, "lists", always(conduct, Carry::Whole), faults([])).await;
            let gateway = gateway([lane.section("")]).await;
            let batch = lane.batch("marker", 2);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["unknown"; 2], "{provider} {body}: {report}");
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        }
    }
}
