//! The measurement under load, against a server of our own and one that fails.

use serde_json::json;
use tier0::{
    bench::ServeBench,
    config::Server,
    engine::{EngineError, FinishReason},
};
use tier0_client::{Client, Patience};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::streams::run;
use crate::fakes::{ScriptedModel, ScriptedSupport, Step, USAGE, denial};

fn bench() -> ServeBench {
    ServeBench {
        model: "tiny".to_owned(),
        concurrency: 3,
        n_requests: 10,
        n_shared_words: 5,
        n_prompt_words: 10,
        max_tokens: 8,
    }
}

#[tokio::test]
async fn every_request_is_counted_and_timed() {
    let model = ScriptedModel::new(&[Step::Text("a"), Step::Text("b"), Step::End(FinishReason::Stop)]);
    let server = run(model, ScriptedSupport::answering(denial()), Server::default()).await;
    let client = Client::new(&format!("http://{}", server.address), None, Patience::DEFAULT).unwrap();
    assert_eq!(client.models().await.unwrap(), ["support", "tiny"]);
    let report = bench().run(&client).await;
    assert_eq!((report.n_requests, report.n_errors), (10, 0));
    assert_eq!(report.completion_tokens, 10 * USAGE.completion_tokens as u64);
    assert_eq!(report.prompt_tokens, 10 * USAGE.prompt_tokens as u64);
    assert!(report.ttft_ms.p50 > 0.0 && report.ttft_ms.max <= report.e2e_ms.max);
    assert!(report.output_tps > 0.0);
}

#[tokio::test]
async fn a_failure_is_counted_by_what_the_server_says() {
    let broken = ScriptedModel::new(&[Step::Text("a"), Step::Fail(|| EngineError::Model("no".to_owned()))]);
    let server = run(broken, ScriptedSupport::answering(denial()), Server::default()).await;
    let client = Client::new(&format!("http://{}/v1/", server.address), None, Patience::DEFAULT).unwrap();
    let report = bench().run(&client).await;
    assert_eq!(report.n_errors, 10);
    assert_eq!(report.errors.values().sum::<usize>(), 10);

    let refusing = MockServer::start().await;
    let refusal = ResponseTemplate::new(429).set_body_json(json!({"error": "too many"}));
    Mock::given(any()).respond_with(refusal).mount(&refusing).await;
    let report = bench().run(&Client::new(&refusing.uri(), None, Patience::DEFAULT).unwrap()).await;
    let (error, n) = report.errors.first_key_value().unwrap();
    assert!(error.contains("429") && error.contains("too many"), "{error}");
    assert_eq!(*n, 10);
}
