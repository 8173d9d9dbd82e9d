//! What one recipient costs from the request body to the rendered report, without any network.
//!
//! The whole way in one process: read, plan, encode, an answer made in memory, decode, report. Reports above a
//! thousand recipients do not stand inline, so there the streamed results are read as well. Run it with
//! `cargo bench --bench translate`; criterion's `thrpt` line is recipients per second.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use imcast::adapter::channel::{Channel, CommonSettings};
use imcast::adapter::fields::{Fields, Numbers};
use imcast::adapter::wire::{WireRequest, WireResponse};
use imcast::api::Api;
use imcast::dispatch::Dispatcher;
use imcast::dispatch::channel::ChannelParts;
use imcast::dispatch::clock::{Clock, Randomness};
use imcast::domain::id::ChannelName;
use imcast::providers;
use imcast::store::memory::MemoryStore;
use imcast::transport::TransportError;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

const ANSWER: &str =
    r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","ErrorList":[],"MsgKey":"1_2_1700000000"}"#;

fn settings(toml: &str) -> String {
    let file = config::File::from_str(toml, config::FileFormat::Toml);
    let tree = config::Config::builder().add_source(file).build().unwrap();
    tree.try_deserialize::<serde_json::Value>().unwrap().to_string()
}

fn channel() -> Channel {
    let provider = providers::find("tencent_tim").unwrap();
    let defaults = provider.defaults.replace("calls_per_second = 100\n", "calls_per_second = 1000000\n");
    let text = settings(&format!("{defaults}\n{}", provider.sandbox.settings));
    let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, provider.most_recipients_per_call).unwrap();
    let (adapter, auth) = (provider.build)(&common, &mut fields).unwrap();
    Channel { provider: provider.name, settings: common, adapter, auth }
}

fn gateway() -> Router {
    let reference = settings(include_str!("../config/default.toml"));
    let mut fields = Fields::parse(&reference, "", Numbers::OrText).unwrap();
    let delivery = fields.object("delivery", imcast::dispatch::settings::Settings::read).unwrap();
    let store = fields.object("store", imcast::store::settings::StoreSettings::read).unwrap();
    let api_settings = imcast::api::settings::Settings::read(&mut fields).unwrap();
    let http = BoxCloneSyncService::new(tower::service_fn(|request: WireRequest| async move {
        std::hint::black_box(&request.body);
        Ok::<_, TransportError>(WireResponse::json(StatusCode::OK, ANSWER))
    }));
    let name = ChannelName::parse("tim").unwrap();
    let parts = ChannelParts { name, channel: channel(), http, is_sandbox: false, account: None };
    let store = Arc::new(MemoryStore::new(store.memory));
    let dispatcher = Dispatcher::new(vec![parts], delivery, store, Clock::system(), Randomness::seeded(1));
    let keys = Arc::new(imcast::api::keys::ring::KeyRing::new(&[]));
    imcast::api::router(Arc::new(Api {
        dispatcher,
        settings: api_settings,
        keys,
        providers: providers::REGISTRY,
    }))
}

fn body(count: usize) -> String {
    let ids: Vec<String> = (0..count).map(|number| format!("\"user{number:08}\"")).collect();
    let text = "Maintenance tonight at 22:00, back at about 23:00. Thanks!";
    let to = ids.join(",");
    format!(r#"{{"channel":"tim","from":"dave","to":[{to}],"message":{{"type":"text","text":"{text}"}}}}"#)
}

async fn read(gateway: &Router, request: Request<Body>) -> (StatusCode, http::HeaderMap, usize) {
    let response = gateway.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().len())
}

async fn send(gateway: &Router, body: String, count: usize) -> usize {
    let request =
        Request::post("/v1/batches").header("content-type", "application/json").body(Body::from(body));
    let (status, headers, length) = read(gateway, request.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    if count <= 1000 {
        return length;
    }
    let id = headers.get("batch-id").unwrap().to_str().unwrap();
    let path = format!("/v1/batches/{id}/results");
    let request = Request::get(path).header("accept", "application/x-ndjson").body(Body::empty());
    read(gateway, request.unwrap()).await.2
}

fn translate(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = gateway();
    let mut group = criterion.benchmark_group("translate");
    group.measurement_time(Duration::from_secs(5));
    for count in [1, 50, 500, 100_000] {
        let body = body(count);
        group.throughput(Throughput::Elements(u64::try_from(count).unwrap()));
        group.sample_size(if count > 1000 { 10 } else { 50 });
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || body.clone(),
                |body| runtime.block_on(send(&gateway, body, count)),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, translate);
criterion_main!(benches);
