//! Promise: no request chooses a server. What a caller names is passed on as data, never connected to.
//!
//! `IMCAST_REQUESTS=100000` tries more requests than 25,000. The fuzz targets judge the servers of every input too.

use std::collections::BTreeSet;
use std::thread;

use axum::body::Body;
use http::Request;
use imcast::domain::callback::{AllowedHosts, Origin};
use imcast::providers::REGISTRY;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::targets::gateway::Gateway;
use crate::targets::seeds::fixtures;

const REQUESTS: usize = 25_000;
const THREADS: usize = 2;
const URLS: usize = 100_000;

/// What would be read as a server or a way out of a path, if anybody read it.
const HOSTILE: [&str; 22] = [
    "http://169.254.169.254/latest/meta-data/",
    "https://evil.test/x.png",
    "http://[::1]:22/",
    "http://localhost:8080/v1/batches",
    "https://openim.provider.test@evil.test/",
    "https://evil.test#openim.provider.test",
    "https://evil.test\\@openim.provider.test/",
    "//evil.test/x",
    "\\\\evil.test\\x",
    "file:///etc/passwd",
    "gopher://evil.test:70/_x",
    "@evil.test/",
    ":80@evil.test/",
    "?x=https://evil.test/",
    "#@evil.test/",
    "../../../evil.test",
    "%2e%2e/%2f%2fevil.test",
    "/../..//evil.test/",
    "x\r\nHost: evil.test\r\n\r\n",
    "evil.test:443",
    "0x7f000001",
    "\u{ff0e}evil\u{3002}test",
];

/// Headers by which a proxy is told of another host.
const HEADERS: [&str; 6] =
    ["host", "x-forwarded-host", "forwarded", "x-original-url", "x-rewrite-url", "referer"];

#[expect(clippy::disallowed_methods, reason = "how tests are run is no setting of the gateway")]
fn count() -> usize {
    std::env::var("IMCAST_REQUESTS").map_or(REQUESTS, |count| count.parse().unwrap())
}

/// Every request of the fixtures.
fn requests() -> Vec<Value> {
    let mut all = Vec::new();
    for provider in REGISTRY {
        for fixture in fixtures(provider.name) {
            let Some(mut request) = fixture["intent"].as_object().cloned() else { continue };
            request.insert("channel".into(), provider.sandbox.channel.into());
            all.push(Value::Object(request));
        }
    }
    all
}

/// Every text in a value.
fn texts<'a>(value: &'a mut Value, found: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values_mut().for_each(|member| texts(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts servers into a request, wherever there is a text, and where more may be said.
fn spoil(request: &mut Value, dice: &Dice) {
    let channel = request["channel"].take();
    let mut found = Vec::new();
    texts(request, &mut found);
    for _ in 0..dice.count(0..=2) {
        let index = dice.count(0..=found.len() - 1);
        let text = dice.pick(&HOSTILE);
        *found[index] = if dice.percent(50) { text.to_owned() } else { format!("{}{text}", found[index]) };
    }
    if dice.percent(30) {
        request["message"]["ext"] =
            json!({dice.pick(&HOSTILE): dice.pick(&HOSTILE), "fileUrl": dice.pick(&HOSTILE)});
    }
    if dice.percent(3) {
        request["options"]["callback"] = json!({"url": dice.pick(&HOSTILE)});
    }
    request["channel"] = channel;
}

/// Sends so many requests to a gateway in memory; how many were taken, and which servers were called.
fn play(seed: u64, count: usize) -> (usize, BTreeSet<String>) {
    let (gateway, dice, requests) = (Gateway::new(), Dice::new(seed), requests());
    let mut taken = 0;
    for _ in 0..count {
        let mut body = dice.pick(&requests);
        spoil(&mut body, &dice);
        let mut request = Request::post("/v1/batches").header("content-type", "application/json");
        if dice.percent(20) {
            let server = HOSTILE[dice.count(0..=6)];
            request = request.header(dice.pick(&HEADERS), server);
        }
        let answer = gateway.exchange(request.body(Body::from(body.to_string())).unwrap());
        taken += usize::from(answer.status < 400);
        gateway.settle();
    }
    (taken, gateway.servers())
}

#[test]
fn no_request_reaches_a_server_that_is_not_configured() {
    let count = count() / THREADS;
    let seeds = 0..u64::try_from(THREADS).unwrap();
    let threads: Vec<_> = seeds.map(|seed| thread::spawn(move || play(seed, count))).collect();
    let played: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let configured = REGISTRY.iter().map(|provider| provider.name.replace('_', "-"));
    let configured: BTreeSet<_> = configured.map(|name| format!("https://{name}.provider.test")).collect();
    for (taken, servers) in played {
        assert_eq!(servers, configured);
        assert!(taken * 3 >= count, "only {taken} requests were taken");
    }
}

#[test]
fn what_is_allowed_of_a_callback_is_what_the_client_connects_to() {
    let origins = ["https://hooks.test", "https://hooks.test:8443", "http://[::1]:80", "http://10.0.0.1"];
    let hosts = AllowedHosts::new(origins.iter().map(|origin| Origin::of(origin).unwrap()).collect());
    let pieces = [
        "https",
        "http",
        "HTTPS",
        "://",
        ":",
        "//",
        "/",
        "\\",
        "@",
        "?",
        "#",
        "hooks.test",
        "Hooks.Test",
        "evil.test",
        "[::1]",
        "10.0.0.1",
        "012.0.0.1",
        "10.1",
        ":8443",
        ":80",
        ":443",
        ".",
        "..",
        "%2e",
        "%40",
        "\t",
        "\n",
        " ",
        "a",
        "\u{ff0e}",
        "\u{2048}",
        "user:pass@",
        "[",
        "]",
        "https://hooks.test",
        "https://hooks.test:8443/",
        "http://[::1]",
        "http://10.0.0.1",
    ];
    let dice = Dice::new(1);
    let mut allowed = 0;
    for _ in 0..URLS {
        let url: String = (0..dice.count(1..=6)).map(|_| dice.pick(&pieces)).collect();
        let Ok(place) = hosts.find(&url) else { continue };
        allowed += 1;
        let (origin, read) = (&hosts.origins()[place], reqwest::Url::parse(&url).unwrap());
        let server = (read.scheme() == "https", read.host_str(), read.port_or_known_default());
        assert_eq!(server, (origin.is_tls, Some(&*origin.host), Some(origin.port)), "{url:?}");
        assert_eq!((read.username(), read.password()), ("", None), "{url:?}");
    }
    assert!(allowed >= 1000, "only {allowed} were allowed");
}
