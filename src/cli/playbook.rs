//! `tier0 playbook`: checks the store's rules, runs their examples, installs them.

use std::{io::Write, path::Path};

use tier0_playbook::{Playbook, Severity};
use tier0_store::OrderStore;

use super::{
    Outcome,
    args::PlaybookCommand,
    output::print_line,
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
        // A playbook file may be for another store, whose articles are not available here.
        let articles = setup.open_store().await?.store.articles().await?;
        let ids: Vec<String> = passages(articles).into_iter().map(|passage| passage.id).collect();
        findings.extend(playbook.check_citations(&ids));
    }
    for finding in &findings {
        print_line!("{finding}");
    }
    let n_errors = findings.iter().filter(|finding| finding.severity() == Severity::Error).count();
    match n_errors {
        0 => {
            print_line!("{} intents, no errors", playbook.intents().count());
            Ok(())
        }
        n => Err(format!("{n} errors in the playbook").into()),
    }
}

fn test(setup: &Setup, playbook: &Playbook) -> Outcome {
    let results = playbook.test();
    let failed: Vec<_> = results.iter().filter(|result| !result.problems.is_empty()).collect();
    for result in &failed {
        print_line!("{}", result.name);
        for problem in &result.problems {
            print_line!("  {problem}");
        }
    }
    print_line!("{} of {} examples come out right", results.len() - failed.len(), results.len());
    let embed = tokio::task::block_in_place(|| setup.embedder())?;
    for (slot, evaluation) in ChoiceClassifiers::learn(playbook, &embed)?.evaluations() {
        print_line!(
            "slot {slot}: {:.0} % of its {} examples are read right by what has not seen them",
            100.0 * evaluation.accuracy,
            evaluation.n_examples
        );
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} examples come out wrong", failed.len()).into()) }
}

/// Copies a valid playbook into the data folder, atomically.
pub(super) fn install(setup: &Setup, file: &Path) -> Outcome {
    read_playbook(file)?;
    let target = setup.data_dir().join(PLAYBOOK_FILE);
    std::fs::create_dir_all(setup.data_dir())?;
    let mut copy = tempfile::NamedTempFile::new_in(setup.data_dir())?;
    copy.write_all(&std::fs::read(file)?)?;
    copy.as_file().sync_all()?;
    copy.persist(&target)?;
    print_line!("installed {}", target.display());
    Ok(())
}
