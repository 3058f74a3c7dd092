//! The models that come with the program.

use rust_embed::RustEmbed;

use super::{error::HubError, manifest::Manifest};

/// The language model used where none is named.
pub const DEFAULT_MODEL: &str = "qwen2.5-coder-1.5b-instruct";
/// The embedding model used where none is named.
pub const DEFAULT_EMBEDDING_MODEL: &str = "all-minilm-l6-v2";

#[derive(RustEmbed)]
#[folder = "../../models/"]
#[include = "*.toml"]
struct ManifestFiles;

/// The models that can be fetched by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    manifests: Vec<Manifest>,
}

impl Catalog {
    /// The manifests embedded in the program.
    ///
    /// # Errors
    /// When one of them is not valid, which the tests rule out.
    pub fn builtin() -> Result<Self, HubError> {
        let mut manifests = Vec::new();
        for file in ManifestFiles::iter() {
            let data = ManifestFiles::get(&file).map(|embedded| embedded.data);
            let text = String::from_utf8_lossy(data.as_deref().unwrap_or_default());
            manifests.push(
                Manifest::parse(&text)
                    .map_err(|source| HubError::BadManifest { file: file.to_string(), source })?,
            );
        }
        Ok(Self::new(manifests))
    }

    /// A catalog of these models.
    #[must_use]
    pub fn new(mut manifests: Vec<Manifest>) -> Self {
        manifests.sort_by(|a, b| a.id.cmp(&b.id));
        Self { manifests }
    }

    /// All models, by id.
    #[must_use]
    pub fn list(&self) -> &[Manifest] {
        &self.manifests
    }

    /// The model of this id.
    ///
    /// # Errors
    /// When there is none; the error names those that there are.
    pub fn get(&self, id: &str) -> Result<&Manifest, HubError> {
        self.manifests.iter().find(|manifest| manifest.id == id).ok_or_else(|| HubError::UnknownModel {
            id: id.to_owned(),
            known: self.manifests.iter().map(|m| m.id.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ModelKind, Source};

    #[test]
    fn every_builtin_manifest_is_valid_and_named_after_its_model() {
        let catalog = Catalog::builtin().unwrap();
        for file in ManifestFiles::iter() {
            let id = file.strip_suffix(".toml").unwrap();
            assert_eq!(catalog.get(id).unwrap().id, id);
        }
        assert_eq!(catalog.list().len(), ManifestFiles::iter().count());
    }

    #[test]
    fn the_defaults_are_there_and_of_the_right_kind() {
        let catalog = Catalog::builtin().unwrap();
        assert_eq!(catalog.get(DEFAULT_MODEL).unwrap().kind, ModelKind::Causal);
        assert_eq!(catalog.get(DEFAULT_EMBEDDING_MODEL).unwrap().kind, ModelKind::Embedding);
    }

    #[test]
    fn whatever_comes_in_packages_has_a_known_hash() {
        for manifest in Catalog::builtin().unwrap().list() {
            let in_packages = (manifest.sources.iter()).any(|s| matches!(s, Source::Pip(_)));
            if in_packages {
                assert!(
                    manifest.files.iter().all(|file| file.sha256.is_some()),
                    "{}: anyone could put anything into a package",
                    manifest.id
                );
            }
        }
    }

    #[test]
    fn an_unknown_model_is_told_the_known_ones() {
        let error = Catalog::builtin().unwrap().get("gpt-9").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("gpt-9") && text.contains(DEFAULT_MODEL), "{text}");
    }
}
