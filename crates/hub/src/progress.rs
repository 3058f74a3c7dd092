//! What is told while a model is fetched.

/// Hears how a download or a check goes. One thing at a time: `begin`, any number of `step` and `at`, `end`.
pub trait Progress {
    /// Something that should be known, whether or not a download runs.
    fn say(&self, line: &str);
    /// Work on this many bytes begins, such as `fetching m from the hub`.
    fn begin(&self, what: &str, total_bytes: u64);
    /// It has come to this step, such as a part.
    fn step(&self, step: &str);
    /// So many bytes are here.
    fn at(&self, done_bytes: u64);
    /// It has ended, well or not.
    fn end(&self);
}

/// Says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
    fn begin(&self, _: &str, _: u64) {}
    fn step(&self, _: &str) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
}
