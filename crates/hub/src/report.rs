//! What the commands `models list` and `models verify` tell, and how it is laid out.

use std::fmt::Write as _;

use indicatif::DecimalBytes;

use super::{
    Hub,
    catalog::Catalog,
    digest::{Sha256, hash_file},
    error::HubError,
    local::Marker,
    manifest::{Manifest, ModelFile, ModelKind, Status},
    progress::Progress,
};

/// A model of the catalog, and whether it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSummary {
    /// Its id.
    pub id: String,
    /// What it is used for.
    pub kind: ModelKind,
    /// The name that people read.
    pub name: String,
    /// The weights' licence.
    pub licence: String,
    /// The size of its files.
    pub size_bytes: u64,
    /// Whether this project has run it.
    pub status: Status,
    /// Whether all its files are in the models folder.
    pub is_local: bool,
}

/// What a check of a model's files has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The model.
    pub id: String,
    /// Each file's name and what was found.
    pub files: Vec<(String, Verdict)>,
}

/// What a check has found of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has the hash that the manifest gives.
    Right,
    /// The manifest gives no hash; it has the one recorded when it was first fetched.
    AsRecorded,
    /// Neither manifest nor record has a hash to compare with.
    Unknown {
        /// The file's hash.
        found: Sha256,
    },
    /// It is another file than expected.
    Wrong {
        /// The hash that it should have.
        expected: Sha256,
        /// The hash that it has.
        found: Sha256,
    },
    /// It is not there.
    Missing,
}

impl VerifyReport {
    /// Whether every file is there and as expected.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let is_ok = |verdict: &Verdict| matches!(verdict, Verdict::Right | Verdict::AsRecorded);
        self.files.iter().all(|(_, verdict)| is_ok(verdict))
    }
}

impl Hub {
    /// All models of the catalog, with what is here.
    #[must_use]
    pub fn list(&self, catalog: &Catalog) -> Vec<ModelSummary> {
        let summary = |manifest: &Manifest| ModelSummary {
            id: manifest.id.clone(),
            kind: manifest.kind,
            name: manifest.name.clone(),
            licence: manifest.licence.clone(),
            size_bytes: manifest.size_bytes(),
            status: manifest.status.clone(),
            is_local: self.local(manifest).is_some(),
        };
        catalog.list().iter().map(summary).collect()
    }

    /// Hashes a model's files again, whatever is noted of them.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn verify(&self, manifest: &Manifest, progress: &dyn Progress) -> Result<VerifyReport, HubError> {
        let marker = Marker::read(&self.dir(&manifest.id));
        let mut done_bytes = 0;
        let mut files = Vec::new();
        progress.begin(&format!("checking {}", manifest.id), manifest.size_bytes());
        for file in &manifest.files {
            let at = |bytes| progress.at(done_bytes + bytes);
            let verdict = self.verify_file(manifest, file, &marker, &at)?;
            files.push((file.name.clone(), verdict));
            done_bytes += file.size_bytes;
        }
        progress.end();
        Ok(VerifyReport { id: manifest.id.clone(), files })
    }

    fn verify_file(
        &self,
        manifest: &Manifest,
        file: &ModelFile,
        marker: &Marker,
        at: &dyn Fn(u64),
    ) -> Result<Verdict, HubError> {
        let path = self.dir(&manifest.id).join(&file.name);
        if !path.exists() {
            return Ok(Verdict::Missing);
        }
        let found = hash_file(&path, &mut |bytes| at(bytes)).map_err(HubError::io("read", &path))?;
        Ok(match (file.sha256, marker.recorded(&file.name)) {
            (Some(expected), _) if expected == found => Verdict::Right,
            (None, Some(recorded)) if recorded == found => Verdict::AsRecorded,
            (Some(expected), _) | (None, Some(expected)) => Verdict::Wrong { expected, found },
            (None, None) => Verdict::Unknown { found },
        })
    }
}

/// The catalog as a table, a line a model.
#[must_use]
pub fn render_list(models: &[ModelSummary]) -> String {
    let mut rows = vec![["ID", "USE", "SIZE", "HERE", "LICENCE", "STATUS"].map(str::to_owned)];
    rows.extend(models.iter().map(|model| {
        [
            model.id.clone(),
            match model.kind {
                ModelKind::Causal => "text".to_owned(),
                ModelKind::Embedding => "vectors".to_owned(),
            },
            DecimalBytes(model.size_bytes).to_string(),
            if model.is_local { "yes" } else { "no" }.to_owned(),
            model.licence.clone(),
            match &model.status {
                Status::Verified => "verified".to_owned(),
                Status::NotYetRun { reason } => format!("not yet run: {reason}"),
            },
        ]
    }));
    table(&rows)
}

/// A check's findings, a line a file.
#[must_use]
pub fn render_verify(report: &VerifyReport) -> String {
    let rows: Vec<_> = (report.files.iter())
        .map(|(name, verdict)| [report.id.clone(), name.clone(), render_verdict(verdict)])
        .collect();
    table(&rows)
}

fn render_verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Right => "right".to_owned(),
        Verdict::AsRecorded => "as recorded when first fetched (hash not known in advance)".to_owned(),
        Verdict::Unknown { found } => {
            format!("nothing to compare with (SHA-256 {found}); `models pull` records it")
        }
        Verdict::Wrong { expected, found } => {
            format!("WRONG: SHA-256 {found} instead of {expected}; `models pull` fetches it again")
        }
        Verdict::Missing => "missing; `models pull` fetches it".to_owned(),
    }
}

/// Columns as wide as their widest cell, two spaces apart; the last one as long as it is.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
