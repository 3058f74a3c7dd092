//! `tier0 serve`: loads everything, then answers over HTTP until Ctrl-C or SIGTERM.

use std::{io::Write, sync::Arc};

use tier0_store::{OrderStore, demo};
use tokio::net::TcpListener;

use super::{
    Outcome,
    args::ServeArgs,
    setup::{OpenStore, Setup},
};
use crate::{
    api::{self, AppState, EngineObserver},
    config::Server,
    engine::Generate,
    telemetry::Metrics,
};

/// Serves until Ctrl-C or SIGTERM.
pub(super) async fn run(mut setup: Setup, args: ServeArgs) -> Outcome {
    setup.choose_model(&args.model);
    let server = &mut setup.config.server;
    if let Some(host) = args.host {
        server.host = host;
    }
    server.port = args.port.unwrap_or(server.port);
    setup.config.check()?;
    // The port comes first, so that a taken port is reported before a long download.
    let listener = listen(&setup.config.server).await?;
    let setup = Arc::new(setup);
    let metrics = Arc::new(Metrics::new());
    let (loading, counting) = (Arc::clone(&setup), Arc::clone(&metrics));
    let (model, engine, embed) = tokio::task::spawn_blocking(move || -> Outcome<_> {
        let model = loading.language_model()?;
        let embed = loading.embedder()?;
        eprintln!("loading {}", model.id);
        let observer = Arc::new(EngineObserver::new(counting.engine(&model.id)));
        let engine = loading.engine(&model, observer)?;
        Ok((model, engine, embed))
    })
    .await??;
    let open = setup.open_store().await?;
    let actions = setup.actions(&open)?;
    let support = setup.support(&open, embed, Arc::new(engine.clone()), Arc::clone(&actions)).await?;
    let language_models: Vec<Arc<dyn Generate>> = vec![Arc::new(engine)];
    let config = setup.config.server.clone();
    let banner = banner(&config, listener.local_addr()?, &model.id, &open).await?;
    // A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{banner}");
    let support = Arc::new(support);
    let warming = Arc::clone(&support);
    tokio::spawn(async move {
        if let Err(error) = warming.warm_up().await {
            tracing::warn!(%error, "the first tickets will take longer");
        }
    });
    let state = AppState::new(language_models, support, actions, metrics, config);
    Ok(api::serve(listener, state, shutdown_signal()).await?)
}

async fn listen(server: &Server) -> Outcome<TcpListener> {
    let Server { host, port, .. } = server;
    TcpListener::bind((host.as_str(), *port)).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program listens there; choose another with --port",
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges; choose another with --port"
            }
            _ => "choose another address with --host and --port",
        };
        format!("cannot listen on {host}:{port}: {error}; {advice}").into()
    })
}

/// Resolves at Ctrl-C or SIGTERM.
async fn shutdown_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Without a handler the signal itself ends the process.
    let _ = interrupted.await;
}

/// The text that is printed once the server is ready: its address, and a request to try.
async fn banner(
    server: &Server,
    address: std::net::SocketAddr,
    model: &str,
    open: &OpenStore,
) -> Outcome<String> {
    let counts = open.store.counts().await?;
    let which = if open.is_demo { "the demo store" } else { "your store" };
    let (question, metadata) = match open.is_demo {
        true => {
            let email = demo::CUSTOMER_EMAIL;
            let metadata = format!(
                ",\n  \"metadata\": {{\"customer_email\": \"{email}\", \"customer_verified\": \"true\"}}"
            );
            (format!("Where is my order {}?", demo::SHIPPED_ORDER), metadata)
        }
        false => ("How can I return an item?".to_owned(), String::new()),
    };
    let key = match server.api_keys.is_empty() {
        true => "",
        false => " -H 'authorization: Bearer YOUR_KEY'",
    };
    Ok(format!(
        "tier0 is ready on http://{address}, with {which}: {} customers, {} orders, {} products, {} articles.\n\n\
         Try:\n\n\
         curl -s http://{address}/v1/chat/completions{key} -H 'content-type: application/json' -d '{{\n  \
         \"model\": \"support\",\n  \
         \"messages\": [{{\"role\": \"user\", \"content\": \"{question}\"}}]{metadata}\n}}'\n\n\
         The language model itself answers as \"model\": \"{model}\". Stop with Ctrl-C.\n",
        counts.customers, counts.orders, counts.products, counts.articles
    ))
}
