//! `tier0 bench`: measures, and prints a table or JSON.

use std::sync::Arc;

use tier0_client::{Client, Patience};
use tier0_store::{Order, demo::DemoStore};

use super::{
    Outcome,
    args::{BenchCommand, LoadArgs},
    deflection,
    output::print_line,
    setup::{Setup, demo_store},
};
use crate::{
    bench::{
        BatchRates, EmbedBench, EmbedRate, EngineBench, LoadReport, LookupGain, Percentiles, Recorder,
        ServeBench, lookup_gain,
    },
    engine::{Engine, Generate, Unobserved},
    model::chat::{Message, Role},
    support::{AnswerTicket, Channel, Ticket},
};

/// The one model of this server that is not a language model.
const SUPPORT_MODEL: &str = "support";

/// Runs one of the benchmarks.
pub(super) async fn run(mut setup: Setup, command: BenchCommand) -> Outcome {
    match command {
        BenchCommand::Engine { model, prompt_tokens, gen_tokens, batch, repeat, json } => {
            setup.choose_model(&model);
            let bench = EngineBench {
                n_prompt_tokens: prompt_tokens,
                n_gen_tokens: gen_tokens,
                batch_sizes: batch,
                n_repeats: repeat,
            };
            let rates = bench.run(&load(Arc::new(setup)).await?).await?;
            if json { print_json(&rates) } else { print_rates(&rates) }
        }
        BenchCommand::Embed { sentences, tokens, batch, json } => {
            let bench = EmbedBench { n_sentences: sentences, n_tokens: tokens, batch_sizes: batch };
            let rates = tokio::task::spawn_blocking(move || -> Outcome<_> {
                Ok(bench.run(setup.embedder()?.as_ref())?)
            })
            .await??;
            if json { print_json(&rates) } else { print_embed_rates(&rates) }
        }
        BenchCommand::Lookup { model, replies, json } => {
            setup.choose_model(&model);
            let gain = try_lookup(setup, replies).await?;
            if json { print_json(&gain) } else { print_gain(&gain) }
        }
        BenchCommand::Deflection(args) => deflection::run(setup, args).await,
        BenchCommand::Serve(args) => {
            let json = args.json;
            let report = put_under_load(args).await?;
            if json { print_json(&report) } else { print_load(&report) }
        }
    }
}

async fn load(setup: Arc<Setup>) -> Outcome<Engine> {
    setup.config.check()?;
    tokio::task::spawn_blocking(move || {
        let model = setup.language_model()?;
        setup.engine(&model, Arc::new(Unobserved))
    })
    .await?
}

/// Asks about the demo store's orders, then runs the pipeline's model requests again.
async fn try_lookup(setup: Setup, n_replies: usize) -> Outcome<LookupGain> {
    let setup = Arc::new(setup);
    let engine = load(Arc::clone(&setup)).await?;
    let loading = Arc::clone(&setup);
    let embed = tokio::task::spawn_blocking(move || loading.embedder()).await??;
    let recorder = Arc::new(Recorder::new(engine.clone()));
    let open = setup.open_demo_store().await?;
    let llm = Arc::clone(&recorder) as Arc<dyn Generate>;
    let support = setup.support(&open, embed, llm, setup.actions(&open)?).await?;
    for ticket in order_questions(n_replies)? {
        support.answer(&ticket).await?;
    }
    Ok(lookup_gain(&engine, &recorder.recorded()).await?)
}

/// A question about each of the first orders, from the customer who placed it.
fn order_questions(n: usize) -> Outcome<Vec<Ticket>> {
    let DemoStore { customers, orders, .. } = demo_store()?;
    let ticket = |order: &Order| {
        let customer = customers.iter().find(|customer| customer.id == order.customer_id)?;
        let question = format!("Where is my order {}?", order.id);
        Some(Ticket {
            id: None,
            channel: Channel::Chat,
            subject: None,
            messages: vec![Message::new(Role::User, question)],
            customer_email: Some(customer.email.to_string()),
            customer_verified: true,
        })
    };
    Ok(orders.iter().filter_map(ticket).take(n).collect())
}

async fn put_under_load(args: LoadArgs) -> Outcome<LoadReport> {
    let client = Client::new(&args.url, args.api_key.as_deref(), Patience::DEFAULT)?;
    let model = match args.model {
        Some(model) => model,
        None => {
            let listed = client.models().await?;
            listed
                .into_iter()
                .find(|id| id != SUPPORT_MODEL)
                .ok_or("the server lists no language model; name one with --model")?
        }
    };
    let bench = ServeBench {
        model,
        concurrency: args.concurrency,
        n_requests: args.requests,
        n_shared_words: args.shared_words,
        n_prompt_words: args.prompt_words,
        max_tokens: args.max_tokens,
    };
    Ok(bench.run(&client).await)
}

fn print_json(figures: &impl serde::Serialize) -> Outcome {
    print_line!("{}", serde_json::to_string_pretty(figures)?);
    Ok(())
}

fn print_embed_rates(rates: &[EmbedRate]) -> Outcome {
    print_line!("{:>5} {:>6} {:>12}", "batch", "tokens", "sentences/s");
    for EmbedRate { batch, tokens, sentences_per_s } in rates {
        print_line!("{batch:>5} {tokens:>6} {sentences_per_s:>12.1}");
    }
    Ok(())
}

fn print_rates(rates: &[BatchRates]) -> Outcome {
    print_line!("{:>6} {:>14} {:>14}", "batch", "prefill tok/s", "decode tok/s");
    for row in rates {
        print_line!("{:>6} {:>14.1} {:>14.1}", row.batch, row.prefill_tps, row.decode_tps);
    }
    Ok(())
}

fn print_gain(gain: &LookupGain) -> Outcome {
    print_line!("{} replies of {} tokens, one at a time", gain.n_replies, gain.n_tokens);
    print_line!("one by one      {:>8.1} tok/s", gain.plain_tps);
    print_line!(
        "prompt lookup   {:>8.1} tok/s, {:.2} times",
        gain.lookup_tps,
        gain.lookup_tps / gain.plain_tps
    );
    print_line!("replies that differ: {}", gain.n_different);
    Ok(())
}

fn print_load(report: &LoadReport) -> Outcome {
    print_line!(
        "{}: {} requests, {} at a time, {} failed, in {:.1} s",
        report.model,
        report.n_requests,
        report.concurrency,
        report.n_errors,
        report.wall_s
    );
    print_line!(
        "{} prompt and {} generated tokens; {:.1} generated tok/s, {:.2} answers/s",
        report.prompt_tokens,
        report.completion_tokens,
        report.output_tps,
        report.requests_per_s
    );
    print_line!("{:>18} {:>9} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "mean", "p50", "p90", "p99", "max");
    let rows = [
        ("to the first token", report.ttft_ms),
        ("between tokens", report.inter_token_ms),
        ("to the end", report.e2e_ms),
    ];
    for (name, Percentiles { mean, p50, p90, p99, max }) in rows {
        print_line!("{name:>18} {mean:>9.1} {p50:>9.1} {p90:>9.1} {p99:>9.1} {max:>9.1}");
    }
    for (error, n) in &report.errors {
        print_line!("{n} × {error}");
    }
    Ok(())
}
