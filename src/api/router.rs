//! Every route on one page.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
#[cfg(feature = "swagger-ui")]
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::body::Bodies;
use crate::api::document::Document;
#[cfg(feature = "swagger-ui")]
use crate::api::document::page;
use crate::api::keys::authenticate;
use crate::api::probes::StoreCheck;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::recent_reports::RecentReports;
use crate::api::{
    Api, MetricsAt, cancel, channels, document, list_batches, metrics, plan_batch, probes, read_batch,
    read_results, request_id, resend, send,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::words::Violation;

/// What every action gets; lives as long as the router.
///
/// One pointer: every layer on the way to an action makes a copy.
#[derive(Clone)]
pub struct State(Arc<Served>);

/// What a [`State`] leads to.
pub struct Served {
    /// What is served.
    pub api: Arc<Api>,
    /// How much of requests may be in memory.
    pub bodies: Bodies,
    /// Whose results were read last.
    pub recent_reports: RecentReports,
    /// What the API promises.
    pub document: Document,
    /// Whether the store serves.
    pub store_check: StoreCheck,
}

impl State {
    /// Takes the limits from the settings.
    #[must_use]
    pub fn new(api: Arc<Api>) -> Self {
        let bodies = Bodies::new(&api.settings.limits);
        Self(Arc::new(Served {
            api,
            bodies,
            recent_reports: RecentReports::default(),
            document: Document::default(),
            store_check: StoreCheck::default(),
        }))
    }
}

impl Deref for State {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

/// Every route of the API's own listener, but that of the metrics.
pub fn routes() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/v1/batches", get(list_batches::list_batches).post(send::send)),
        // A path of its own: no typo in a plan can send.
        ("/v1/batches/plan", post(plan_batch::plan_batch)),
        ("/v1/batches/{id}", get(read_batch::read_batch)),
        ("/v1/batches/{id}/resend", post(resend::resend)),
        ("/v1/batches/{id}/results", get(read_results::read_results)),
        ("/v1/batches/{id}/cancel", post(cancel::cancel)),
        ("/v1/channels", get(channels::list)),
        ("/v1/channels/{name}", get(channels::read)),
        ("/livez", get(probes::live)),
        ("/readyz", get(probes::ready)),
        ("/openapi.json", get(document::read)),
    ]
}

/// The page that shows the document.
#[cfg(feature = "swagger-ui")]
fn page() -> Router<State> {
    Router::new()
        .route("/docs", get(page::lead))
        .route("/docs/", get(page::index))
        .route("/docs/{*file}", get(page::asset))
        .layer(from_fn(page::protect))
}

/// Assembles the routes and what every answer goes through.
pub fn build(state: &State, metrics_at: MetricsAt) -> Router {
    let router =
        routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    #[cfg(feature = "swagger-ui")]
    let router = router.merge(page());
    let router = match metrics_at {
        MetricsAt::Api => router.route("/metrics", get(metrics::read_as_operator)),
        MetricsAt::Admin => router,
    };
    // Around the fallbacks too: whoever has no key learns nothing, not even which paths exist.
    let guarded = with_fallbacks(router).layer(from_fn_with_state(state.clone(), authenticate::authenticate));
    finish(guarded, state)
}

/// The routes of the admin listener, none of which asks for a key.
pub fn build_admin(state: &State) -> Router {
    let router = Router::new()
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(metrics::read));
    finish(with_fallbacks(router), state)
}

/// Adds the answers where there is nothing.
fn with_fallbacks(router: Router<State>) -> Router<State> {
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// Adds what every answer goes through.
fn finish(router: Router<State>, state: &State) -> Router {
    let metrics = Arc::clone(state.api.dispatcher.metrics());
    router
        // Inside the next layer, so that the answer to a panic gets its body, and a batch that was handed over
        // before the panic its 202.
        .layer(CatchPanicLayer::custom(move |payload| explain_panic(payload, &metrics)))
        // Outermost: every answer carries the request's id, problems of all layers below included.
        .layer(from_fn_with_state(state.clone(), request_id::identify))
        .with_state(state.clone())
}

async fn not_found() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is nothing at this path")
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemCode::MethodNotAllowed, "the `Allow` header names the methods of this path")
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the payload over by value")]
fn explain_panic(payload: Box<dyn Any + Send + 'static>, metrics: &Metrics) -> Response {
    metrics.count_violation(Violation::RequestPanic);
    let reason = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown");
    tracing::error!(reason, "A request ended in a panic.");
    Problem::new(ProblemCode::Internal, "a fault of the gateway; the log names this request's id")
        .into_response()
}
