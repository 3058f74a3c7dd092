//! Output of commands. A closed pipe (`| head`) ends a command without an error.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

use super::Outcome;

/// Prints a line, or returns the error from the function.
macro_rules! print_line {
    ($($argument:tt)*) => {
        $crate::cli::output::write_line(format_args!($($argument)*))?
    };
}
pub(super) use print_line;

/// Writes a line to standard output.
pub(super) fn write_line(text: fmt::Arguments<'_>) -> Outcome {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Whether a command ended because the reader of its output closed the pipe.
pub(super) fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
