//! `tier0 playbook`: checks the store's rules, runs their examples, puts them in place.

use std::{io::Write, path::Path};

use tier0_playbook::{Playbook, Severity};
use tier0_store::OrderStore;

use super::{
    Outcome,
    args::PlaybookCommand,
    output::say,
    setup::{PLAYBOOK_FILE, Setup, passages, read_playbook},
};
use crate::support::ChoiceClassifiers;

/// Runs one of the commands.
pub(super) async fn run(setup: &Setup, command: PlaybookCommand) -> Outcome {
    match command {
        PlaybookCommand::Check { file } => check(setup, file.as_deref()).await,
        PlaybookCommand::Test { file } => test(setup, &chosen(setup, file.as_deref()).await?),
        PlaybookCommand::Install { file } => install(setup, &file),
    }
}

async fn chosen(setup: &Setup, file: Option<&Path>) -> Outcome<Playbook> {
    if let Some(file) = file {
        return read_playbook(file);
    }
    let open = setup.open_store().await?;
    let none = "there is no playbook in use; name a file, or install one with `tier0 playbook install FILE`";
    Ok(setup.playbook(open.is_demo)?.ok_or(none)?)
}

async fn check(setup: &Setup, file: Option<&Path>) -> Outcome {
    let playbook = chosen(setup, file).await?;
    let mut findings = playbook.check();
    if file.is_none() {
        // A file on its own may be for another store, whose articles are not at hand.
        let articles = setup.open_store().await?.store.articles().await?;
        let ids: Vec<String> = passages(articles).into_iter().map(|passage| passage.id).collect();
        findings.extend(playbook.check_citations(&ids));
    }
    for finding in &findings {
        say!("{finding}");
    }
    let n_errors = findings.iter().filter(|finding| finding.severity() == Severity::Error).count();
    match n_errors {
        0 => {
            say!("{} intents, no errors", playbook.intents().count());
            Ok(())
        }
        n => Err(format!("{n} errors in the playbook").into()),
    }
}

fn test(setup: &Setup, playbook: &Playbook) -> Outcome {
    let results = playbook.test();
    let failed: Vec<_> = results.iter().filter(|result| !result.problems.is_empty()).collect();
    for result in &failed {
        say!("{}", result.name);
        for problem in &result.problems {
            say!("  {problem}");
        }
    }
    say!("{} of {} examples come out right", results.len() - failed.len(), results.len());
    let embed = tokio::task::block_in_place(|| setup.embedder())?;
    for (slot, evaluation) in ChoiceClassifiers::learn(playbook, &embed)?.evaluations() {
        say!(
            "slot {slot}: {:.0} % of its {} examples are read right by what has not seen them",
            100.0 * evaluation.accuracy,
            evaluation.n_examples
        );
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} examples come out wrong", failed.len()).into()) }
}

/// Copies a playbook that can be read into the data folder, whole or not at all.
pub(super) fn install(setup: &Setup, file: &Path) -> Outcome {
    read_playbook(file)?;
    let target = setup.data_dir().join(PLAYBOOK_FILE);
    std::fs::create_dir_all(setup.data_dir())?;
    let mut copy = tempfile::NamedTempFile::new_in(setup.data_dir())?;
    copy.write_all(&std::fs::read(file)?)?;
    copy.as_file().sync_all()?;
    copy.persist(&target)?;
    say!("installed {}", target.display());
    Ok(())
}
