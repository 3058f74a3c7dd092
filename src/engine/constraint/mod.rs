//! Constrained decoding: only tokens that keep the text within a JSON schema, a regular expression
//! or a Lark grammar.
//!
//! Place in the path: [`ConstraintFactory`] is built once per model and compiles a request's grammar
//! when it is submitted, so that what is unsupported is refused at the door. Each sequence then owns
//! a [`Constraint`]: beside the forward pass it computes the [`TokenMask`] of the next token, which
//! is laid over the logits before sampling; after it, it takes the token and tells which tokens are
//! forced and need no sampling. The grammars themselves are `llguidance`'s work.

mod factory;
mod mask;
mod sequence;
#[cfg(test)]
mod tests;
mod tokens;

pub use factory::{ConstraintFactory, GrammarError, VocabularyError};
pub use mask::TokenMask;
pub use sequence::{Constraint, ConstraintError, Progress, prepare_all};
