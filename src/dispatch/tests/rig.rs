//! A made-up provider: its body is the recipients' ids, joined by commas; its answer is a word.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use tower::util::BoxCloneSyncService;

use crate::adapter::channel::{Channel, CommonSettings};
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{
    Adapter, Answer, Attempt, Audience, Auth, AuthError, Call, Chunking, DecodeError, GivenCredentials,
    MessageCost, Prepared, Repeat, Sign, Token, TokenGrant, Verdict,
};
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::{Account, ChannelParts, ChannelRuntime};
use crate::dispatch::clock::{Clock, Randomness};
use crate::dispatch::replace::{NextChannel, Predecessor};
use crate::dispatch::running::Running;
use crate::dispatch::settings::Settings;
use crate::domain::batch::Batch;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::Fault;
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::message::MessageType;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use crate::domain::recipients::RecipientList;
use crate::domain::report::{Report, Warning, WarningCode};
use crate::domain::route::{Route, TargetType};
use crate::domain::samples;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::transport::{HttpService, TransportError};

/// Answers the `number`-th request (from 0) with this body.
pub(super) type Script = Arc<dyn Fn(usize, WireRequest) -> ScriptFuture + Send + Sync>;
pub(super) type ScriptFuture =
    std::pin::Pin<Box<dyn Future<Output = Result<WireResponse, TransportError>> + Send>>;

/// A dispatcher with one or more channels and everything that they sent.
pub(super) struct Rig {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) sent: Arc<Mutex<Vec<String>>>,
}

/// How the channel is set up; its usual name is `fake`.
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) recipients_per_call: usize,
    pub(super) max_in_flight: u32,
    pub(super) calls_per_second: Option<f64>,
    pub(super) messages_per_second: Option<f64>,
    pub(super) auth: Auth,
    pub(super) settings: Settings,
    pub(super) store: Arc<dyn Store>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: "fake",
            recipients_per_call: 2,
            max_in_flight: 4,
            calls_per_second: None,
            messages_per_second: None,
            auth: Auth::Sign(Box::new(Unsigned)),
            settings: Settings::for_tests(),
            store: Arc::new(memory(100)),
        }
    }
}

pub(super) fn memory(memory_batches: usize) -> MemoryStore {
    MemoryStore::new(crate::store::settings::MemorySettings { memory_batches, memory_bytes: 1 << 20 })
}

pub(super) fn body(text: &str) -> Result<WireResponse, TransportError> {
    Ok(WireResponse::json(StatusCode::OK, text.to_owned()))
}

/// A script that answers at once.
pub(super) fn at_once(
    answer: impl Fn(usize, &str) -> Result<WireResponse, TransportError> + Send + Sync + 'static,
) -> Script {
    Arc::new(move |number, request| {
        let text = String::from_utf8(request.body.to_vec()).unwrap();
        Box::pin(std::future::ready(answer(number, &text)))
    })
}

impl Rig {
    pub(super) fn new(setup: Setup, script: Script) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::runtime(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let (settings, store) = (setup.settings.clone(), Arc::clone(&setup.store));
        let parts = parts(setup, http(Arc::clone(&sent), script));
        let dispatcher = Dispatcher::new(vec![parts], settings, store, clock, Randomness::seeded(1));
        Self { dispatcher, sent }
    }

    /// Puts another channel in the place of the one that serves.
    pub(super) fn replace(
        &self,
        setup: Setup,
        script: Script,
        predecessor: impl FnOnce(Arc<ChannelRuntime>) -> Predecessor,
    ) {
        let parts = parts(setup, http(Arc::clone(&self.sent), script));
        let predecessor = predecessor(self.dispatcher.channel("fake").unwrap());
        self.dispatcher.replace_channels(vec![NextChannel::New(Box::new(parts), predecessor)]);
    }

    pub(super) fn batch(&self, to: &[&str]) -> Batch {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let to = Arc::new(to.iter().copied().collect::<RecipientList>());
        let id = BatchId::new(NEXT.fetch_add(1, Ordering::Relaxed), 0);
        let now = self.dispatcher.now();
        Batch {
            created_at: now,
            expires_at: now + Duration::from_secs(3600),
            ..samples::batch(id, vec![Arc::new(samples::route("fake", to))])
        }
    }

    pub(super) fn start(&self, batch: Batch) -> Running {
        self.dispatcher.start(self.dispatcher.plan(batch).ok().unwrap(), Duration::MAX).unwrap()
    }

    pub(super) async fn send(&self, batch: Batch) -> Arc<Report> {
        let running = self.start(batch);
        assert!(running.finished(Duration::from_secs(7200)).await);
        running.report()
    }

    pub(super) fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

/// One word per recipient, in order: status, code, attempts.
pub(super) fn words(report: &Arc<Report>) -> Vec<String> {
    let lines = report.routes.iter().flat_map(|route| {
        route.lines().map(|line| match line.decided {
            None => "pending".to_owned(),
            Some(decided) => {
                let word = match decided.outcome {
                    Outcome::Accepted(_) => "accepted".to_owned(),
                    Outcome::Failed(failure) => format!("failed:{}", failure.kind.as_str()),
                    Outcome::Unknown(failure) => format!("unknown:{}", failure.kind.as_str()),
                };
                format!("{word}:{}", decided.attempts)
            }
        })
    });
    lines.collect()
}

/// The channel `fake`.
fn parts(setup: Setup, http: HttpService) -> ChannelParts {
    let settings = CommonSettings {
        base_url: "http://127.0.0.1:1".parse().unwrap(),
        default_from: Some("sender".into()),
        recipients_per_call: NonZeroUsize::new(setup.recipients_per_call).unwrap(),
        calls_per_second: setup.calls_per_second,
        messages_per_second: setup.messages_per_second,
        max_in_flight: NonZeroU32::new(setup.max_in_flight).unwrap(),
        max_payload_bytes: None,
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(10),
    };
    let adapter = Box::new(FakeAdapter { profile: profile(settings.recipients_per_call) });
    let channel = Channel { provider: "fake", settings, adapter, auth: setup.auth };
    let account = Some(Account { limits: "limits".into(), login: "login".into() });
    ChannelParts { name: ChannelName::parse(setup.name).unwrap(), channel, http, is_sandbox: false, account }
}

fn http(sent: Arc<Mutex<Vec<String>>>, script: Script) -> HttpService {
    BoxCloneSyncService::new(tower::service_fn(move |request: WireRequest| {
        let number = {
            let mut sent = sent.lock().unwrap();
            let token = request.headers.get("token").map(|value| value.to_str().unwrap().to_owned());
            let text = String::from_utf8(request.body.to_vec()).unwrap();
            sent.push(token.map_or(text.clone(), |token| format!("{token}:{text}")));
            sent.len() - 1
        };
        script(number, request)
    }))
}

fn profile(recipients_per_call: NonZeroUsize) -> Profile {
    Profile {
        provider: "fake",
        messages: vec![(MessageType::Text, Support::Carried)],
        target_types: &[TargetType::User],
        sender: SenderRule::Required,
        has_push: false,
        recipients_per_call,
        max_payload_bytes: None,
        evidence: Evidence::Explicit,
        volatile: &[],
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
        let is_everyone = route.to.is_empty();
        Ok(Box::new(FakePrepared { per_call: self.profile.recipients_per_call.get(), is_everyone }))
    }
}

struct FakePrepared {
    per_call: usize,
    is_everyone: bool,
}

impl Prepared for FakePrepared {
    fn warnings(&self) -> &[Warning] {
        &[]
    }

    fn audience(&self) -> Audience {
        if self.is_everyone { Audience::Everyone } else { Audience::To }
    }

    fn chunking(&self) -> Chunking {
        Chunking { recipients_per_call: self.per_call, cost: MessageCost::PerRecipient }
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.starts_with('!') { Err(Failure::gateway(FailureKind::InvalidRecipient)) } else { Ok(()) }
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let ids: Vec<_> = call.recipients.iter().collect();
        WireRequest::post_json("/send", ids.join(","), Duration::from_secs(10))
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        let count = call.recipients.len();
        let refused =
            |kind, repeat| Verdict::Refused { failure: Failure::provider(kind), repeat, retry_after: None };
        let verdict = match &*response.body {
            b"ok" => Verdict::Answered(Outcomes::same(accepted(), count)),
            b"listed" => Verdict::Listed(vec![("x".into(), accepted()), ("y".into(), accepted())]),
            b"refused" => refused(FailureKind::ContentRejected, Repeat::Never),
            b"throttled" => refused(FailureKind::RateLimited, Repeat::Safe),
            b"throttled for 7 s" => Verdict::Refused {
                failure: Failure::provider(FailureKind::RateLimited),
                repeat: Repeat::Safe,
                retry_after: Some(Duration::from_secs(7)),
            },
            b"expired" => refused(FailureKind::Authentication, Repeat::WithNewToken),
            b"forbidden" => refused(FailureKind::Permission, Repeat::EndsRoute),
            b"short" => Verdict::Answered(Outcomes::same(accepted(), count + 1)),
            b"ok with remarks" => {
                let ids = call.recipients.iter().collect::<Vec<_>>().join(",");
                let (code, detail) = (WarningCode::UnexpectedRecipient, format!("seen at {ids}"));
                return Ok(Answer {
                    verdict: Verdict::Answered(Outcomes::same(accepted(), count)),
                    request_id: Some(format!("request of {ids}").into()),
                    warnings: vec![Warning { code, channel: None, pointer: None, detail }],
                });
            }
            b"panic" => panic!("planted"),
            _ => return Err(DecodeError::NotDocumented),
        };
        Ok(verdict.into())
    }
}

fn accepted() -> Outcome {
    let evidence = Evidence::Explicit;
    Outcome::Accepted(Acceptance { evidence, message_id: None, provider_fields: None })
}

struct Unsigned;

impl Sign for Unsigned {
    fn sign(&self, _: &Attempt<'_>, _: &mut WireRequest) -> Result<(), AuthError> {
        Ok(())
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        None
    }
}

/// Grants tokens that live `lifetime`; the request for one has the body `grant`.
pub(super) struct Grant {
    pub(super) lifetime: Duration,
    pub(super) secret: Secret,
}

impl Grant {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, secret: Secret::new("hunter2") }
    }
}

impl TokenGrant for Grant {
    fn fixed(&self) -> Option<Token> {
        None
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    fn encode_grant(&self, _: u64) -> Result<WireRequest, AuthError> {
        Ok(WireRequest::post_json("/token", "grant", Duration::from_secs(10)))
    }

    fn decode_grant(&self, response: &WireResponse, now: SystemTime) -> Result<Token, AuthError> {
        let text = std::str::from_utf8(&response.body).unwrap();
        if text == "denied" {
            let failure = Box::new(Failure::provider(FailureKind::Authentication));
            return Err(AuthError::Refused { failure });
        }
        let refresh_at = now.checked_add(self.lifetime / 10 * 9);
        Ok(Token { value: Secret::new(text), issued_at: now, lifetime: Some(self.lifetime), refresh_at })
    }

    fn attach(&self, _: &Attempt<'_>, token: &Token, request: &mut WireRequest) -> Result<(), AuthError> {
        let is_set = request.set_secret_header("token".parse().unwrap(), token.value.expose());
        if is_set { Ok(()) } else { Err(AuthError::Unusable("token")) }
    }
}
