//! What can go wrong around a measurement. A ticket that gets no answer is an
//! [`AskError`](super::AskError) instead, and does not end the run.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

/// How many bad lines of a ticket file are shown.
const N_BAD_LINES_SHOWN: usize = 10;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Lines of the ticket file are not tickets.
    #[error("{}", bad_tickets(path, lines))]
    BadTickets {
        /// The ticket file.
        path: PathBuf,
        /// Which lines, and why.
        lines: Vec<BadLine>,
    },
    /// The ticket file holds none.
    #[error("{} holds no ticket; write one JSON object a line", path.display())]
    NoTickets {
        /// The ticket file.
        path: PathBuf,
    },
    /// A file cannot be worked with.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file that should be the journal is something else.
    #[error("{} is not the journal of a measurement; name another file, it is left as it is", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The journal was written by another run.
    #[error(
        "the journal {} belongs to another run: its {what} is {theirs}, not {ours}; name another journal, \
         or delete this one to begin anew",
        path.display()
    )]
    OtherRun {
        /// The journal.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the journal says.
        theirs: String,
        /// What this run says.
        ours: String,
    },
    /// A line of the journal is damaged.
    #[error("{}:{line}: {reason}; delete the line, and its ticket is asked again", path.display())]
    BadJournalLine {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two runs would write to one journal.
    #[error("the journal {} is in use by another run; wait for it, or name another journal", path.display())]
    JournalInUse {
        /// The journal.
        path: PathBuf,
    },
    /// The server's address or its key cannot be used.
    #[error(transparent)]
    Client(#[from] tier0_client::ClientError),
}

/// A line of the ticket file that is not a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

fn bad_tickets(path: &Path, lines: &[BadLine]) -> String {
    let mut text = String::from("the tickets cannot be used:");
    for BadLine { line, reason } in lines.iter().take(N_BAD_LINES_SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}:{line}: {reason}", path.display());
    }
    if let Some(n_more @ 1..) = lines.len().checked_sub(N_BAD_LINES_SHOWN) {
        let _ = write!(text, "\n  and {n_more} more");
    }
    text
}
