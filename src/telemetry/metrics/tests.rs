use std::collections::BTreeMap;

use super::*;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::telemetry::metrics::words::{CallResult, CircuitState};

/// Every sample of a text, by its name and labels as they are written.
pub(crate) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// The sum of all samples whose names and labels contain all of these.
pub(crate) fn sum(text: &str, parts: &[&str]) -> f64 {
    let is_wanted = |series: &str| parts.iter().all(|part| series.contains(part));
    samples(text).iter().filter(|(series, _)| is_wanted(series)).map(|(_, value)| value).sum()
}

fn accepted() -> Outcome {
    let evidence = Evidence::Implied;
    Outcome::Accepted(Acceptance { evidence, message_id: None, provider_fields: None })
}

fn metrics() -> Metrics {
    Metrics::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500))
}

#[test]
fn the_text_is_what_openmetrics_asks_for() {
    let metrics = metrics();
    let channel = metrics.channel(&ChannelName::parse("tim-main").unwrap());
    channel.count_call(CallResult::Answered, Duration::from_millis(30));
    metrics.count_answer(Answered { method: "GET", route: Some("/v1/batches/{id}"), status: 200 });
    metrics.count_refusal("overloaded");
    let text = metrics.encode().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut described = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} is described");
            assert!(name.starts_with("imcast_") || name == "process_start_time_seconds", "{name}");
            assert!(described.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes once");
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name.ends_with(&format!("_{unit}")), "{line}");
        }
    }
    for series in samples(&text).keys() {
        let name = series.split('{').next().unwrap();
        let suffixes = ["", "_total", "_bucket", "_sum", "_count", "_info"];
        let family = suffixes.iter().find_map(|suffix| described.get_key_value(name.strip_suffix(suffix)?));
        let (_, kind) = family.unwrap_or_else(|| panic!("{series} has a type"));
        assert_eq!(kind == "counter", name.ends_with("_total"), "{series} is a {kind}");
    }
    let found = samples(&text);
    assert_eq!(found["process_start_time_seconds"], 1_700_000_000.5);
    assert_eq!(found[r#"imcast_calls_total{channel="tim-main",result="answered"}"#], 1.0);
    assert_eq!(found[r#"imcast_call_duration_seconds_bucket{le="0.05",channel="tim-main"}"#], 1.0);
    assert_eq!(found[r#"imcast_call_duration_seconds_bucket{le="0.025",channel="tim-main"}"#], 0.0);
    assert_eq!(
        found[r#"imcast_http_requests_total{method="GET",route="/v1/batches/{id}",status="2xx"}"#],
        1.0
    );
    assert_eq!(found[&format!("imcast_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
}

#[test]
fn what_never_happened_is_there_at_zero() {
    let metrics = metrics();
    let _channel = metrics.channel(&ChannelName::parse("quiet").unwrap());
    let found = samples(&metrics.encode().unwrap());
    for series in [
        r#"imcast_calls_total{channel="quiet",result="timeout"}"#,
        r#"imcast_recipients_total{channel="quiet",status="accepted",code="none"}"#,
        r#"imcast_repeats_total{channel="quiet",reason="denied"}"#,
        r#"imcast_circuit_transitions_total{channel="quiet",state="open"}"#,
        r#"imcast_token_requests_total{channel="quiet",result="failed"}"#,
        r#"imcast_invariant_violations_total{kind="undecided_recipients"}"#,
        r#"imcast_batches_total{outcome="none_accepted"}"#,
        r#"imcast_callback_tries_total{result="given_up"}"#,
    ] {
        assert_eq!(found.get(series), Some(&0.0), "{series}");
    }
}

#[test]
fn outcomes_are_counted_by_status_and_code() {
    let metrics = metrics();
    let channel = metrics.channel(&ChannelName::parse("a").unwrap());
    channel.count_outcomes(&Outcomes::same(accepted(), 500));
    let mut mixed = OutcomesBuilder::new(accepted(), 10);
    mixed.set(0, Outcome::failed(Failure::provider(FailureKind::InvalidRecipient)));
    mixed.set(3, Outcome::failed(Failure::gateway(FailureKind::InvalidRecipient)));
    mixed.set(9, Outcome::unknown(Failure::provider(FailureKind::ProviderError)));
    channel.count_outcomes(&mixed.build());
    channel.count_outcomes(&Outcomes::same(Outcome::failed(Failure::gateway(FailureKind::Expired)), 7));
    channel.count_outcomes(&Outcomes::same(accepted(), 0));
    let text = metrics.encode().unwrap();
    for (status, code, count) in [
        ("accepted", "none", 507.0),
        ("failed", "invalid_recipient", 2.0),
        ("unknown", "provider_error", 1.0),
        ("failed", "expired", 7.0),
    ] {
        let series = format!(r#"imcast_recipients_total{{channel="a",status="{status}",code="{code}"}}"#);
        assert_eq!(samples(&text).get(&series), Some(&count), "{series}");
    }
    assert_eq!(sum(&text, &["imcast_recipients_total"]), 517.0);
}

#[test]
fn a_channel_shows_one_state_of_its_circuit() {
    let metrics = metrics();
    let channel = metrics.channel(&ChannelName::parse("a").unwrap());
    for circuit in [CircuitState::Open, CircuitState::HalfOpen, CircuitState::Closed] {
        channel.show(channel::ChannelState { in_flight: 3, max_in_flight: 4, route_count: 5, circuit });
        assert_eq!(sum(&metrics.encode().unwrap(), &["imcast_circuit_state"]), 1.0);
    }
    let found = samples(&metrics.encode().unwrap());
    assert_eq!(found[r#"imcast_circuit_state{channel="a",state="closed"}"#], 1.0);
    assert_eq!(found[r#"imcast_calls_in_flight{channel="a"}"#], 3.0);
    assert_eq!(found[r#"imcast_calls_in_flight_limit{channel="a"}"#], 4.0);
    assert_eq!(found[r#"imcast_routes_in_progress{channel="a"}"#], 5.0);
}

#[test]
fn callers_make_no_series() {
    let metrics = metrics();
    for number in 0..1000_u16 {
        let method = format!("M{number}");
        metrics.count_answer(Answered { method: &method, route: None, status: number });
    }
    let text = metrics.encode().unwrap();
    let series: Vec<_> =
        samples(&text).into_keys().filter(|series| series.contains("http_requests")).collect();
    assert_eq!(series.len(), 5, "{series:?}");
}
