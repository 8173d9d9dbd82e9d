//! The file that batches are kept in: what survives a process, and who may open it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::TestGateway;
use crate::outputs::{self, Output};

/// A configuration without a channel, hence with the sandbox, whose batches go to this file.
fn configuration(path: &Path) -> String {
    format!("[store]\nurl = 'sqlite:{}'\n", path.display())
}

#[tokio::test]
async fn a_report_outlives_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let toml = configuration(&directory.path().join("imcast.db"));
    let gateway = TestGateway::start(&toml).await;
    let provider = &imcast::providers::REGISTRY[0];
    let (accepted, refused) = provider.sandbox.recipients;
    let route = |recipient| json!({ "channel": provider.sandbox.channel, "to": [recipient] });
    let mut batch = json!({
        "message": { "type": "text", "text": "hello" },
        "routes": [route(accepted), route(refused)],
    });
    if !provider.sandbox.sender.is_empty() {
        batch["from"] = provider.sandbox.sender.into();
    }
    let sent = gateway.send(&batch).await;
    assert_eq!(sent.status, 207, "{}", sent.text);
    let path = format!("/v1/batches/{}", sent.json()["id"].as_str().unwrap());
    let before = gateway.get(&path).await;
    gateway.leave().await;

    let gateway = TestGateway::start(&toml).await;
    let after = gateway.get(&path).await;
    assert_eq!((after.status, after.json()), (200, before.json()));
    gateway.leave().await;
}

#[tokio::test]
async fn a_second_process_on_the_file_ends_with_a_clear_message() {
    let directory = tempfile::tempdir().unwrap();
    let toml = configuration(&directory.path().join("imcast.db"));
    let gateway = TestGateway::start(&toml).await;
    let file = directory.path().join("imcast.toml");
    std::fs::write(&file, format!("{toml}[server]\nlisten = '127.0.0.1:0'\n")).unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_imcast"));
    second.env_clear().arg("--config").arg(&file).arg("serve");
    let ended = tokio::task::spawn_blocking(move || second.output()).await.unwrap().unwrap();
    outputs::note(Output::Program, &ended.stderr);
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot open the store (store.url)"), "{message}");
    assert!(message.contains("imcast.db is in use by another process"), "{message}");
    // The first is not disturbed.
    assert_eq!(gateway.get("/readyz").await.status, 200);
    gateway.leave().await;
}
