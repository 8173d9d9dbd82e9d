//! What the document promises is what the gateway does: its examples are taken, and answers look as described.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::{Answer, TestGateway};

/// The document, as the gateway serves it.
struct Contract(Value);

impl Contract {
    async fn fetch(gateway: &TestGateway) -> Self {
        let answer = gateway.get("/openapi.json").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
        assert!(answer.text == committed.unwrap(), "the served document is not docs/openapi.json");
        Self(answer.json())
    }

    /// A validator that knows formats and takes no field that is not described, although later versions may send
    /// others.
    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = json!({ "components": { "schemas": self.0["components"]["schemas"] } });
        whole["allOf"] = json!([schema]);
        close(&mut whole);
        jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
    }

    #[track_caller]
    fn check(&self, schema: &Value, value: &Value, what: &str) {
        let validator = self.validator(schema);
        let faults: Vec<_> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{what}: {faults:?} in {value}");
    }

    /// Operations with their path and method.
    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let items = self.0["paths"].as_object().unwrap().iter();
        items.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    /// What stands behind a reference, or the value itself.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Every content of requests and answers, with its type and where it stands.
    fn contents(&self) -> Vec<(String, &str, &Value)> {
        let mut all = Vec::new();
        for (path, method, operation) in self.operations() {
            let answers = operation["responses"].as_object().unwrap().iter();
            let answers = answers.map(|(status, answer)| (status.as_str(), self.resolve(answer)));
            let bodies = operation.get("requestBody").map(|body| ("request", body));
            for (part, holder) in answers.chain(bodies) {
                for (content_type, content) in holder["content"].as_object().into_iter().flatten() {
                    all.push((format!("{method} {path} {part}"), content_type.as_str(), content));
                }
            }
        }
        all
    }

    /// Checks an answer against the description of its status; returns its JSON.
    #[track_caller]
    fn check_answer(&self, method: &str, path: &str, answer: &Answer) -> Value {
        let described = &self.0["paths"][path][method]["responses"][answer.status.to_string()];
        let described = self.resolve(described);
        let what = format!("{method} {path} {}", answer.status);
        assert!(!described.is_null(), "{what} is not described: {}", answer.text);
        let content_type = answer.header("content-type").split(';').next().unwrap();
        let content = &described["content"][content_type];
        assert!(!content.is_null(), "{what} is described without {content_type}");
        let documented = described["headers"].as_object().unwrap();
        for name in answer.headers.keys().map(http::HeaderName::as_str) {
            // Of HTTP itself.
            let plain = ["content-type", "content-length", "transfer-encoding", "date", "connection"];
            if plain.contains(&name) {
                continue;
            }
            assert!(documented.contains_key(name), "{what}: the header {name} is not described");
            let schema = &self.resolve(&documented[name])["schema"];
            let text = answer.header(name);
            let value: Value = if schema["type"] == "integer" { text.parse().unwrap() } else { text.into() };
            self.check(schema, &value, &format!("{what}: {name}"));
        }
        let result = json!({ "$ref": "#/components/schemas/Result" });
        match content_type {
            "application/json" | "application/problem+json" => {}
            "application/x-ndjson" => {
                answer
                    .text
                    .lines()
                    .for_each(|line| self.check(&result, &serde_json::from_str(line).unwrap(), &what));
                return Value::Null;
            }
            _ => return Value::Null,
        }
        let json = answer.json();
        self.check(&content["schema"], &json, &what);
        json
    }
}

/// Forbids what is not described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && members.get("type").is_some_and(|of| of == "object") {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The examples of one content.
fn examples(content: &Value) -> Vec<&Value> {
    let several = content["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
    several.chain(content.get("example")).collect()
}

fn collect_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                names.insert(name.clone());
                collect_names(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_example_is_as_its_schema_says() {
    let gateway = TestGateway::start("").await;
    let contract = Contract::fetch(&gateway).await;
    let mut count = 0;
    for (what, content_type, content) in contract.contents() {
        let examples = examples(content);
        // The document has no example of itself.
        assert!(!examples.is_empty() || what.contains("openapi"), "{what} has no example");
        for example in examples {
            contract.check(&content["schema"], example, &format!("{what} {content_type}"));
            count += 1;
        }
    }
    assert!(count > 50, "only {count}");
    for line in include_str!("../../src/api/document/examples/results.ndjson").lines() {
        let schema = json!({ "$ref": "#/components/schemas/Result" });
        contract.check(&schema, &serde_json::from_str(line).unwrap(), "a line of results");
    }
}

#[tokio::test]
async fn every_field_of_an_answer_stands_in_an_example() {
    let gateway = TestGateway::start("").await;
    let contract = Contract::fetch(&gateway).await;
    let mut shown = BTreeSet::new();
    for (_, _, content) in contract.contents() {
        examples(content).into_iter().for_each(|example| collect_names(example, &mut shown));
    }
    let mut missing = Vec::new();
    for (name, schema) in contract.0["components"]["schemas"].as_object().unwrap() {
        // What callers send has its own test: the readers ask for exactly these fields.
        if schema["additionalProperties"] != false {
            let fields = schema["properties"].as_object().into_iter().flatten();
            missing.extend(
                fields
                    .filter(|(field, _)| !shown.contains(*field))
                    .map(|(field, _)| format!("{name}.{field}")),
            );
        }
    }
    // An example of these would be a thousand results, or a hundred calls, long.
    let long = ["Plan.calls_truncated", "Report.results_truncated"];
    missing.retain(|field| !long.contains(&field.as_str()));
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test]
async fn every_example_request_is_taken() {
    let gateway = TestGateway::start("").await;
    let contract = Contract::fetch(&gateway).await;
    let mut count = 0;
    for path in ["/v1/batches", "/v1/batches/plan"] {
        let body = contract.0["paths"][path]["post"]["requestBody"]["content"].as_object().unwrap();
        for (content_type, content) in body {
            for example in examples(content) {
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                let headers = [("content-type", content_type.as_str())];
                let answer = gateway.post(path, &text, &headers).await;
                assert!([200, 207].contains(&answer.status), "{text}: {}", answer.text);
                contract.check_answer("post", path, &answer);
                count += 1;
            }
        }
    }
    assert!(count >= 12, "only {count}");
}

#[tokio::test]
async fn every_kind_of_answer_is_as_described() {
    let gateway = TestGateway::start("").await;
    let contract = Contract::fetch(&gateway).await;
    let sandbox = [
        ("sandbox-tim", "magic-refuse"),
        ("sandbox-volc", "990002"),
        ("sandbox-openim", "magic-502"),
        ("sandbox-room", "magic-undecided"),
        ("sandbox-relay", "magic-omit"),
    ];
    let routes = sandbox.map(|(channel, magic)| json!({ "channel": channel, "from": "10001", "to": ["1", { "id": magic, "ref": "r" }, "1"] }));
    let batch = json!({ "client_ref": "c", "routes": routes, "message": { "type": "text", "text": "hi" } });
    let sent = gateway.send(&batch).await;
    let report = contract.check_answer("post", "/v1/batches", &sent);
    assert_eq!(sent.status, 207, "{report}");
    let at = |rest: &str| format!("/v1/batches/{}{rest}", report["id"].as_str().unwrap());
    contract.check_answer("get", "/v1/batches/{id}", &gateway.get(&at("")).await);
    for accept in ["application/json", "text/plain"] {
        let read = gateway.get_with(&at(""), &[("accept", accept)]).await;
        contract.check_answer("get", "/v1/batches/{id}", &read);
    }
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let read = gateway.get_with(&at("/results"), &[("accept", accept)]).await;
        contract.check_answer("get", "/v1/batches/{id}/results", &read);
    }
    let resent = gateway.post(&at("/resend"), r#"{"statuses":["failed"]}"#, &[]).await;
    contract.check_answer("post", "/v1/batches/{id}/resend", &resent);
    contract.check_answer("post", "/v1/batches/{id}/cancel", &gateway.post(&at("/cancel"), "", &[]).await);
    let unknown = gateway.get("/v1/batches/bat_00000000000000000000000000").await;
    contract.check_answer("get", "/v1/batches/{id}", &unknown);
    contract.check_answer("get", "/v1/batches", &gateway.get("/v1/batches").await);
    contract.check_answer("get", "/v1/channels", &gateway.get("/v1/channels").await);
    contract.check_answer("get", "/v1/channels/{name}", &gateway.get("/v1/channels/sandbox-tim").await);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        contract.check_answer("get", path, &gateway.get(path).await);
    }
    let running = json!({ "channel": "sandbox-tim", "to": ["magic-hang"], "message": { "type": "text", "text": "hi" } });
    let running = gateway.post("/v1/batches", &running.to_string(), &[("prefer", "wait=0")]).await;
    assert_eq!(running.status, 202);
    contract.check_answer("post", "/v1/batches", &running);
    let refused = gateway.post("/v1/batches", r#"{"to":[true]}"#, &[]).await;
    assert_eq!(contract.check_answer("post", "/v1/batches", &refused)["code"], "invalid_request");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_durable_batches_are_answered_with_is_as_described() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("[store]\nurl = 'sqlite:{}'\n", directory.path().join("imcast.db").display());
    let gateway = TestGateway::start(&store).await;
    let contract = Contract::fetch(&gateway).await;
    let post = async |path: &str, body: &Value, headers: &[(&str, &str)]| {
        let answer = gateway.post(path, &body.to_string(), headers).await;
        let described = if path.ends_with("/resend") { "/v1/batches/{id}/resend" } else { path };
        let json = contract.check_answer("post", described, &answer);
        (answer, json)
    };
    let batch = |to: &str| json!({ "channel": "sandbox-tim", "from": "dave", "to": [to], "message": { "type": "text", "text": "hi" } });
    let send = "/v1/batches";
    let (_, refused) = post(send, &batch("magic-refuse"), &[]).await;
    let resend = format!("/v1/batches/{}/resend", refused["id"].as_str().unwrap());
    for (path, body, key) in [(send, batch("bonnie"), "order-1"), (resend.as_str(), json!({}), "\"order-2\"")]
    {
        let headers = [("idempotency-key", key), ("prefer", "respond-async, wait=25")];
        let (first, report) = post(path, &body, &headers).await;
        assert_eq!(
            (first.status, first.header("preference-applied")),
            (if path == send { 200 } else { 207 }, headers[1].1)
        );
        let (again, same) = post(path, &body, &headers).await;
        assert_eq!((again.header("idempotency-replayed"), same), ("true", report));
        let (_, reused) = post(send, &batch("rong"), &headers).await;
        assert_eq!(reused["code"], "idempotency_key_reused");
        let (_, faulty) = post(path, &body, &[("idempotency-key", "two words")]).await;
        assert_eq!(faulty["code"], "invalid_header");
    }
    let (later, _) = post(send, &batch("magic-hang"), &[("prefer", "respond-async")]).await;
    assert_eq!((later.status, later.header("preference-applied")), (202, "respond-async"));
    for (query, status, count) in [
        ("", 200, 4),
        ("?status=&channel=&page_size=&page_token=", 200, 4),
        ("?page_size=1", 200, 1),
        ("?status=processing&channel=sandbox-tim", 200, 1),
        ("?status=gone&channel=NONE&page_size=x&page_token=x", 422, 0),
    ] {
        let answer = gateway.get(&format!("/v1/batches{query}")).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let page = contract.check_answer("get", send, &answer);
        assert_eq!(page["batches"].as_array().map_or(0, Vec::len), count, "{page}");
    }
    contract.check_answer("get", "/readyz", &gateway.get("/readyz").await);
}
