//! Any TOML as the operator's file, with and without secrets in the environment.
//!
//! The input: `0`, or the place of the provider whose secrets the environment gives to the channel `a`; then
//! the file. Files that it names hold a secret; none is opened.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use imcast::adapter::wire::WireResponse;
use imcast::config::{LoadError, Settings};
use imcast::dispatch::Dispatcher;
use imcast::dispatch::channel::ChannelParts;
use imcast::dispatch::clock::{Clock, Randomness};
use imcast::domain::id::ChannelName;
use imcast::providers::REGISTRY;
use imcast::store::memory::MemoryStore;
use imcast::transport::{HttpService, TransportError};

use crate::targets::seeds::root;

/// A secret that no fault may repeat.
const CANARY: &str = "canary-c41f7a90";

/// The keys of each provider whose values are secret, in the order of the registry.
const SECRET_KEYS: [&[&str]; 5] = [
    &["CLIENT_SECRET", "APP_TOKEN"],
    &["QUERY__SIGN", "QUERY__CLIENT", "QUERY__CHANNEL"],
    &["SECRET", "TOKEN"],
    &["SECRET_KEY"],
    &["SECRET_ACCESS_KEY", "SESSION_TOKEN"],
];

/// Takes one input; `true` if the configuration is sound and has a channel.
pub(crate) fn run(input: &[u8]) -> bool {
    let &[environment, ref text @ ..] = input else { return false };
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let place = usize::from(environment.wrapping_sub(b'0')) % (REGISTRY.len() + 1);
    let read_file = |path: &str| {
        if path.is_empty() { Err("the file cannot be read".to_owned()) } else { Ok(CANARY.to_owned()) }
    };
    match imcast::config::parse("imcast.toml", text, secrets(place), REGISTRY, &read_file) {
        Ok(settings) => check_settings(settings, text),
        Err(error) => {
            check_faults(&error, text);
            false
        }
    }
}

fn secrets(place: usize) -> Vec<(OsString, OsString)> {
    let Some(provider) = place.checked_sub(1).and_then(|index| REGISTRY.get(index)) else {
        return Vec::new();
    };
    let pair = |key: &str, value: &str| (format!("IMCAST__CHANNELS__A__{key}").into(), value.into());
    let keys = SECRET_KEYS[place - 1].iter().map(|key| pair(key, CANARY));
    keys.chain([pair("PROVIDER", provider.name)]).collect()
}

fn check_faults(error: &LoadError, text: &str) {
    assert!(!error.faults.is_empty(), "refused without a reason");
    for fault in &error.faults {
        assert!(!fault.key.is_empty() && !fault.detail.is_empty(), "a fault that names nothing");
    }
    check_secret(&error.to_string(), text);
}

fn check_secret(shown: &str, text: &str) {
    assert!(!shown.contains(CANARY) || text.contains(CANARY), "a secret is shown");
}

/// What is accepted can be used: the engine takes it, and nothing of it shows a secret.
fn check_settings(settings: Settings, text: &str) -> bool {
    for warning in settings.warnings() {
        check_secret(&warning.to_string(), text);
    }
    let delivery = &settings.delivery;
    assert!((0.5..=1.0).contains(&delivery.budget_margin), "a margin out of range");
    assert!((1..=10).contains(&delivery.max_attempts), "tries out of range");
    let has_channel = !settings.channels.is_empty();
    let channels = settings.channels.into_iter().map(|(name, channel)| {
        assert!(ChannelName::parse(name.as_str()).is_some(), "a name that no request can give");
        check_secret(&format!("{:?}", channel.settings.default_from), text);
        let http = HttpService::new(tower::service_fn(|_| async {
            Ok::<_, TransportError>(WireResponse::json(http::StatusCode::OK, "{}"))
        }));
        ChannelParts { name, channel, http, is_sandbox: false, account: None }
    });
    let store = Arc::new(MemoryStore::new(settings.store.memory));
    let clock = Clock::system();
    let dispatcher =
        Dispatcher::new(channels.collect(), settings.delivery, store, clock, Randomness::seeded(1));
    for channel in dispatcher.channels() {
        let _ = dispatcher.status(&channel);
    }
    assert!(dispatcher.now() > SystemTime::UNIX_EPOCH);
    has_channel
}

/// The reference with all its keys, the example, and every provider's own reference as a channel.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let example = std::fs::read_to_string(root().join("config/example.toml")).unwrap();
    let mut seeds =
        vec![format!("0{example}").into_bytes(), format!("0{}", imcast::config::DEFAULTS).into_bytes()];
    // One section or channel a piece: small inputs are what the fuzzer works with best.
    for whole in [example.as_str(), imcast::config::DEFAULTS] {
        seeds.extend(whole.split("\n\n").map(|part| format!("0{part}").into_bytes()));
    }
    for (place, provider) in (1..).zip(REGISTRY) {
        let own = provider.defaults.replace("\n# ", "\n");
        let head = format!("[channels.a]\nprovider = \"{}\"\n", provider.name);
        let keys: Vec<_> = own.lines().filter(|line| line.contains(" = ")).collect();
        seeds.push(format!("{place}{head}{}", keys.join("\n")).into_bytes());
        seeds.push(format!("{place}[channels.a]\ntimeout_ms = 5").into_bytes());
        seeds.push(
            format!("0{head}base_url = \"https://x.test\"\n{}", provider.sandbox.settings).into_bytes(),
        );
        seeds.push(format!("0{head}{}", provider.sandbox.settings.replace(" = ", "_file = ")).into_bytes());
        seeds.extend(keys.iter().map(|key| format!("{place}channels.a.{key}").into_bytes()));
    }
    seeds
}
