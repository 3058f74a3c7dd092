//! Where models come from. A manifest in `models/` says what a model is, which files it has and
//! which sources have them; this crate gets the files into the models folder and checks them.
//!
//! Place in the path: before it. `cli` asks for a model's files when the server starts, and hands
//! their paths to `model` and `embed`. A leaf: it uses no other crate of the workspace, and prints nothing:
//! a [`Progress`] hears how a fetch goes.
//!
//! ```text
//! <models folder>/<id>/<file>           checked files, and .fetched.json, which notes their hashes
//! <models folder>/.partial/<id>/        what an interrupted fetch has left, for the next try
//! <models folder>/.partial/<id>.lock    held by the process that fetches
//! ```
#![forbid(unsafe_code)]

mod assembly;
mod catalog;
mod digest;
mod error;
mod fetch;
mod hugging_face;
mod local;
mod manifest;
mod pip;
mod progress;
mod report;
#[cfg(test)]
mod tests;
mod work;

use std::{
    env,
    path::{Path, PathBuf},
};

pub use catalog::{Catalog, DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL};
pub use digest::{NotADigest, Sha256};
pub use error::{HubError, SourceError, SourceFailure};
pub use hugging_face::HuggingFace;
pub use local::LocalModel;
pub use manifest::{
    HubSource, Manifest, ManifestError, ModelFile, ModelKind, Part, PipSource, Source, Status,
};
pub use pip::PipCommand;
pub use progress::{Progress, Silent};
pub use report::{ModelSummary, Verdict, VerifyReport, render_list, render_verify};

use local::Marker;

/// A models folder, and the ways of filling it.
#[derive(Clone)]
pub struct Hub {
    models_dir: PathBuf,
    offline: bool,
    hugging_face: HuggingFace,
    pip: Option<PipCommand>,
}

impl Hub {
    /// A hub that keeps models in `models_dir` and follows the environment: Hugging Face's
    /// variables, and `TIER0_OFFLINE` or `HF_HUB_OFFLINE`, each of which keeps it off the network
    /// just as `offline` does.
    #[must_use]
    pub fn new(models_dir: &Path, offline: bool) -> Self {
        let switched_off = ["TIER0_OFFLINE", "HF_HUB_OFFLINE"]
            .iter()
            .any(|name| env::var(name).is_ok_and(|value| is_yes(&value)));
        Self {
            // Pip runs in another folder, so a relative path would lead it elsewhere.
            models_dir: std::path::absolute(models_dir).unwrap_or_else(|_| models_dir.to_owned()),
            offline: offline || switched_off,
            hugging_face: HuggingFace::from_env(),
            pip: None,
        }
    }

    /// Reaches the Hugging Face hub in this way instead.
    #[must_use]
    pub fn with_hugging_face(mut self, hugging_face: HuggingFace) -> Self {
        self.hugging_face = hugging_face;
        self
    }

    /// Calls pip in this way instead of looking for it.
    #[must_use]
    pub fn with_pip(mut self, pip: PipCommand) -> Self {
        self.pip = Some(pip);
        self
    }

    /// The model, if all its files are here. Cheap: sizes and times are compared with what was
    /// noted when the files were hashed.
    #[must_use]
    pub fn local(&self, manifest: &Manifest) -> Option<LocalModel> {
        let dir = self.dir(&manifest.id);
        let is_here = Marker::read(&dir).vouches_for(manifest, &dir);
        is_here.then(|| LocalModel::new(manifest, dir))
    }

    fn dir(&self, id: &str) -> PathBuf {
        self.models_dir.join(id)
    }

    fn partial_dir(&self) -> PathBuf {
        self.models_dir.join(".partial")
    }
}

/// Whether a switch in the environment is on, as Hugging Face's tools read it.
fn is_yes(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}
