//! Tests that see the program from outside, in one binary so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod api;
mod attacks;
mod engine;
mod fakes;
mod golden;
mod layers;
mod models;
mod perplexity;
mod program;
mod shop;
mod support;
mod tiny;
