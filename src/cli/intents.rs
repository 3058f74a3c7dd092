//! `tier0 intents`: trains and measures intent heads.

use std::path::Path;

use super::{Outcome, args::IntentsCommand, output::print_line, setup::Setup};
use crate::intent::{Classifier, IntentHead, TrainOptions, evaluate, read_examples, train};

/// Runs one of the intents' commands.
pub(super) fn run(setup: &Setup, command: IntentsCommand) -> Outcome {
    match command {
        IntentsCommand::Train { data, out } => train_head(setup, &data, &out),
        IntentsCommand::Eval { head, data, json } => eval_head(setup, head.as_deref(), &data, json),
    }
}

fn train_head(setup: &Setup, data: &Path, out: &Path) -> Outcome {
    let examples = read_examples(data)?;
    let trained = train(setup.embedder()?.as_ref(), &examples, &TrainOptions::default())?;
    trained.head.save(out)?;
    print_line!("{}", trained.cross_validation);
    print_line!("the head, trained on {} examples, is in {}", examples.len(), out.display());
    Ok(())
}

fn eval_head(setup: &Setup, head: Option<&Path>, data: &Path, json: bool) -> Outcome {
    let head = head.map_or_else(IntentHead::shipped, IntentHead::load)?;
    let examples = read_examples(data)?;
    let evaluation = evaluate(&Classifier::new(setup.embedder()?, head)?, &examples)?;
    match json {
        true => print_line!("{}", serde_json::to_string_pretty(&evaluation)?),
        false => print_line!("{evaluation}"),
    }
    Ok(())
}
