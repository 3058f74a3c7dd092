//! The path of a ticket, stage by stage.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use minijinja::context;

use crate::{
    actions::{ActionDesk, Proposal},
    embed::Embed,
    engine::{Generate, Usage},
    intent::Classifier,
    model::chat::Role,
    playbook::{Language, Playbook, ProposedAction},
    retrieval::Index,
    store::{Customer, OrderStore},
};

use super::{
    Action, Answer, AnswerTicket, Citation, Decision, Found, Handoff, Outcome, Quoted, Report, SupportError,
    Thresholds, Ticket, Trace, WrittenBy,
    brief::{Brief, Point},
    form_of_reply::{body_of, dress},
    handling::{End, Handler, quoting},
    language::{Spoken, spoken},
    lookup::{self, Lookup, Orders},
    phrases::{Phrase, Phrases},
    prompts::Prompts,
    retrieve, signals,
    slots::SlotReader,
    triage::{self, Asked, Triage},
    verify::{self, Evidence},
    writer::{Rejected, Writer, Written, examples},
};

/// Similarity of a quoted sentence to its question from which it surely answers it.
const SURE_SIMILARITY: f32 = 0.6;
/// What a reply's confidence loses when the model's draft had to be replaced by the template.
const TEMPLATE_PENALTY: f32 = 0.9;
/// Drafts of one reply; what fails as often is said by the template.
const MAX_DRAFTS: usize = 2;
/// Sentences of a section that a citation quotes where no sentence was chosen.
const MAX_QUOTED: usize = 2;

/// The rooms that the pipeline draws on.
#[derive(Clone)]
pub struct Parts {
    /// Recognises intents.
    pub classifier: Arc<Classifier>,
    /// Knows customers and orders.
    pub store: Arc<dyn OrderStore>,
    /// Decides what may be done; without one, a person does.
    pub playbook: Option<Arc<Playbook>>,
    /// Finds passages of the articles.
    pub index: Arc<Index>,
    /// Compares sentences with questions.
    pub embed: Arc<dyn Embed>,
    /// Phrases replies.
    pub llm: Arc<dyn Generate>,
    /// Signs the actions that replies propose.
    pub actions: Arc<ActionDesk>,
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
    /// Confidence below which a ticket goes to a person.
    pub min_confidence: Thresholds,
    /// Similarity, −1 to 1, below which a passage does not answer a question.
    pub min_similarity: f32,
}

/// The pipeline.
#[derive(Clone)]
pub struct Support {
    parts: Parts,
    settings: Settings,
    handler: Handler,
    phrases: Arc<Phrases>,
    writer: Writer,
}

impl Support {
    /// Puts the pipeline together.
    ///
    /// # Errors
    /// When a text in `prompts/` is not a valid template.
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, SupportError> {
        let (prompts, phrases) = (Arc::new(Prompts::compile()?), Arc::new(Phrases::compile()?));
        let writer = Writer {
            llm: Arc::clone(&parts.llm),
            prompts: Arc::clone(&prompts),
            store_name: settings.store_name.clone(),
            max_reply_tokens: settings.max_reply_tokens,
            examples: examples()?,
        };
        let slots = SlotReader {
            llm: Arc::clone(&parts.llm),
            embed: Arc::clone(&parts.embed),
            store: Arc::clone(&parts.store),
            prompts,
        };
        let handler = Handler {
            store: Arc::clone(&parts.store),
            playbook: parts.playbook.clone(),
            phrases: Arc::clone(&phrases),
            slots,
        };
        Ok(Self { parts, settings, handler, phrases, writer })
    }
}

/// What is known of a ticket while it is on its way.
struct Case<'a> {
    ticket: &'a Ticket,
    /// The customer's words.
    message: &'a str,
    spoken: Spoken,
    /// The same in English, where it was not.
    translation: Option<String>,
    triage: Triage,
    customer: Option<Customer>,
    /// Orders that were found: number and status.
    orders: Vec<(String, String)>,
    trace: Trace,
    usage: Usage,
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

/// A text for the customer, and who wrote it.
struct Reply {
    brief: Brief,
    body: String,
    language: Language,
    written_by: WrittenBy,
}

/// Why a person takes over, and what is handed to them.
struct HandOff {
    reason: String,
    draft: Option<String>,
}

impl HandOff {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), draft: None }
    }
}

#[async_trait]
impl AnswerTicket for Support {
    #[tracing::instrument(skip_all, fields(ticket = ticket.id.as_deref().unwrap_or("-")))]
    async fn answer(&self, ticket: &Ticket) -> Result<Answer, SupportError> {
        let last = ticket.messages.iter().rfind(|m| m.role == Role::User).map(|m| m.content.trim());
        let message = last.filter(|m| !m.is_empty()).ok_or(SupportError::NoUserMessage)?;
        let mut case = self.open(ticket, message).await?;
        let answer = match self.settle(&mut case).await? {
            Ok(reply) => self.send(case, reply)?,
            Err(hand_off) => self.escalate(case, hand_off)?,
        };
        let report = &answer.report;
        tracing::info!(decision = ?report.decision, outcome = ?report.outcome, written_by = ?report.written_by, "answered");
        Ok(answer)
    }
}

impl Support {
    /// Reads the message: its language, and what it asks for.
    async fn open<'a>(&self, ticket: &'a Ticket, message: &'a str) -> Result<Case<'a>, SupportError> {
        let (mut clock, mut usage) = (Clock::default(), Usage::default());
        let spoken = spoken(message);
        let translation = match spoken {
            Spoken::Known(Language::En) => None,
            Spoken::Known(_) | Spoken::Other(_) => {
                let written = clock.time("translate", self.writer.english(message)).await?;
                usage += written.usage;
                Some(written.text.trim().to_owned())
            }
        };
        let english = translation.as_deref().unwrap_or(message).to_owned();
        let question = triage::question(ticket, &english);
        let (classifier, playbook) = (Arc::clone(&self.parts.classifier), self.parts.playbook.clone());
        let work = run_blocking("triage", move || {
            triage::triage(&classifier, playbook.as_deref(), &question, &english)
        });
        let triage = clock.time("triage", work).await?;
        let trace = Trace { translation: translation.clone(), ..Trace::default() };
        Ok(Case {
            ticket,
            message,
            spoken,
            translation,
            triage,
            customer: None,
            orders: Vec::new(),
            trace,
            usage,
            clock,
        })
    }

    /// Decides what is said, and has it said. `Err` is a hand-off, not a failure.
    async fn settle(&self, case: &mut Case<'_>) -> Result<Result<Reply, HandOff>, SupportError> {
        let brief = match self.brief(case).await? {
            Ok(brief) => brief,
            Err(hand_off) => return Ok(Err(hand_off)),
        };
        let needed = self.settings.min_confidence.of(brief.outcome);
        let sign = signals::needs_person(case.message)
            .or_else(|| case.translation.as_deref().and_then(signals::needs_person));
        let reason = match sign {
            Some(sign) => Some(sign.to_owned()),
            None if brief.confidence < needed => Some(format!(
                "it is not clear enough what the customer wants (confidence {:.2}, needed {needed:.2})",
                brief.confidence
            )),
            None => None,
        };
        if let Some(reason) = reason {
            return Ok(Err(HandOff { reason, draft: brief.reply_in(Language::En) }));
        }
        self.write(case, brief).await
    }

    /// What the reply has to say: to each request its part.
    async fn brief(&self, case: &mut Case<'_>) -> Result<Result<Brief, HandOff>, SupportError> {
        let sender =
            case.clock.time("lookup", lookup::sender(self.parts.store.as_ref(), case.ticket)).await?;
        let english = case.english().to_owned();
        let whole = triage::question(case.ticket, &english);
        let mut brief: Option<Brief> = None;
        for asked in case.triage.asked.clone() {
            let work = lookup::look_up(self.parts.store.as_ref(), sender.as_ref(), &asked.text, &whole);
            let lookup = case.clock.time("lookup", work).await?;
            case.remember(&lookup);
            let settled = case.clock.time("rule", self.handler.settle(&asked, &lookup)).await?;
            case.usage += settled.usage;
            case.trace.rules.extend(settled.rule);
            let part = match settled.end {
                End::Say(part) => part,
                End::HandOff(reason) => return Ok(Err(HandOff::because(reason))),
                End::Quote => match self.quote(case, &asked).await? {
                    Ok(part) => part,
                    Err(hand_off) => return Ok(Err(hand_off)),
                },
            };
            brief = match brief {
                None => Some(part),
                Some(brief) => match brief.and(part) {
                    Some(both) => Some(both),
                    None => return Ok(Err(HandOff::because("the message asks for several actions at once"))),
                },
            };
        }
        let brief = brief.ok_or_else(|| HandOff::because("it is not clear what the customer wants"));
        Ok(brief.map(|brief| self.with_quotes(brief)))
    }

    /// What the store's articles say to a question, or a person where they are silent.
    async fn quote(
        &self,
        case: &mut Case<'_>,
        asked: &Asked,
    ) -> Result<Result<Brief, HandOff>, SupportError> {
        let passages = self.retrieve(case, asked.text.clone()).await?;
        let best = passages.first().filter(|passage| passage.similarity() >= self.settings.min_similarity);
        Ok(best.map_or_else(
            || Err(HandOff::because("no article of the store answers this")),
            |best| Ok(quoting(best, asked.confidence * sureness(best))),
        ))
    }

    async fn retrieve(&self, case: &mut Case<'_>, query: String) -> Result<Vec<Quoted>, SupportError> {
        let Parts { index, embed, .. } = self.parts.clone();
        let n_passages = self.settings.n_passages;
        let work =
            run_blocking("retrieve", move || retrieve::retrieve(&index, embed.as_ref(), &query, n_passages));
        let passages = case.clock.time("retrieve", work).await?;
        case.trace.passages.extend(passages.iter().map(Found::from));
        Ok(passages)
    }

    /// Fills in what the cited sections say.
    fn with_quotes(&self, mut brief: Brief) -> Brief {
        for citation in brief.citations.iter_mut().filter(|citation| citation.quote.is_empty()) {
            let passage = self.parts.index.passages().iter().find(|passage| passage.id == citation.id);
            if let Some(passage) = passage {
                let mut quoted = verify::sentences(&passage.text);
                quoted.truncate(MAX_QUOTED);
                *citation = Citation {
                    id: passage.id.clone(),
                    title: passage.title.clone(),
                    quote: quoted.join(" "),
                };
            }
        }
        brief
    }

    /// Has the brief said in the customer's language: in English by the model as long as its draft
    /// holds, else by the template.
    async fn write(&self, case: &mut Case<'_>, brief: Brief) -> Result<Result<Reply, HandOff>, SupportError> {
        case.trace.points = brief.english();
        let language = match case.spoken {
            Spoken::Known(Language::En) => return self.write_english(case, brief).await,
            Spoken::Known(language) => language,
            Spoken::Other(code) => {
                let reason =
                    format!("the message is in a language that is not answered without a person ({code})");
                return Ok(Err(HandOff { reason, draft: brief.reply_in(Language::En) }));
            }
        };
        Ok(match brief.reply_in(language) {
            Some(body) => Ok(Reply { brief, body, language, written_by: WrittenBy::Template }),
            None => Err(HandOff {
                reason: format!("the store's articles say nothing in the customer's language ({language})"),
                draft: brief.reply_in(Language::En),
            }),
        })
    }

    async fn write_english(
        &self,
        case: &mut Case<'_>,
        mut brief: Brief,
    ) -> Result<Result<Reply, HandOff>, SupportError> {
        let mut rejected: Option<(String, Vec<String>)> = None;
        let message = case.english().to_owned();
        for _ in 0..MAX_DRAFTS {
            let last = rejected.as_ref().map(|(draft, faults)| Rejected { draft, faults });
            let work = self.writer.reply(&message, &brief, last);
            let Written { text, usage } = case.clock.time("compose", work).await?;
            case.usage += usage;
            let body = body_of(&text);
            let work = self.faults(case.customer.as_ref(), &message, &body, &brief);
            let faults = case.clock.time("verify", work).await?;
            if faults.is_empty() {
                let body = self.explained(case, &mut brief, body).await?;
                return Ok(Ok(Reply { brief, body, language: Language::En, written_by: WrittenBy::Model }));
            }
            case.trace.faults.extend(faults.iter().cloned());
            rejected = Some((body, faults));
        }
        if !brief.speaks_for_itself {
            let (draft, faults) = rejected.unwrap_or_default();
            let reason = format!("the draft failed verification: {}", faults.join("; "));
            return Ok(Err(HandOff { reason, draft: Some(draft) }));
        }
        brief.confidence *= TEMPLATE_PENALTY;
        let body = brief.reply_in(Language::En).unwrap_or_default();
        let body = self.explained(case, &mut brief, body).await?;
        Ok(Ok(Reply { brief, body, language: Language::En, written_by: WrittenBy::Template }))
    }

    /// The same with the article that explains what it states: cited where it is near, and its
    /// sentence said behind the reply where it surely is about this. An article's words need no
    /// phrasing.
    async fn explained(
        &self,
        case: &mut Case<'_>,
        brief: &mut Brief,
        body: String,
    ) -> Result<String, SupportError> {
        if brief.outcome != Outcome::Answer || brief.order_ids.is_empty() {
            return Ok(body);
        }
        let query = format!("{}\n{}", case.english(), brief.points.first().map_or("", Point::english));
        let passages = self.retrieve(case, query).await?;
        let near = |best: &Quoted| best.similarity() >= self.settings.min_similarity;
        let Some(best) = passages.into_iter().next().filter(near) else { return Ok(body) };
        let best = best.best_sentence();
        brief.citations.push(best.citation());
        let is_sure = best.similarity() >= SURE_SIMILARITY;
        Ok(if is_sure { format!("{body} {}", best.quote()) } else { body })
    }

    async fn faults(
        &self,
        customer: Option<&Customer>,
        message: &str,
        body: &str,
        brief: &Brief,
    ) -> Result<Vec<String>, SupportError> {
        let named = self.parts.store.find_products(body).await;
        let named = named.map_err(|error| SupportError::Store(error.to_string()))?;
        let names = customer.map(|customer| customer.first_name.clone()).into_iter();
        let evidence = Evidence {
            points: &brief.points,
            names: names.chain(self.settings.store_name.clone()).chain(brief.order_ids.clone()).collect(),
            message,
            products: named.into_iter().map(|product| product.name).collect(),
        };
        Ok(verify::check(body, &evidence).iter().map(ToString::to_string).collect())
    }

    fn send(&self, case: Case<'_>, reply: Reply) -> Result<Answer, SupportError> {
        let Reply { brief, body, language, written_by } = reply;
        let content = self.dressed(&case, &body, language);
        let action = brief.action.map(|action| self.proposed(&case, action)).transpose()?;
        let report = Report {
            decision: Decision::Reply,
            outcome: brief.outcome,
            intents: case.triage.intents,
            order_ids: brief.order_ids,
            citations: brief.citations,
            action,
            handoff: None,
            confidence: brief.confidence,
            written_by,
            timings_ms: case.clock.timings_ms,
            explain: case.trace,
        };
        Ok(Answer { content, report, usage: case.usage })
    }

    /// An action with the token that its customer's yes has to carry.
    fn proposed(&self, case: &Case<'_>, action: ProposedAction) -> Result<Action, SupportError> {
        let failed = |reason: String| SupportError::Stage { stage: "propose", reason };
        let customer = case.customer.as_ref().ok_or_else(|| failed("nobody is verified".to_owned()))?;
        let ProposedAction { name, arguments } = action;
        let proposal = Proposal { customer: customer.id.clone(), name, arguments };
        let confirmation_token =
            self.parts.actions.propose(&proposal).map_err(|error| failed(error.to_string()))?;
        let Proposal { name, arguments, .. } = proposal;
        Ok(Action { name, arguments, confirmation_token })
    }

    fn escalate(&self, case: Case<'_>, hand_off: HandOff) -> Result<Answer, SupportError> {
        let said = self.phrases.say(Phrase::Escalate, &context! {})?;
        let language = match case.spoken {
            Spoken::Known(language) => language,
            Spoken::Other(_) => Language::En,
        };
        let content = self.dressed(&case, said.get(&language).map_or("", String::as_str), language);
        let summary = case.summary();
        let report = Report {
            decision: Decision::Escalate,
            outcome: Outcome::Escalate,
            confidence: case.triage.confidence(),
            intents: case.triage.intents,
            order_ids: case.orders.into_iter().map(|(id, _)| id).collect(),
            citations: Vec::new(),
            action: None,
            handoff: Some(Handoff { reason: hand_off.reason, summary, draft: hand_off.draft }),
            written_by: WrittenBy::Template,
            timings_ms: case.clock.timings_ms,
            explain: case.trace,
        };
        Ok(Answer { content, report, usage: case.usage })
    }

    fn dressed(&self, case: &Case<'_>, body: &str, language: Language) -> String {
        let name = case.customer.as_ref().map(|customer| customer.first_name.as_str());
        dress(body, case.ticket.channel, language, name, self.settings.store_name.as_deref())
    }
}

impl Case<'_> {
    fn english(&self) -> &str {
        self.translation.as_deref().unwrap_or(self.message)
    }

    fn remember(&mut self, lookup: &Lookup) {
        self.customer.clone_from(&lookup.customer);
        if let Orders::Found(orders) = &lookup.orders {
            for order in orders {
                let known = (order.id.to_string(), order.status.to_string());
                if !self.orders.contains(&known) {
                    self.orders.push(known);
                }
            }
        }
    }

    /// The case in one line, for the person who takes over.
    fn summary(&self) -> String {
        let who = match &self.customer {
            Some(customer) => format!("{} ({})", customer.full_name(), customer.email),
            None => "An unverified sender".to_owned(),
        };
        let what =
            self.triage.intents.first().map_or("something unclear", |i| i.label.as_str()).replace('_', " ");
        let orders: Vec<String> = self.orders.iter().map(|(id, status)| format!("{id} ({status})")).collect();
        let about = if orders.is_empty() { String::new() } else { format!(", about {}", orders.join(", ")) };
        format!("{who} writes about: {what}{about}.")
    }
}

/// How surely a passage answers its question, 0 to 1.
fn sureness(passage: &Quoted) -> f32 {
    (passage.similarity() / SURE_SIMILARITY).clamp(0.0, 1.0)
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
