//! A made-up provider whose recipients say what becomes of them: `bad...` fails, `lost...` stays open,
//! `slow...` takes a minute, `!...` is refused before any call.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::adapter::channel::{Channel, CommonSettings};
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{
    Adapter, Answer, Attempt, Auth, AuthError, Call, Chunking, DecodeError, GivenCredentials, MessageCost,
    Prepared, Sign, Verdict,
};
use crate::api::keys::ring::KeyRing;
use crate::api::keys::settings::KeySettings;
use crate::api::settings::{Batches, Limits, Settings};
use crate::api::{Api, router};
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::ChannelParts;
use crate::dispatch::clock::{Clock, Randomness};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::ChannelName;
use crate::domain::message::{Message, MessageType};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, OutcomesBuilder};
use crate::domain::report::{Warning, WarningCode};
use crate::domain::route::{Route, TargetType};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::transport::TransportError;

/// The API over a dispatcher with the channels `main` and `other`.
pub(super) struct Rig {
    pub(super) api: Arc<Api>,
    pub(super) router: axum::Router,
    calls: Arc<AtomicUsize>,
}

/// An answer, read to its end.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answered {
    pub(super) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, code and faults of a refusal.
    pub(super) fn refusal(&self) -> (u16, String, Vec<String>) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let json = self.json();
        assert_eq!(json["status"], self.status);
        let faults = json["errors"].as_array().into_iter().flatten().map(|fault| {
            format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())
        });
        (self.status, json["code"].as_str().unwrap().to_owned(), faults.collect())
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::assemble(&[], change, |_| {})
    }

    pub(super) fn with_store(store: Arc<dyn Store>) -> Self {
        Self::assemble_on(store, &[], |_| {}, |_| {})
    }

    pub(super) fn with_keys(keys: &[KeySettings]) -> Self {
        Self::assemble(keys, |_| {}, |_| {})
    }

    pub(super) fn assemble(
        keys: &[KeySettings],
        change: impl FnOnce(&mut Settings),
        change_delivery: impl FnOnce(&mut crate::dispatch::settings::Settings),
    ) -> Self {
        let kept = crate::store::settings::MemorySettings { memory_batches: 100, memory_bytes: 1 << 20 };
        Self::assemble_on(Arc::new(MemoryStore::new(kept)), keys, change, change_delivery)
    }

    pub(super) fn assemble_on(
        store: Arc<dyn Store>,
        keys: &[KeySettings],
        change: impl FnOnce(&mut Settings),
        change_delivery: impl FnOnce(&mut crate::dispatch::settings::Settings),
    ) -> Self {
        let mut settings = Settings {
            limits: Limits {
                body_bytes: 1 << 20,
                body_patience: Duration::from_secs(10),
                body_bytes_per_second: 64 * 1024,
                held_body_bytes: 2 << 20,
                recipients_per_batch: 20_000,
                routes_per_batch: 4,
                batches_in_progress: 10,
            },
            batches: Batches { max_age: Duration::from_secs(3600), default_wait: Duration::from_secs(10) },
            callback_hosts: crate::domain::callback::AllowedHosts::default(),
        };
        change(&mut settings);
        let calls = Arc::new(AtomicUsize::new(0));
        let channels = [("main", "fake"), ("other", "fake-two")];
        let parts = channels.map(|(name, provider)| parts(name, provider, Arc::clone(&calls)));
        let mut delivery = crate::dispatch::settings::Settings::for_tests();
        change_delivery(&mut delivery);
        let dispatcher = Dispatcher::new(
            parts.into(),
            delivery,
            store,
            Clock::runtime(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            Randomness::seeded(1),
        );
        let keys = Arc::new(KeyRing::new(keys));
        let api = Arc::new(Api { dispatcher, settings, keys, providers: crate::providers::REGISTRY });
        Self { router: router(Arc::clone(&api)), api, calls }
    }

    /// How many calls the providers saw.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Answered {
        Answered::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        self.call(request("GET", path, headers, Body::empty())).await
    }

    /// POSTs JSON.
    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        let all: Vec<_> = [("content-type", "application/json")].iter().chain(headers).copied().collect();
        self.call(request("POST", path, &all, Body::from(body.to_owned()))).await
    }

    /// Sends a text to these recipients of the channel `main`.
    pub(super) async fn send(&self, headers: &[(&str, &str)], to: &[&str]) -> Answered {
        self.post("/v1/batches", headers, &short_form(to)).await
    }
}

pub(super) fn short_form(to: &[&str]) -> String {
    let message = serde_json::json!({ "type": "text", "text": "hi" });
    serde_json::json!({ "channel": "main", "to": to, "message": message }).to_string()
}

pub(super) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

fn parts(name: &str, provider: &'static str, calls: Arc<AtomicUsize>) -> ChannelParts {
    let settings = CommonSettings {
        base_url: "http://127.0.0.1:1/base".parse().unwrap(),
        default_from: Some("sender".into()),
        recipients_per_call: NonZeroUsize::new(100).unwrap(),
        calls_per_second: Some(1000.0),
        messages_per_second: None,
        max_in_flight: NonZeroU32::new(4).unwrap(),
        max_payload_bytes: None,
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(100),
    };
    let profile = Profile {
        provider,
        messages: vec![
            (MessageType::Text, Support::Carried),
            (MessageType::Image, Support::Carried),
            (MessageType::Face, Support::Refused("send text")),
        ],
        target_types: &[TargetType::User],
        sender: SenderRule::Required,
        has_push: false,
        recipients_per_call: settings.recipients_per_call,
        max_payload_bytes: Some(5120),
        evidence: Evidence::Explicit,
        volatile: &["query.random"],
    };
    let http = BoxCloneSyncService::new(tower::service_fn(move |request: WireRequest| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if request.body.windows(4).any(|window| window == b"slow") {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            Ok::<_, TransportError>(WireResponse::json(StatusCode::OK, "{}"))
        }
    }));
    let auth = Auth::Sign(Box::new(Signed));
    let adapter = Box::new(FakeAdapter { profile });
    ChannelParts {
        name: ChannelName::parse(name).unwrap(),
        channel: Channel { provider, settings, adapter, auth },
        http,
        is_sandbox: false,
        account: None,
    }
}

struct FakeAdapter {
    profile: Profile,
}

impl Adapter for FakeAdapter {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        self.profile.check(route)?;
        if route.ext.is_some() {
            return Err(vec![Fault::new("/ext", FaultCode::Unsupported, "no field for it")]);
        }
        let hint = Warning {
            code: WarningCode::FieldLeftOut,
            channel: None,
            pointer: Some("/message/width".into()),
            detail: "no field for the width".into(),
        };
        let has_hint = matches!(&*route.message, Message::Image(image) if image.width.is_some());
        Ok(Box::new(FakePrepared { warnings: has_hint.then_some(hint).into_iter().collect() }))
    }
}

struct FakePrepared {
    warnings: Vec<Warning>,
}

impl Prepared for FakePrepared {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn chunking(&self) -> Chunking {
        Chunking { recipients_per_call: 100, cost: MessageCost::PerRecipient }
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.starts_with('!') { Err(Failure::gateway(FailureKind::InvalidRecipient)) } else { Ok(()) }
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let ids: Vec<_> = call.recipients.iter().collect();
        let body = serde_json::to_vec(&ids).unwrap();
        WireRequest::post_json("/send", body, Duration::from_secs(100))
    }

    fn decode(&self, call: &Call<'_>, _: &WireResponse) -> Result<Answer, DecodeError> {
        let accepted = Outcome::Accepted(Acceptance {
            evidence: Evidence::Explicit,
            message_id: None,
            provider_fields: None,
        });
        let mut outcomes = OutcomesBuilder::new(accepted, call.recipients.len());
        for (offset, id) in call.recipients.iter().enumerate() {
            if id.starts_with("bad") {
                outcomes.set(offset, Outcome::failed(Failure::provider(FailureKind::InvalidRecipient)));
            } else if id.starts_with("lost") {
                outcomes.set(offset, Outcome::unknown(Failure::provider(FailureKind::ProviderError)));
            }
        }
        Ok(Verdict::Answered(outcomes.build()).into())
    }
}

struct Signed;

impl Sign for Signed {
    fn sign(&self, _: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        request.push_query("random", "7");
        request.push_secret_query("signature", "hunter2");
        if request.set_secret_header("x-key".parse().unwrap(), "hunter2") {
            Ok(())
        } else {
            Err(AuthError::Unusable("key"))
        }
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        None
    }
}
