//! Tickets and answers for the tests of this crate.
use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::{
    AskedTicket, Channel, Customer, Decision, Disposition, Gold, GoldAction, Pattern, ProposedAction,
    Provenance, RunRecord, Session, Support, Ticket, TicketAnswer, TicketFile, TicketOutcome, TicketResult,
    WrittenBy,
};

/// A ticket that any reply without an action resolves.
pub(super) fn ticket(id: &str) -> Ticket {
    Ticket {
        id: id.to_owned(),
        kind: "status".to_owned(),
        channel: Channel::Chat,
        subject: None,
        message: format!("This is {id}."),
        customer: Customer { email: Some("ada@mail.example".to_owned()), verified: true },
        gold: Gold {
            intents: vec!["track_order".to_owned()],
            order_ids: Vec::new(),
            disposition: Disposition::Answer,
            must_state: Vec::new(),
            must_not_state: Vec::new(),
            action: None,
        },
    }
}

impl Ticket {
    pub(super) fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    pub(super) fn disposition(mut self, disposition: Disposition) -> Self {
        self.gold.disposition = disposition;
        self
    }

    pub(super) fn must_state(mut self, patterns: &[&str]) -> Self {
        self.gold.must_state = compiled(patterns);
        self
    }

    pub(super) fn must_not_state(mut self, patterns: &[&str]) -> Self {
        self.gold.must_not_state = compiled(patterns);
        self
    }

    pub(super) fn gold_action(mut self, name: &str, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        self.gold.action = Some(GoldAction { name: name.to_owned(), arguments });
        self
    }
}

fn compiled(patterns: &[&str]) -> Vec<Pattern> {
    patterns.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect()
}

/// A file of such tickets.
pub(super) fn ticket_file(ids: &[&str]) -> TicketFile {
    TicketFile {
        path: PathBuf::from("tickets.jsonl"),
        sha256: "ab12".repeat(16),
        tickets: ids.iter().map(|id| ticket(id)).collect(),
    }
}

/// A reply by a template.
pub(super) fn reply(content: &str) -> TicketAnswer {
    TicketAnswer {
        content: content.to_owned(),
        support: Support {
            decision: Decision::Reply,
            outcome: Disposition::Answer,
            intents: Vec::new(),
            order_ids: Vec::new(),
            action: None,
            handoff: None,
            confidence: 0.5,
            written_by: WrittenBy::Template,
            timings_ms: BTreeMap::new(),
        },
    }
}

/// An answer that hands the ticket over.
pub(super) fn escalation(content: &str) -> TicketAnswer {
    let mut answer = reply(content);
    answer.support.decision = Decision::Escalate;
    answer.support.outcome = Disposition::Escalate;
    answer
}

/// A proposed action.
pub(super) fn action(name: &str, arguments: Value) -> ProposedAction {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    ProposedAction { name: name.to_owned(), arguments }
}

/// What came of a run in two sessions, four at a time for 20 s and one for 10 s, in which every
/// answer took 100 ms.
pub(super) fn record(tickets: &[(Ticket, Result<TicketAnswer, String>)]) -> RunRecord<'_> {
    let asked = |(ticket, answer): &'_ (Ticket, Result<TicketAnswer, String>)| {
        let outcome = match answer.clone() {
            Ok(answer) => TicketOutcome::Answered(Box::new(answer)),
            Err(reason) => TicketOutcome::Failed(reason),
        };
        TicketResult { ticket_id: ticket.id.clone(), elapsed_ms: 0, latency_ms: 100, outcome }
    };
    let tickets = tickets.iter().map(|one| AskedTicket { ticket: &one.0, result: asked(one) }).collect();
    RunRecord {
        provenance: Provenance::new(&ticket_file(&[]), "a fake", "0.0.0"),
        tickets,
        sessions: vec![
            Session { concurrency: 4, busy_ms: 20_000 },
            Session { concurrency: 1, busy_ms: 10_000 },
        ],
    }
}
