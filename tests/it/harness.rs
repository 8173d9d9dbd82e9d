//! A whole gateway on a free port, and a client for it.

use std::sync::Mutex;
use std::time::Duration;

use config::{Config, File, FileFormat};
use imcast::adapter::channel::Channel;
use imcast::app::App;
use imcast::config::{LoadError, Settings};
use imcast::dispatch::clock::{Clock, Randomness};
use imcast::providers::REGISTRY;
use imcast::store::settings::Place;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::outputs::{self, Output};

/// What every test's gateway has: short waits, and nothing of the machine it runs on.
const BASE: &str = "
[server]
listen = '127.0.0.1:0'
[store]
url = 'memory:'
[delivery]
backoff_base_ms = 1
throttled_backoff_base_ms = 1
token_wait_ms = 1
[shutdown]
drain_delay_seconds = 0
grace_seconds = 10
";

/// No test waits longer than this for an answer of the gateway.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway; dropping it ends it.
pub(crate) struct TestGateway {
    app: Mutex<Option<App>>,
    base_url: String,
    admin_url: Option<String>,
    store: Place,
    client: reqwest::Client,
}

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Reads this configuration over [`BASE`].
fn load(toml: &str) -> Result<Settings, LoadError> {
    let mut text = String::new();
    to_toml(merge(&[BASE, toml]).as_object().unwrap(), "", &mut text);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    imcast::config::load(Some(file.path()), [], REGISTRY)
}

impl TestGateway {
    /// Starts a gateway with this configuration over [`BASE`].
    pub(crate) async fn start(toml: &str) -> Self {
        if outputs::is_searched() {
            outputs::log_everything();
        }
        let settings = load(toml).unwrap_or_else(|error| panic!("{toml}: {error:?}"));
        let store = settings.store.place.clone();
        let app = App::start(settings, Clock::system(), Randomness::from_entropy()).await.unwrap();
        Self {
            base_url: format!("http://{}", app.local_addr()),
            admin_url: app.admin_addr().map(|address| format!("http://{address}")),
            store,
            client: client(),
            app: Mutex::new(Some(app)),
        }
    }

    /// Makes it read this configuration over [`BASE`] anew.
    pub(crate) fn reload(&self, toml: &str) {
        self.app.lock().unwrap().as_ref().unwrap().reloader().reload(load(toml));
    }

    /// Ends it in order, once; requests that are open get their answers.
    pub(crate) async fn leave(&self) {
        let app = self.app.lock().unwrap().take();
        app.unwrap().shutdown().await;
    }

    /// Sends a batch and waits for its end.
    pub(crate) async fn send(&self, batch: &Value) -> Answer {
        self.post("/v1/batches", &batch.to_string(), &[("prefer", "wait=25")]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = http::HeaderMap::new();
        for (name, value) in [("content-type", "application/json")].iter().chain(headers) {
            all.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let request = self.client.post(format!("{}{path}", self.base_url));
        answer(request.headers(all).body(body.to_owned())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// Asks the admin listener, which the configuration must name.
    pub(crate) async fn get_admin(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.admin_url.as_deref().unwrap()))).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(format!("{}{path}", self.base_url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.base_url.trim_start_matches("http://").parse().unwrap()
    }

    /// A bare connection, for callers that misbehave.
    pub(crate) async fn connect(&self) -> TcpStream {
        self.try_connect().await.unwrap()
    }

    /// Whether it takes connections.
    pub(crate) async fn is_listening(&self) -> bool {
        self.try_connect().await.is_ok()
    }

    async fn try_connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(self.address()).await
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if !outputs::is_searched() {
            return;
        }
        match &self.store {
            Place::Memory => {}
            Place::Sqlite(path) => outputs::note_file(path),
            #[cfg(feature = "postgres")]
            Place::Postgres { url, .. } => {
                outputs::note(Output::Store, &dump(url.expose()));
            }
            #[cfg(not(feature = "postgres"))]
            Place::Postgres { .. } => {}
        }
    }
}

/// All that a database of the shared server holds, as text: asked for at the server itself, since a proxy that a test
/// put before it may need this thread.
#[cfg(feature = "postgres")]
pub(crate) fn dump(url: &str) -> Vec<u8> {
    let program = crate::cluster::programs().unwrap().join("pg_dump");
    let name = url.rsplit('/').next().unwrap();
    let server = format!("postgres://postgres@{}/{name}", crate::cluster::shared().address());
    let dump = std::process::Command::new(program).args(["--inserts", "--dbname", &server]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    dump.stdout
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.timeout(PATIENCE).send().await.unwrap();
    let answer = Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    };
    outputs::note(Output::Answer, format!("{answer:?}\n{}\n", answer.text).as_bytes());
    answer
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Layers of TOML, later ones on top.
fn merge(layers: &[&str]) -> Value {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(File::from_str(layer, FileFormat::Toml));
    }
    builder.build().unwrap().try_deserialize().unwrap()
}

/// A tree of settings as the text of a configuration file; scalars and arrays of them are the same in JSON.
fn to_toml(table: &serde_json::Map<String, Value>, path: &str, out: &mut String) {
    let is_table = |value: &Value| {
        value.is_object() || value.as_array().is_some_and(|all| all.iter().any(Value::is_object))
    };
    for (key, value) in table.iter().filter(|(_, value)| !is_table(value)) {
        out.push_str(&format!("{key} = {value}\n"));
    }
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if let Value::Object(inner) = value {
            out.push_str(&format!("[{path}]\n"));
            to_toml(inner, &path, out);
        }
        for inner in value.as_array().into_iter().flatten().filter_map(Value::as_object) {
            out.push_str(&format!("[[{path}]]\n"));
            to_toml(inner, &path, out);
        }
    }
}

/// A channel as the gateway assembles it, for tests that ask an adapter itself.
pub(crate) fn build_channel(provider: &str, base_url: &str, settings: &str) -> Channel {
    let provider = imcast::providers::find(provider).unwrap();
    imcast::config::build_channel(provider, base_url, settings)
        .unwrap_or_else(|error| panic!("{}: {error:?}", provider.name))
}
