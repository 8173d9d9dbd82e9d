//! What operators are given around the metrics: a listener of their own, alerts, a dashboard, a table.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::TestGateway;

const WITH_ADMIN: &str = "[server]\nadmin_listen = '127.0.0.1:0'\n";

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let words = text.split(|letter| !is_name(letter));
    let ours = words.filter(|word| word.starts_with("imcast_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The names of the samples that each family in a scrape can have.
fn families(scrape: &str) -> Vec<(String, Vec<String>)> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families = types.map(|(name, kind)| {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        (name.to_owned(), suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect())
    });
    families.collect()
}

#[tokio::test]
async fn the_admin_listener_has_the_probes_and_the_metrics_alone() {
    let gateway = TestGateway::start(WITH_ADMIN).await;
    let batch =
        json!({"channel": "sandbox-tim", "from": "a", "to": ["b"], "message": {"type": "text", "text": "x"}});
    assert_eq!(gateway.send(&batch).await.status, 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.get_admin(path).await.status, 200, "{path}");
    }
    let scrape = gateway.get_admin("/metrics").await;
    assert_eq!(scrape.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let accepted = r#"imcast_recipients_total{channel="sandbox-tim",status="accepted",code="none"} 1"#;
    assert!(scrape.text.contains(accepted), "{}", scrape.text);
    assert_eq!(gateway.get("/metrics").await.status, 404);
    assert_eq!(gateway.get("/readyz").await.status, 200);
    assert_eq!(gateway.get_admin("/v1/channels").await.status, 404);
    gateway.leave().await;
}

#[tokio::test]
async fn the_admin_listener_answers_while_the_api_takes_no_further_connection() {
    let gateway = TestGateway::start(&format!("{WITH_ADMIN}max_connections = 1\n")).await;
    let mut only = gateway.connect().await;
    only.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(only.read(&mut [0; 64]).await.unwrap() > 0);
    // The only place is taken; a second connection waits in the system's queue.
    let _waiting = gateway.connect().await;
    assert_eq!(gateway.get_admin("/livez").await.status, 200);
    assert_eq!(gateway.get_admin("/metrics").await.status, 200);
}

#[tokio::test]
async fn alerts_dashboard_and_table_name_what_there_is() {
    let gateway = TestGateway::start("").await;
    // Refusals are a family of their own from the first one on.
    assert_eq!(gateway.get("/nothing").await.status, 404);
    let scrape = gateway.get("/metrics").await.text;
    let families = families(&scrape);
    let known: BTreeSet<String> = families.iter().flat_map(|(_, samples)| samples.clone()).collect();
    for path in
        ["deploy/prometheus/rules.yaml", "deploy/prometheus/rules-test.yaml", "deploy/grafana/imcast.json"]
    {
        let used = names(&file(path));
        assert!(used.len() > 10, "{path}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
    let table = names(&file("docs/operations.md"));
    for (name, samples) in &families {
        let is_there = table.contains(name) || samples.iter().any(|sample| table.contains(sample));
        assert!(is_there, "docs/operations.md does not explain {name}");
    }
    let rules = file("deploy/prometheus/rules.yaml");
    let operations = file("docs/operations.md");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(operations.contains(alert), "docs/operations.md does not explain {alert}");
    }
}
