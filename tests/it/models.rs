//! Real models for tests: fetched as the program fetches them, into the same folder.

use tier0::{cli::StderrProgress, config::Config};
use tier0_hub::{Catalog, Hub, LocalModel};
use tokio::sync::{Mutex, MutexGuard};

/// Tests that compute with a real model take turns: side by side they would only be slower.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits for the machine to be free for a heavy test.
pub(crate) async fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The same for a test that is not async.
pub(crate) fn my_turn_blocking() -> MutexGuard<'static, ()> {
    TURN.blocking_lock()
}

/// A model's files. `None`, with a message, when it is not here and fetching is switched off.
pub(crate) fn local(id: &str) -> Option<LocalModel> {
    let config = Config::load(None).unwrap();
    let catalog = Catalog::builtin().unwrap();
    let manifest = catalog.get(id).unwrap();
    let hub = Hub::new(&config.models_dir().unwrap(), false);
    if hub.local(manifest).is_none() && std::env::var_os("TIER0_OFFLINE").is_some() {
        eprintln!("skipped: {id} is not in the models folder and TIER0_OFFLINE is set");
        return None;
    }
    Some(hub.fetch(manifest, &StderrProgress::new()).unwrap())
}
