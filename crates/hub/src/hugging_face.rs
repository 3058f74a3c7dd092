//! Fetches model files from the Hugging Face hub, or takes them from its cache on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};

use super::{
    digest::hash_file,
    error::SourceError,
    manifest::HubSource,
    progress::Progress,
    work::{Fetched, Wanted, WorkDir},
};

/// How often a broken download is taken up again before it counts as failed.
const RETRIES: usize = 3;

/// How the Hugging Face hub is reached.
#[derive(Clone)]
pub struct HuggingFace {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// An access token, for repositories that ask for one.
    pub token: Option<String>,
    /// The cache that Hugging Face's own tools fill. It is read, never written.
    pub cache_dir: Option<PathBuf>,
    /// How long the hub may take for its first answer.
    pub first_answer: Duration,
    /// How long a download may stand still.
    pub stall: Duration,
}

impl HuggingFace {
    /// Follows the variables that Hugging Face's own tools follow: `HF_ENDPOINT`, `HF_TOKEN`,
    /// `HF_HUB_CACHE` and `HF_HOME`.
    #[must_use]
    pub fn from_env() -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let hf_home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let home = env::home_dir()?;
            Some(home.join(".cache").join("huggingface"))
        });
        let cache_dir = variable("HF_HUB_CACHE").map(PathBuf::from).or_else(|| Some(hf_home?.join("hub")));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: variable("HF_TOKEN").or_else(|| Cache::new(cache_dir.clone()?).token()),
            cache_dir,
            first_answer: Duration::from_secs(8),
            stall: Duration::from_secs(60),
        }
    }

    /// Fetches the wanted files. What the cache has is taken from there, even offline.
    pub(super) fn fetch(
        &self,
        source: &HubSource,
        wanted: &[Wanted<'_>],
        offline: bool,
        work_dir: &WorkDir,
        progress: &dyn Progress,
    ) -> Result<Vec<Fetched>, SourceError> {
        let mut done_bytes = 0;
        let mut fetched = Vec::new();
        for wanted in wanted {
            let name = &wanted.file.name;
            let at = |bytes| progress.at(done_bytes + bytes);
            fetched.push(match self.take_cached(source, wanted, work_dir)? {
                Some(cached) => {
                    progress.say(&format!("{name}: taken from the Hugging Face cache"));
                    cached
                }
                None if offline => return Err(SourceError::Offline),
                None => self.download(source, wanted, work_dir, &at)?,
            });
            done_bytes += wanted.file.size_bytes;
        }
        Ok(fetched)
    }

    /// Takes a file out of the cache, if it is there and the right one.
    fn take_cached(
        &self,
        source: &HubSource,
        wanted: &Wanted<'_>,
        work_dir: &WorkDir,
    ) -> Result<Option<Fetched>, SourceError> {
        let name = &wanted.file.name;
        let cache = self.cache_dir.clone().map(Cache::new);
        let Some(cached) = cache.and_then(|cache| cache.repo(repo(source)).get(name)) else {
            return Ok(None);
        };
        let sha256 = hash_file(&cached, &mut |_| ()).map_err(SourceError::io("read", &cached))?;
        if wanted.sha256.is_some_and(|expected| expected != sha256) {
            return Ok(None);
        }
        let path = work_dir.unfinished(name);
        fs::copy(&cached, &path).map_err(SourceError::io("copy to", &path))?;
        Ok(Some(Fetched { name: name.clone(), path, sha256 }))
    }

    fn download(
        &self,
        source: &HubSource,
        wanted: &Wanted<'_>,
        work_dir: &WorkDir,
        at: &dyn Fn(u64),
    ) -> Result<Fetched, SourceError> {
        let name = &wanted.file.name;
        let hub_dir = work_dir.hub();
        fs::create_dir_all(&hub_dir).map_err(SourceError::io("create", &hub_dir))?;
        let api = self.api(&hub_dir)?;
        let etag = self.ask(&api, source, wanted)?;
        drop_full_part(&hub_dir, source, &etag, wanted.file.size_bytes)?;
        let pointer = self.watch_download(&api, source, name, at)?;
        // The pointer is a symbolic link to the file itself.
        let blob = fs::canonicalize(&pointer).map_err(SourceError::io("find", &pointer))?;
        let sha256 = hash_file(&blob, &mut |_| ()).map_err(SourceError::io("read", &blob))?;
        let path = work_dir.unfinished(name);
        fs::rename(&blob, &path).map_err(SourceError::io("move to", &path))?;
        // Nothing of it may be taken for a finished download should this file not be the right one.
        fs::remove_dir_all(&hub_dir).map_err(SourceError::io("empty", &hub_dir))?;
        Ok(Fetched { name: name.clone(), path, sha256 })
    }

    fn api(&self, hub_dir: &Path) -> Result<Api, SourceError> {
        ApiBuilder::from_cache(Cache::new(hub_dir.to_path_buf()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_retries(RETRIES)
            .with_progress(false)
            .build()
            .map_err(|error| self.refused(error))
    }

    /// Asks the hub about the file and returns its tag. An answer shows that the hub is there at
    /// all, and a wrong size saves the download of a file that would be thrown away.
    fn ask(&self, api: &Api, source: &HubSource, wanted: &Wanted<'_>) -> Result<String, SourceError> {
        let name = &wanted.file.name;
        let url = api.repo(repo(source)).url(name);
        let (sender, receiver) = sync_channel(1);
        let api = api.clone();
        // The library sets no time limits. A thread that is waited for no longer ends by itself
        // once the system gives the connection up.
        thread::spawn(move || sender.send(api.metadata(&url)));
        let metadata = match receiver.recv_timeout(self.first_answer) {
            Ok(answer) => answer.map_err(|error| self.refused(error))?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(SourceError::NoAnswer {
                    endpoint: self.endpoint.clone(),
                    waited: self.first_answer,
                });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(broke_off(name)),
        };
        let found_bytes = metadata.size() as u64;
        if found_bytes != wanted.file.size_bytes {
            return Err(SourceError::WrongSize {
                what: format!("{name} on the hub"),
                expected_bytes: wanted.file.size_bytes,
                found_bytes,
            });
        }
        Ok(metadata.etag().to_owned())
    }

    /// Downloads in a thread of its own, so that one that stands still can be left.
    fn watch_download(
        &self,
        api: &Api,
        source: &HubSource,
        name: &str,
        at: &dyn Fn(u64),
    ) -> Result<PathBuf, SourceError> {
        let (sender, events) = sync_channel(64);
        let repo = api.repo(repo(source));
        let file = name.to_owned();
        thread::spawn(move || run_download(&repo, &file, &sender));
        let mut done_bytes = 0;
        loop {
            match events.recv_timeout(self.stall) {
                Ok(Event::Restarted) => done_bytes = 0,
                Ok(Event::Received(n_bytes)) => {
                    done_bytes += n_bytes as u64;
                    at(done_bytes);
                }
                Ok(Event::Ended(result)) => return result.map_err(|error| self.refused(error)),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(SourceError::Stalled { file: name.to_owned(), waited: self.stall });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(broke_off(name)),
            }
        }
    }

    fn refused(&self, error: ApiError) -> SourceError {
        SourceError::Hub { endpoint: self.endpoint.clone(), source: Box::new(error) }
    }
}

/// What a download's thread tells the one that waits for it.
enum Event {
    Restarted,
    Received(usize),
    Ended(Result<PathBuf, ApiError>),
}

fn run_download(repo: &ApiRepo, file: &str, sender: &SyncSender<Event>) {
    let ended = repo.download_with_progress(file, Teller(sender.clone()));
    // Nobody listens any more once the download was given up as standing still.
    let _ = sender.send(Event::Ended(ended));
}

/// Passes the library's progress on to the waiting thread.
struct Teller(SyncSender<Event>);

impl hf_hub::api::Progress for Teller {
    fn init(&mut self, _: usize, _: &str) {
        let _ = self.0.send(Event::Restarted);
    }

    fn update(&mut self, n_bytes: usize) {
        let _ = self.0.send(Event::Received(n_bytes));
    }

    fn finish(&mut self) {}
}

fn repo(source: &HubSource) -> Repo {
    Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone())
}

fn broke_off(file: &str) -> SourceError {
    SourceError::BrokeOff { file: file.to_owned() }
}

/// Removes what an earlier try has left of a download if that is already as long as the file:
/// the library would ask the hub for what follows the end, and be refused every time.
fn drop_full_part(
    hub_dir: &Path,
    source: &HubSource,
    etag: &str,
    size_bytes: u64,
) -> Result<(), SourceError> {
    let blob = Cache::new(hub_dir.to_path_buf()).repo(repo(source)).blob_path(etag);
    let part = blob.with_extension("part");
    match fs::metadata(&part) {
        Ok(found) if found.len() >= size_bytes => {
            fs::remove_file(&part).map_err(SourceError::io("remove", &part))
        }
        _ => Ok(()),
    }
}
