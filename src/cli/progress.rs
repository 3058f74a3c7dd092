//! What a person sees while a model is fetched.

use std::{cell::RefCell, io::IsTerminal};

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use tier0_hub::Progress;

/// Tells a person on stderr: with a bar where that is a terminal, else with plain lines.
pub struct StderrProgress {
    is_terminal: bool,
    bar: RefCell<Option<ProgressBar>>,
}

impl StderrProgress {
    /// Looks at what stderr is.
    #[must_use]
    pub fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), bar: RefCell::new(None) }
    }
}

impl Default for StderrProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for StderrProgress {
    fn say(&self, line: &str) {
        match self.bar.borrow().as_ref() {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn begin(&self, what: &str, total_bytes: u64) {
        if !self.is_terminal {
            eprintln!("{what}, {}", DecimalBytes(total_bytes));
            return;
        }
        let bar = ProgressBar::new(total_bytes);
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {msg}",
        ) {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        *self.bar.borrow_mut() = Some(bar);
    }

    fn step(&self, step: &str) {
        match self.bar.borrow().as_ref() {
            Some(bar) => bar.set_message(step.to_owned()),
            None => eprintln!("  {step}"),
        }
    }

    fn at(&self, done_bytes: u64) {
        if let Some(bar) = self.bar.borrow().as_ref() {
            bar.set_position(done_bytes);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
