//! The path of a ticket, stage by stage.

use std::sync::Arc;

use async_trait::async_trait;
use minijinja::context;

use crate::{
    actions::{ActionService, Proposal},
    embed::Embed,
    engine::{Generate, Usage},
    intent::Classifier,
    playbook::{Language, Playbook, ProposedAction},
    retrieval::Index,
    store::{Customer, OrderStore},
};

use super::{
    Action, Answer, AnswerTicket, Decision, Found, Handoff, Mode, Outcome, Quoted, Report, SupportError,
    Thresholds, Ticket, Trace, Wording, WrittenBy,
    articles::Articles,
    brief::{Brief, Point},
    case::{Case, Clock},
    conversation::Conversation,
    form_of_reply::{body_of, dress},
    handling::{End, Handler},
    language::{Spoken, spoken},
    lookup,
    phrases::{Phrase, Phrases},
    prompts::{Prompt, Prompts},
    run_blocking, signals,
    slots::{Choices, SlotReader},
    triage::{self, Asked, Triage},
    verify::{self, Evidence},
    writer::{Rejected, Writer, Written, examples},
};

/// What a reply's confidence loses when the model's draft had to be replaced by the template.
const TEMPLATE_PENALTY: f32 = 0.9;
/// Drafts of one reply; what fails as often is said by the template.
const MAX_DRAFTS: usize = 2;

/// The rooms that the pipeline draws on.
#[derive(Clone)]
pub struct Parts {
    /// Recognises intents.
    pub classifier: Arc<Classifier>,
    /// Knows customers and orders.
    pub store: Arc<dyn OrderStore>,
    /// Decides what may be done; without one, a person does.
    pub playbook: Option<Arc<Playbook>>,
    /// Reads what the playbook's rules need to be told apart.
    pub choices: Arc<Choices>,
    /// Finds passages of the articles.
    pub index: Arc<Index>,
    /// Compares sentences with questions.
    pub embed: Arc<dyn Embed>,
    /// Phrases replies.
    pub llm: Arc<dyn Generate>,
    /// Signs the actions that replies propose.
    pub actions: Arc<ActionService>,
}

/// What can be set about the pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The store's name, if replies are to bear it.
    pub store_name: Option<String>,
    /// Most tokens of a draft.
    pub max_reply_tokens: usize,
    /// Whether replies are sent, or drafted for a person.
    pub mode: Mode,
    /// Who words replies.
    pub wording: Wording,
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
    articles: Articles,
    phrases: Arc<Phrases>,
    writer: Writer,
}

impl Support {
    /// Puts the pipeline together.
    ///
    /// # Errors
    /// When a text in `prompts/` is not a valid template.
    pub fn new(parts: Parts, settings: Settings) -> Result<Self, SupportError> {
        let phrases = Arc::new(Phrases::compile()?);
        let writer = Writer {
            llm: Arc::clone(&parts.llm),
            prompts: Arc::new(Prompts::compile()?),
            store_name: settings.store_name.clone(),
            max_reply_tokens: settings.max_reply_tokens,
            examples: examples()?,
        };
        let slots = SlotReader {
            writer: writer.clone(),
            choices: Arc::clone(&parts.choices),
            store: Arc::clone(&parts.store),
        };
        let handler = Handler {
            store: Arc::clone(&parts.store),
            playbook: parts.playbook.clone(),
            phrases: Arc::clone(&phrases),
            slots,
        };
        let articles = Articles {
            index: Arc::clone(&parts.index),
            embed: Arc::clone(&parts.embed),
            n_passages: settings.n_passages,
            min_similarity: settings.min_similarity,
            read: Arc::default(),
        };
        Ok(Self { parts, settings, handler, articles, phrases, writer })
    }

    /// Does beforehand what every ticket would ask of the language model: to be called once it serves.
    ///
    /// # Errors
    /// When the engine refuses a request or breaks off.
    pub async fn warm_up(&self) -> Result<(), SupportError> {
        self.writer.warm_up(self.settings.wording == Wording::Model).await
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
        let conversation = Conversation::of(ticket).ok_or(SupportError::NoUserMessage)?;
        let mut case = self.open(ticket, &conversation).await?;
        let answer = match self.settle(&mut case).await? {
            Ok(reply) => self.reply(case, reply)?,
            Err(hand_off) => self.escalate(case, hand_off)?,
        };
        let report = &answer.report;
        tracing::info!(decision = ?report.decision, outcome = ?report.outcome, written_by = ?report.written_by, "answered");
        Ok(answer)
    }
}

impl Support {
    /// Reads what the customer asks for: in the last message, or over several where it goes on from
    /// those before.
    async fn open<'a>(
        &self,
        ticket: &'a Ticket,
        conversation: &Conversation<'_>,
    ) -> Result<Case<'a>, SupportError> {
        let whole = conversation.whole();
        let mut case = Case {
            ticket,
            message: if conversation.goes_on() { whole.clone() } else { conversation.last.to_owned() },
            agrees: conversation.agrees(),
            spoken: spoken(&whole),
            whole,
            translation: None,
            triage: Triage::default(),
            customer: None,
            orders: Vec::new(),
            trace: Trace::default(),
            usage: Usage::default(),
            clock: Clock::default(),
        };
        self.read(&mut case).await?;
        if !case.triage.is_clear() && conversation.has_earlier() && case.message != case.whole {
            case.message.clone_from(&case.whole);
            self.read(&mut case).await?;
        }
        Ok(case)
    }

    /// What the case's message asks for.
    async fn read(&self, case: &mut Case<'_>) -> Result<(), SupportError> {
        if case.spoken != Spoken::Known(Language::En) {
            let written = case.clock.time("translate", self.writer.english(&case.message)).await?;
            case.usage += written.usage;
            case.translation = Some(written.text.trim().to_owned());
            case.trace.translation.clone_from(&case.translation);
        }
        let english = case.english().to_owned();
        let question = triage::question(case.ticket, &english);
        let (classifier, playbook) = (Arc::clone(&self.parts.classifier), self.parts.playbook.clone());
        let work = run_blocking("triage", move || {
            triage::triage(&classifier, playbook.as_deref(), &question, &english)
        });
        case.triage = case.clock.time("triage", work).await?;
        Ok(())
    }

    /// Decides what is said, and has it said. `Err` is a hand-off, not a failure.
    async fn settle(&self, case: &mut Case<'_>) -> Result<Result<Reply, HandOff>, SupportError> {
        if case.agrees {
            let reason = "the customer agrees to what was proposed: confirm it with its token";
            return Ok(Err(HandOff::because(reason)));
        }
        let brief = match self.brief(case).await? {
            Ok(brief) => brief,
            Err(hand_off) => return Ok(Err(hand_off)),
        };
        let needed = self.settings.min_confidence.of(brief.outcome);
        let sign = signals::needs_person(&case.message)
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
        let whole = match case.whole == case.message {
            true => triage::question(case.ticket, &english),
            // Order numbers are the same in every language.
            false => triage::question(case.ticket, &format!("{english}\n{}", case.whole)),
        };
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
        let Some(mut brief) = brief else {
            return Ok(Err(HandOff::because("it is not clear what the customer wants")));
        };
        self.articles.quote_in(&mut brief);
        Ok(Ok(brief))
    }

    /// What the store's articles say to a question, or a person where they are silent.
    async fn quote(
        &self,
        case: &mut Case<'_>,
        asked: &Asked,
    ) -> Result<Result<Brief, HandOff>, SupportError> {
        let found = case.clock.time("retrieve", self.articles.find_for(&asked.text)).await?;
        case.trace.passages.extend(found.iter().map(Found::from));
        let mut brief: Option<Brief> = None;
        for quoted in self.articles.answers(found) {
            let title = &quoted.hit.passage.title;
            let introduction = self.writer.prompts.render(Prompt::Quote, context! { title })?;
            let part = quoted.brief(&introduction, asked.confidence);
            brief = match brief {
                None => Some(part),
                Some(brief) => brief.and(part),
            };
        }
        Ok(brief.ok_or_else(|| HandOff::because("no article of the store answers this")))
    }

    /// The articles' passages near a question, noted in the case.
    async fn retrieve(&self, case: &mut Case<'_>, question: String) -> Result<Vec<Quoted>, SupportError> {
        let passages = case.clock.time("retrieve", self.articles.find(question)).await?;
        case.trace.passages.extend(passages.iter().map(Found::from));
        Ok(passages)
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
        let n_drafts = match self.settings.wording {
            Wording::Model => MAX_DRAFTS,
            Wording::Template => 0,
        };
        for _ in 0..n_drafts {
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
        if rejected.is_some() {
            brief.confidence *= TEMPLATE_PENALTY;
        }
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
        let Some(best) = self.articles.answer(&passages) else { return Ok(body) };
        let best = best.clone().best_sentence();
        let is_sure = best.sureness() >= 1.0;
        brief.citations.push(best.citation());
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

    /// The reply with its evidence: for the customer, or as a draft for a person.
    fn reply(&self, case: Case<'_>, reply: Reply) -> Result<Answer, SupportError> {
        let Reply { brief, body, language, written_by } = reply;
        let written = self.dressed(&case, &body, language);
        let action = brief.action.map(|action| self.proposed(&case, action)).transpose()?;
        let (decision, content, handoff) = match self.settings.mode {
            Mode::Reply => (Decision::Reply, written, None),
            Mode::Draft => {
                let reason = "replies are drafts here: a person sends them".to_owned();
                let handoff = Handoff { reason, summary: case.summary(), draft: Some(written) };
                (Decision::Escalate, self.taken_over(&case)?, Some(handoff))
            }
        };
        let report = Report {
            decision,
            outcome: brief.outcome,
            intents: case.triage.intents,
            order_ids: brief.order_ids,
            citations: brief.citations,
            action,
            handoff,
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
        let content = self.taken_over(&case)?;
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

    /// What the customer is told when a person takes over.
    fn taken_over(&self, case: &Case<'_>) -> Result<String, SupportError> {
        let said = self.phrases.say(Phrase::Escalate, &context! {})?;
        let language = match case.spoken {
            Spoken::Known(language) => language,
            Spoken::Other(_) => Language::En,
        };
        Ok(self.dressed(case, said.get(&language).map_or("", String::as_str), language))
    }

    fn dressed(&self, case: &Case<'_>, body: &str, language: Language) -> String {
        let name = case.customer.as_ref().map(|customer| customer.first_name.as_str());
        dress(body, case.ticket.channel, language, name, self.settings.store_name.as_deref())
    }
}
