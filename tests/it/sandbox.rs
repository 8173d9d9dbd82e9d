//! Every row of the delivery table, rehearsed against the stand-ins with nobody's account.

use std::sync::Arc;

use imcast::sandbox::{Running, SandboxChannel};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::TestGateway;

/// What one magic recipient does to itself and to somebody ordinary in the same call.
#[derive(Clone, Copy)]
struct Rehearsal {
    /// Name of the magic recipient, where ids are free text.
    name: &'static str,
    /// Its id where ids are numbers.
    number: &'static str,
    /// What becomes of it: status, and error code and cause if there are.
    magic: Expected,
    /// What becomes of the other one.
    other: Expected,
    /// Tries of the call.
    attempts: u64,
}

type Expected = (&'static str, &'static str, &'static str);

const ACCEPTED: Expected = ("accepted", "", "");
const LOST: Expected = ("unknown", "provider_unavailable", "*");
const THROTTLED: Expected = ("failed", "rate_limited", "*");

const fn rehearsal(name: &'static str, number: &'static str, both: Expected, attempts: u64) -> Rehearsal {
    Rehearsal { name, number, magic: both, other: both, attempts }
}

/// In the order of their numbers. `*` stands for any code or cause.
const REHEARSALS: &[Rehearsal] = &[
    Rehearsal { other: ACCEPTED, ..rehearsal("magic-refuse", "990001", ("failed", "*", ""), 1) },
    Rehearsal { other: ACCEPTED, ..rehearsal("magic-omit", "990002", ("unknown", "*", "unaccounted"), 1) },
    rehearsal("magic-reject-call", "990003", ("failed", "*", ""), 1),
    rehearsal("magic-throttle-once", "990004", ACCEPTED, 2),
    rehearsal("magic-throttle", "990005", THROTTLED, 2),
    rehearsal("magic-drop", "990006", ("unknown", "provider_unavailable", "connection_reset"), 1),
    rehearsal("magic-hang", "990007", ("unknown", "provider_unavailable", "timeout"), 1),
    rehearsal("magic-502", "990008", LOST, 1),
    rehearsal("magic-garbage", "990009", ("unknown", "provider_error", "*"), 1),
    rehearsal("magic-expire", "990010", ACCEPTED, 2),
    rehearsal("magic-undecided", "990011", ("unknown", "*", "*"), 1),
];

/// Where a provider's document leaves no room for a rehearsal, or gives it another meaning.
fn of_provider(provider: &str, rehearsal: Rehearsal) -> Option<Rehearsal> {
    let wider = Rehearsal { other: rehearsal.magic, ..rehearsal };
    match (provider, rehearsal.name) {
        // Whom the answer does not list as failed is served.
        ("tencent_tim", "magic-omit") => None,
        // The signed query has no lifetime.
        ("easemob_relay", "magic-expire") => None,
        // A room is refused with its whole call.
        ("easemob_chatroom", "magic-refuse") => Some(wider),
        // A failure that names nobody may be anybody's.
        ("easemob_relay", "magic-omit") => {
            Some(self::rehearsal(rehearsal.name, rehearsal.number, ("unknown", "provider_error", ""), 1))
        }
        // The clock is wrong, and signing again does not mend it.
        ("volcengine_rtc", "magic-expire") => {
            Some(self::rehearsal(rehearsal.name, rehearsal.number, ("failed", "authentication", ""), 1))
        }
        _ => Some(rehearsal),
    }
}

/// A gateway whose channels are the stand-ins', with little patience.
async fn rehearse() -> (Running, TestGateway) {
    let clock = imcast::dispatch::clock::Clock::system();
    let running = imcast::sandbox::start(move || clock.now()).await.unwrap();
    let sections: Vec<String> = running.channels().iter().map(section).collect();
    // So many losses in a row would open the circuits.
    let delivery = "[delivery]\nthrottled_max_attempts = 2\ncircuit_failures = 1000";
    let settings = format!("{delivery}\n{}", sections.join("\n"));
    (running, TestGateway::start(&settings).await)
}

fn section(channel: &SandboxChannel) -> String {
    format!(
        "[channels.{}]\nprovider = '{}'\nbase_url = '{}'\ntimeout_ms = 500\n{}",
        channel.name, channel.provider.name, channel.base_url, channel.settings
    )
}

fn batch(channel: &SandboxChannel, to: &[&str]) -> Value {
    json!({"channel": channel.name, "from": channel.provider.sandbox.sender, "to": to,
           "message": {"type": "text", "text": "rehearsal"}})
}

/// Whether the provider's ids are numbers.
fn has_numbers(channel: &SandboxChannel) -> bool {
    channel.provider.sandbox.recipients.0.parse::<i64>().is_ok()
        && channel.provider.sandbox.recipients.1.parse::<i64>().is_ok()
}

fn compare(what: &str, result: &Value, expected: Expected, faults: &mut Vec<String>) {
    let error = &result["error"];
    let fits = |actual: &Value, wanted: &str| match wanted {
        "*" => true,
        "" => actual.is_null(),
        wanted => actual == wanted,
    };
    let (status, code, cause) = expected;
    if result["status"] != status || !fits(&error["code"], code) || !fits(&error["cause"], cause) {
        faults.push(format!("{what}: wanted {expected:?}, got {result}"));
    }
}

/// Goes through all rehearsals of one channel; returns how many there are and what is wrong.
async fn rehearse_all(gateway: Arc<TestGateway>, channel: SandboxChannel) -> (usize, Vec<String>) {
    let provider = channel.provider.name;
    let other = channel.provider.sandbox.recipients.0;
    let mut faults = Vec::new();
    let mut count = 0;
    for rehearsal in REHEARSALS.iter().filter_map(|one| of_provider(provider, *one)) {
        count += 1;
        let magic = if has_numbers(&channel) { rehearsal.number } else { rehearsal.name };
        let what = format!("{provider}: {magic}");
        let answer = gateway.send(&batch(&channel, &[magic, other])).await;
        let Some(results) = answer.json()["results"].as_array().cloned() else {
            faults.push(format!("{what}: {}: {}", answer.status, answer.text));
            continue;
        };
        compare(&what, &results[0], rehearsal.magic, &mut faults);
        compare(&what, &results[1], rehearsal.other, &mut faults);
        if results[0]["attempts"] != rehearsal.attempts {
            faults.push(format!("{what}: {} attempts", results[0]["attempts"]));
        }
    }
    let after_all = gateway.send(&batch(&channel, &[other])).await;
    if after_all.status != 200 {
        faults.push(format!("{provider} has not recovered: {}", after_all.text));
    }
    (count, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_magic_recipient_does_what_it_says_and_the_channel_recovers() {
    let (running, gateway) = rehearse().await;
    let gateway = Arc::new(gateway);
    let mut channels = JoinSet::new();
    for channel in running.channels() {
        channels.spawn(rehearse_all(Arc::clone(&gateway), channel.clone()));
    }
    let (mut count, mut faults) = (0, Vec::new());
    while let Some(ended) = channels.join_next().await {
        let (of_channel, found) = ended.unwrap();
        count += of_channel;
        faults.extend(found);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(count, REHEARSALS.len() * running.channels().len() - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_for_demonstrations_are_accepted_and_refused() {
    let (running, gateway) = rehearse().await;
    for channel in running.channels() {
        let (good, bad) = channel.provider.sandbox.recipients;
        let answer = gateway.send(&batch(channel, &[good])).await;
        assert_eq!(answer.status, 200, "{}: {}", channel.name, answer.text);
        let answer = gateway.send(&batch(channel, &[good, bad])).await;
        assert_eq!(answer.status, 207, "{}: {}", channel.name, answer.text);
        assert_eq!(answer.json()["results"][1]["status"], "failed", "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_the_stand_in_does_not_know_is_refused() {
    let (running, _) = rehearse().await;
    for channel in running.channels() {
        let account = crate::accounts::Account::of(channel.provider.name);
        let gateway = TestGateway::start(&format!(
            "[channels.other]\nprovider = '{}'\nbase_url = '{}'\n{}",
            channel.provider.name, channel.base_url, account.canaries
        ))
        .await;
        let mut send = batch(channel, &[channel.provider.sandbox.recipients.0]);
        send["channel"] = json!("other");
        let answer = gateway.send(&send).await;
        assert_eq!(answer.status, 207, "{}: {}", channel.name, answer.text);
        assert_eq!(answer.json()["results"][0]["status"], "failed", "{}", answer.text);
    }
}

#[tokio::test]
async fn without_channels_the_gateway_rehearses() {
    let gateway = TestGateway::start("").await;
    let channels = gateway.get("/v1/channels").await.json();
    let text = channels.to_string();
    for provider in imcast::providers::REGISTRY {
        assert!(text.contains(provider.sandbox.channel), "{text}");
        let sandbox = &provider.sandbox;
        let send = json!({"channel": sandbox.channel, "from": sandbox.sender, "to": [sandbox.recipients.0],
                          "message": {"type": "text", "text": "rehearsal"}});
        let answer = gateway.send(&send).await;
        assert_eq!(answer.status, 200, "{}: {}", sandbox.channel, answer.text);
        assert!(answer.text.contains("\"sandbox\":true"), "{}", answer.text);
    }
}
