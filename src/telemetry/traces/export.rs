//! Exports spans by OTLP over HTTP.

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::telemetry::settings::TraceSettings;
use crate::telemetry::trace_context::{TraceContext, TraceId};

/// Spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The exporter cannot be set up.
    #[error("the trace exporter cannot be set up")]
    Build(#[source] opentelemetry_otlp::ExporterBuildError),
    /// What was left at the end could not be exported.
    #[error("the last spans were not exported")]
    Flush(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// The exporter at work: spans are collected and sent in groups by a thread of its own; when the collector does
/// not keep up, spans are dropped and nothing waits.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
}

impl Export {
    /// Starts the exporter if the settings name a collector; `client` carries its requests.
    ///
    /// # Errors
    /// [`ExportError::Build`]: the operator mends the endpoint.
    pub fn start(
        settings: &TraceSettings,
        client: impl HttpClient + 'static,
    ) -> Result<Option<Self>, ExportError> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&**endpoint)
            .with_http_client(client)
            .build()
            .map_err(ExportError::Build)?;
        let resource = Resource::builder_empty().with_service_name(env!("CARGO_PKG_NAME")).build();
        let root = Sampler::TraceIdRatioBased(settings.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider }))
    }

    /// What takes spans; events are for the log alone.
    #[must_use]
    pub fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let is_ours = |metadata: &tracing::Metadata<'_>| {
            metadata.is_span()
                && *metadata.level() <= Level::DEBUG
                && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
        };
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer_with_scope(scope))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(filter_fn(is_ours)).boxed()
    }

    /// Exports what is left and ends; blocks for at most some seconds.
    ///
    /// # Errors
    /// [`ExportError::Flush`]: the collector did not take it.
    pub fn stop(self) -> Result<(), ExportError> {
        self.provider.shutdown().map_err(ExportError::Flush)
    }
}

/// Puts a request's span into its trace; `None` if nothing exports it.
pub(super) fn join(span: &Span, context: TraceContext) -> Option<TraceId> {
    if let Some(parent) = context.parent {
        let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let remote = SpanContext::new(
            opentelemetry::trace::TraceId::from_bytes(context.trace_id.number().to_be_bytes()),
            SpanId::from_bytes(parent.span_id.to_be_bytes()),
            flags,
            true,
            TraceState::default(),
        );
        // Without an exporter there is nothing to join.
        span.set_parent(Context::new().with_remote_span_context(remote)).ok()?;
    }
    let joined = span.context();
    let joined = joined.span().span_context().clone();
    joined.is_valid().then(|| TraceId::new(u128::from_be_bytes(joined.trace_id().to_bytes())))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{Request, Response};
    use opentelemetry_http::HttpError;
    use tracing::debug_span;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::trace_context::Parent;
    use crate::telemetry::traces::{end_request, request_span};

    /// A collector that keeps what it is sent.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl HttpClient for Kept {
        fn send_bytes<'this, 'future>(
            &'this self,
            request: Request<Bytes>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
        where
            'this: 'future,
            Self: 'future,
        {
            assert_eq!(request.uri(), "http://collector.example/v1/traces");
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            self.0.lock().unwrap().extend_from_slice(request.body());
            Box::pin(std::future::ready(Ok(Response::new(Bytes::new()))))
        }
    }

    /// What is exported of a request in this trace, and the trace that it is known under.
    fn exported(context: TraceContext, sample_ratio: f64) -> (Vec<u8>, TraceId) {
        let kept = Kept::default();
        let otlp_endpoint = Some("http://collector.example/v1/traces".into());
        let settings = TraceSettings { otlp_endpoint, sample_ratio };
        let export = Export::start(&settings, kept.clone()).unwrap().unwrap();
        let subscriber = Registry::default().with(Some(export.layer()));
        let trace_id = tracing::subscriber::with_default(subscriber, || {
            let (span, trace_id) = request_span(context, "POST", "/v1/batches");
            span.in_scope(|| {
                debug_span!("batch", batch.id = "bat_1").in_scope(|| tracing::error!("an event"));
                tracing::trace_span!("detail").in_scope(|| {});
                debug_span!(target: "h2::client", "foreign").in_scope(|| {});
            });
            end_request(&span, 207);
            trace_id
        });
        export.stop().unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        (bytes, trace_id)
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    const SPAN: u64 = 0xb7ad_6b71_6920_3331;

    fn continued(is_sampled: bool) -> TraceContext {
        TraceContext { trace_id: TraceId::new(TRACE), parent: Some(Parent { span_id: SPAN, is_sampled }) }
    }

    #[test]
    fn a_callers_trace_is_exported_as_its_own() {
        let (bytes, trace_id) = exported(continued(true), 0.0);
        assert_eq!(trace_id, TraceId::new(TRACE));
        for part in [
            &TRACE.to_be_bytes()[..],
            &SPAN.to_be_bytes(),
            b"request",
            b"batch",
            b"bat_1",
            b"/v1/batches",
            b"imcast",
        ] {
            assert!(holds(&bytes, part), "{part:?}");
        }
        for part in [&b"an event"[..], b"detail", b"foreign"] {
            assert!(!holds(&bytes, part), "{part:?}");
        }
    }

    #[test]
    fn a_trace_that_begins_here_has_the_name_in_the_log() {
        let (bytes, trace_id) = exported(TraceContext::begin(TraceId::new(1)), 1.0);
        assert!(holds(&bytes, &trace_id.number().to_be_bytes()));
    }

    #[test]
    fn what_is_not_sampled_is_not_exported() {
        let (bytes, trace_id) = exported(continued(false), 1.0);
        assert_eq!((bytes.len(), trace_id), (0, TraceId::new(TRACE)));
        let (bytes, _) = exported(TraceContext::begin(TraceId::new(1)), 0.0);
        assert_eq!(bytes.len(), 0);
    }
}
