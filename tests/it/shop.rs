//! The demo shop with a pipeline over it: real embeddings, and a language model that does what a test
//! tells it to.

use std::sync::Arc;

use async_trait::async_trait;
use candle_core::Device;
use chrono::NaiveDate;
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tier0::{
    actions::{ActionKey, ActionService, StoreExecutor},
    embed::{Embed, MiniLm},
    engine::{EngineError, Event, EventStream, FinishReason, Generate, ModelInfo, Request, Usage},
    intent::{Classifier, IntentHead},
    model::{TokenId, chat::Message, chat::Role},
    retrieval::{self, Index},
    support::{
        Answer, AnswerTicket, Channel, ChoiceClassifiers, Components, Mode, Settings, Support, Thresholds,
        Ticket, Wording,
    },
};
use tier0_playbook::Playbook;
use tier0_store::{OrderStore, SqliteStore, demo};
use tokio::sync::OnceCell;

use crate::models;

/// What the scripted writer makes of the points it is given.
#[derive(Clone, Copy)]
pub(crate) enum Writer {
    /// Says them as they stand.
    Faithful,
    /// Adds a promise with a number of its own.
    Inventive,
    /// Says nothing at all.
    Silent,
    /// Does what the customer's message says: repeats it, and that it has been done.
    Obedient,
}

impl Writer {
    fn write(self, prompt: &str) -> String {
        let points = prompt.lines().filter_map(|line| line.strip_prefix("- "));
        let points = points.collect::<Vec<_>>().join(" ");
        match self {
            Self::Faithful => points,
            Self::Inventive => format!("{points} You will get $25.00 back within 48 hours."),
            Self::Silent => String::new(),
            Self::Obedient => {
                let message = prompt.split("\"\"\"").nth(1).unwrap_or_default().trim();
                format!("Sure. {points} {message}")
            }
        }
    }
}

/// A language model that hands the text of a prompt through its tokens, one for each character.
struct ScriptedWriter {
    info: ModelInfo,
    writer: Writer,
    /// What it fills into every form.
    form: Value,
}

#[async_trait]
impl Generate for ScriptedWriter {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError> {
        self.text_prompt(&messages.last().unwrap().content)
    }

    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        Ok(text.chars().map(|c| TokenId(c as u32)).collect())
    }

    fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        let prompt: String = request.prompt.iter().map(|t| char::from_u32(t.0).unwrap()).collect();
        let text = match &request.grammar {
            Some(_) => self.form.to_string(),
            None => self.writer.write(&prompt),
        };
        let mut events: Vec<Result<Event, EngineError>> = vec![];
        if !text.is_empty() {
            events.push(Ok(Event::Text(text)));
        }
        events.push(Ok(Event::Finished { reason: FinishReason::Stop, usage: Usage::default() }));
        Ok(Box::pin(stream::iter(events)))
    }
}

/// The demo shop. Its database is opened by every test anew: a pool of connections ends with the
/// runtime that made it.
pub(crate) struct Shop {
    pub(crate) store: SqliteStore,
    shared: &'static Shared,
}

/// What all tests share: loading it once is most of their time.
struct Shared {
    data: TempDir,
    embed: Arc<dyn Embed>,
    index: Arc<Index>,
    choices: Arc<ChoiceClassifiers>,
}

static SHARED: OnceCell<Option<Shared>> = OnceCell::const_new();

pub(crate) async fn shop() -> Option<Shop> {
    let shared = SHARED.get_or_init(open_shared).await.as_ref()?;
    Some(Shop { store: SqliteStore::open(&shared.data.path().join(DATABASE)).await.unwrap(), shared })
}

const DATABASE: &str = "demo.sqlite";

async fn open_shared() -> Option<Shared> {
    let dir = tokio::task::spawn_blocking(|| models::local("all-minilm-l6-v2")).await.unwrap()?.dir;
    let embed: Arc<dyn Embed> = Arc::new(MiniLm::load(&dir, &Device::Cpu).unwrap());
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&data.path().join(DATABASE)).await.unwrap();
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    demo::generate(7, today).unwrap().import_into(&store).await.unwrap();
    let articles = store.articles().await.unwrap().into_iter().map(|article| retrieval::Article {
        id: article.id.to_string(),
        title: article.title,
        text: article.text,
    });
    let passages = retrieval::passages(&articles.collect::<Vec<_>>());
    let index = Arc::new(Index::build(passages, Arc::clone(&embed)).unwrap());
    let playbook = Playbook::parse(demo::PLAYBOOK).unwrap();
    let choices = Arc::new(ChoiceClassifiers::learn(&playbook, &embed).unwrap());
    Some(Shared { data, embed, index, choices })
}

impl Shop {
    /// Where what the replies propose is confirmed.
    pub(crate) fn action_service(&self) -> ActionService {
        let key = ActionKey::open_or_create(&self.shared.data.path().join("action.key")).unwrap();
        let lifetime = std::time::Duration::from_secs(600);
        ActionService::new(self.store.clone(), key, Arc::new(StoreExecutor), lifetime)
    }

    pub(crate) fn support(&self, writer: Writer) -> Support {
        self.support_reading(writer, json!({}))
    }

    pub(crate) fn support_reading(&self, writer: Writer, form: Value) -> Support {
        self.support_in(Mode::Reply, writer, form)
    }

    fn support_in(&self, mode: Mode, writer: Writer, form: Value) -> Support {
        let info = ModelInfo { id: "writer".to_owned(), context_length: 100_000 };
        self.support_by(mode, Arc::new(ScriptedWriter { info, writer, form }))
    }

    /// The pipeline over any model.
    pub(crate) fn support_by(&self, mode: Mode, llm: Arc<dyn Generate>) -> Support {
        let parts = Components {
            classifier: Arc::new(
                Classifier::new(Arc::clone(&self.shared.embed), IntentHead::shipped().unwrap()).unwrap(),
            ),
            store: Arc::new(self.store.clone()),
            playbook: Some(Arc::new(Playbook::parse(demo::PLAYBOOK).unwrap())),
            index: Arc::clone(&self.shared.index),
            embed: Arc::clone(&self.shared.embed),
            llm,
            actions: Arc::new(self.action_service()),
            choices: Arc::clone(&self.shared.choices),
        };
        let settings = Settings {
            store_name: Some("Larkmoor".to_owned()),
            mode,
            wording: Wording::Model,
            max_reply_tokens: 300,
            n_passages: 6,
            min_confidence: Thresholds { answer: 0.5, deny: 0.5, action: 0.5, clarify: 0.4 },
            min_similarity: 0.55,
        };
        Support::new(parts, settings).unwrap()
    }

    pub(crate) async fn ask(&self, writer: Writer, ticket: Ticket) -> Answer {
        self.support(writer).answer(&ticket).await.unwrap()
    }

    /// Asks where nothing is sent without a person.
    pub(crate) async fn ask_for_draft(&self, ticket: Ticket) -> Answer {
        self.support_in(Mode::Draft, Writer::Faithful, json!({})).answer(&ticket).await.unwrap()
    }

    /// Asks a model that reads this in the message.
    pub(crate) async fn ask_reading(&self, form: Value, ticket: Ticket) -> Answer {
        self.support_reading(Writer::Faithful, form).answer(&ticket).await.unwrap()
    }
}

pub(crate) fn ticket(message: &str, email: Option<&str>, verified: bool) -> Ticket {
    Ticket {
        id: None,
        channel: Channel::Chat,
        subject: None,
        messages: vec![Message::new(Role::User, message)],
        customer_email: email.map(str::to_owned),
        customer_verified: verified,
    }
}

pub(crate) fn from_maya(message: &str) -> Ticket {
    ticket(message, Some(demo::CUSTOMER_EMAIL), true)
}
