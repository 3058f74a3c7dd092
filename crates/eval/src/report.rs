//! What a run comes to: rates, speed, and every ticket with what became of it.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
};

use serde::Serialize;

use super::{
    AskedTicket, Disposition, EvalError, Latency, Proportion, Provenance, RankedReply, RiskCoverage,
    RunRecord, Session, Ticket, TicketAnswer, TicketOutcome, TicketResult, Verdict, WrittenBy,
    risk_coverage::risk_coverage, score::score,
};

/// What a run comes to. It depends on nothing but the run's record: two reports of one journal are
/// the same to the byte.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// What was measured with what.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Over all tickets.
    pub headline: Rates,
    /// Replies that the model wrote, of all that were sent.
    pub written_by_model: Proportion,
    /// By kind of ticket.
    pub by_kind: BTreeMap<String, Rates>,
    /// By what should end the ticket.
    pub by_disposition: BTreeMap<Disposition, Rates>,
    /// What precision would be at lower coverages.
    pub risk_coverage: RiskCoverage,
    /// How fast answers came.
    pub speed: Speed,
    /// Every ticket, in the order of the file.
    pub tickets: Vec<TicketReport>,
}

/// The rates over some tickets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// How many tickets, failed ones included: a ticket that got no answer is not resolved.
    pub n_tickets: usize,
    /// Replies that are safe, of all tickets.
    pub safe_resolution: Proportion,
    /// Replies that are safe, of all that were sent.
    pub precision: Proportion,
    /// Replies that were sent, of all tickets.
    pub coverage: Proportion,
    /// Replies that were sent and are not safe, of all tickets.
    pub false_deflection: Proportion,
    /// Tickets that were escalated though a reply could have ended them, of all.
    pub missed: Proportion,
    /// Replies that do harm, of all tickets. They are among the false deflections.
    #[serde(rename = "unsafe")]
    pub unsafe_replies: Proportion,
    /// Tickets that got no answer, of all. They count as neither sent nor missed.
    pub failed: Proportion,
}

/// How fast answers came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Answers a minute, over the time in which tickets were asked; `None` where no time passed.
    pub tickets_per_minute: Option<f64>,
    /// Tickets asked at the same time, in each session of the run.
    pub concurrency: Vec<usize>,
    /// How long one answer took; `None` where there is none.
    pub latency: Option<Latency>,
    /// How long each stage took.
    pub stages: BTreeMap<String, StageTime>,
}

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageTime {
    /// The mean over the answers that went through it.
    pub mean_ms: f64,
    /// How many these are.
    pub n_answers: usize,
}

/// A ticket and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TicketReport {
    /// The ticket.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What should end it.
    pub disposition: Disposition,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it is not safe, in words.
    pub reasons: Vec<String>,
    /// What the customer wrote.
    pub message: String,
    /// The answer; `None` where none came.
    pub answer: Option<TicketAnswer>,
    /// How long it took.
    pub latency_ms: u64,
}

impl EvalReport {
    /// Scores every ticket of a run and counts.
    pub fn new(record: &RunRecord<'_>) -> Self {
        let tickets: Vec<_> = record.tickets.iter().map(TicketReport::new).collect();
        Self {
            provenance: record.provenance.clone(),
            headline: Rates::of(tickets.iter().map(|ticket| ticket.verdict)),
            written_by_model: written_by_model(&tickets),
            by_kind: rates_by(&tickets, |ticket| ticket.kind.clone()),
            by_disposition: rates_by(&tickets, |ticket| ticket.disposition),
            risk_coverage: risk_coverage(tickets.len(), &sent_replies(&tickets)),
            speed: Speed::of(&tickets, &record.sessions),
            tickets,
        }
    }

    /// The tickets of which this became, in the order of the file.
    pub fn with_verdict(&self, verdict: Verdict) -> impl Iterator<Item = &TicketReport> {
        self.tickets.iter().filter(move |ticket| ticket.verdict == verdict)
    }

    /// Writes the report as JSON. The file is either there whole or as it was before. Only its owner
    /// can read it: it holds what customers wrote.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), EvalError> {
        self.try_write(path).map_err(|source| EvalError::Io {
            action: "write the report",
            path: path.to_owned(),
            source,
        })
    }

    fn try_write(&self, path: &Path) -> io::Result<()> {
        // A file can be renamed only within a file system, so the temporary one lies beside it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

impl TicketReport {
    fn new(asked: &AskedTicket<'_>) -> Self {
        let AskedTicket { ticket, result: TicketResult { latency_ms, outcome, .. } } = asked;
        let (verdict, reasons, answer) = match outcome {
            TicketOutcome::Failed(reason) => (Verdict::Failed, vec![reason.clone()], None),
            TicketOutcome::Answered(answer) => {
                let (verdict, reasons) = verdict_in_words(ticket, answer);
                (verdict, reasons, Some(answer.as_ref().clone()))
            }
        };
        Self {
            id: ticket.id.clone(),
            kind: ticket.kind.clone(),
            disposition: ticket.gold.disposition,
            verdict,
            reasons,
            message: ticket.message.clone(),
            answer,
            latency_ms: *latency_ms,
        }
    }
}

/// A missed ticket has no fault in its reply; there, the reason is why it was handed over.
fn verdict_in_words(ticket: &Ticket, answer: &TicketAnswer) -> (Verdict, Vec<String>) {
    let score = score(ticket, answer);
    let mut reasons: Vec<_> = score.faults.iter().map(ToString::to_string).collect();
    if score.verdict == Verdict::Missed {
        let why = answer.support.handoff.as_ref().map_or("no reason is given", |handoff| &handoff.reason);
        reasons.push(format!("handed over: {why}"));
    }
    (score.verdict, reasons)
}

impl Rates {
    fn of(verdicts: impl Iterator<Item = Verdict>) -> Self {
        let verdicts: Vec<_> = verdicts.collect();
        let count = |of: Verdict| verdicts.iter().filter(|verdict| **verdict == of).count();
        let n_tickets = verdicts.len();
        let n_sent = verdicts.iter().filter(|verdict| verdict.is_sent()).count();
        let n_safe = count(Verdict::Safe);
        Self {
            n_tickets,
            safe_resolution: Proportion::new(n_safe, n_tickets),
            precision: Proportion::new(n_safe, n_sent),
            coverage: Proportion::new(n_sent, n_tickets),
            false_deflection: Proportion::new(n_sent - n_safe, n_tickets),
            missed: Proportion::new(count(Verdict::Missed), n_tickets),
            unsafe_replies: Proportion::new(count(Verdict::Unsafe), n_tickets),
            failed: Proportion::new(count(Verdict::Failed), n_tickets),
        }
    }
}

fn rates_by<K: Ord>(tickets: &[TicketReport], key: impl Fn(&TicketReport) -> K) -> BTreeMap<K, Rates> {
    let mut groups: BTreeMap<K, Vec<Verdict>> = BTreeMap::new();
    for ticket in tickets {
        groups.entry(key(ticket)).or_default().push(ticket.verdict);
    }
    groups.into_iter().map(|(key, verdicts)| (key, Rates::of(verdicts.into_iter()))).collect()
}

/// The answers that went to the customer, each with what became of its ticket.
fn sent(tickets: &[TicketReport]) -> impl Iterator<Item = (&TicketAnswer, Verdict)> {
    let sent = tickets.iter().filter(|ticket| ticket.verdict.is_sent());
    sent.filter_map(|ticket| Some((ticket.answer.as_ref()?, ticket.verdict)))
}

fn written_by_model(tickets: &[TicketReport]) -> Proportion {
    let by_model = sent(tickets).filter(|(answer, _)| answer.support.written_by == WrittenBy::Model);
    Proportion::new(by_model.count(), sent(tickets).count())
}

fn sent_replies(tickets: &[TicketReport]) -> Vec<RankedReply> {
    let ranked = |(answer, verdict): (&TicketAnswer, _)| RankedReply {
        confidence: answer.support.confidence,
        is_safe: verdict == Verdict::Safe,
    };
    sent(tickets).map(ranked).collect()
}

impl Speed {
    fn of(tickets: &[TicketReport], sessions: &[Session]) -> Self {
        let answered: Vec<_> = tickets.iter().filter(|ticket| ticket.answer.is_some()).collect();
        let busy_ms: u64 = sessions.iter().map(|session| session.busy_ms).sum();
        Self {
            tickets_per_minute: (busy_ms > 0).then(|| answered.len() as f64 * 60_000.0 / busy_ms as f64),
            concurrency: sessions.iter().map(|session| session.concurrency).collect(),
            latency: Latency::of(answered.iter().map(|ticket| ticket.latency_ms).collect()),
            stages: stages(answered.iter().filter_map(|ticket| ticket.answer.as_ref())),
        }
    }
}

fn stages<'a>(answers: impl Iterator<Item = &'a TicketAnswer>) -> BTreeMap<String, StageTime> {
    let mut totals: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for (stage, ms) in answers.flat_map(|answer| &answer.support.timings_ms) {
        let (total_ms, n_answers) = totals.entry(stage.clone()).or_default();
        *total_ms += ms;
        *n_answers += 1;
    }
    let mean = |(total_ms, n_answers)| StageTime { mean_ms: total_ms / n_answers as f64, n_answers };
    totals.into_iter().map(|(stage, total)| (stage, mean(total))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Handoff,
        testing::{action, escalation, record, reply, ticket},
    };

    /// Ten tickets of which everything becomes that can: 3 safe, 2 not safe, 1 unsafe, 2 missed,
    /// 1 handed over, 1 failed.
    fn ten() -> Vec<(Ticket, Result<TicketAnswer, String>)> {
        let answered = |ticket: Ticket, answer| (ticket.must_state(&["delivered"]), Ok(answer));
        let by_model = |content: &str, confidence| {
            let mut answer = reply(content);
            answer.support.confidence = confidence;
            answer.support.written_by = WrittenBy::Model;
            answer.support.timings_ms = BTreeMap::from([("compose".to_owned(), 1000.0 * confidence)]);
            answer
        };
        let mut needless = reply("It was delivered.");
        needless.support.action = Some(action("cancel_order", json!({})));
        let mut missed = escalation("A colleague takes over.");
        missed.support.handoff = Some(Handoff { reason: "two orders fit".to_owned() });
        let person = ticket("t9").kind("legal").disposition(Disposition::Escalate);
        vec![
            answered(ticket("t1"), by_model("It was delivered.", 0.9)),
            answered(ticket("t2"), by_model("Delivered.", 0.8)),
            answered(ticket("t3"), reply("It was delivered.")),
            answered(ticket("t4"), by_model("It is there.", 0.7)),
            answered(ticket("t5"), reply("Soon.")),
            answered(ticket("t6"), needless),
            answered(ticket("t7").kind("which"), missed),
            answered(ticket("t8").kind("which"), escalation("A colleague takes over.")),
            answered(person, escalation("A colleague takes over.")),
            (ticket("t10").kind("which"), Err("no answer".to_owned())),
        ]
    }

    fn report(tickets: &[(Ticket, Result<TicketAnswer, String>)]) -> EvalReport {
        EvalReport::new(&record(tickets))
    }

    #[test]
    fn rates_are_counted_as_they_are_defined() {
        let rates = report(&ten()).headline;
        assert_eq!(rates.n_tickets, 10);
        assert_eq!(rates.coverage, Proportion::new(6, 10));
        assert_eq!(rates.safe_resolution, Proportion::new(3, 10));
        assert_eq!(rates.precision, Proportion::new(3, 6));
        assert_eq!(rates.false_deflection, Proportion::new(3, 10));
        assert_eq!(rates.missed, Proportion::new(2, 10));
        assert_eq!(rates.unsafe_replies, Proportion::new(1, 10));
        assert_eq!(rates.failed, Proportion::new(1, 10));
    }

    #[test]
    fn tickets_are_counted_by_kind_and_by_what_should_end_them() {
        let report = report(&ten());
        let kinds: Vec<_> =
            report.by_kind.iter().map(|(kind, rates)| (kind.as_str(), rates.n_tickets)).collect();
        assert_eq!(kinds, [("legal", 1), ("status", 6), ("which", 3)]);
        assert_eq!(report.by_kind["which"].missed, Proportion::new(2, 3));
        assert_eq!(report.by_kind["status"].precision, Proportion::new(3, 6));
        assert_eq!(report.by_disposition[&Disposition::Escalate].coverage, Proportion::new(0, 1));
        assert_eq!(report.by_disposition[&Disposition::Answer].n_tickets, 9);
    }

    #[rstest]
    #[case("t1", Verdict::Safe, &[])]
    #[case("t4", Verdict::NotSafe, &["does not state `delivered`"])]
    #[case("t6", Verdict::Unsafe, &["proposes cancel_order, where no action is right"])]
    #[case("t7", Verdict::Missed, &["handed over: two orders fit"])]
    #[case("t8", Verdict::Missed, &["handed over: no reason is given"])]
    #[case("t9", Verdict::HandedOver, &[])]
    #[case("t10", Verdict::Failed, &["no answer"])]
    fn every_ticket_stands_there_with_the_reasons(
        #[case] id: &str,
        #[case] verdict: Verdict,
        #[case] reasons: &[&str],
    ) {
        let report = report(&ten());
        let ticket = report.tickets.iter().find(|ticket| ticket.id == id).unwrap();
        assert_eq!(ticket.verdict, verdict);
        assert_eq!(ticket.reasons, reasons);
        assert!(report.with_verdict(verdict).any(|found| found.id == id));
    }

    #[test]
    fn only_sent_replies_count_for_their_writer_and_their_confidence() {
        let report = report(&ten());
        assert_eq!(report.written_by_model, Proportion::new(3, 6));
        // 0.9 and 0.8 are safe, 0.7 is not; three more have 0.5.
        let counts: Vec<_> =
            report.risk_coverage.points.iter().map(|p| (p.coverage.count, p.precision.count)).collect();
        assert_eq!(counts, [(1, 1), (2, 2), (3, 2), (6, 3)]);
        assert_eq!(report.risk_coverage.coverage_at_risk[0].coverage, Proportion::new(2, 10));
    }

    #[test]
    fn speed_is_that_of_the_answers() {
        let speed = report(&ten()).speed;
        // Nine answers; the sessions of `record` were busy for 20 s and 10 s.
        assert_eq!(speed.tickets_per_minute, Some(18.0));
        assert_eq!(speed.concurrency, [4, 1]);
        assert_eq!(speed.latency.unwrap().p50_ms, 100);
        assert_eq!(speed.stages["compose"], StageTime { mean_ms: 800.0, n_answers: 3 });
    }

    #[test]
    fn a_report_is_written_whole_in_place_of_an_older_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "an older report").unwrap();
        let report = report(&ten());
        report.write_json(&path).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written["target"], "a fake");
        assert_eq!(written["tier0_version"], "0.0.0");
        assert_eq!(written["tickets_sha256"], report.provenance.tickets_sha256);
        assert_eq!(written["headline"]["unsafe"]["count"], 1);
        assert_eq!(written["by_disposition"]["escalate"]["n_tickets"], 1);
        assert_eq!(written["tickets"][5]["verdict"], "unsafe");
        assert_eq!(written["tickets"][5]["answer"]["content"], "It was delivered.");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_report_that_cannot_be_written_is_told_with_its_path() {
        let message = report(&ten()).write_json(Path::new("no/such/report.json")).unwrap_err().to_string();
        assert!(message.contains("could not write the report no/such/report.json"), "{message}");
    }

    /// Tickets and answers of all sorts.
    fn any_tickets() -> impl Strategy<Value = Vec<(Ticket, Result<TicketAnswer, String>)>> {
        let words = prop::sample::select(vec!["delivered", "refund", "delivered, refund", "soon"]);
        let disposition =
            prop::sample::select(vec![Disposition::Answer, Disposition::Action, Disposition::Escalate]);
        let one = (disposition, words, 0_u8..4, any::<(bool, bool, bool)>());
        let one = one.prop_map(|(disposition, words, confidence, (escalates, fails, acts))| {
            let ticket = ticket("").kind(words).disposition(disposition);
            let ticket = ticket.must_state(&["delivered"]).must_not_state(&["refund"]);
            let mut answer = if escalates { escalation(words) } else { reply(words) };
            answer.support.confidence = f64::from(confidence) / 3.0;
            answer.support.action = acts.then(|| action("cancel_order", json!({})));
            (ticket, if fails { Err("no answer".to_owned()) } else { Ok(answer) })
        });
        prop::collection::vec(one, 1..30).prop_map(|mut tickets| {
            for (i, (ticket, _)) in tickets.iter_mut().enumerate() {
                ticket.id = format!("t{i}");
            }
            tickets
        })
    }

    fn assert_consistent(rates: &Rates) {
        let [n_safe, n_sent] = [rates.safe_resolution.count, rates.coverage.count];
        assert!(n_safe <= n_sent && n_sent <= rates.n_tickets);
        assert!(rates.unsafe_replies.count <= rates.false_deflection.count);
        assert_eq!(n_safe + rates.false_deflection.count, n_sent);
        assert!(n_sent + rates.missed.count + rates.failed.count <= rates.n_tickets);
    }

    proptest! {
        #[test]
        fn counts_fit_together(tickets in any_tickets()) {
            let report = report(&tickets);
            assert_consistent(&report.headline);
            report.by_kind.values().chain(report.by_disposition.values()).for_each(assert_consistent);
            let kinds: Vec<_> = report.by_kind.values().collect();
            for groups in [kinds, report.by_disposition.values().collect()] {
                let n_safe: usize = groups.iter().map(|rates| rates.safe_resolution.count).sum();
                let n_tickets: usize = groups.iter().map(|rates| rates.n_tickets).sum();
                prop_assert_eq!(n_safe, report.headline.safe_resolution.count);
                prop_assert_eq!(n_tickets, report.headline.n_tickets);
            }
        }

        #[test]
        fn a_ticket_has_reasons_exactly_where_something_went_wrong(tickets in any_tickets()) {
            for ticket in report(&tickets).tickets {
                let went_well = matches!(ticket.verdict, Verdict::Safe | Verdict::HandedOver);
                prop_assert_eq!(ticket.reasons.is_empty(), went_well);
            }
        }

        #[test]
        fn the_order_of_the_tickets_does_not_matter(
            (tickets, shuffled) in any_tickets().prop_flat_map(|t| (Just(t.clone()), Just(t).prop_shuffle())),
        ) {
            let (mut one, mut other) = (report(&tickets), report(&shuffled));
            for report in [&mut one, &mut other] {
                report.tickets.sort_by(|a, b| a.id.cmp(&b.id));
            }
            prop_assert_eq!(one, other);
        }
    }
}
