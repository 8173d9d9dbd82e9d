//! Plays a scenario with the real dispatcher on paused time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use imcast::adapter::Auth;
use imcast::adapter::channel::{Channel, CommonSettings};
use imcast::dispatch::Dispatcher;
use imcast::dispatch::channel::ChannelParts;
use imcast::dispatch::clock::{Clock, Randomness};
use imcast::dispatch::settings::Settings;
use imcast::domain::batch::Batch;
use imcast::domain::id::{BatchId, ChannelName};
use imcast::domain::message::Message;
use imcast::domain::recipients::RecipientList;
use imcast::domain::report::Report;
use imcast::domain::route::Route;
use imcast::store::memory::MemoryStore;
use tokio::task::JoinSet;

use crate::adapter::{Model, Signed, TIMEOUT, Tokens};
use crate::ledger::{Book, Ledger};
use crate::provider::Provider;
use crate::scenario::{BatchSpec, ChannelSpec, ROOMY, Scenario};

/// By then everything must be over: the longest life of a batch is an hour.
const END: Duration = Duration::from_secs(3 * 3600);

/// What came of a scenario.
pub(crate) struct Played {
    pub(crate) book: Book,
    /// The batches in the scenario's order.
    pub(crate) ended: Vec<Ended>,
    /// Whether everything came to its end, background work included.
    pub(crate) is_over: bool,
    /// What the dispatcher still held then.
    pub(crate) running_count: usize,
    /// Routes that still have their place in a channel's backlog.
    pub(crate) held_routes: usize,
    /// Places among the calls in flight that nobody gave back.
    pub(crate) held_turns: usize,
}

/// What came of one batch.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The gateway was shutting down.
    NotAsked,
    /// Nothing may have been sent.
    Refused,
    /// A channel had too much to do; nothing may have been sent.
    Overloaded,
    /// Took its way.
    Reported { looked: Arc<Report>, last: Arc<Report>, recorded: Option<Arc<Report>>, at: Duration },
    /// Never ended.
    Stuck,
}

/// The figures of `config/default.toml`.
pub(crate) fn delivery() -> Settings {
    Settings {
        max_attempts: 3,
        throttled_max_attempts: 4,
        backoff_base: Duration::from_millis(50),
        throttled_backoff_base: Duration::from_secs(1),
        backoff_cap: Duration::from_secs(20),
        token_wait: Duration::from_secs(10),
        budget_margin: 0.95,
        budget_share: 1.0,
        budget_recovery: Duration::from_secs(30),
        retry_share: 0.2,
        circuit_failures: 5,
        circuit_pause: Duration::from_secs(30),
        circuit_pause_cap: Duration::from_secs(300),
        channel_routes: ROOMY,
        channel_bytes: 1 << 28,
    }
}

/// Plays the scenario to its end.
pub(crate) fn play(scenario: &Scenario) -> Played {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(live(scenario))
}

async fn live(scenario: &Scenario) -> Played {
    let ledger = Ledger::new(scenario.channels.len());
    let dispatcher = build(scenario, &ledger);
    let ended = Arc::new(Mutex::new(vec![Ended::Stuck; scenario.batches.len()]));
    let mut acts = JoinSet::new();
    for (number, spec) in scenario.batches.iter().cloned().enumerate() {
        let (dispatcher, ledger, ended) = (Arc::clone(&dispatcher), Arc::clone(&ledger), Arc::clone(&ended));
        acts.spawn(async move {
            let end = send(&dispatcher, &ledger, number, &spec).await;
            ended.lock().unwrap()[number] = end;
        });
    }
    if let Some(drain) = scenario.drain.clone() {
        let (dispatcher, ledger) = (Arc::clone(&dispatcher), Arc::clone(&ledger));
        acts.spawn(async move {
            tokio::time::sleep(drain.at).await;
            ledger.log("draining");
            let is_clean = dispatcher.drain(drain.grace).await;
            ledger.log(&format!("drained, clean: {is_clean}"));
        });
    }
    let all_acted = async {
        while let Some(act) = acts.join_next().await {
            act.unwrap()
        }
    };
    let acted = tokio::time::timeout(END, all_acted).await.is_ok();
    let is_over = dispatcher.drain(END).await && acted;
    let ended = std::mem::take(&mut *ended.lock().unwrap());
    let statuses: Vec<_> = dispatcher.channels().iter().map(|channel| dispatcher.status(channel)).collect();
    Played {
        book: ledger.close(),
        ended,
        is_over,
        running_count: dispatcher.running_count(),
        held_routes: statuses.iter().map(|status| status.route_count).sum(),
        held_turns: statuses.iter().map(|status| status.in_flight).sum(),
    }
}

async fn send(dispatcher: &Arc<Dispatcher>, ledger: &Ledger, number: usize, spec: &BatchSpec) -> Ended {
    tokio::time::sleep(spec.at).await;
    if dispatcher.is_draining() {
        return Ended::NotAsked;
    }
    let Ok(plan) = dispatcher.plan(batch(dispatcher, number, spec)) else {
        ledger.log(&format!("b{number} refused"));
        return Ended::Refused;
    };
    ledger.log(&format!("b{number} started"));
    let Ok(running) = dispatcher.start(plan, Duration::MAX) else {
        ledger.log(&format!("b{number} found no room"));
        return Ended::Overloaded;
    };
    let cancel = async {
        match spec.cancel_after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
        ledger.log(&format!("b{number} canceled"));
        dispatcher.cancel(running.id()).await.unwrap();
        std::future::pending().await
    };
    let watch = async {
        running.finished(spec.look_after).await;
        (running.report(), running.finished(END).await)
    };
    let (looked, is_finished) = tokio::select! {
        biased;
        watched = watch => watched,
        never = cancel => never,
    };
    if !is_finished {
        return Ended::Stuck;
    }
    let at = ledger.now();
    let last = running.report();
    ledger.log(&format!("b{number} ended: {:?}", last.counts()));
    // The record is written right after the end.
    while dispatcher.running(running.id()).is_some() {
        tokio::task::yield_now().await;
    }
    let recorded = dispatcher.report(running.id()).await.unwrap();
    Ended::Reported { looked, last, recorded, at }
}

fn batch(dispatcher: &Dispatcher, number: usize, spec: &BatchSpec) -> Batch {
    let routes = spec.routes.iter().enumerate().map(|(route_index, route)| {
        Arc::new(Route {
            channel: channel_name(route.channel),
            sender: None,
            to: Arc::new(route.to.iter().map(String::as_str).collect::<RecipientList>()),
            target_type: None,
            message: Arc::new(Message::Text { text: format!("{number}.{route_index}").into() }),
            ext: None,
            push: None,
            provider_options: None,
            sealed_options: None,
            only: None,
        })
    });
    Batch {
        id: BatchId::new(u64::try_from(number).unwrap(), 0),
        caller: None,
        client_ref: None,
        created_at: dispatcher.now(),
        expires_at: dispatcher.now() + spec.expires_after,
        on_invalid: spec.on_invalid,
        retry_unknown: spec.retry_unknown,
        routes: routes.collect(),
        resend: None,
        callback: None,
    }
}

fn build(scenario: &Scenario, ledger: &Arc<Ledger>) -> Arc<Dispatcher> {
    let channels = scenario.channels.iter().enumerate().map(|(index, spec)| ChannelParts {
        name: channel_name(index),
        channel: channel(spec),
        http: Provider::service(index, scenario.seed, spec.clone(), Arc::clone(ledger)),
        is_sandbox: false,
        account: None,
    });
    let kept = imcast::store::settings::MemorySettings { memory_batches: 10_000, memory_bytes: 1 << 30 };
    Dispatcher::new(
        channels.collect(),
        Settings { channel_routes: scenario.channel_routes, ..delivery() },
        Arc::new(MemoryStore::new(kept)),
        Clock::runtime(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
        Randomness::seeded(scenario.seed),
    )
}

fn channel(spec: &ChannelSpec) -> Channel {
    let recipients_per_call = NonZeroUsize::new(spec.recipients_per_call).unwrap();
    Channel {
        provider: "model",
        settings: CommonSettings {
            base_url: "http://127.0.0.1:1".parse().unwrap(),
            default_from: None,
            recipients_per_call,
            calls_per_second: spec.calls_per_second.map(f64::from),
            messages_per_second: spec.messages_per_second.map(f64::from),
            max_in_flight: NonZeroU32::new(spec.max_in_flight).unwrap(),
            max_payload_bytes: None,
            connect_timeout: Duration::from_secs(1),
            timeout: TIMEOUT,
        },
        adapter: Box::new(Model::new(recipients_per_call, spec.cost)),
        auth: match spec.token_lifetime {
            None => Auth::Sign(Box::new(Signed)),
            Some(lifetime) => Auth::Token(Box::new(Tokens { lifetime })),
        },
    }
}

fn channel_name(index: usize) -> ChannelName {
    ChannelName::parse(&format!("c{index}")).unwrap()
}
