//! Streamed answers: their order, their end, and what happens when somebody leaves.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};
use tier0::{
    api::serve,
    config::Server,
    engine::{EngineError, FinishReason},
    support::SupportError,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{App, chat_with, chunks, content_of, hello, state, text_of};
use crate::fakes::{NothingProposed, ScriptedModel, ScriptedSupport, Step, Told, denial};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_chat_streams_token_by_token() {
    let app = App::new();
    let chunks = chunks(app.chat(&chat_with("tiny", &json!({"stream": true}))).await).await;
    let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    let choices: Vec<_> = chunks.iter().map(|chunk| chunk["choices"].clone()).collect();
    assert_eq!(
        choices,
        [
            choice(json!({"role": "assistant", "content": ""}), json!(null)),
            choice(json!({"content": "Hé "}), json!(null)),
            choice(json!({"content": "👋"}), json!(null)),
            choice(json!({"content": " you"}), json!(null)),
            choice(json!({}), json!("stop")),
        ]
    );
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "tiny");
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["created"], chunks[0]["created"]);
        assert!(chunk.get("usage").is_none() && chunk.get("support").is_none());
    }
}

#[tokio::test]
async fn the_counts_come_in_a_chunk_of_their_own_when_asked_for() {
    let body = json!({"stream": true, "stream_options": {"include_usage": true}});
    let mut chunks = chunks(App::new().chat(&chat_with("tiny", &body)).await).await;
    let counts = chunks.pop().unwrap();
    assert_eq!(counts["choices"], json!([]));
    assert_eq!(counts["usage"]["total_tokens"], 15);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    for chunk in &chunks {
        assert_eq!(chunk.get("usage"), Some(&Value::Null));
    }
}

#[tokio::test]
async fn a_text_completion_streams_too() {
    let app = App::new();
    let body = json!({"model": "tiny", "prompt": "ab", "stream": true});
    let chunks = chunks(app.post("/v1/completions", &body).await).await;
    let texts: Vec<_> = chunks.iter().map(|c| &c["choices"][0]["text"]).collect();
    assert_eq!(texts, ["Hé ", "👋", " you", ""]);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(chunks.iter().all(|c| c["object"] == "text_completion"));
}

#[rstest]
#[case::fails(&[Step::Text("Hal"), Step::Fail(|| EngineError::Model("gpu fell out".to_owned()))],
              "server_error")]
#[case::stops(&[Step::Text("Hal"), Step::Fail(|| EngineError::Stopped), Step::Text("late")],
              "server_error")]
#[case::ends_without_an_end(&[Step::Text("Hal")], "server_error")]
#[tokio::test]
async fn a_failure_on_the_way_is_the_last_event(#[case] steps: &[Step], #[case] kind: &str) {
    let app = App::with_model(ScriptedModel::new(steps));
    let chunks = chunks(app.chat(&chat_with("tiny", &json!({"stream": true}))).await).await;
    assert_eq!(content_of(&chunks), "Hal");
    let last = chunks.last().unwrap();
    assert_eq!(last["error"]["type"], kind);
    assert!(!last.to_string().contains("gpu"), "{last}");
}

#[rstest]
#[tokio::test]
async fn the_report_comes_in_the_last_chunk(#[values(false, true)] include_usage: bool) {
    let body = json!({"stream": true, "stream_options": {"include_usage": include_usage}});
    let chunks = chunks(App::new().chat(&chat_with("support", &body)).await).await;
    assert_eq!(content_of(&chunks), denial().content);
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "Grüße! ");

    let (last, before) = chunks.split_last().unwrap();
    assert_eq!(last["support"]["outcome"], "deny");
    assert!(before.iter().all(|chunk| chunk.get("support").is_none()));
    let end = if include_usage {
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 15);
        before.last().unwrap()
    } else {
        last
    };
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn comments_keep_the_stream_open_while_the_pipeline_works() {
    let support = ScriptedSupport::answering(denial()).taking(Duration::from_millis(1500));
    let server = Server { keep_alive_s: 1, ..Server::default() };
    let app = App::with(hello(), support, server);
    let text = text_of(app.chat(&chat_with("support", &json!({"stream": true}))).await).await;
    let (before, _) = text.split_once("data:").unwrap();
    assert_eq!(before, ": working\n\n");
}

#[tokio::test]
async fn a_ticket_that_fails_while_streaming_ends_with_an_error() {
    let support = ScriptedSupport::failing(|| SupportError::Store("secret".to_owned()));
    let app = App::with_support(support);
    let response = app.chat(&chat_with("support", &json!({"stream": true}))).await;
    let chunks = chunks(response).await;
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0]["error"]["type"], "server_error");
    assert!(!chunks[0].to_string().contains("secret"));
}

/// A running server on a free port.
pub(super) struct Running {
    pub(super) address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub(super) async fn run(model: ScriptedModel, support: ScriptedSupport, server: Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let state = state(Arc::new(model), Arc::new(support), Arc::new(NothingProposed), server);
    let ended = tokio::spawn(serve(listener, state, async {
        let _ = stopped.await;
    }));
    Running { address, stop, ended }
}

/// Sends a chat request over a connection of its own.
async fn connect(server: &Running, body: &Value) -> TcpStream {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: tier0\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    connection
}

async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&read).contains(end) {
        let n = timeout(PATIENCE, connection.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(n, 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[rstest]
#[tokio::test]
async fn a_client_that_leaves_cancels_its_generation(#[values(false, true)] stream: bool) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let model = ScriptedModel::new(&[Step::Text("Hal"), Step::Hang]).telling(tell);
    let support = ScriptedSupport::answering(denial());
    let server = run(model, support, Server::default()).await;
    let mut connection = connect(&server, &chat_with("tiny", &json!({"stream": stream}))).await;
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Told::Submitted));
    if stream {
        read_until(&mut connection, "Hal").await;
    }
    assert!(told.try_recv().is_err(), "dropped while the client waits");
    drop(connection);
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Told::Dropped));
}

#[tokio::test]
async fn pieces_arrive_while_the_model_still_writes() {
    let model = ScriptedModel::new(&[Step::Text("Hal"), Step::Hang]);
    let support = ScriptedSupport::answering(denial());
    let server = run(model, support, Server::default()).await;
    let mut connection = connect(&server, &chat_with("tiny", &json!({"stream": true}))).await;
    let read = read_until(&mut connection, "Hal").await;
    assert!(read.starts_with("HTTP/1.1 200 OK\r\n"), "{read}");
}

#[tokio::test]
async fn a_stopped_server_lets_running_requests_end() {
    let model = ScriptedModel::new(&[Step::Text("done"), Step::End(FinishReason::Stop)]);
    let support = ScriptedSupport::answering(denial()).taking(Duration::from_millis(300));
    let server = run(model, support, Server::default()).await;
    let body = chat_with("support", &json!({"stream": true}));
    let mut connection = connect(&server, &body).await;
    read_until(&mut connection, "200 OK").await;

    server.stop.send(()).unwrap();
    read_until(&mut connection, "[DONE]").await;
    timeout(PATIENCE, server.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_server_does_not_wait_for_ever() {
    let model = ScriptedModel::new(&[Step::Text("Hal"), Step::Hang]);
    let settings = Server { shutdown_grace_s: 0, ..Server::default() };
    let server = run(model, ScriptedSupport::answering(denial()), settings).await;
    let mut connection = connect(&server, &chat_with("tiny", &json!({"stream": true}))).await;
    read_until(&mut connection, "Hal").await;
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.ended).await.unwrap().unwrap().unwrap();
}
