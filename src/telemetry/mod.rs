//! Logs and metrics for the operator.
//!
//! Every room may write log events through `tracing`; only `api` counts into [`Metrics`]. Neither ever
//! contains a customer's text: all labels are names that the program chose itself.

mod durations;
mod engine;

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, info::Info},
    registry::{Registry, Unit},
};
use tracing_subscriber::EnvFilter;

pub use engine::{EngineLoad, EngineMetrics};

use crate::config::{Log, LogFormat};
use durations::{Durations, SecondsBuckets};
use engine::EngineFamilies;

/// Upper bounds of the buckets of a request's and a stage's duration: from a lookup in
/// memory to a long reply on a slow processor.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error(
        "log.level {level:?} is wrong ({source}); write a level such as \"info\" or directives \
         such as \"info,tier0::engine=debug\""
    )]
    Level {
        /// The configured value.
        level: String,
        /// The parser's error.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging has already been started in this process.
    #[error("logging cannot start: {0}")]
    Started(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends log events to standard error from now on. Call it once in a process.
///
/// # Errors
/// [`TelemetryError`] when the level cannot be read or logging runs already.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|source| TelemetryError::Level { level: log.level.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(TelemetryError::Started)
}

/// An HTTP request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    /// The route's pattern, never the path that was asked for.
    pub route: String,
    /// The method, or `other`.
    pub method: &'static str,
    /// The status of the answer.
    pub status: u16,
}

/// How a ticket ended, in the words of the `support` object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TicketLabels {
    /// `reply` or `escalate`.
    pub decision: String,
    /// `answer`, `deny`, …
    pub outcome: String,
    /// `model` or `template`.
    pub written_by: String,
}

/// The result of a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabels {
    /// The action, such as `cancel_order`.
    pub name: String,
    /// `done`, `repeated` (it had been done before), `refused` or `failed`.
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    kind: &'static str,
}

/// The metrics of the process, for Prometheus.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpLabels, Counter>,
    http_request_seconds: Durations<RouteLabel>,
    tickets: Family<TicketLabels, Counter>,
    stage_seconds: Durations<StageLabel>,
    tokens: Family<TokenLabels, Counter>,
    actions: Family<ActionLabels, Counter>,
    engines: EngineFamilies,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that are all zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            http_requests: Family::default(),
            http_request_seconds: Family::new_with_constructor(SecondsBuckets(&SECONDS)),
            tickets: Family::default(),
            stage_seconds: Family::new_with_constructor(SecondsBuckets(&SECONDS)),
            tokens: Family::default(),
            actions: Family::default(),
            engines: EngineFamilies::new(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        self.engines.register(&mut self.registry);
        let registry = self.registry.sub_registry_with_prefix("tier0");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", build);
        registry.register("http_requests", "Requests answered", self.http_requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until the head of the answer is ready; a stream's body comes after it",
            Unit::Seconds,
            self.http_request_seconds.clone(),
        );
        registry.register("tickets", "Tickets answered", self.tickets.clone());
        registry.register_with_unit(
            "stage",
            "Time of each stage of a ticket",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        registry.register(
            "tokens",
            "Tokens read (prompt), read without computation (cached) and written (completion)",
            self.tokens.clone(),
        );
        registry.register("actions", "Confirmations of proposed actions", self.actions.clone());
    }

    /// Counts an answered request.
    pub fn http_request(&self, labels: &HttpLabels, took: Duration) {
        let route = labels.route.clone();
        self.http_requests.get_or_create(labels).inc();
        self.http_request_seconds.get_or_create(&RouteLabel { route }).observe(took.as_secs_f64());
    }

    /// Counts an answered ticket.
    pub fn ticket(&self, labels: &TicketLabels) {
        self.tickets.get_or_create(labels).inc();
    }

    /// Counts the time of one stage of a ticket.
    pub fn stage(&self, stage: &str, took: Duration) {
        let stage = stage.to_owned();
        self.stage_seconds.get_or_create(&StageLabel { stage }).observe(took.as_secs_f64());
    }

    /// Counts tokens of one kind: `prompt`, `cached` or `completion`.
    pub fn tokens(&self, model: &str, kind: &'static str, n_tokens: usize) {
        let model = model.to_owned();
        self.tokens.get_or_create(&TokenLabels { model, kind }).inc_by(n_tokens as u64);
    }

    /// Counts a confirmation of an action.
    pub fn action(&self, labels: &ActionLabels) {
        self.actions.get_or_create(labels).inc();
    }

    /// The metrics of the engine that runs `model`.
    #[must_use]
    pub fn engine(&self, model: &str) -> EngineMetrics {
        EngineMetrics::new(self.engines.clone(), model)
    }

    /// Everything counted so far, in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never in practice: only when writing to a string fails.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_on_the_page_under_its_names() {
        let metrics = Metrics::new();
        let labels = HttpLabels { route: "/health".to_owned(), method: "GET", status: 200 };
        metrics.http_request(&labels, Duration::from_millis(3));
        metrics.http_request(&labels, Duration::from_millis(30));
        metrics.stage("triage", Duration::from_millis(2));
        metrics.tokens("some-model", "completion", 17);
        let engine = metrics.engine("some-model");
        let load = EngineLoad { n_running: 3, cache_usage: 0.25, n_prefix_hits: 7, ..EngineLoad::default() };
        engine.load(&EngineLoad::default(), &load);
        engine.load(&load, &EngineLoad { n_prefix_hits: 9, ..load });
        engine.first_token(Duration::from_millis(50));
        engine.finished("stop", 100, 20, Duration::from_secs(2));
        metrics.ticket(&TicketLabels {
            decision: "reply".to_owned(),
            outcome: "deny".to_owned(),
            written_by: "model".to_owned(),
        });
        metrics.action(&ActionLabels { name: "cancel_order".to_owned(), state: "done" });
        let page = metrics.render().unwrap();
        for line in [
            format!(r#"tier0_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")).as_str(),
            r#"tier0_http_requests_total{route="/health",method="GET",status="200"} 2"#,
            r#"tier0_http_request_duration_seconds_bucket{le="0.005",route="/health"} 1"#,
            r#"tier0_http_request_duration_seconds_count{route="/health"} 2"#,
            r#"vllm:num_requests_running{model_name="some-model"} 3"#,
            r#"vllm:kv_cache_usage_perc{model_name="some-model"} 0.25"#,
            r#"vllm:prefix_cache_hits_total{model_name="some-model"} 9"#,
            r#"vllm:time_to_first_token_seconds_bucket{le="0.06",model_name="some-model"} 1"#,
            r#"vllm:e2e_request_latency_seconds_count{model_name="some-model"} 1"#,
            r#"vllm:prompt_tokens_total{model_name="some-model"} 100"#,
            r#"vllm:request_success_total{model_name="some-model",finished_reason="stop"} 1"#,
            r#"tier0_stage_seconds_count{stage="triage"} 1"#,
            r#"tier0_tokens_total{model="some-model",kind="completion"} 17"#,
            r#"tier0_tickets_total{decision="reply",outcome="deny",written_by="model"} 1"#,
            r#"tier0_actions_total{name="cancel_order",state="done"} 1"#,
        ] {
            assert!(page.contains(line), "{line} is missing from:\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_wrong_level_is_shown_with_what_to_write() {
        let log = Log { level: "tier0=loud".to_owned(), format: LogFormat::Text };
        let error = init(&log).unwrap_err().to_string();
        assert!(error.contains("tier0=loud"), "{error}");
        assert!(error.contains("log.level"), "{error}");
    }
}
