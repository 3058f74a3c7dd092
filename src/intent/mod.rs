//! Intent classification: a linear head over sentence embeddings and n-grams, with calibrated confidence.
//!
//! Place in the path: `support` calls [`Classifier::classify`] first. Greetings and signatures are left
//! out of the text, order numbers are masked ([`mask()`]), and the rest is embedded by
//! [`embed`](crate::embed) and split into character n-grams. The [`IntentHead`] scores both together;
//! its temperature calibrates its confidences. The same scores show whether the message is out of scope.
//! [`parts()`] splits a message that may ask for several things.
//!
//! Heads are made from a CSV of examples: [`read_examples`], [`train()`], [`IntentHead::save`]; and
//! measured with [`evaluate()`]. The one that ships with the program was made from
//! `examples/demo-store/intents.csv`.

mod calibration;
mod classifier;
mod data;
mod evaluate;
mod features;
mod head;
mod lbfgs;
mod mask;
mod oos;
mod parts;
mod regression;
mod sentences;
mod softmax;
mod training;

use std::path::PathBuf;

pub use classifier::{Classified, Classifier, Score};
pub use data::{Example, read_examples};
pub use evaluate::{Confusion, Evaluation, LabelReport, evaluate};
pub use head::{IntentHead, TrainingFacts};
pub use mask::mask;
pub use oos::{OUT_OF_SCOPE, OutOfScopeReport};
pub use parts::parts;
pub use sentences::requests;
pub use training::{TrainOptions, Trained, train};

use crate::embed::EmbedError;

/// Why examples could not be read, or a head could not be trained, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A line of the examples is malformed or contradicts an earlier one.
    #[error("{path}, line {line}: {reason}")]
    Example {
        /// The file of examples.
        path: PathBuf,
        /// Line number from 1, the header included.
        line: u64,
        /// What is wrong with the line, and what it should be.
        reason: String,
    },
    /// A head's file is damaged or has another format.
    #[error("not an intent head: {reason}; train one with `tier0 intents train`")]
    Head {
        /// What is wrong with it.
        reason: String,
    },
    /// The head and the embedding model have different dimensions.
    #[error(
        "the intent head reads vectors of {head_dim} numbers, but the embedding model makes \
         {embed_dim}; train a head for this model with `tier0 intents train`"
    )]
    Dimension {
        /// Dimension of the vectors that the head reads.
        head_dim: usize,
        /// Dimension of the model's vectors.
        embed_dim: usize,
    },
    /// The examples do not suffice to train a head.
    #[error("too few examples to train on: {reason}")]
    TooFewExamples {
        /// Which examples are missing.
        reason: String,
    },
    /// The embedding model failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The optimiser's arithmetic failed.
    #[error("cannot train the intent head: {0}")]
    Training(#[from] candle_core::Error),
}

#[cfg(test)]
mod tests;
