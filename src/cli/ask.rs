//! `tier0 ask`: answers one message on the command line, with the evidence behind the answer.

use std::{fmt::Write, sync::Arc};

use serde_json::json;

use super::{Outcome, args::AskArgs, output::print_line, setup::Setup};
use crate::{
    api::wire_name,
    model::chat::{Message, Role},
    support::{Answer, AnswerTicket, Channel, PassageTrace, RuleTaken, Ticket},
};

/// Answers one message and prints the answer.
pub(super) async fn run(mut setup: Setup, args: AskArgs) -> Outcome {
    setup.choose_model(&args.model);
    setup.config.check()?;
    let support = Arc::new(setup).whole_support().await?;
    let (as_json, explain) = (args.json, args.explain);
    let answer = support.answer(&ticket(args)).await?;
    if as_json {
        let json = json!({"content": answer.content, "support": answer.report});
        print_line!("{}", serde_json::to_string_pretty(&json)?);
    } else {
        print_line!("{}", render(&answer, explain)?);
    }
    Ok(())
}

fn ticket(args: AskArgs) -> Ticket {
    Ticket {
        id: None,
        channel: if args.subject.is_some() { Channel::Email } else { Channel::Chat },
        subject: args.subject,
        messages: vec![Message::new(Role::User, args.message)],
        customer_verified: args.customer.is_some() && !args.unverified,
        customer_email: args.customer,
    }
}

/// The answer and its evidence, as text.
fn render(answer: &Answer, explain: bool) -> Result<String, std::fmt::Error> {
    let (report, trace) = (&answer.report, &answer.report.explain);
    let mut out = format!("{}\n\n", answer.content);
    let decision = wire_name(&report.decision);
    let (outcome, writer) = (wire_name(&report.outcome), wire_name(&report.written_by));
    writeln!(
        out,
        "decision   {decision}: {outcome}, confidence {:.2}, written by {writer}",
        report.confidence
    )?;
    let intents: Vec<_> = report.intents.iter().map(|i| format!("{} {:.2}", i.label, i.confidence)).collect();
    writeln!(out, "intents    {}", intents.join(", "))?;
    if !report.order_ids.is_empty() {
        writeln!(out, "orders     {}", report.order_ids.join(", "))?;
    }
    if let Some(handoff) = &report.handoff {
        writeln!(out, "hand-off   {}", handoff.reason)?;
        writeln!(out, "           {}", handoff.summary)?;
        if let Some(draft) = &handoff.draft {
            writeln!(out, "           draft: {}", draft.replace('\n', " "))?;
        }
    }
    if let Some(translation) = &trace.translation {
        writeln!(out, "in English {}", translation.replace('\n', " "))?;
    }
    if let Some(action) = &report.action {
        writeln!(out, "action     {} {}", action.name, serde_json::Value::Object(action.arguments.clone()))?;
    }
    list(&mut out, "rules", trace.rules.iter().flat_map(|rule| rule_lines(rule, explain)))?;
    list(&mut out, "points", trace.points.iter().cloned())?;
    list(&mut out, "cited", report.citations.iter().map(|c| format!("{}: \"{}\"", c.id, c.quote)))?;
    list(&mut out, "found", trace.passages.iter().map(passage_line))?;
    list(&mut out, "faults", trace.faults.iter().cloned())?;
    let timings: Vec<_> = report.timings_ms.iter().map(|(stage, ms)| format!("{stage} {ms} ms")).collect();
    write!(out, "time       {}", timings.join(", "))?;
    Ok(out)
}

fn list(out: &mut String, title: &str, lines: impl Iterator<Item = String>) -> std::fmt::Result {
    for (i, line) in lines.enumerate() {
        writeln!(out, "{:<10} {line}", if i == 0 { title } else { "" })?;
    }
    Ok(())
}

/// Lines about the rule that applied and, with `explain`, about the others.
fn rule_lines(taken: &RuleTaken, explain: bool) -> Vec<String> {
    let name = taken.rule.as_deref().unwrap_or("none");
    let mut lines = vec![format!("{}: {name}", taken.intent)];
    if explain {
        lines
            .extend(taken.missed.iter().map(|missed| format!("  not {}: {}", missed.rule, missed.condition)));
        lines.push(format!("  read: {}", taken.form));
        lines.push(format!("  facts: {}", taken.facts));
    }
    lines
}

/// A line about a passage and its ranks.
fn passage_line(passage: &PassageTrace) -> String {
    let rank = |rank: Option<usize>| rank.map_or("-".to_owned(), |rank| rank.to_string());
    format!(
        "{} (by words {}, by meaning {}; best sentence {:.2})",
        passage.id,
        rank(passage.rank_by_words),
        rank(passage.rank_by_meaning),
        passage.similarity
    )
}
