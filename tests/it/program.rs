//! The program as a user meets it: commands, messages, a server over a real port.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::models;

const MODEL: &str = "smollm2-135m-instruct";

fn tier0(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tier0"));
    // A tier0.toml of the developer's own must not decide what is tested.
    command.current_dir(data).arg("--data").arg(data).env_remove("TIER0_DATA");
    command
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, told)
}

/// Runs a command that must fail; what it said.
fn fails(command: &mut Command) -> String {
    let (output, told) = run(command);
    assert!(!output.status.success(), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    told
}

/// A server that is stopped when the test ends.
struct Server {
    child: Child,
    log: PathBuf,
    greeting: String,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

impl Server {
    /// Starts on a port of the system's choice and waits until it is ready.
    fn start(data: &Path) -> Self {
        let log = data.join("server.log");
        let mut command = tier0(data);
        command.args(["serve", "--port", "0", "--model", MODEL]).env("TIER0_SUPPORT__MAX_REPLY_TOKENS", "80");
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            greeting.push_str(&lines.next().expect("the server is ready before it ends").unwrap());
            greeting.push('\n');
        }
        let url = greeting.split_whitespace().find(|w| w.starts_with("http://")).unwrap();
        let url = url.trim_end_matches(',').to_owned();
        Self { child, log, greeting, url }
    }

    fn post(&self, body: &Value) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.post(format!("{}/v1/chat/completions", self.url)).send_json(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    fn get(&self, path: &str) -> String {
        ureq::get(format!("{}{path}", self.url)).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

#[test]
fn a_server_answers_tickets_and_chats() {
    let _turn = models::my_turn_blocking();
    if models::local(MODEL).is_none() || models::local("all-minilm-l6-v2").is_none() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());

    // The printed line works as pasted.
    let curl = &server.greeting
        [server.greeting.find("curl -s").unwrap()..server.greeting.find("The language").unwrap()];
    let body = curl.split_once("-d '").unwrap().1.trim().trim_end_matches('\'');
    let (status, answer) = server.post(&serde_json::from_str(body).unwrap());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["support"]["decision"], "reply");
    assert_eq!(answer["support"]["order_ids"], json!(["#T10023"]));
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("HP"), "{answer}");

    let chat = |stream: bool| json!({"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 12, "temperature": 0, "stream": stream});
    let (status, whole) = server.post(&chat(false));
    assert_eq!(status, 200, "{whole}");
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let (_, streamed) = server.post(&chat(true));
    let chunks =
        streamed.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let text: String = chunks
        .map(|chunk| serde_json::from_str::<Value>(chunk).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert!(streamed.trim_end().ends_with("[DONE]"));

    let long = json!({"model": MODEL, "messages": [{"role": "user", "content": "word ".repeat(20_000)}]});
    let (status, error) = server.post(&long);
    assert_eq!(status, 400);
    assert!(error.contains("context_length_exceeded") && error.contains("8192"), "{error}");
    assert!(server.get("/health").contains("ok"));
    assert!(server.get("/v1/models").contains(MODEL));
    assert!(server.get("/metrics").contains("tier0_tickets_total"));

    // A second server on the same port says so before it loads anything.
    let port = server.url.rsplit(':').next().unwrap();
    let told = fails(tier0(data.path()).args(["serve", "--port", port, "--model", MODEL]));
    assert!(told.contains("--port") && !told.contains("loading"), "{told}");
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let data = tempfile::tempdir().unwrap();
    let told = fails(tier0(data.path()).args(["ask", "hi", "--model", "missing.gguf"]));
    assert!(told.contains("missing.gguf") && told.contains("no model file"), "{told}");
    std::fs::write(data.path().join("text.gguf"), "This is no model.").unwrap();
    let told = fails(tier0(data.path()).args(["ask", "hi", "--model", "text.gguf"]));
    assert!(told.contains("text.gguf") && told.contains("GGUF"), "{told}");
    let told = fails(tier0(data.path()).args(["ask", "hi", "--model", "no-such-model"]));
    assert!(told.contains("no-such-model") && told.contains(MODEL), "{told}");
}

#[test]
fn a_model_that_cannot_be_fetched_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let models = tempfile::tempdir().unwrap();
    let mut command = tier0(data.path());
    command.args(["--offline", "ask", "hi", "--model", MODEL]).env("TIER0_MODELS", models.path());
    let told = fails(command.env("HF_HOME", models.path()));
    assert!(told.contains(MODEL) && told.contains("--model"), "{told}");
}

#[test]
fn a_device_that_is_not_there_is_a_clear_error() {
    let data = tempfile::tempdir().unwrap();
    let told = fails(tier0(data.path()).args(["serve", "--device", "gpu"]));
    assert!(told.contains("gpu") && told.contains("cuda:N"), "{told}");
}

#[test]
fn a_wrong_key_in_the_configuration_is_named() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("tier0.toml"), "[server]\nprot = 9000\n").unwrap();
    let told = fails(tier0(data.path()).args(["store", "info"]));
    assert!(told.contains("prot") && told.contains("tier0.toml"), "{told}");
}

#[test]
fn an_import_keeps_all_or_nothing() {
    let data = tempfile::tempdir().unwrap();
    let export = data.path().join("export");
    let (output, told) = run(tier0(data.path()).args(["store", "demo"]).arg(&export));
    assert!(output.status.success(), "{told}");

    let orders = export.join("orders.jsonl");
    let good = std::fs::read_to_string(&orders).unwrap();
    let mut lines: Vec<&str> = good.lines().collect();
    lines[2] = "{\"id\": \"#T1\"}";
    std::fs::write(&orders, lines.join("\n")).unwrap();
    let told = fails(tier0(data.path()).args(["store", "import", "--from", "native"]).arg(&export));
    assert!(told.contains("orders.jsonl:3"), "{told}");
    let (_, told) = run(tier0(data.path()).args(["store", "info"]));
    assert!(!told.contains("200 orders") || told.contains("demo store"), "{told}");

    std::fs::write(&orders, good).unwrap();
    let import = || run(tier0(data.path()).args(["store", "import", "--from", "native"]).arg(&export)).1;
    assert!(import().contains("200 added"));
    let again = import();
    assert!(again.contains("200 unchanged") && !again.contains("1 added"), "{again}");
    let (_, told) = run(tier0(data.path()).args(["store", "info"]));
    assert!(told.contains("imported data") && told.contains("200 orders"), "{told}");
}

/// As with `| head`: whoever reads has seen enough.
#[test]
fn a_closed_pipe_ends_a_command_without_noise() {
    let data = tempfile::tempdir().unwrap();
    let mut command = tier0(data.path());
    command.args(["models", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn help_names_every_command() {
    let data = tempfile::tempdir().unwrap();
    let (output, told) = run(tier0(data.path()).arg("--help"));
    assert!(output.status.success());
    for command in ["serve", "ask", "store", "models", "intents"] {
        assert!(told.contains(command), "{told}");
    }
}
