//! `tier0 bench deflection`: how many tickets are resolved safely, here or by a running server.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tier0_eval::{
    self as eval, AskError, AskSupport, EvalReport, HttpSupport, HttpTarget, Progress, Provenance, Run,
    TicketAnswer, TicketFile,
};

use super::{Outcome, args::DeflectionArgs, output::print_line, setup::Setup};
use crate::{
    model::chat::{Message, Role},
    support::{AnswerTicket, Channel, Support, Ticket},
};

/// Asks all tickets and prints the report.
pub(super) async fn run(setup: Setup, args: DeflectionArgs) -> Outcome {
    let file = TicketFile::read(&args.tickets)?;
    let (target, label) = target(setup, &args).await?;
    let provenance = Provenance::new(&file, label, env!("CARGO_PKG_VERSION"));
    // Without a report file there is no journal to resume from.
    let scratch = tempfile::tempdir()?;
    let journal = args.json.as_deref().map_or_else(|| scratch.path().join("journal"), journal_of);
    let run = Run { file: &file, provenance, journal: &journal, concurrency: args.concurrency };
    let bar = ProgressBar::new(file.tickets.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} tickets, {elapsed}, {eta} left")?);
    let record = run.ask_all(target.as_ref(), |progress| show(&bar, &progress)).await?;
    bar.finish_and_clear();
    let report = EvalReport::new(&record);
    print_line!("{report}");
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    if report.headline.failed.count == 0 {
        // The run is complete: the next one starts anew.
        fs::remove_file(&journal)?;
    }
    Ok(())
}

/// Path of the journal, which keeps the answers until the report is complete.
fn journal_of(report: &Path) -> PathBuf {
    let mut name = report.as_os_str().to_owned();
    name.push(".journal");
    PathBuf::from(name)
}

fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    bar.set_position(progress.n_done as u64);
}

/// The target of the questions, and its name in the report.
async fn target(mut setup: Setup, args: &DeflectionArgs) -> Outcome<(Box<dyn AskSupport>, String)> {
    if let Some(url) = &args.url {
        let timeout = Duration::from_secs(args.timeout_s);
        let target = HttpTarget { url: url.clone(), api_key: args.api_key.clone(), timeout };
        return Ok((Box::new(HttpSupport::new(&target)?), url.clone()));
    }
    setup.choose_model(&args.model);
    setup.config.check()?;
    let label = format!("{} with {}", setup.data_dir().display(), setup.config.model.id_or_path);
    let support = Arc::new(setup).whole_support().await?;
    Ok((Box::new(InProcess(support)), label))
}

/// The pipeline in this process.
struct InProcess(Support);

#[async_trait]
impl AskSupport for InProcess {
    async fn ask(&self, ticket: &eval::Ticket) -> Result<TicketAnswer, AskError> {
        let failed = |error: &dyn std::error::Error| AskError::Other(error.to_string());
        let answer = self.0.answer(&as_handed_over(ticket)).await.map_err(|error| failed(&error))?;
        // By way of JSON, so that the benchmark measures what a helpdesk would read.
        let body = json!({"content": answer.content, "support": answer.report});
        serde_json::from_value(body).map_err(|error| failed(&error))
    }
}

fn as_handed_over(ticket: &eval::Ticket) -> Ticket {
    Ticket {
        id: Some(ticket.id.clone()),
        channel: match ticket.channel {
            eval::Channel::Chat => Channel::Chat,
            eval::Channel::Email => Channel::Email,
        },
        subject: ticket.subject.clone(),
        messages: vec![Message::new(Role::User, ticket.message.clone())],
        customer_email: ticket.customer.email.clone(),
        customer_verified: ticket.customer.verified,
    }
}
