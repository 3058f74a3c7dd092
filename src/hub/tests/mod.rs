//! The room as its callers see it, with a pip and a hub of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod hub_source;
mod local_files;
mod pip_source;
mod world;
