//! Logs to standard error, and traces to a collector (OpenTelemetry's OTLP over HTTP).

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter};

use super::settings::LogFormat;

/// How long a collector may take for a batch of spans.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Begins to log, and to trace if there is a collector at `endpoint`. Must be called on the runtime that serves.
///
/// # Errors
/// If the address is none.
pub(super) fn begin(
    format: LogFormat,
    endpoint: Option<&str>,
) -> Result<Option<SdkTracerProvider>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let provider = endpoint.map(provider).transpose()?;
    // Spans of our own only: those hold numbers and names, never what people write.
    let ours =
        filter::filter_fn(|meta| meta.is_span() && meta.target().starts_with("sprat_service"));
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer("sprat");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        layer
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(traces)
        .init();
    Ok(provider)
}

/// Makes a request's span a part of the trace that its `traceparent` header names.
pub(super) fn adopt(headers: &HeaderMap, span: &Span) {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // Without a tracer there is nothing to be a part of.
    let _ = span.set_parent(parent);
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let client = OnRuntime {
        client: HyperClient::with_default_connector(TIMEOUT, None),
        runtime: Handle::current(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .with_context(|| format!("cannot send traces to {endpoint}"))?;
    let resource = Resource::builder().with_service_name("sprat").build();
    let provider = SdkTracerProvider::builder();
    Ok(provider
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

/// The exporter has a thread without a runtime, and the client needs one.
#[derive(Debug)]
struct OnRuntime {
    client: HyperClient,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        sent.await?
    }
}
