//! The path of a ticket, stage by stage.

use std::sync::Arc;

use async_trait::async_trait;
use minijinja::context;
use tier0_playbook::{Language, Playbook};
use tier0_store::OrderStore;

use super::{
    Answer, AnswerTicket, Mode, Outcome, PassageMatch, PassageTrace, SupportError, Thresholds, Ticket, Trace,
    Wording, WrittenBy,
    assemble::Reply,
    case::{Case, Clock},
    decide::{Resolution, Resolver},
    llm::{Completion, LanguageModel},
    prompts::{Prompt, Prompts},
    respond::{
        brief::{Brief, Statement},
        compose::{Composer, Rejected, examples},
        format::strip_boilerplate,
        retrieve::Articles,
        templates::Templates,
    },
    run_blocking,
    stop::{HandOff, Step, Stop},
    texts::English,
    understand::{
        conversation::Conversation,
        escalation,
        extract::{ChoiceClassifiers, SlotReader},
        language::{DetectedLanguage, detect},
        lookup,
        translate::translate,
        triage::{self, IntentRequest, Triage},
    },
    verify::{Evidence, Rejection, Verified},
};
use crate::{
    actions::ActionService,
    embed::Embed,
    engine::{Generate, Priority, Request, Usage},
    intent::Classifier,
    retrieval::Index,
};

/// What a reply's confidence loses when the model's draft had to be replaced by the template.
const TEMPLATE_PENALTY: f32 = 0.9;
/// Drafts of one reply; what fails as often is said by the template.
const MAX_DRAFTS: usize = 2;

/// What the pipeline is made of.
#[derive(Clone)]
pub struct Components {
    /// Recognises intents.
    pub classifier: Arc<Classifier>,
    /// Knows customers and orders.
    pub store: Arc<dyn OrderStore>,
    /// Decides what may be done; without one, a person does.
    pub playbook: Option<Arc<Playbook>>,
    /// Reads what the playbook's rules need to be told apart.
    pub choices: Arc<ChoiceClassifiers>,
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
    pub(super) components: Components,
    pub(super) settings: Settings,
    pub(super) resolver: Resolver,
    pub(super) articles: Articles,
    pub(super) templates: Arc<Templates>,
    composer: Composer,
}

impl Support {
    /// Puts the pipeline together.
    ///
    /// # Errors
    /// When a text in `prompts/` is not a valid template.
    pub fn new(components: Components, settings: Settings) -> Result<Self, SupportError> {
        let templates = Arc::new(Templates::compile()?);
        let model =
            LanguageModel { engine: Arc::clone(&components.llm), prompts: Arc::new(Prompts::compile()?) };
        let composer = Composer {
            model: model.clone(),
            store_name: settings.store_name.clone(),
            max_reply_tokens: settings.max_reply_tokens,
            examples: examples()?,
        };
        let slots = SlotReader {
            model,
            choices: Arc::clone(&components.choices),
            store: Arc::clone(&components.store),
        };
        let resolver = Resolver {
            store: Arc::clone(&components.store),
            playbook: components.playbook.clone(),
            templates: Arc::clone(&templates),
            slots,
        };
        let articles = Articles {
            index: Arc::clone(&components.index),
            embed: Arc::clone(&components.embed),
            n_passages: settings.n_passages,
            min_similarity: settings.min_similarity,
            read: Arc::default(),
        };
        Ok(Self { components, settings, resolver, articles, templates, composer })
    }

    /// Has the model read what all its tasks begin with, forms and (if it writes them) replies, so that
    /// the first ticket need not wait for it. To be called once the engine serves.
    ///
    /// # Errors
    /// When the engine refuses a request or breaks off.
    pub async fn warm_up(&self) -> Result<(), SupportError> {
        let form = self.resolver.slots.warm_up_messages()?.to_vec();
        let writes_replies = self.settings.wording == Wording::Model;
        let reply = writes_replies.then(|| self.composer.messages("", &[])).transpose()?;
        let model = &self.composer.model;
        for messages in [Some(form), reply].into_iter().flatten() {
            let request = Request { priority: Priority::Batch, ..model.request(&messages, 1)? };
            model.complete(request).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl AnswerTicket for Support {
    #[tracing::instrument(skip_all, fields(ticket = ticket.id.as_deref().unwrap_or("-")))]
    async fn answer(&self, ticket: &Ticket) -> Result<Answer, SupportError> {
        let conversation = Conversation::of(ticket).ok_or(SupportError::NoUserMessage)?;
        let mut case = self.understand(ticket, &conversation).await?;
        let answer = match self.reply_to(&mut case).await {
            Ok(reply) => self.replied(case, reply)?,
            Err(Stop::HandOff(hand_off)) => self.escalated(case, hand_off)?,
            Err(Stop::Failed(error)) => return Err(error),
        };
        let report = &answer.report;
        tracing::info!(decision = ?report.decision, outcome = ?report.outcome, written_by = ?report.written_by, "answered");
        Ok(answer)
    }
}

impl Support {
    /// Reads what the customer asks for: in the last message, or over several where it goes on from
    /// those before.
    async fn understand<'a>(
        &self,
        ticket: &'a Ticket,
        conversation: &Conversation<'_>,
    ) -> Result<Case<'a>, SupportError> {
        let written = conversation.as_written();
        let mut case = Case {
            ticket,
            own_words: conversation.own_words(),
            agrees: conversation.agrees(),
            language: detect(&written),
            written,
            translation: None,
            triage: Triage::default(),
            customer: None,
            orders: Vec::new(),
            trace: Trace::default(),
            usage: Usage::default(),
            clock: Clock::default(),
        };
        self.classify(&mut case).await?;
        let answers_all = case.own_words.are_all_of(&case.written);
        if !case.triage.is_clear() && conversation.has_earlier() && !answers_all {
            case.own_words = case.written.clone().into_own_words();
            self.classify(&mut case).await?;
        }
        Ok(case)
    }

    /// Translates the own words where they are not English, and classifies them.
    async fn classify(&self, case: &mut Case<'_>) -> Result<(), SupportError> {
        if case.language != DetectedLanguage::Known(Language::En) {
            let work = translate(&self.composer.model, &case.own_words);
            let Completion { text, usage } = case.clock.time("translate", work).await?;
            case.usage += usage;
            let text = text.trim().to_owned();
            case.trace.translation = Some(text.clone());
            case.translation = Some(English::new(text));
        }
        let english = case.english();
        let question = english.with_subject(case.ticket.subject.as_deref());
        let (classifier, playbook) =
            (Arc::clone(&self.components.classifier), self.components.playbook.clone());
        let work = run_blocking("triage", move || {
            triage::triage(&classifier, playbook.as_deref(), &question, &english)
        });
        case.triage = case.clock.time("triage", work).await?;
        Ok(())
    }

    /// Decides what is said, and has it said.
    async fn reply_to(&self, case: &mut Case<'_>) -> Step<Reply> {
        if case.agrees {
            let reason = "the customer agrees to what was proposed: confirm it with its token";
            return Err(HandOff::because(reason).into());
        }
        let brief = self.brief(case).await?;
        match self.needs_person(case, &brief) {
            Some(reason) => Err(HandOff { reason, draft: brief.reply_in(Language::En) }.into()),
            None => self.write(case, brief).await,
        }
    }

    /// Why a person has to take a ticket although there is a brief.
    fn needs_person(&self, case: &Case<'_>, brief: &Brief) -> Option<String> {
        let translated = || case.translation.as_ref().and_then(|text| escalation::trigger(text.as_str()));
        let needed = self.settings.min_confidence.of(brief.outcome);
        match escalation::trigger(case.own_words.as_str()).or_else(translated) {
            Some(trigger) => Some(trigger.to_owned()),
            None if brief.confidence < needed => Some(format!(
                "it is not clear enough what the customer wants (confidence {:.2}, needed {needed:.2})",
                brief.confidence
            )),
            None => None,
        }
    }

    /// What the reply has to say: to each request its part.
    async fn brief(&self, case: &mut Case<'_>) -> Step<Brief> {
        let store = self.components.store.as_ref();
        let sender = case.clock.time("lookup", lookup::sender(store, case.ticket)).await?;
        let english = case.english();
        let searched = match case.own_words.are_all_of(&case.written) {
            true => english,
            false => english.with_written(&case.written),
        };
        let searched = searched.with_subject(case.ticket.subject.as_deref());
        let mut brief: Option<Brief> = None;
        for request in case.triage.requests.clone() {
            let work = lookup::look_up(store, sender.as_ref(), &request.text, &searched);
            let lookup = case.clock.time("lookup", work).await?;
            case.remember(&lookup);
            let resolved = case.clock.time("rule", self.resolver.resolve(&request, &lookup)).await?;
            case.usage += resolved.usage;
            case.trace.rules.extend(resolved.rule);
            let part = match resolved.resolution {
                Resolution::Reply(part) => part,
                Resolution::HandOff(reason) => return Err(HandOff::because(reason).into()),
                Resolution::Quote => self.quote(case, &request).await?,
            };
            brief = Some(match brief {
                None => part,
                Some(brief) => brief
                    .and(part)
                    .ok_or_else(|| HandOff::because("the message asks for several actions at once"))?,
            });
        }
        let mut brief = brief.ok_or_else(|| HandOff::because("it is not clear what the customer wants"))?;
        self.articles.quote_in(&mut brief);
        Ok(brief)
    }

    /// The answer of the store's articles to a question.
    async fn quote(&self, case: &mut Case<'_>, request: &IntentRequest) -> Step<Brief> {
        let found = self.retrieve(case, self.articles.find_for(&request.text)).await?;
        let mut brief: Option<Brief> = None;
        for passage in self.articles.answers(found) {
            let title = &passage.hit.passage.title;
            let introduction = self.composer.model.prompts.render(Prompt::Quote, context! { title })?;
            let part = passage.brief(&introduction, request.confidence);
            brief = match brief {
                None => Some(part),
                Some(brief) => brief.and(part),
            };
        }
        Ok(brief.ok_or_else(|| HandOff::because("no article of the store answers this"))?)
    }

    /// The passages that a search of the articles finds, noted in the case.
    async fn retrieve(
        &self,
        case: &mut Case<'_>,
        search: impl Future<Output = Result<Vec<PassageMatch>, SupportError>>,
    ) -> Result<Vec<PassageMatch>, SupportError> {
        let passages = case.clock.time("retrieve", search).await?;
        case.trace.passages.extend(passages.iter().map(PassageTrace::from));
        Ok(passages)
    }

    /// Writes the brief in the customer's language: in English by the model where its draft passes the
    /// verifier, else by the templates.
    async fn write(&self, case: &mut Case<'_>, brief: Brief) -> Step<Reply> {
        case.trace.points = brief.english();
        let language = match case.language {
            DetectedLanguage::Known(Language::En) => return Ok(self.write_english(case, brief).await?),
            DetectedLanguage::Known(language) => language,
            DetectedLanguage::Other(code) => {
                let reason =
                    format!("the message is in a language that is not answered without a person ({code})");
                return Err(HandOff { reason, draft: brief.reply_in(Language::En) }.into());
            }
        };
        match Verified::statements(&brief, language) {
            Some(body) => Ok(Reply { brief, body, language, written_by: WrittenBy::Template }),
            None => {
                let reason =
                    format!("the store's articles say nothing in the customer's language ({language})");
                Err(HandOff { reason, draft: brief.reply_in(Language::En) }.into())
            }
        }
    }

    async fn write_english(&self, case: &mut Case<'_>, mut brief: Brief) -> Result<Reply, SupportError> {
        let mut rejected: Option<Rejected> = None;
        let message = case.english();
        let n_drafts = match self.settings.wording {
            Wording::Model => MAX_DRAFTS,
            Wording::Template => 0,
        };
        for _ in 0..n_drafts {
            let work = self.composer.draft(&message, &brief, rejected.as_ref());
            let Completion { text, usage } = case.clock.time("compose", work).await?;
            case.usage += usage;
            let customer = case.customer.as_ref().map(|customer| customer.first_name.clone());
            let work = self.verify(strip_boilerplate(&text), &message, &brief, customer);
            match case.clock.time("verify", work).await? {
                Ok(body) => {
                    let body = self.explained(case, &mut brief, body).await?;
                    return Ok(Reply { brief, body, language: Language::En, written_by: WrittenBy::Model });
                }
                Err(Rejection { draft, faults }) => {
                    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                    case.trace.faults.extend(faults.iter().cloned());
                    rejected = Some(Rejected { draft, faults });
                }
            }
        }
        if rejected.is_some() {
            brief.confidence *= TEMPLATE_PENALTY;
        }
        let body = Verified::statements(&brief, Language::En).unwrap_or_default();
        let body = self.explained(case, &mut brief, body).await?;
        Ok(Reply { brief, body, language: Language::En, written_by: WrittenBy::Template })
    }

    /// The body with the article that explains what it states: cited where one is near, and its sentence
    /// behind the body where it surely is about this. An article's words need no phrasing.
    async fn explained(
        &self,
        case: &mut Case<'_>,
        brief: &mut Brief,
        body: Verified,
    ) -> Result<Verified, SupportError> {
        if brief.outcome != Outcome::Answer || brief.order_ids.is_empty() {
            return Ok(body);
        }
        let first = brief.statements.first().map_or("", Statement::english);
        let query = format!("{}\n{first}", case.english().as_str());
        let passages = self.retrieve(case, self.articles.find(query)).await?;
        let Some(best) = self.articles.answer(&passages) else { return Ok(body) };
        let best = best.clone().best_sentence();
        let is_sure = best.confidence() >= 1.0;
        brief.citations.push(best.citation());
        Ok(if is_sure { body.followed_by(&best) } else { body })
    }

    /// Holds a draft against its brief.
    async fn verify(
        &self,
        draft: String,
        message: &English,
        brief: &Brief,
        first_name: Option<String>,
    ) -> Result<Result<Verified, Rejection>, SupportError> {
        let named = self.components.store.find_products(&draft).await;
        let named = named.map_err(|error| SupportError::Store(error.to_string()))?;
        let names = first_name.into_iter().chain(self.settings.store_name.clone());
        let evidence = Evidence {
            statements: &brief.statements,
            names: names.chain(brief.order_ids.clone()).collect(),
            message,
            products: named.into_iter().map(|product| product.name).collect(),
        };
        Ok(Verified::draft(draft, &evidence))
    }
}
