//! Promise: a text of a caller or a provider is only ever a text, in every format that shows it.
//!
//! Lines of the log: `src/telemetry/logs.rs`. The command line shows reports as the text format does.

use serde_json::{Value, json};

use super::{CHANNEL, channel, provider};
use crate::accounts::Account;
use crate::fake_provider::{FakeProvider, Reply, Response};
use crate::harness::{Answer, TestGateway};

/// Each would do something if it were read as more than a text.
const HOSTILE: [&str; 12] = [
    "a\r\nx-forged: 1\r\n\r\n<html>",
    "\u{1b}[2J\u{1b}[31mred\u{7}",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(1)",
    "\u{ff1d}1+1",
    "\t=1",
    "\u{202e}gpj.exe\u{2066}\u{61c}\u{200f}",
    "a,\"b\"\n1,2,3",
    "\u{9b}31m\u{85}\u{2028}\u{7f}",
];

/// Control characters are refused in it.
const CLIENT_REF: &str = "=1+1 <script> \u{202e}gpj.exe";

/// A gateway whose provider answers everything with the words of `HOSTILE` in turn.
async fn start() -> (TestGateway, FakeProvider) {
    let account = Account::of("tencent_tim");
    let mut words = HOSTILE.iter().cycle();
    let fake = provider(
        account,
        Box::new(move |_| {
            let info = words.next().unwrap();
            let answer = json!({"ActionStatus": "FAIL", "ErrorInfo": info, "ErrorCode": 90_001});
            Reply::Respond(Response::json(200, &answer))
        }),
    )
    .await;
    let gateway = TestGateway::start(&channel(CHANNEL, account, &fake, "recipients_per_call = 1")).await;
    (gateway, fake)
}

fn batch() -> Value {
    let to: Vec<_> = HOSTILE.iter().map(|text| json!({"id": text, "ref": text})).collect();
    json!({"channel": CHANNEL, "from": "dave", "to": to, "client_ref": CLIENT_REF,
           "message": {"type": "text", "text": HOSTILE[2]}, "options": {"on_invalid": "skip"}})
}

/// No header is forged, and what is in one is visible.
#[track_caller]
fn check_headers(answer: &Answer) {
    for (name, value) in &answer.headers {
        let text = value.to_str().unwrap_or_else(|_| panic!("{name}: {value:?}"));
        assert!(name != "x-forged" && !text.contains(['<', '>']), "{name}: {text}");
    }
}

/// No character that does anything by itself.
#[track_caller]
fn check_plain(text: &str) {
    let acts = |letter: char| {
        (letter.is_control() && letter != '\n')
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(acts), "{text:?}");
}

/// The cells of CSV by RFC 4180, read without the writer's help.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut letters) = (false, text.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {
                assert_eq!(letters.next(), Some('\n'), "half an end of line");
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            letter => cell.push(letter),
        }
    }
    assert!(line.is_empty() && cell.is_empty() && !is_quoted, "an end without its line");
    lines
}

#[tokio::test]
async fn a_report_shows_texts_as_texts_in_every_format() {
    let (gateway, _fake) = start().await;
    let sent = gateway.send(&batch()).await;
    assert_eq!(sent.status, 207, "{}", sent.text);
    check_headers(&sent);
    assert!(!sent.text.contains(|letter: char| letter < ' '), "{}", sent.text);
    let report = sent.json();
    assert_eq!(report["client_ref"], CLIENT_REF);
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), HOSTILE.len());
    for (result, text) in results.iter().zip(HOSTILE) {
        assert_eq!([&result["recipient"], &result["ref"]], [text, text], "{result}");
    }
    assert!(sent.text.contains("\"provider_message\":\"<script>"), "the provider's own words: {}", sent.text);

    let path = format!("/v1/batches/{}", report["id"].as_str().unwrap());
    let text = gateway.get_with(&path, &[("accept", "text/plain")]).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    check_headers(&text);
    check_plain(&text.text);
    // One line for each result, whatever is in it.
    let lines = text.text.lines().filter(|line| line.contains("  under-test  ")).count();
    assert_eq!(lines, HOSTILE.len(), "{}", text.text);

    let csv = gateway.get_with(&format!("{path}/results"), &[("accept", "text/csv")]).await;
    check_headers(&csv);
    let lines = cells(&csv.text);
    assert_eq!(lines.len(), 1 + HOSTILE.len(), "{}", csv.text);
    for (line, text) in lines[1..].iter().zip(HOSTILE) {
        assert_eq!(line.len(), lines[0].len());
        for cell in line {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}']), "{cell:?}");
        }
        // Nothing is lost: an apostrophe is all that was added.
        assert!([&line[2], &line[4]].iter().all(|cell| cell.trim_start_matches('\'') == text), "{line:?}");
    }
}

#[tokio::test]
async fn a_refusal_quotes_texts_as_texts() {
    let (gateway, _fake) = start().await;
    for text in HOSTILE {
        let mut with_field = batch();
        with_field[text] = json!(text);
        let mut with_choice = batch();
        with_choice["options"] = json!({"on_invalid": text, text: text});
        let mut with_channel = batch();
        with_channel["channel"] = json!(text);
        let mut with_type = batch();
        with_type["message"] = json!({"type": text, "text": "hi"});
        let no_json = format!("{{\"{text}\"");
        let bodies = [with_field, with_choice, with_channel, with_type].map(|body| body.to_string());
        for body in bodies.iter().chain([&no_json]) {
            let answer = gateway.post("/v1/batches", body, &[("x-request-id", "<b>")]).await;
            assert!([400, 422].contains(&answer.status), "{body}: {}", answer.text);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            check_headers(&answer);
            assert!(answer.json()["code"].is_string());
            assert!(!answer.text.contains(|letter: char| letter < ' '), "{}", answer.text);
        }
    }
}
