//! Models that are in the models folder, and the marker that makes knowing so cheap.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    digest::Sha256,
    manifest::{Manifest, ModelFile},
};

/// The marker's name inside the model's folder.
const MARKER_FILE: &str = ".fetched.json";

/// A model whose files are all in the models folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// The model's folder.
    pub dir: PathBuf,
    /// The names of its files.
    pub files: Vec<String>,
}

impl LocalModel {
    pub(super) fn new(manifest: &Manifest, dir: PathBuf) -> Self {
        let files = manifest.files.iter().map(|file| file.name.clone());
        Self { dir, files: files.collect() }
    }

    /// Where a file of this name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where its GGUF file is, for a model that has one.
    #[must_use]
    pub fn gguf(&self) -> Option<PathBuf> {
        let name = self.files.iter().find(|name| name.ends_with(".gguf"))?;
        Some(self.path(name))
    }
}

/// What was in the model's folder when its files were last hashed.
///
/// Hashing a gigabyte takes seconds; asking the file system for sizes and times does not. A file
/// that still has the size and time noted here is taken to be the one that was hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    files: Vec<MarkedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MarkedFile {
    name: String,
    size_bytes: u64,
    modified_ns: u64,
    sha256: Sha256,
}

impl Marker {
    /// Reads the marker of a model's folder. One that is missing or unreadable is empty: the
    /// files are then hashed again.
    pub(super) fn read(dir: &Path) -> Self {
        let text = fs::read_to_string(dir.join(MARKER_FILE)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The hash that a file had when it was last hashed.
    pub(super) fn recorded(&self, name: &str) -> Option<Sha256> {
        let marked = self.files.iter().find(|marked| marked.name == name)?;
        Some(marked.sha256)
    }

    /// Notes a file's hash together with its size and time as they are now.
    pub(super) fn note(&mut self, dir: &Path, name: &str, sha256: Sha256) -> io::Result<()> {
        let (size_bytes, modified_ns) = size_and_time(&dir.join(name))?;
        self.files.retain(|marked| marked.name != name);
        self.files.push(MarkedFile { name: name.to_owned(), size_bytes, modified_ns, sha256 });
        Ok(())
    }

    /// Whether every file of the model is as it was when it was hashed, and had the right hash.
    pub(super) fn vouches_for(&self, manifest: &Manifest, dir: &Path) -> bool {
        manifest.files.iter().all(|file| self.vouches(file, dir))
    }

    fn vouches(&self, file: &ModelFile, dir: &Path) -> bool {
        let Some(marked) = self.files.iter().find(|marked| marked.name == file.name) else {
            return false;
        };
        file.sha256.is_none_or(|expected| expected == marked.sha256)
            && size_and_time(&dir.join(&file.name))
                .is_ok_and(|now| now == (marked.size_bytes, marked.modified_ns))
    }

    /// Puts the marker into the model's folder, whole or not at all. The caller holds the lock.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let unfinished = dir.join(format!("{MARKER_FILE}.new"));
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, dir.join(MARKER_FILE))
    }
}

fn size_and_time(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let since_1970 = metadata.modified()?.duration_since(UNIX_EPOCH);
    let modified_ns = since_1970.map_or(0, |time| time.as_nanos());
    Ok((metadata.len(), u64::try_from(modified_ns).unwrap_or(u64::MAX)))
}
