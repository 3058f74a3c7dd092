//! Constrained decoding: only tokens that keep the text within a JSON schema, a regular expression
//! or a Lark grammar.
//!
//! Place in the path: [`ConstraintFactory`] is built once per model and compiles a request's grammar
//! when it is submitted, so that an unsupported grammar is refused then. Each sequence then owns a
//! [`Constraint`]: during the forward pass it computes the [`TokenMask`] of the next token, which is
//! applied to the logits before sampling; afterwards it accepts the token and returns the tokens that
//! are forced and need no sampling. `llguidance` implements the grammars themselves.

mod factory;
mod mask;
mod sequence;
#[cfg(test)]
mod tests;
mod tokens;

pub use factory::{ConstraintFactory, GrammarError, VocabularyError};
pub use mask::TokenMask;
pub use sequence::{Constraint, ConstraintError, Progress, prepare_all};
