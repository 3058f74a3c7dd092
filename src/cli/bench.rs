//! `tier0 bench`: measures, and prints a table or JSON.

use std::sync::Arc;

use super::{Outcome, args::BenchCommand, setup::Setup};
use crate::{bench::EngineBench, engine::Unobserved};

/// Runs one of the measurements.
pub(super) async fn run(mut setup: Setup, command: BenchCommand) -> Outcome {
    let BenchCommand::Engine { model, prompt_tokens, gen_tokens, batch, repeat, json } = command;
    setup.choose_model(&model);
    setup.config.check()?;
    let engine = tokio::task::spawn_blocking(move || -> Outcome<_> {
        let model = setup.language_model()?;
        setup.engine(&model, Arc::new(Unobserved))
    })
    .await??;
    let bench = EngineBench {
        n_prompt_tokens: prompt_tokens,
        n_gen_tokens: gen_tokens,
        batch_sizes: batch,
        n_repeats: repeat,
    };
    let rates = bench.run(&engine).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&rates)?);
        return Ok(());
    }
    println!("{:>6} {:>14} {:>14}", "batch", "prefill tok/s", "decode tok/s");
    for row in rates {
        println!("{:>6} {:>14.1} {:>14.1}", row.batch, row.prefill_tps, row.decode_tps);
    }
    Ok(())
}
