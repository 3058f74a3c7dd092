//! What passes between a fetch and its sources: what is wanted, what came, and where it is kept meanwhile.

use std::path::PathBuf;

use super::{digest::Sha256, manifest::ModelFile};

/// A file that is missing.
pub(super) struct Wanted<'a> {
    pub(super) file: &'a ModelFile,
    /// The hash that it must have, from the manifest or from an earlier fetch.
    pub(super) sha256: Option<Sha256>,
}

/// A file that a source has given, not yet checked nor in place.
pub(super) struct Fetched {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) sha256: Sha256,
}

/// Where unfinished files of one model are kept between tries.
pub(super) struct WorkDir(pub(super) PathBuf);

impl WorkDir {
    /// The unfinished file of this name.
    pub(super) fn unfinished(&self, name: &str) -> PathBuf {
        self.files().join(name)
    }

    /// What pip downloads.
    pub(super) fn pip(&self) -> PathBuf {
        self.0.join("pip")
    }

    /// What the hub's library downloads.
    pub(super) fn hub(&self) -> PathBuf {
        self.0.join("hub")
    }

    /// All unfinished files.
    pub(super) fn files(&self) -> PathBuf {
        self.0.join("files")
    }
}
