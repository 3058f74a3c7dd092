//! Opens what the commands share: configuration, models, store, and the pipeline over them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use candle_core::DType;
use chrono::Utc;
use tier0_hub::{Catalog, DEFAULT_EMBEDDING_MODEL, Hub, LocalModel, ModelKind};
use tier0_playbook::Playbook;
use tier0_store::{Counts, OrderStore, SqliteStore, demo};

use super::{
    Outcome,
    args::{Args, Command, ModelArgs},
    progress::StderrProgress,
};
use crate::{
    actions::{ActionKey, ActionService, Execute, StoreExecutor, Webhook, WebhookExecutor},
    config::{self, Config, KvType, Log, SupportMode},
    embed::{Embed, MiniLm},
    engine::{Engine, Generate, LoadSpec, Observe, Unobserved},
    intent::{Classifier, IntentHead},
    ops::{open_device, use_threads},
    retrieval::{self, Index, Passage},
    support::{ChoiceClassifiers, Components, Mode, Settings, Support, Thresholds, Wording},
    telemetry,
};

/// Seed of the demo store, so that it is the same on every machine.
const DEMO_SEED: u64 = 7;
const DEMO_NAME: &str = "Larkmoor";
/// Files of the data folder: imported data, and the demo store, which is used until there is any.
const STORE_FILE: &str = "store.sqlite";
const DEMO_FILE: &str = "demo.sqlite";
const INDEX_DIR: &str = "index";
/// The key that confirmation tokens are signed with.
const KEY_FILE: &str = "action.key";
/// The store's rules, in the data folder.
pub(super) const PLAYBOOK_FILE: &str = "playbook.toml";

/// Configuration, models and data folder, which every command starts from.
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) hub: Hub,
    pub(super) catalog: Catalog,
    data_dir: PathBuf,
}

/// The store that is in use.
pub(super) struct OpenStore {
    pub(super) store: SqliteStore,
    pub(super) is_demo: bool,
}

/// A language model's name and file.
pub(super) struct ChosenModel {
    pub(super) id: String,
    path: PathBuf,
}

impl Setup {
    /// Reads the configuration and applies the flags that all commands have.
    pub(super) fn new(args: &Args) -> Outcome<Self> {
        let mut config = Config::load(args.config.as_deref())?;
        if let Some(dir) = &args.data {
            config.store.data_dir.clone_from(dir);
        }
        config.models.offline |= args.offline;
        let serves = matches!(args.command, None | Some(Command::Serve(_)));
        if !serves && config.log == Log::default() {
            // A server's log would get in the way of a command's output.
            config.log.level = "warn".to_owned();
        }
        telemetry::init(&config.log)?;
        use_threads(config.model.threads, &config.model.cores)?;
        let hub = Hub::new(&config.models_dir()?, config.models.offline);
        let data_dir = config.data_dir()?;
        Ok(Self { hub, catalog: Catalog::builtin()?, data_dir, config })
    }

    /// The folder of everything that the server keeps.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Applies the flags that choose a model.
    pub(super) fn choose_model(&mut self, args: &ModelArgs) {
        if let Some(model) = &args.model {
            self.config.model.id_or_path.clone_from(model);
        }
        if let Some(device) = args.device {
            self.config.model.device = device;
        }
        if let Some(mib) = args.kv_memory {
            self.config.model.kv_memory_mib = mib;
        }
    }

    /// The configured language model's file, fetched if it is missing. Blocks.
    pub(super) fn language_model(&self) -> Outcome<ChosenModel> {
        let wanted = self.config.model.id_or_path.as_str();
        if is_path(wanted) {
            let path = PathBuf::from(wanted);
            let id = path
                .file_stem()
                .map_or_else(|| wanted.to_owned(), |stem| stem.to_string_lossy().into_owned());
            return Ok(ChosenModel { id, path });
        }
        let local = self.fetch(wanted, ModelKind::Causal)?;
        let path = local.gguf().ok_or_else(|| format!("the model {wanted} has no GGUF file"))?;
        Ok(ChosenModel { id: wanted.to_owned(), path })
    }

    /// Loads the language model. Blocks.
    pub(super) fn engine(&self, model: &ChosenModel, observer: Arc<dyn Observe>) -> Outcome<Engine> {
        let device = open_device(self.config.model.device)?;
        let config = &self.config.model;
        Ok(Engine::load(&LoadSpec {
            id: model.id.clone(),
            path: model.path.clone(),
            device,
            context_length: config.context_length,
            kv_memory_bytes: config.kv_memory_mib << 20,
            kv_type: match config.kv_type {
                KvType::Bf16 => DType::BF16,
                KvType::F32 => DType::F32,
            },
            observer,
        })?)
    }

    /// Loads the embedding model, fetched if it is missing. Blocks.
    pub(super) fn embedder(&self) -> Outcome<Arc<dyn Embed>> {
        let local = self.fetch(DEFAULT_EMBEDDING_MODEL, ModelKind::Embedding)?;
        Ok(Arc::new(MiniLm::load(&local.dir, &open_device(self.config.model.device)?)?))
    }

    fn fetch(&self, id: &str, kind: ModelKind) -> Outcome<LocalModel> {
        let manifest = self.catalog.get(id)?;
        if manifest.kind != kind {
            return Err(format!(
                "{id} is a model of another kind and cannot be used here; see `tier0 models list`"
            )
            .into());
        }
        Ok(self.hub.fetch(manifest, &StderrProgress::new())?)
    }

    /// The store of imported data, or the demo store while nothing has been imported.
    pub(super) async fn open_store(&self) -> Outcome<OpenStore> {
        let imported = self.data_dir.join(STORE_FILE);
        if imported.exists() {
            let store = SqliteStore::open(&imported).await?;
            // A first import that failed leaves an empty store behind.
            if store.counts().await? != Counts::default() {
                return Ok(OpenStore { store, is_demo: false });
            }
        }
        self.open_demo_store().await
    }

    /// The demo store, created if it is missing.
    pub(super) async fn open_demo_store(&self) -> Outcome<OpenStore> {
        let store = SqliteStore::open(&self.data_dir.join(DEMO_FILE)).await?;
        if store.counts().await?.customers == 0 {
            demo_store()?.import_into(&store).await?;
        }
        Ok(OpenStore { store, is_demo: true })
    }

    /// The store of imported data, created if it is missing.
    pub(super) async fn create_store(&self) -> Outcome<SqliteStore> {
        Ok(SqliteStore::open(&self.data_dir.join(STORE_FILE)).await?)
    }

    /// The service that proposes and confirms actions on a store.
    pub(super) fn actions(&self, open: &OpenStore) -> Outcome<Arc<ActionService>> {
        let key = ActionKey::open_or_create(&self.data_dir.join(KEY_FILE))?;
        let lifetime = Duration::from_secs(60 * self.config.actions.token_minutes);
        Ok(Arc::new(ActionService::new(open.store.clone(), key, self.executor(open)?, lifetime)))
    }

    /// The executor of actions: the shop's webhook if one is configured, else the store itself.
    fn executor(&self, open: &OpenStore) -> Outcome<Arc<dyn Execute>> {
        let config = &self.config.actions;
        if config.webhook_url.is_empty() {
            return Ok(Arc::new(StoreExecutor));
        }
        let hook = Webhook {
            url: config.webhook_url.clone(),
            secret: config.webhook_secret.reveal().to_owned(),
            timeout: Duration::from_secs(config.timeout_s),
        };
        Ok(Arc::new(WebhookExecutor::new(open.store.clone(), &hook)?))
    }

    /// The support pipeline over the store in use, with the configured model, in this process.
    pub(super) async fn whole_support(self: &Arc<Self>) -> Outcome<Support> {
        let loading = Arc::clone(self);
        let (engine, embed) = tokio::task::spawn_blocking(move || -> Outcome<_> {
            let model = loading.language_model()?;
            Ok((loading.engine(&model, Arc::new(Unobserved))?, loading.embedder()?))
        })
        .await??;
        let open = self.open_store().await?;
        self.support(&open, embed, Arc::new(engine), self.actions(&open)?).await
    }

    /// The support pipeline over a store.
    pub(super) async fn support(
        &self,
        open: &OpenStore,
        embed: Arc<dyn Embed>,
        llm: Arc<dyn Generate>,
        actions: Arc<ActionService>,
    ) -> Outcome<Support> {
        let articles = open.store.articles().await?;
        let (index_dir, embedder) = (self.data_dir.join(INDEX_DIR), Arc::clone(&embed));
        let passages = passages(articles);
        let index = tokio::task::spawn_blocking(move || Index::open_or_build(&index_dir, passages, embedder))
            .await??;
        let playbook = self.playbook(open.is_demo)?.map(Arc::new);
        let choices = choices(playbook.clone(), Arc::clone(&embed)).await?;
        let parts = Components {
            classifier: Arc::new(Classifier::new(Arc::clone(&embed), IntentHead::shipped()?)?),
            store: Arc::new(open.store.clone()),
            playbook,
            choices: Arc::new(choices),
            index: Arc::new(index),
            embed,
            llm,
            actions,
        };
        Ok(Support::new(parts, self.support_settings(open.is_demo))?)
    }

    /// The playbook of the store: the configured one, that of the data folder, or the demo store's.
    pub(super) fn playbook(&self, is_demo: bool) -> Outcome<Option<Playbook>> {
        let configured = &self.config.support.playbook;
        let own = self.data_dir.join(PLAYBOOK_FILE);
        let path = match configured.as_os_str().is_empty() {
            false => configured,
            true if !is_demo && own.exists() => &own,
            true => return if is_demo { Ok(Some(Playbook::parse(demo::PLAYBOOK)?)) } else { Ok(None) },
        };
        Ok(Some(read_playbook(path)?))
    }

    fn support_settings(&self, is_demo: bool) -> Settings {
        let config = &self.config.support;
        let set = Some(config.store_name.clone()).filter(|name| !name.is_empty());
        Settings {
            store_name: set.or_else(|| is_demo.then(|| DEMO_NAME.to_owned())),
            mode: match config.mode {
                SupportMode::Reply => Mode::Reply,
                SupportMode::Draft => Mode::Draft,
            },
            wording: match config.wording {
                config::Wording::Model => Wording::Model,
                config::Wording::Template => Wording::Template,
            },
            max_reply_tokens: config.max_reply_tokens,
            n_passages: config.passages,
            min_confidence: Thresholds {
                answer: config.min_confidence.answer as f32,
                deny: config.min_confidence.deny as f32,
                action: config.min_confidence.action as f32,
                clarify: config.min_confidence.clarify as f32,
            },
            min_similarity: config.min_similarity as f32,
        }
    }
}

/// Reads a playbook from a file.
pub(super) fn read_playbook(path: &Path) -> Outcome<Playbook> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read the playbook {}: {e}", path.display()))?;
    Ok(Playbook::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?)
}

/// What reads the choices of a playbook.
async fn choices(playbook: Option<Arc<Playbook>>, embed: Arc<dyn Embed>) -> Outcome<ChoiceClassifiers> {
    let Some(playbook) = playbook else { return Ok(ChoiceClassifiers::default()) };
    Ok(tokio::task::spawn_blocking(move || ChoiceClassifiers::learn(&playbook, &embed)).await??)
}

/// Whether the user named a file and not a model: model ids have neither a slash nor the suffix.
fn is_path(text: &str) -> bool {
    text.ends_with(".gguf") || text.contains(['/', '\\']) || Path::new(text).is_file()
}

pub(super) fn passages(articles: Vec<tier0_store::Article>) -> Vec<Passage> {
    let articles = articles.into_iter().map(|article| retrieval::Article {
        id: article.id.to_string(),
        title: article.title,
        text: article.text,
    });
    retrieval::passages(&articles.collect::<Vec<_>>())
}

/// The demo store, generated for today.
pub(super) fn demo_store() -> Outcome<demo::DemoStore> {
    Ok(demo::generate(DEMO_SEED, Utc::now().date_naive())?)
}
