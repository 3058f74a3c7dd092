//! Asks every ticket of a file, several at the same time.

use std::{
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use super::{
    AskSupport, EvalError, Provenance, Session, Ticket, TicketFile, TicketOutcome, TicketResult,
    journal::Journal,
};

/// What to ask, and where to keep the answers.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// The tickets.
    pub file: &'a TicketFile,
    /// Says whose the journal is.
    pub provenance: Provenance,
    /// Answers are kept here as they come; what it already holds is not asked again.
    pub journal: &'a Path,
    /// Tickets that are asked at the same time.
    pub concurrency: NonZeroUsize,
}

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Tickets that are done with, those of earlier sessions included.
    pub n_done: usize,
    /// Of these, tickets that failed in this session.
    pub n_failed: usize,
    /// All tickets of the file.
    pub n_tickets: usize,
    /// What has just come; `None` before the first.
    pub latest: Option<&'a TicketResult>,
}

/// Everything that came of a run.
#[derive(Debug, Clone)]
pub struct RunRecord<'a> {
    /// What was measured with what.
    pub provenance: Provenance,
    /// In the order of the file.
    pub tickets: Vec<AskedTicket<'a>>,
    /// The starts of the program that it took.
    pub sessions: Vec<Session>,
}

/// A ticket and what came of it.
#[derive(Debug, Clone)]
pub struct AskedTicket<'a> {
    /// The ticket.
    pub ticket: &'a Ticket,
    /// What came of it.
    pub result: TicketResult,
}

impl<'a> Run<'a> {
    /// Asks `target` every ticket that the journal holds no answer to.
    ///
    /// `progress` is called once at the beginning and then after every ticket. A ticket that gets no
    /// answer does not end the run. When the future is dropped, whatever has come until then is in
    /// the journal, and the next run goes on from there.
    ///
    /// # Errors
    /// When the journal belongs to another run or cannot be written.
    pub async fn ask_all(
        self,
        target: &dyn AskSupport,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<RunRecord<'a>, EvalError> {
        let mut journal = Journal::open(self.journal, &self.provenance)?;
        let tickets = &self.file.tickets;
        let pending: Vec<_> = tickets.iter().filter(|ticket| !journal.is_answered(&ticket.id)).collect();
        if !pending.is_empty() {
            journal.begin_session(self.concurrency.get())?;
        }
        let (mut n_done, mut n_failed) = (tickets.len() - pending.len(), 0);
        progress(Progress { n_done, n_failed, n_tickets: tickets.len(), latest: None });

        let session_start = Instant::now();
        let asked = pending.into_iter().map(|ticket| timed(target, ticket, session_start));
        let mut results = stream::iter(asked).buffer_unordered(self.concurrency.get());
        while let Some(result) = results.next().await {
            n_done += 1;
            n_failed += usize::from(matches!(result.outcome, TicketOutcome::Failed(_)));
            journal.add(result.clone())?;
            progress(Progress { n_done, n_failed, n_tickets: tickets.len(), latest: Some(&result) });
        }
        Ok(self.record(journal))
    }

    fn record(self, journal: Journal) -> RunRecord<'a> {
        let (sessions, mut results) = journal.into_parts();
        let tickets = self.file.tickets.iter();
        let asked = tickets
            .filter_map(|ticket| Some(AskedTicket { ticket, result: results.remove(&ticket.id)? }))
            .collect();
        RunRecord { provenance: self.provenance, tickets: asked, sessions }
    }
}

async fn timed(target: &dyn AskSupport, ticket: &Ticket, session_start: Instant) -> TicketResult {
    let started = Instant::now();
    let answer = target.ask(ticket).await;
    TicketResult {
        ticket_id: ticket.id.clone(),
        elapsed_ms: whole_ms(session_start.elapsed()),
        latency_ms: whole_ms(started.elapsed()),
        outcome: match answer {
            Ok(answer) => TicketOutcome::Answered(Box::new(answer)),
            Err(error) => TicketOutcome::Failed(error.to_string()),
        },
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        path::PathBuf,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use async_trait::async_trait;
    use tempfile::TempDir;
    use tokio::sync::Notify;

    use super::*;
    use crate::{
        AskError, TicketAnswer,
        testing::{reply, ticket_file},
    };

    /// Answers with the ticket's own id, and remembers what it was asked.
    #[derive(Default)]
    struct Fake {
        /// These tickets get an error.
        fails: Vec<&'static str>,
        /// These never get anything.
        hangs: Vec<&'static str>,
        /// Tells when one of them hangs.
        is_hanging: Notify,
        asked: Mutex<Vec<String>>,
        n_at_once: AtomicUsize,
        max_at_once: AtomicUsize,
    }

    #[async_trait]
    impl AskSupport for Fake {
        async fn ask(&self, ticket: &Ticket) -> Result<TicketAnswer, AskError> {
            let n_at_once = self.n_at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.max_at_once.fetch_max(n_at_once, Ordering::SeqCst);
            self.asked.lock().unwrap().push(ticket.id.clone());
            // The later in the file, the sooner the answer.
            let number: u64 = ticket.id[1..].parse().unwrap();
            tokio::time::sleep(Duration::from_millis(20 - 2 * number)).await;
            if self.hangs.contains(&ticket.id.as_str()) {
                self.is_hanging.notify_one();
                pending::<()>().await;
            }
            self.n_at_once.fetch_sub(1, Ordering::SeqCst);
            if self.fails.contains(&ticket.id.as_str()) {
                return Err(AskError::Other("out of order".to_owned()));
            }
            Ok(reply(&format!("about {}", ticket.id)))
        }
    }

    impl Fake {
        fn asked(&self) -> Vec<String> {
            let mut asked = self.asked.lock().unwrap().clone();
            asked.sort();
            asked
        }
    }

    struct Place {
        file: TicketFile,
        folder: TempDir,
    }

    impl Place {
        fn new() -> Self {
            let file = ticket_file(&["t1", "t2", "t3", "t4", "t5", "t6"]);
            Self { file, folder: TempDir::new().unwrap() }
        }

        fn journal(&self) -> PathBuf {
            self.folder.path().join("journal.jsonl")
        }

        async fn run(&self, target: &Fake, n: usize) -> (Vec<TicketResult>, Vec<(usize, usize)>) {
            let journal = self.journal();
            let mut seen = Vec::new();
            let record = Run {
                file: &self.file,
                provenance: Provenance::new(&self.file, "a fake", "0.0.0"),
                journal: &journal,
                concurrency: NonZeroUsize::new(n).unwrap(),
            }
            .ask_all(target, |progress| seen.push((progress.n_done, progress.n_failed)))
            .await
            .unwrap();
            (record.tickets.into_iter().map(|asked| asked.result).collect(), seen)
        }
    }

    fn ids(results: &[TicketResult]) -> Vec<&str> {
        results.iter().map(|result| result.ticket_id.as_str()).collect()
    }

    #[tokio::test]
    async fn results_stand_in_the_order_of_the_file_whoever_answers_first() {
        let place = Place::new();
        let (results, progress) = place.run(&Fake::default(), 3).await;
        assert_eq!(ids(&results), ["t1", "t2", "t3", "t4", "t5", "t6"]);
        for result in results {
            let expected = TicketOutcome::Answered(Box::new(reply(&format!("about {}", result.ticket_id))));
            assert_eq!(result.outcome, expected);
        }
        let expected: Vec<_> = (0..=6).map(|n_done| (n_done, 0)).collect();
        assert_eq!(progress, expected);
    }

    #[tokio::test]
    async fn no_more_are_asked_at_once_than_allowed() {
        for n in [1, 2, 6] {
            let fake = Fake::default();
            Place::new().run(&fake, n).await;
            assert_eq!(fake.max_at_once.load(Ordering::SeqCst), n);
        }
    }

    #[tokio::test]
    async fn a_run_that_broke_off_goes_on_where_it_stopped() {
        let place = Place::new();
        let broken = Fake { hangs: vec!["t4"], ..Fake::default() };
        tokio::select! {
            _ = place.run(&broken, 1) => panic!("t4 hangs, so the run cannot end"),
            () = broken.is_hanging.notified() => {}
        }
        // Whatever was being written at that moment is cut off.
        let mut journal = std::fs::read(place.journal()).unwrap();
        journal.extend_from_slice(b"{\"type\":\"result\",\"ticket_id\":\"t4\",\"ela");
        std::fs::write(place.journal(), journal).unwrap();

        let whole = Fake::default();
        let (results, progress) = place.run(&whole, 2).await;
        assert_eq!(broken.asked(), ["t1", "t2", "t3", "t4"]);
        assert_eq!(whole.asked(), ["t4", "t5", "t6"]);
        assert_eq!(progress[0], (3, 0));
        assert_eq!(ids(&results), ["t1", "t2", "t3", "t4", "t5", "t6"]);
        assert!(results.iter().all(|result| matches!(result.outcome, TicketOutcome::Answered(_))));
    }

    #[tokio::test]
    async fn failed_tickets_do_not_end_the_run_and_are_asked_again() {
        let place = Place::new();
        let (results, progress) = place.run(&Fake { fails: vec!["t2", "t5"], ..Fake::default() }, 2).await;
        let failed: Vec<_> = results
            .iter()
            .filter(|result| result.outcome == TicketOutcome::Failed("out of order".to_owned()))
            .map(|result| result.ticket_id.as_str())
            .collect();
        assert_eq!(failed, ["t2", "t5"]);
        assert_eq!(progress.last(), Some(&(6, 2)));

        let mended = Fake::default();
        let (results, progress) = place.run(&mended, 2).await;
        assert_eq!(mended.asked(), ["t2", "t5"]);
        assert!(results.iter().all(|result| matches!(result.outcome, TicketOutcome::Answered(_))));
        assert_eq!(progress.last(), Some(&(6, 0)));
    }

    #[tokio::test]
    async fn a_finished_run_asks_nothing_and_says_the_same() {
        let place = Place::new();
        let (first, _) = place.run(&Fake::default(), 2).await;
        let journal = std::fs::read(place.journal()).unwrap();
        let idle = Fake::default();
        let (second, progress) = place.run(&idle, 2).await;
        assert_eq!(idle.asked(), Vec::<String>::new());
        assert_eq!(first, second);
        assert_eq!(progress, [(6, 0)]);
        assert_eq!(std::fs::read(place.journal()).unwrap(), journal);
    }
}
