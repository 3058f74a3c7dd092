//! Assembles the answer of a ticket: the text with its evidence, or the hand-off to a person.

use tier0_playbook::{Language, ProposedAction};

use super::{
    Action, Answer, Decision, Handoff, Mode, Outcome, Report, Support, SupportError, WrittenBy,
    case::Case,
    respond::{brief::Brief, format::wrap},
    stop::HandOff,
    understand::language::DetectedLanguage,
    verify::Verified,
};
use crate::actions::Proposal;

/// A text for the customer, and what it rests on.
pub(super) struct Reply {
    pub(super) brief: Brief,
    pub(super) body: Verified,
    pub(super) language: Language,
    pub(super) written_by: WrittenBy,
}

impl Support {
    /// The reply with its evidence: for the customer, or as a draft for a person.
    pub(super) fn replied(&self, case: Case<'_>, reply: Reply) -> Result<Answer, SupportError> {
        let Reply { brief, body, language, written_by } = reply;
        let content = self.wrapped(&case, &body, language);
        let action = brief.action.map(|action| self.proposed(&case, action)).transpose()?;
        let (decision, content, handoff) = match self.settings.mode {
            Mode::Reply => (Decision::Reply, content, None),
            Mode::Draft => {
                let reason = "replies are drafts here: a person sends them".to_owned();
                let handoff = Handoff { reason, summary: case.summary(), draft: Some(content) };
                (Decision::Escalate, self.hand_off_notice(&case)?, Some(handoff))
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
            self.components.actions.propose(&proposal).map_err(|error| failed(error.to_string()))?;
        let Proposal { name, arguments, .. } = proposal;
        Ok(Action { name, arguments, confirmation_token })
    }

    pub(super) fn escalated(&self, case: Case<'_>, hand_off: HandOff) -> Result<Answer, SupportError> {
        let content = self.hand_off_notice(&case)?;
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
    fn hand_off_notice(&self, case: &Case<'_>) -> Result<String, SupportError> {
        let language = match case.language {
            DetectedLanguage::Known(language) => language,
            DetectedLanguage::Other(_) => Language::En,
        };
        let notice = Verified::hand_off_notice(&self.templates, language)?;
        Ok(self.wrapped(case, &notice, language))
    }

    fn wrapped(&self, case: &Case<'_>, body: &Verified, language: Language) -> String {
        let name = case.customer.as_ref().map(|customer| customer.first_name.as_str());
        wrap(body.as_str(), case.ticket.channel, language, name, self.settings.store_name.as_deref())
    }
}
