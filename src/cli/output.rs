//! What commands print. A reader who has seen enough (`| head`) ends a command, and breaks nothing.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

use super::Outcome;

/// Prints a line, or returns from the function with what hinders it.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::cli::output::line(format_args!($($argument)*))?
    };
}
pub(super) use say;

/// Prints a line to standard output.
pub(super) fn line(text: fmt::Arguments<'_>) -> Outcome {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Whether a command ended because nobody reads any further.
pub(super) fn is_unread(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
