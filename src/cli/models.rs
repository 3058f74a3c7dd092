//! `tier0 models`: lists, fetches and checks models.

use tier0_hub::{Manifest, render_list, render_verify};

use super::{Outcome, args::ModelsCommand, output::print_line, progress::StderrProgress, setup::Setup};

/// Runs one of the models' commands.
pub(super) fn run(setup: &Setup, command: ModelsCommand) -> Outcome {
    match command {
        ModelsCommand::List => print_line!("{}", render_list(&setup.hub.list(&setup.catalog))),
        ModelsCommand::Pull { id } => {
            let local = setup.hub.fetch(setup.catalog.get(&id)?, &StderrProgress::new())?;
            print_line!("{id} is in {}", local.dir.display());
        }
        ModelsCommand::Verify { id } => verify(setup, id.as_deref())?,
    }
    Ok(())
}

fn verify(setup: &Setup, id: Option<&str>) -> Outcome {
    let manifests: Vec<&Manifest> = match id {
        Some(id) => vec![setup.catalog.get(id)?],
        None => setup.catalog.list().iter().filter(|m| setup.hub.local(m).is_some()).collect(),
    };
    let mut n_wrong = 0;
    for manifest in manifests {
        let report = setup.hub.verify(manifest, &StderrProgress::new())?;
        print_line!("{}", render_verify(&report));
        n_wrong += usize::from(!report.is_ok());
    }
    match n_wrong {
        0 => Ok(()),
        1 => Err("one model is not as it should be; fetch it again with `tier0 models pull`".into()),
        n => {
            Err(format!("{n} models are not as they should be; fetch them again with `tier0 models pull`")
                .into())
        }
    }
}
