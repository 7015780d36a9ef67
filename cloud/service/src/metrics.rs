//! What Prometheus is told: vLLM's names with our prefix, so that its dashboards fit.
//!
//! Labels are models, routes as written in the router, methods and statuses; never anything a
//! person wrote. Each application has its own registry, so that two in one process don't mix.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::{Engine, EngineLoad, Route, Unloads, UpstreamLoad, Weights};

/// Bucket bounds in seconds.
const FIRST_TOKEN: [f64; 17] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0,
];
const NEXT_TOKEN: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0,
];
const WHOLE: [f64; 12] = [
    0.1, 0.3, 0.5, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0,
];

const NAMES: [(&str, Unit, &str); 4] = [
    (
        "sprat_time_to_first_token_seconds",
        Unit::Seconds,
        "Time from a request's admission to its first token.",
    ),
    (
        "sprat_inter_token_latency_seconds",
        Unit::Seconds,
        "Time between tokens.",
    ),
    (
        "sprat_e2e_request_latency_seconds",
        Unit::Seconds,
        "Time from a request's admission to its end.",
    ),
    (
        "sprat_http_request_duration_seconds",
        Unit::Seconds,
        "Time to a response's headers, by route.",
    ),
];
const GAUGES: [(&str, &str); 6] = [
    (
        "sprat_num_requests_running",
        "Requests that are being computed.",
    ),
    (
        "sprat_num_requests_waiting",
        "Requests that wait for their turn.",
    ),
    (
        "sprat_kv_cache_usage_perc",
        "Share of the cache that answers in progress hold; 1 is all of it.",
    ),
    (
        MEMORY,
        "Bytes that the weights and caches of all models in memory take.",
    ),
    (BUDGET, "Bytes that they may take together."),
    // By its meaning a counter, but those of this library are whole numbers.
    (COST, "What other servers charged, in US dollars."),
];
const COST: &str = "sprat_upstream_cost_usd_total";
const MEMORY: &str = "sprat_memory_bytes";
const BUDGET: &str = "sprat_memory_budget_bytes";
const LOADS: &str = "sprat_model_loads_total";
const UNLOADS: &str = "sprat_model_unloads_total";
const COUNTERS: [(&str, &str); 16] = [
    (
        "sprat_http_requests_total",
        "Responses by route, method and status.",
    ),
    (
        "sprat_request_success_total",
        "Complete answers, by finish reason.",
    ),
    (
        "sprat_request_failure_total",
        "Answers that broke off by an error.",
    ),
    (
        "sprat_request_cancelled_total",
        "Answers that nobody waited for any more.",
    ),
    (
        "sprat_key_limited_total",
        "Requests that the limit of their API key turned away, by its name.",
    ),
    ("sprat_prompt_tokens_total", "Prompt tokens."),
    ("sprat_generation_tokens_total", "Generated tokens."),
    (
        "sprat_prefix_cache_queries_total",
        "Prompt tokens looked up in the cache.",
    ),
    (
        "sprat_prefix_cache_hits_total",
        "Prompt tokens found in the cache.",
    ),
    (
        "sprat_num_preemptions_total",
        "Answers that gave their memory to older ones, to be computed again.",
    ),
    (
        "sprat_private_refused_total",
        "Requests flagged private; more than 0 is a client's bug.",
    ),
    (
        DECISIONS,
        "Answers whose engine was chosen among several, by that engine and the rule.",
    ),
    (LOADS, "How often a model was loaded."),
    (
        UNLOADS,
        "How often a model was unloaded: nobody asked for long, another one needed the memory, or the operator asked.",
    ),
    (
        "sprat_upstream_tries_total",
        "Requests to other servers, each again counted.",
    ),
    (
        "sprat_upstream_failures_total",
        "Requests to other servers that failed.",
    ),
];
const DECISIONS: &str = "sprat_router_decisions_total";
const REJECTED: &str = "sprat_admission_rejections_total";

/// The registry of one application.
pub(crate) struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    models: HashMap<String, ModelMetrics>,
    /// Requests turned away because too many were waiting.
    pub(crate) rejected: Counter,
    /// Requests flagged private.
    pub(crate) private: Counter,
}

/// The series of one model.
#[derive(Clone)]
pub(crate) struct ModelMetrics {
    pub(crate) first_token: Histogram,
    pub(crate) next_token: Histogram,
    pub(crate) whole: Histogram,
    pub(crate) running: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) stopped: Counter,
    pub(crate) cut: Counter,
    pub(crate) filtered: Counter,
    pub(crate) failed: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) prompt_tokens: Counter,
    pub(crate) generated_tokens: Counter,
    pub(crate) cache_queries: Counter,
    pub(crate) cache_hits: Counter,
    cache_usage: Gauge,
    preemptions: Counter,
}

impl Metrics {
    /// `budget` is what all models together may take of the memory, in bytes.
    pub(crate) fn new<'a>(models: impl IntoIterator<Item = &'a str>, budget: Option<u64>) -> Self {
        let recorder = Arc::new(recorder());
        describe(&recorder);
        if let Some(budget) = budget {
            gauge(&recorder, BUDGET, vec![]).set(budget as f64);
        }
        let models = models
            .into_iter()
            .map(|model| (model.to_owned(), ModelMetrics::new(&recorder, model)))
            .collect();
        Self {
            handle: recorder.handle(),
            models,
            rejected: counter(&recorder, REJECTED, vec![]),
            private: counter(&recorder, "sprat_private_refused_total", vec![]),
            recorder,
        }
    }

    /// The series of a model that was named when this registry was made.
    pub(crate) fn model(&self, id: &str) -> ModelMetrics {
        // An engine may change its id; then it is counted by the new one.
        self.models
            .get(id)
            .cloned()
            .unwrap_or_else(|| ModelMetrics::new(&self.recorder, id))
    }

    /// Counts which engines answer.
    pub(crate) fn decisions(&self) -> Decisions {
        Decisions(Arc::clone(&self.recorder))
    }

    /// Counts a response. `route` must be a pattern of the router, never a path as it was sent.
    pub(crate) fn response(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let method = method_name(method);
        let route = Label::new("route", route.to_owned());
        let labels = vec![
            route.clone(),
            Label::new("method", method.to_owned()),
            Label::new("status", status.as_str().to_owned()),
        ];
        counter(&self.recorder, "sprat_http_requests_total", labels).increment(1);
        histogram(
            &self.recorder,
            "sprat_http_request_duration_seconds",
            vec![route],
        )
        .record(took);
    }

    /// Counts a request that a key's limit has turned away. Names of keys are the operator's own.
    pub(crate) fn limited(&self, key: &str) {
        let labels = vec![Label::new("key", key.to_owned())];
        counter(&self.recorder, "sprat_key_limited_total", labels).increment(1);
    }

    /// All series in Prometheus' text format, with what the engines say now.
    pub(crate) fn render(&self, engines: &[Arc<dyn Engine>]) -> String {
        let mut memory = None;
        for engine in engines {
            let id = engine.info().id;
            self.model(&id).load(engine.load());
            if let Some(weights) = engine.weights() {
                self.weights(&id, &weights);
                *memory.get_or_insert(0) += weights.bytes;
            }
            if let Some(load) = engine.upstream() {
                self.upstream(id, load);
            }
        }
        if let Some(bytes) = memory {
            gauge(&self.recorder, MEMORY, vec![]).set(bytes as f64);
        }
        self.handle.render()
    }

    fn weights(&self, id: &str, weights: &Weights) {
        let model = Label::new("model_name", id.to_owned());
        counter(&self.recorder, LOADS, vec![model.clone()]).absolute(weights.loads);
        let Unloads {
            idle,
            memory,
            asked,
        } = weights.unloads;
        for (reason, count) in [("idle", idle), ("memory", memory), ("asked", asked)] {
            let labels = vec![model.clone(), Label::from_static_parts("reason", reason)];
            counter(&self.recorder, UNLOADS, labels).absolute(count);
        }
    }

    fn upstream(&self, id: String, load: UpstreamLoad) {
        let labels = vec![Label::new("model_name", id)];
        let count = |name| counter(&self.recorder, name, labels.clone());
        count("sprat_upstream_tries_total").absolute(load.tries);
        count("sprat_upstream_failures_total").absolute(load.failures);
        gauge(&self.recorder, COST, labels.clone()).set(load.cost_usd);
    }

    /// Folds raw measurements into their buckets; without it they pile up between scrapes.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Counts which engines answer. Their ids are the operator's, and the rules are ours.
#[derive(Clone)]
pub(crate) struct Decisions(Arc<PrometheusRecorder>);

impl Decisions {
    pub(crate) fn routed(&self, route: &Route) {
        let target = Label::new("target", route.target.clone());
        let rule = Label::from_static_parts("rule", route.rule.as_str());
        counter(&self.0, DECISIONS, vec![target, rule]).increment(1);
    }
}

/// A method as labels and spans may say it: others can be any text.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

impl ModelMetrics {
    fn new(recorder: &PrometheusRecorder, model: &str) -> Self {
        let label = || vec![Label::new("model_name", model.to_owned())];
        let finished = |reason: &'static str| {
            let mut labels = label();
            labels.push(Label::from_static_parts("finished_reason", reason));
            counter(recorder, "sprat_request_success_total", labels)
        };
        let count = |name| counter(recorder, name, label());
        let series = Self {
            first_token: histogram(recorder, "sprat_time_to_first_token_seconds", label()),
            next_token: histogram(recorder, "sprat_inter_token_latency_seconds", label()),
            whole: histogram(recorder, "sprat_e2e_request_latency_seconds", label()),
            running: gauge(recorder, "sprat_num_requests_running", label()),
            waiting: gauge(recorder, "sprat_num_requests_waiting", label()),
            stopped: finished("stop"),
            cut: finished("length"),
            filtered: finished("content_filter"),
            failed: count("sprat_request_failure_total"),
            cancelled: count("sprat_request_cancelled_total"),
            prompt_tokens: count("sprat_prompt_tokens_total"),
            generated_tokens: count("sprat_generation_tokens_total"),
            cache_queries: count("sprat_prefix_cache_queries_total"),
            cache_hits: count("sprat_prefix_cache_hits_total"),
            cache_usage: gauge(recorder, "sprat_kv_cache_usage_perc", label()),
            preemptions: count("sprat_num_preemptions_total"),
        };
        // A series that is there from the start can be watched for its first change.
        series.running.set(0.0);
        series.waiting.set(0.0);
        series.cache_usage.set(0.0);
        series
    }

    /// What the engine says of its memory.
    fn load(&self, load: EngineLoad) {
        let all = load.cache_positions.max(1) as f64;
        self.cache_usage.set(load.cache_used as f64 / all);
        self.preemptions.absolute(load.preemptions);
    }
}

fn recorder() -> PrometheusRecorder {
    // Fails only for an empty list of buckets.
    let buckets = |builder: PrometheusBuilder, name: &str, bounds: &[f64]| {
        builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
            .unwrap_or_else(|_| PrometheusBuilder::new())
    };
    let builder = PrometheusBuilder::new();
    let builder = buckets(builder, NAMES[0].0, &FIRST_TOKEN);
    let builder = buckets(builder, NAMES[1].0, &NEXT_TOKEN);
    let builder = buckets(builder, NAMES[2].0, &WHOLE);
    buckets(builder, NAMES[3].0, &WHOLE).build_recorder()
}

fn describe(recorder: &PrometheusRecorder) {
    for (name, unit, text) in NAMES {
        recorder.describe_histogram(name.into(), Some(unit), text.into());
    }
    for (name, text) in GAUGES {
        recorder.describe_gauge(name.into(), None, text.into());
    }
    for (name, text) in COUNTERS {
        recorder.describe_counter(name.into(), None, text.into());
    }
    let text = "Requests turned away because too many were waiting.";
    recorder.describe_counter(REJECTED.into(), None, text.into());
}

fn metadata() -> Metadata<'static> {
    Metadata::new("sprat", Level::INFO, None)
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    let counter = recorder.register_counter(&Key::from_parts(name, labels), &metadata());
    counter.increment(0);
    counter
}

fn gauge(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Gauge {
    recorder.register_gauge(&Key::from_parts(name, labels), &metadata())
}

fn histogram(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Histogram {
    recorder.register_histogram(&Key::from_parts(name, labels), &metadata())
}
