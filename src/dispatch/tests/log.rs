//! One line for each batch that ended.

use std::time::Duration;

use serde_json::Value;
use tracing::Level;

use crate::dispatch::tests::rig::{Rig, Setup, at_once, body};
use crate::telemetry::Format;
use crate::telemetry::trace_context::TraceId;
use crate::telemetry::written::Written;
use crate::transport::TransportError;

/// Batches that end in every way; their ids.
async fn every_end() -> Vec<String> {
    let mut ids = Vec::new();
    for answer in ["ok", "throttled", "forbidden", "panic", "short", "nonsense", "lost"] {
        let rig = Rig::new(
            Setup::default(),
            at_once(move |_, _| if answer == "lost" { Err(TransportError::Timeout) } else { body(answer) }),
        );
        ids.push(rig.send(rig.batch(&["a", "b", "a", "!c", "d"])).await.batch.id.to_string());
        ids.push(rig.send(rig.batch(&["!only"])).await.batch.id.to_string());
        let canceled = rig.start(rig.batch(&["a"]));
        canceled.cancel();
        ids.push(canceled.id().to_string());
        canceled.finished(Duration::from_secs(60)).await;
        let mut two_routes = rig.batch(&["a"]);
        two_routes.routes = [&*two_routes.routes, &two_routes.routes].concat();
        ids.push(rig.send(two_routes).await.batch.id.to_string());
    }
    ids
}

/// The value of a field in a line of the text format.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_ended_has_one_line_in_text() {
    let (written, _guard) = Written::collect(Format::Text, Level::INFO);
    let ids = every_end().await;
    let text = written.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(" INFO ")).collect();
    assert_eq!(lines.len(), ids.len(), "{text}");
    for id in &ids {
        let own: Vec<_> = lines.iter().filter(|line| field(line, "batch.id") == id).collect();
        assert_eq!(own.len(), 1, "{id}: {text}");
        let count = |name| field(own[0], name).parse::<usize>().unwrap();
        assert_eq!(count("total"), count("accepted") + count("failed") + count("unknown"), "{}", own[0]);
        assert!(count("total") > 0 && count("elapsed_ms") < 3_600_000, "{}", own[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_ended_has_one_line_in_json() {
    let (written, _guard) = Written::collect(Format::Json, Level::INFO);
    let ids = every_end().await;
    let text = written.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> = lines.iter().filter(|line| line["level"] == "INFO").collect();
    assert_eq!(lines.len(), ids.len(), "{text}");
    for id in &ids {
        let own: Vec<_> = lines.iter().filter(|line| line["batch.id"] == **id).collect();
        assert_eq!(own.len(), 1, "{id}: {text}");
        let count = |name| own[0][name].as_u64().unwrap_or_else(|| panic!("{name}: {}", own[0]));
        assert_eq!(count("total"), count("accepted") + count("failed") + count("unknown"), "{}", own[0]);
        assert!(count("total") > 0 && count("elapsed_ms") < 3_600_000, "{}", own[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_names_the_trace() {
    let (written, _guard) = Written::collect(Format::Json, Level::INFO);
    let rig = Rig::new(Setup::default(), at_once(|_, _| body("ok")));
    let plan = rig.dispatcher.plan(rig.batch(&["a"])).ok().unwrap().with_trace(TraceId::new(0xabc));
    rig.dispatcher.start(plan, Duration::MAX).unwrap().finished(Duration::from_secs(60)).await;
    let line: Value = serde_json::from_str(&written.text()).unwrap();
    assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
}
