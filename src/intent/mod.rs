//! What the customer wants: a linear head over sentence embeddings and n-grams, with calibrated confidence.
//!
//! Place in the path: `support` asks [`Classifier::classify`] first of all. Greetings and
//! signatures are left out of the text, order numbers are masked ([`mask()`]), and what is left is
//! embedded by [`embed`](crate::embed) and cut into character n-grams. The [`IntentHead`] scores
//! both together; its temperature makes its confidences honest. The same scores tell whether the
//! message is out of scope at all. [`parts()`] cuts a message that may ask for several things.
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

/// Why examples could not be read, or a head not be trained, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// A file could not be read or written.
    #[error("cannot access {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the examples is not what it should be.
    #[error("{path}, line {line}: {reason}")]
    Example {
        /// The file of examples.
        path: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// What is wrong with it, and what it should be.
        reason: String,
    },
    /// A head's file is damaged or of another make.
    #[error("not an intent head: {reason}; train one with `tier0 intents train`")]
    Head {
        /// What is wrong with it.
        reason: String,
    },
    /// Head and embedding model do not fit together.
    #[error(
        "the intent head reads vectors of {head_dim} numbers, but the embedding model makes \
         {embed_dim}; train a head for this model with `tier0 intents train`"
    )]
    Dimension {
        /// What the head reads.
        head_dim: usize,
        /// What the model makes.
        embed_dim: usize,
    },
    /// The examples do not suffice to train a head.
    #[error("too few examples to train on: {reason}")]
    TooFewExamples {
        /// What is missing.
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
