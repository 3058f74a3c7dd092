//! The report as text for a terminal.

use std::fmt::{self, Display, Formatter};

use super::{EvalReport, Latency, Proportion, Rates, RiskCoverage, Speed, TicketReport, Verdict};

/// Characters of the ticket file's hash that are shown; the JSON report has all of them.
const N_HASH_CHARS_SHOWN: usize = 12;

impl Display for EvalReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.rates(f)?;
        risk_coverage(f, &self.risk_coverage)?;
        groups(f, "by kind", self.by_kind.iter())?;
        groups(f, "by disposition", self.by_disposition.iter())?;
        speed(f, &self.speed)?;
        self.tickets(f)
    }
}

impl EvalReport {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let provenance = &self.provenance;
        let hash: String = provenance.tickets_sha256.chars().take(N_HASH_CHARS_SHOWN).collect();
        writeln!(f, "target     {}", provenance.target)?;
        writeln!(f, "tickets    {} (sha256 {hash}…)", self.headline.n_tickets)?;
        writeln!(f, "tier0      {}", provenance.tier0_version)
    }

    fn rates(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rates = &self.headline;
        writeln!(f, "\n{:<26}{:>8}   {:<18}count", "", "rate", "95 % interval")?;
        rate(f, "safe resolution", &rates.safe_resolution)?;
        rate(f, "precision", &rates.precision)?;
        rate(f, "coverage", &rates.coverage)?;
        rate(f, "false deflection", &rates.false_deflection)?;
        rate(f, "missed", &rates.missed)?;
        rate(f, "unsafe", &rates.unsafe_replies)?;
        rate(f, "failed (no answer)", &rates.failed)?;
        rate(f, "written by the model", &self.written_by_model)
    }

    fn tickets(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.section(f, "Unsafe replies", Verdict::Unsafe, with_texts)?;
        self.section(f, "Other replies that are not safe", Verdict::NotSafe, with_reasons)?;
        self.section(f, "Missed: handed over, though a reply could end them", Verdict::Missed, with_reasons)?;
        if self.headline.failed.count > 0 {
            self.section(f, "Failed: run it again to ask them once more", Verdict::Failed, with_reasons)?;
        }
        Ok(())
    }

    fn section(
        &self,
        f: &mut Formatter<'_>,
        title: &str,
        verdict: Verdict,
        entry: impl Fn(&mut Formatter<'_>, &TicketReport) -> fmt::Result,
    ) -> fmt::Result {
        let n_tickets = self.with_verdict(verdict).count();
        if n_tickets == 0 {
            return writeln!(f, "\n{title}: none");
        }
        writeln!(f, "\n{title} ({n_tickets})")?;
        self.with_verdict(verdict).try_for_each(|ticket| entry(f, ticket))
    }
}

fn with_reasons(f: &mut Formatter<'_>, ticket: &TicketReport) -> fmt::Result {
    writeln!(f, "  {} {} ({})", ticket.id, ticket.kind, ticket.disposition)?;
    ticket.reasons.iter().try_for_each(|reason| writeln!(f, "    - {reason}"))
}

fn with_texts(f: &mut Formatter<'_>, ticket: &TicketReport) -> fmt::Result {
    with_reasons(f, ticket)?;
    quoted(f, "message", &ticket.message)?;
    quoted(f, "reply", ticket.answer.as_ref().map_or("", |answer| &answer.content))
}

fn quoted(f: &mut Formatter<'_>, title: &str, text: &str) -> fmt::Result {
    writeln!(f, "    {title}:")?;
    text.lines().try_for_each(|line| writeln!(f, "      | {line}"))
}

fn rate(f: &mut Formatter<'_>, title: &str, p: &Proportion) -> fmt::Result {
    writeln!(f, "{title:<26}{:>8}   {:<18}{} of {}", percent(p.rate), interval(p), p.count, p.of)
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or("–".to_owned(), |rate| format!("{:.1} %", 100.0 * rate))
}

fn interval(p: &Proportion) -> String {
    format!("{:.1} – {:.1} %", 100.0 * p.low, 100.0 * p.high)
}

fn risk_coverage(f: &mut Formatter<'_>, curve: &RiskCoverage) -> fmt::Result {
    for at in &curve.coverage_at_risk {
        let title = format!("coverage at {} % risk", at.risk_percent);
        let threshold = at.min_confidence.map(|confidence| format!(", confidence from {confidence:.3}"));
        let (p, threshold) = (&at.coverage, threshold.unwrap_or_default());
        let (rate, interval) = (percent(p.rate), interval(p));
        writeln!(f, "{title:<26}{rate:>8}   {interval:<18}{} of {}{threshold}", p.count, p.of)?;
    }
    let aurc = curve.aurc.map_or("–".to_owned(), |aurc| format!("{aurc:.4}"));
    writeln!(f, "{:<26}{aurc:>8}", "area under the risk")
}

fn groups<'a, K: Display + 'a>(
    f: &mut Formatter<'_>,
    title: &str,
    groups: impl Iterator<Item = (&'a K, &'a Rates)>,
) -> fmt::Result {
    writeln!(
        f,
        "\n{title:<26}{:>8}{:>6}{:>6}{:>8}{:>8}{:>8}{:>11}   95 % interval",
        "tickets", "sent", "safe", "unsafe", "missed", "failed", "safe rate"
    )?;
    for (key, rates) in groups {
        writeln!(
            f,
            "{key:<26}{:>8}{:>6}{:>6}{:>8}{:>8}{:>8}{:>11}   {}",
            rates.n_tickets,
            rates.coverage.count,
            rates.safe_resolution.count,
            rates.unsafe_replies.count,
            rates.missed.count,
            rates.failed.count,
            percent(rates.safe_resolution.rate),
            interval(&rates.safe_resolution)
        )?;
    }
    Ok(())
}

fn speed(f: &mut Formatter<'_>, speed: &Speed) -> fmt::Result {
    let concurrency: Vec<_> = speed.concurrency.iter().map(ToString::to_string).collect();
    let pace = speed.tickets_per_minute.map_or("–".to_owned(), |pace| format!("{pace:.1}"));
    writeln!(f, "\nspeed      {pace} tickets a minute, {} at the same time", concurrency.join(", then "))?;
    if let Some(Latency { p50_ms, p90_ms, p95_ms, p99_ms, max_ms, mean_ms }) = speed.latency {
        writeln!(
            f,
            "latency    p50 {p50_ms} ms, p90 {p90_ms} ms, p95 {p95_ms} ms, p99 {p99_ms} ms, \
             longest {max_ms} ms, mean {mean_ms:.0} ms"
        )?;
    }
    let stage = |(name, stage): (&String, &super::StageTime)| format!("{name} {:.1} ms", stage.mean_ms);
    let stages: Vec<_> = speed.stages.iter().map(stage).collect();
    if stages.is_empty() { Ok(()) } else { writeln!(f, "stages     {} (means)", stages.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{action, escalation, record, reply, ticket};

    /// One ticket resolved, one harmed, one left undone, one missed.
    fn four() -> EvalReport {
        let mut harmful = reply("Dear Ada,\nit is cancelled.");
        harmful.support.action = Some(action("cancel_order", json!({})));
        EvalReport::new(&record(&[
            (ticket("t1"), Ok(reply("Delivered."))),
            (ticket("t2"), Ok(harmful)),
            (ticket("t3").must_state(&["refund"]), Ok(reply("Soon."))),
            (ticket("t4").kind("which_order"), Ok(escalation("A colleague takes over."))),
        ]))
    }

    /// The line that begins with `title`, its columns one blank apart.
    fn line(text: &str, title: &str) -> String {
        let line = text.lines().find(|line| line.starts_with(title)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_rate_stands_with_its_interval_and_its_count() {
        let text = four().to_string();
        // Wilson for 1 of 4: (0.25 + 0.480182 ± 1.959964·√(0.046875 + 0.060023)) / 1.960365
        // = 0.3725 ± 0.3269.
        assert_eq!(line(&text, "safe resolution"), "safe resolution 25.0 % 4.6 – 69.9 % 1 of 4");
        assert!(line(&text, "precision").ends_with("1 of 3"), "{text}");
        assert!(line(&text, "coverage  ").starts_with("coverage 75.0 %"), "{text}");
        assert!(line(&text, "false deflection").ends_with("2 of 4"), "{text}");
        assert!(line(&text, "missed").ends_with("1 of 4"), "{text}");
        assert!(line(&text, "unsafe").ends_with("1 of 4"), "{text}");
        assert!(line(&text, "written by the model").ends_with("0 of 3"), "{text}");
        assert!(line(&text, "which_order").starts_with("which_order 1 0 0 0 1 0 0.0 %"), "{text}");
    }

    #[test]
    fn an_unsafe_reply_stands_with_what_was_asked_and_said() {
        let expected = "Unsafe replies (1)
  t2 status (answer)
    - proposes cancel_order, where no action is right
    message:
      | This is t2.
    reply:
      | Dear Ada,
      | it is cancelled.
";
        let text = four().to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_is_not_safe_or_missed_stands_with_its_reasons() {
        let text = four().to_string();
        assert!(
            text.contains("not safe (1)\n  t3 status (answer)\n    - does not state `refund`\n"),
            "{text}"
        );
        assert!(
            text.contains("(1)\n  t4 which_order (answer)\n    - handed over: no reason is given\n"),
            "{text}"
        );
        assert!(!text.contains("Failed"), "{text}");
    }

    #[test]
    fn a_run_without_a_single_answer_has_a_report_too() {
        let report = EvalReport::new(&record(&[(ticket("t1"), Err("no answer from there".to_owned()))]));
        let text = report.to_string();
        assert!(line(&text, "precision").starts_with("precision – 0.0 – 100.0 % 0 of 0"), "{text}");
        assert!(text.contains("Unsafe replies: none\n"), "{text}");
        assert!(text.contains("- no answer from there\n"), "{text}");
    }
}
