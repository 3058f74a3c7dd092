//! Measures deflection: which share of tickets is resolved safely, and what goes wrong in the others.
//!
//! Place in the path: outside it; `tier0 bench deflection` prints what it finds. A
//! [`TicketFile`] holds tickets and what a right answer to each needs. [`Run`] asks a target (over
//! HTTP: [`HttpSupport`]) and keeps every answer in a journal, so that a run that breaks off goes on
//! where it stopped. [`score()`] compares an answer with the ticket, and [`EvalReport`] counts.
//!
//! It reads answers as they come over the wire and knows nothing of the pipeline, so that it
//! measures what a helpdesk would get, and can measure any server that answers in the same form.
#![forbid(unsafe_code)]

mod action;
mod answer;
mod ask;
mod error;
mod http;
mod journal;
mod report;
mod risk_coverage;
mod run;
mod score;
mod statistics;
#[cfg(test)]
mod testing;
mod text;
mod tickets;

pub use answer::{
    Decision, Disposition, Handoff, IntentScore, ProposedAction, Support, TicketAnswer, WrittenBy,
};
pub use ask::{AskError, AskSupport};
pub use error::{BadLine, EvalError};
pub use http::{HttpSupport, HttpTarget};
pub use journal::{Provenance, Session, TicketOutcome, TicketResult};
pub use report::{EvalReport, Rates, Speed, StageTime, TicketReport};
pub use risk_coverage::{CoverageAtRisk, RankedReply, RiskCoverage, RiskPoint, risk_coverage};
pub use run::{AskedTicket, Progress, Run, RunRecord};
pub use score::{Fault, Score, Verdict, score};
pub use statistics::{Latency, Proportion};
pub use tickets::{Channel, Customer, Gold, GoldAction, Pattern, Ticket, TicketFile};
