//! `tier0 store`: brings data in, writes the demo store out.

use tier0_store::{OrderStore, import_native};

use super::{
    Outcome,
    args::{ImportFormat, StoreCommand},
    output::print_line,
    playbook::install,
    setup::{PLAYBOOK_FILE, Setup, demo_store},
};

/// Runs one of the store's commands.
pub(super) async fn run(setup: &Setup, command: StoreCommand) -> Outcome {
    match command {
        StoreCommand::Import { from: ImportFormat::Native, dir } => {
            let store = setup.create_store().await?;
            let summary = import_native(&store, &dir).await?;
            print_line!("imported {}:\n{summary}", dir.display());
            let playbook = dir.join(PLAYBOOK_FILE);
            if playbook.exists() {
                install(setup, &playbook)?;
            }
        }
        StoreCommand::Demo { dir } => {
            demo_store()?.write_to(&dir)?;
            print_line!("the demo store is in {}; bring it in with `tier0 store import {0}`", dir.display());
        }
        StoreCommand::Info => {
            let open = setup.open_store().await?;
            let counts = open.store.counts().await?;
            let which = if open.is_demo { "demo store (nothing has been imported)" } else { "imported data" };
            print_line!(
                "{which}: {} customers, {} orders, {} products with {} variants, {} articles",
                counts.customers,
                counts.orders,
                counts.products,
                counts.variants,
                counts.articles
            );
        }
    }
    Ok(())
}
