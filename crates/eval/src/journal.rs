//! Everything a run has learnt so far, one JSON object a line, so that a run that breaks off can go
//! on where it stopped.
//!
//! The first line says what was measured against what. Then each session (a start of the program)
//! writes a line, and one for each ticket as soon as its answer is there. A line that was cut off is
//! dropped; a ticket that stands twice (it failed, and was asked again) counts as it stands last.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{EvalError, TicketAnswer, TicketFile};

/// Version of the journal's form.
const FORMAT: u32 = 1;

/// What was measured with what: two reports of the same provenance can be held side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of tier0 that measured.
    pub tier0_version: String,
    /// What was asked: a server's address, or a data folder.
    pub target: String,
    /// Hash of the ticket file's content.
    pub tickets_sha256: String,
}

impl Provenance {
    /// Of a run of `file` against `target` by this version of tier0.
    pub fn new(file: &TicketFile, target: impl Into<String>, tier0_version: impl Into<String>) -> Self {
        Self {
            tier0_version: tier0_version.into(),
            target: target.into(),
            tickets_sha256: file.sha256.clone(),
        }
    }
}

/// One start of the program within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Tickets that were asked at the same time.
    pub concurrency: usize,
    /// From its start until its last answer.
    pub busy_ms: u64,
}

/// What came of asking one ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TicketResult {
    /// The ticket.
    pub ticket_id: String,
    /// When the answer was there, counted from the session's start.
    pub elapsed_ms: u64,
    /// How long it took.
    pub latency_ms: u64,
    /// What it was.
    pub outcome: TicketOutcome,
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketOutcome {
    /// An answer, which may be an escalation.
    Answered(Box<TicketAnswer>),
    /// Why no answer came.
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Header {
        format: u32,
        #[serde(flatten)]
        provenance: Provenance,
    },
    Session {
        concurrency: usize,
    },
    Result(TicketResult),
}

/// An open journal. No other run can open it meanwhile.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    sessions: Vec<Session>,
    results: HashMap<String, TicketResult>,
}

impl Journal {
    /// Opens the journal of a run, or begins it where there is none.
    ///
    /// # Errors
    /// When the file is not the journal of this run, or cannot be worked with. It is left as it is.
    pub(super) fn open(path: &Path, provenance: &Provenance) -> Result<Self, EvalError> {
        let failed = |action| move |source| EvalError::Io { action, path: path.to_owned(), source };
        let mut file = lock(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read the journal"))?;
        let n_whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);

        let mut journal = Self { path: path.to_owned(), file, sessions: Vec::new(), results: HashMap::new() };
        let header = text(&Line::Header { format: FORMAT, provenance: provenance.clone() })
            .map_err(failed("write the journal"))?;
        if n_whole > 0 {
            journal.load(&bytes[..n_whole], provenance)?;
        } else if !header.starts_with(&bytes) {
            return Err(EvalError::NotAJournal { path: path.to_owned() });
        }
        // Only now is it sure to be a journal, and what hangs over to be a line that was cut off.
        journal.file.set_len(n_whole as u64).map_err(failed("write the journal"))?;
        journal.file.seek(SeekFrom::End(0)).map_err(failed("write the journal"))?;
        if n_whole == 0 {
            journal.file.write_all(&header).map_err(failed("write the journal"))?;
        }
        Ok(journal)
    }

    /// Whether the ticket need not be asked any more.
    pub(super) fn is_answered(&self, ticket_id: &str) -> bool {
        let result = self.results.get(ticket_id);
        result.is_some_and(|result| matches!(result.outcome, TicketOutcome::Answered(_)))
    }

    /// Notes that asking begins.
    pub(super) fn begin_session(&mut self, concurrency: usize) -> Result<(), EvalError> {
        self.append(&Line::Session { concurrency })?;
        self.sessions.push(Session { concurrency, busy_ms: 0 });
        Ok(())
    }

    /// Keeps what came of a ticket. Once this returns, it outlives the program.
    pub(super) fn add(&mut self, result: TicketResult) -> Result<(), EvalError> {
        let line = Line::Result(result);
        self.append(&line)?;
        if let Line::Result(result) = line {
            self.remember(result);
        }
        Ok(())
    }

    /// The sessions, and the last result of each ticket.
    pub(super) fn into_parts(self) -> (Vec<Session>, HashMap<String, TicketResult>) {
        (self.sessions, self.results)
    }

    fn append(&mut self, line: &Line) -> Result<(), EvalError> {
        // One write for the whole line, past no buffer: it is there whole, or cut off at the end.
        text(line).and_then(|text| self.file.write_all(&text)).map_err(|source| EvalError::Io {
            action: "write the journal",
            path: self.path.clone(),
            source,
        })
    }

    fn remember(&mut self, result: TicketResult) {
        if let Some(session) = self.sessions.last_mut() {
            session.busy_ms = session.busy_ms.max(result.elapsed_ms);
        }
        self.results.insert(result.ticket_id.clone(), result);
    }

    /// Reads `bytes`, which end with the end of a line.
    fn load(&mut self, bytes: &[u8], provenance: &Provenance) -> Result<(), EvalError> {
        let mut lines = (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n'));
        let header = lines.next().and_then(|(_, first)| serde_json::from_slice(first).ok());
        let Some(Line::Header { format, provenance: theirs }) = header else {
            return Err(EvalError::NotAJournal { path: self.path.clone() });
        };
        self.check_run(format, &theirs, provenance)?;
        for (line, text) in lines {
            let bad = |reason| EvalError::BadJournalLine { path: self.path.clone(), line, reason };
            match serde_json::from_slice(text).map_err(|error| bad(error.to_string()))? {
                Line::Header { .. } => return Err(bad("a second header".to_owned())),
                Line::Session { concurrency } => self.sessions.push(Session { concurrency, busy_ms: 0 }),
                Line::Result(result) => self.remember(result),
            }
        }
        Ok(())
    }

    fn check_run(&self, format: u32, theirs: &Provenance, ours: &Provenance) -> Result<(), EvalError> {
        let fields = [
            ("form", format.to_string(), FORMAT.to_string()),
            ("ticket file (by its hash)", theirs.tickets_sha256.clone(), ours.tickets_sha256.clone()),
            ("target", theirs.target.clone(), ours.target.clone()),
            ("version of tier0", theirs.tier0_version.clone(), ours.tier0_version.clone()),
        ];
        match fields.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            None => Ok(()),
            Some((what, theirs, ours)) => {
                Err(EvalError::OtherRun { path: self.path.clone(), what, theirs, ours })
            }
        }
    }
}

/// Opens the file for this run alone; it is made where there is none.
fn lock(path: &Path) -> Result<File, EvalError> {
    let failed = |source| EvalError::Io { action: "open the journal", path: path.to_owned(), source };
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EvalError::JournalInUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn text(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;
    use crate::testing::reply;

    fn provenance() -> Provenance {
        Provenance {
            tier0_version: "1.2.3".to_owned(),
            target: "http://localhost:8080".to_owned(),
            tickets_sha256: "ab12".to_owned(),
        }
    }

    fn answered(ticket_id: &str, elapsed_ms: u64) -> TicketResult {
        let outcome = TicketOutcome::Answered(Box::new(reply("It is on its way.")));
        TicketResult { ticket_id: ticket_id.to_owned(), elapsed_ms, latency_ms: 5, outcome }
    }

    fn failed(ticket_id: &str) -> TicketResult {
        TicketResult { outcome: TicketOutcome::Failed("no answer".to_owned()), ..answered(ticket_id, 3) }
    }

    /// A journal of two tickets in a folder of its own.
    fn journal_of_two() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, &provenance()).unwrap();
        journal.begin_session(4).unwrap();
        journal.add(answered("t1", 70)).unwrap();
        journal.add(failed("t2")).unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_added_is_there_again() {
        let (_folder, path) = journal_of_two();
        let mut journal = Journal::open(&path, &provenance()).unwrap();
        assert!(journal.is_answered("t1"));
        assert!(!journal.is_answered("t2"), "a failure is asked again");
        assert!(!journal.is_answered("t3"));
        journal.begin_session(1).unwrap();
        journal.add(answered("t2", 20)).unwrap();

        drop(journal);
        let (sessions, results) = Journal::open(&path, &provenance()).unwrap().into_parts();
        let expected = [Session { concurrency: 4, busy_ms: 70 }, Session { concurrency: 1, busy_ms: 20 }];
        assert_eq!(sessions, expected);
        assert_eq!(results["t1"], answered("t1", 70));
        assert_eq!(results["t2"], answered("t2", 20), "the last result counts");
    }

    #[test]
    fn wherever_it_was_cut_off_the_whole_lines_are_kept() {
        let (_folder, path) = journal_of_two();
        let whole = fs::read(&path).unwrap();
        for n_bytes in 0..whole.len() {
            fs::write(&path, &whole[..n_bytes]).unwrap();
            let mut journal = Journal::open(&path, &provenance()).unwrap();
            let n_lines = whole[..n_bytes].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(journal.is_answered("t1"), n_lines >= 3, "cut after {n_bytes} bytes");
            journal.begin_session(1).unwrap();
            journal.add(answered("t9", 1)).unwrap();
            drop(journal);
            assert!(Journal::open(&path, &provenance()).unwrap().is_answered("t9"));
        }
    }

    #[rstest]
    #[case::tickets(Provenance { tickets_sha256: "cd34".to_owned(), ..provenance() }, "is ab12, not cd34")]
    #[case::target(Provenance { target: "http://b".to_owned(), ..provenance() }, "not http://b")]
    #[case::version(Provenance { tier0_version: "2.0.0".to_owned(), ..provenance() }, "is 1.2.3, not 2.0.0")]
    fn the_journal_of_another_run_is_refused_and_left_as_it_is(
        #[case] other: Provenance,
        #[case] expected: &str,
    ) {
        let (_folder, path) = journal_of_two();
        fs::write(&path, [fs::read(&path).unwrap(), b"cut off".to_vec()].concat()).unwrap();
        let before = fs::read(&path).unwrap();
        let message = Journal::open(&path, &other).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("journal.jsonl") && message.contains("delete"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[rstest]
    #[case::text("some notes")]
    #[case::lines("{\"id\": \"t1\"}\n{\"id\": \"t2\"}\n")]
    #[case::no_header("{\"type\":\"session\",\"concurrency\":1}\n")]
    fn another_file_is_refused_and_left_as_it_is(#[case] content: &str) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, content).unwrap();
        assert!(matches!(Journal::open(&path, &provenance()), Err(EvalError::NotAJournal { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }

    #[test]
    fn a_damaged_line_is_reported_with_its_number() {
        let (_folder, path) = journal_of_two();
        let damaged = fs::read_to_string(&path).unwrap().replace("\"t1\"", "t1");
        fs::write(&path, damaged).unwrap();
        match Journal::open(&path, &provenance()).unwrap_err() {
            EvalError::BadJournalLine { line, .. } => assert_eq!(line, 3),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn two_runs_cannot_share_a_journal() {
        let (_folder, path) = journal_of_two();
        let first = Journal::open(&path, &provenance()).unwrap();
        let second = Journal::open(&path, &provenance());
        assert!(matches!(second, Err(EvalError::JournalInUse { .. })));
        drop(first);
        assert!(Journal::open(&path, &provenance()).is_ok());
    }
}
