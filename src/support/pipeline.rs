//! The path of a ticket, stage by stage.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use minijinja::context;

use crate::{
    embed::Embed,
    engine::{Generate, Usage},
    intent::Classifier,
    model::chat::Role,
    retrieval::Index,
    store::{OrderStore, StoreError},
};

use super::{
    Answer, AnswerTicket, Citation, Decision, Handoff, Outcome, Quoted, Report, SupportError, Ticket, Trace,
    WrittenBy,
    compose::{Composer, Draft, dress},
    lookup::{self, Lookup, Orders},
    prompts::{Prompt, Prompts},
    retrieve,
    ruling::{self, Offer, Point, Ruling},
    triage::{self, Topic, Triage},
    verify::{self, Evidence},
};

/// Similarity of a quoted sentence to its question from which it surely answers it.
const SURE_SIMILARITY: f32 = 0.6;
/// What a reply's confidence loses when the model's draft had to be replaced by the template.
const TEMPLATE_PENALTY: f32 = 0.9;

/// The rooms that the pipeline draws on.
#[derive(Clone)]
pub struct Parts {
    /// Recognises intents.
    pub classifier: Arc<Classifier>,
    /// Knows customers and orders.
    pub store: Arc<dyn OrderStore>,
    /// Finds passages of the articles.
    pub index: Arc<Index>,
    /// Compares sentences with questions.
    pub embed: Arc<dyn Embed>,
    /// Phrases replies.
    pub llm: Arc<dyn Generate>,
}

/// What can be set about the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The store's name, if replies are to bear it.
    pub store_name: Option<String>,
    /// Most tokens of a draft.
    pub max_reply_tokens: usize,
    /// Passages looked at for a question.
    pub n_passages: usize,
    /// Confidence, 0 to 1, below which a ticket goes to a person.
    pub min_confidence: f32,
    /// Similarity, −1 to 1, below which a passage does not answer a question.
    pub min_similarity: f32,
}

/// The pipeline.
#[derive(Clone)]
pub struct Support {
    parts: Parts,
    settings: Settings,
    composer: Composer,
    prompts: Arc<Prompts>,
}

impl Support {
    /// Puts the pipeline together.
    ///
    /// # Errors
    /// When a text in `prompts/` is not a valid template.
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, SupportError> {
        let prompts = Arc::new(Prompts::compile()?);
        let composer = Composer {
            llm: Arc::clone(&parts.llm),
            prompts: Arc::clone(&prompts),
            store_name: settings.store_name.clone(),
            max_reply_tokens: settings.max_reply_tokens,
        };
        Ok(Self { parts, settings, composer, prompts })
    }
}

/// What is known of a ticket while it is on its way.
struct Case<'a> {
    ticket: &'a Ticket,
    message: &'a str,
    question: String,
    triage: Triage,
    lookup: Lookup,
    clock: Clock,
}

/// Times the stages.
#[derive(Debug, Default)]
struct Clock {
    timings_ms: BTreeMap<String, u64>,
}

impl Clock {
    async fn time<T>(&mut self, stage: &str, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let result = work.await;
        let spent = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.timings_ms.entry(stage.to_owned()).or_default() += spent;
        result
    }
}

/// A text for the customer, and how it came to be.
struct Reply {
    outcome: Outcome,
    body: String,
    written_by: WrittenBy,
    order_ids: Vec<String>,
    citations: Vec<Citation>,
    confidence: f32,
    usage: Usage,
    trace: Trace,
}

/// Why a person takes over, and what is handed to them.
struct HandOff {
    reason: String,
    draft: Option<String>,
    order_ids: Vec<String>,
    confidence: f32,
    usage: Usage,
    trace: Trace,
}

#[async_trait]
impl AnswerTicket for Support {
    #[tracing::instrument(skip_all, fields(ticket = ticket.id.as_deref().unwrap_or("-")))]
    async fn answer(&self, ticket: &Ticket) -> Result<Answer, SupportError> {
        let last = ticket.messages.iter().rfind(|m| m.role == Role::User).map(|m| m.content.trim());
        let message = last.filter(|m| !m.is_empty()).ok_or(SupportError::NoUserMessage)?;
        let question = triage::question(ticket, message);
        let mut clock = Clock::default();
        let triage = clock.time("triage", self.triage(&question)).await?;
        let lookup = clock.time("lookup", self.look_up(ticket, &question, triage.topic)).await?;
        let mut case = Case { ticket, message, question, triage, lookup, clock };
        let outcome = self.settle(&mut case).await?;
        let answer = match outcome {
            Ok(reply) => self.send(case, reply),
            Err(hand_off) => self.escalate(case, hand_off)?,
        };
        let report = &answer.report;
        tracing::info!(decision = ?report.decision, outcome = ?report.outcome, written_by = ?report.written_by, "answered");
        Ok(answer)
    }
}

impl Support {
    async fn triage(&self, question: &str) -> Result<Triage, SupportError> {
        let (classifier, text) = (Arc::clone(&self.parts.classifier), question.to_owned());
        let classified = run_blocking("triage", move || classifier.classify(&text)).await?;
        Ok(Triage::from_scores(&classified.scores))
    }

    async fn look_up(&self, ticket: &Ticket, question: &str, topic: Topic) -> Result<Lookup, SupportError> {
        let mut lookup = lookup::look_up(self.parts.store.as_ref(), ticket, question).await?;
        // What the question does not need plays no part in its answer.
        if !topic.needs_orders() && !matches!(lookup.orders, Orders::Found(_)) {
            lookup.orders = Orders::None;
        }
        Ok(lookup)
    }

    /// Rules, and has the ruling said. `Err` is a hand-off, not a failure.
    async fn settle(&self, case: &mut Case<'_>) -> Result<Result<Reply, HandOff>, SupportError> {
        let confidence = case.triage.confidence;
        if confidence < self.settings.min_confidence {
            return Ok(Err(case.hand_off("it is not clear what the customer wants".to_owned())));
        }
        let offer = self.offer(case).await?;
        match ruling::rule(case.triage.topic, &case.lookup, offer.as_ref()) {
            Ruling::HandOff { reason } => Ok(Err(case.hand_off(reason))),
            Ruling::Fixed { outcome, prompt, values } => {
                let body = self.prompts.render(prompt, values)?;
                Ok(Ok(Reply::fixed(outcome, body, confidence)))
            }
            Ruling::State { points, order_ids } => self.state(case, points, order_ids).await.map(Ok),
            Ruling::Quote => self.quote(case).await,
        }
    }

    /// The products in question, where it is about products at all.
    async fn offer(&self, case: &Case<'_>) -> Result<Option<Offer>, SupportError> {
        if case.triage.topic != Topic::Product {
            return Ok(None);
        }
        let failed = |e: StoreError| SupportError::Store(e.to_string());
        let store = &self.parts.store;
        let products = store.find_products(&case.question).await.map_err(failed)?;
        Ok(Some(Offer { products, currency: store.currency().await.map_err(failed)? }))
    }

    /// A reply from the store's data, and what an article adds to it. Where the model's draft fails,
    /// the points say it themselves.
    async fn state(
        &self,
        case: &mut Case<'_>,
        points: Vec<Point>,
        order_ids: Vec<String>,
    ) -> Result<Reply, SupportError> {
        // The data's own words find the article that explains them.
        let query = format!("{}\n{}", case.question, points.first().map_or("", |p| p.text.as_str()));
        let passages = self.retrieve(case, query).await?;
        let added = passages.first().filter(|p| self.answers(p)).cloned().map(Quoted::best_sentence);
        let Draft { body, usage } = self.draft(case, &points).await?;
        let faults = self.faults(case, &body, &points).await;
        let trace = Trace { points: texts(&points), passages, faults };
        let (body, written_by, confidence) = match trace.faults.is_empty() {
            true => (body, WrittenBy::Model, case.triage.confidence),
            false => {
                let body = self.prompts.render(Prompt::Points, context! { points => &trace.points })?;
                (body, WrittenBy::Template, case.triage.confidence * TEMPLATE_PENALTY)
            }
        };
        // The article's words need no phrasing.
        let body = added.iter().fold(body, |body, quoted| format!("{body} {}", quoted.quote()));
        let citations = added.iter().map(Quoted::citation).collect();
        Ok(Reply {
            outcome: Outcome::Answer,
            body,
            written_by,
            order_ids,
            citations,
            confidence,
            usage,
            trace,
        })
    }

    /// A reply from the store's articles, or a person where they are silent or the draft fails.
    async fn quote(&self, case: &mut Case<'_>) -> Result<Result<Reply, HandOff>, SupportError> {
        let passages = self.retrieve(case, case.question.clone()).await?;
        let Some(best) = passages.first().filter(|p| self.answers(p)).cloned() else {
            let mut hand_off = case.hand_off("no article of the store answers this".to_owned());
            hand_off.trace.passages = passages;
            return Ok(Err(hand_off));
        };
        let points = best.points();
        let Draft { body, usage } = self.draft(case, &points).await?;
        let faults = self.faults(case, &body, &points).await;
        let trace = Trace { points: texts(&points), passages, faults };
        if !trace.faults.is_empty() {
            let reason = format!("the draft failed verification: {}", trace.faults.join("; "));
            return Ok(Err(HandOff { draft: Some(body), usage, trace, ..case.hand_off(reason) }));
        }
        let confidence = case.triage.confidence * (best.similarity() / SURE_SIMILARITY).clamp(0.0, 1.0);
        Ok(Ok(Reply {
            outcome: Outcome::Answer,
            body,
            written_by: WrittenBy::Model,
            order_ids: Vec::new(),
            citations: vec![best.citation()],
            confidence,
            usage,
            trace,
        }))
    }

    async fn retrieve(&self, case: &mut Case<'_>, query: String) -> Result<Vec<Quoted>, SupportError> {
        let Parts { index, embed, .. } = self.parts.clone();
        let n_passages = self.settings.n_passages;
        let work =
            run_blocking("retrieve", move || retrieve::retrieve(&index, embed.as_ref(), &query, n_passages));
        case.clock.time("retrieve", work).await
    }

    fn answers(&self, passage: &Quoted) -> bool {
        passage.similarity() >= self.settings.min_similarity
    }

    async fn draft(&self, case: &mut Case<'_>, points: &[Point]) -> Result<Draft, SupportError> {
        let work = self.composer.draft(case.message, points);
        case.clock.time("compose", work).await
    }

    async fn faults(&self, case: &mut Case<'_>, body: &str, points: &[Point]) -> Vec<String> {
        let names = case.first_name().map(str::to_owned).into_iter().chain(self.settings.store_name.clone());
        let evidence = Evidence { points, names: names.collect() };
        let faults = case.clock.time("verify", async { verify::check(body, &evidence) }).await;
        faults.iter().map(ToString::to_string).collect()
    }

    fn send(&self, case: Case<'_>, reply: Reply) -> Answer {
        let channel = case.ticket.channel;
        let content = dress(&reply.body, channel, case.first_name(), self.settings.store_name.as_deref());
        let report = Report {
            decision: Decision::Reply,
            outcome: reply.outcome,
            intents: case.triage.intents,
            order_ids: reply.order_ids,
            citations: reply.citations,
            action: None,
            handoff: None,
            confidence: reply.confidence,
            written_by: reply.written_by,
            timings_ms: case.clock.timings_ms,
        };
        Answer { content, report, usage: reply.usage, trace: reply.trace }
    }

    fn escalate(&self, case: Case<'_>, hand_off: HandOff) -> Result<Answer, SupportError> {
        let body = self.prompts.render(Prompt::Escalate, context! {})?;
        let content =
            dress(&body, case.ticket.channel, case.first_name(), self.settings.store_name.as_deref());
        let summary = case.summary();
        let report = Report {
            decision: Decision::Escalate,
            outcome: Outcome::Escalate,
            intents: case.triage.intents,
            order_ids: hand_off.order_ids,
            citations: hand_off
                .trace
                .passages
                .iter()
                .filter(|p| self.answers(p))
                .map(Quoted::citation)
                .collect(),
            action: None,
            handoff: Some(Handoff { reason: hand_off.reason, summary, draft: hand_off.draft }),
            confidence: hand_off.confidence,
            written_by: WrittenBy::Template,
            timings_ms: case.clock.timings_ms,
        };
        Ok(Answer { content, report, usage: hand_off.usage, trace: hand_off.trace })
    }
}

impl Case<'_> {
    fn first_name(&self) -> Option<&str> {
        self.lookup.customer.as_ref().map(|c| c.first_name.as_str())
    }

    fn found_orders(&self) -> Vec<String> {
        match &self.lookup.orders {
            Orders::Found(orders) => orders.iter().map(|o| o.id.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn hand_off(&self, reason: String) -> HandOff {
        HandOff {
            reason,
            draft: None,
            order_ids: self.found_orders(),
            confidence: self.triage.confidence,
            usage: Usage::default(),
            trace: Trace::default(),
        }
    }

    /// The case in one line, for the person who takes over.
    fn summary(&self) -> String {
        let who = match &self.lookup.customer {
            Some(customer) => format!("{} ({})", customer.full_name(), customer.email),
            None => "An unverified sender".to_owned(),
        };
        let what =
            self.triage.intents.first().map_or("something unclear", |i| i.label.as_str()).replace('_', " ");
        let orders = match &self.lookup.orders {
            Orders::Found(orders) => {
                orders.iter().map(|o| format!("{} ({})", o.id, o.status)).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        let about = if orders.is_empty() { String::new() } else { format!(", about {}", orders.join(", ")) };
        format!("{who} writes about: {what}{about}.")
    }
}

impl Reply {
    fn fixed(outcome: Outcome, body: String, confidence: f32) -> Self {
        Self {
            outcome,
            body,
            written_by: WrittenBy::Template,
            order_ids: Vec::new(),
            citations: Vec::new(),
            confidence,
            usage: Usage::default(),
            trace: Trace::default(),
        }
    }
}

fn texts(points: &[Point]) -> Vec<String> {
    points.iter().map(|p| p.text.clone()).collect()
}

/// Runs work that computes for milliseconds beside the async threads.
async fn run_blocking<T, E>(
    stage: &'static str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, SupportError>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let fail = |reason: String| SupportError::Stage { stage, reason };
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| fail(e.to_string()))?;
    done.map_err(|e| fail(e.to_string()))
}
