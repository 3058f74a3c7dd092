//! One sequence's state in its grammar.

use std::collections::VecDeque;

use llguidance::{Matcher, api::StopReason, toktrie::TokEnv};
use tier0_kernels::pool;

use super::mask::TokenMask;
use crate::model::TokenId;

/// The state of one sequence's grammar: what was written, and what may follow.
///
/// Where the grammar allows only one continuation in bytes, its tokens are forced: the model's own
/// tokenisation, computed once. The tokens are the same whether they are sampled one by one under masks
/// or taken at once by [`Constraint::forced_tokens`].
pub struct Constraint {
    matcher: Matcher,
    tokens: TokEnv,
    /// The tokens that are forced next, once they are computed.
    forced: Option<VecDeque<TokenId>>,
    /// The mask of the next token, once it is computed.
    mask: Option<Result<TokenMask, ConstraintError>>,
    /// Whether an end token has been accepted.
    ended: bool,
}

/// The state of a text after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More tokens may follow.
    Continue,
    /// The text is a whole sentence of the grammar and nothing but an end token can follow.
    Done,
}

/// Why a constraint cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The token would leave the grammar.
    #[error("the grammar does not allow token {} here", .token.0)]
    NotAllowed {
        /// The token that is not allowed.
        token: TokenId,
    },
    /// The grammar engine gave up: a limit was reached, or no token of the vocabulary fits.
    #[error("the grammar cannot be followed: {reason}")]
    Failed {
        /// The first line of its message.
        reason: String,
    },
}

impl Constraint {
    /// A constraint at the start of its text, with the first mask computed.
    pub(super) fn start(matcher: Matcher, tokens: TokEnv) -> Result<Self, ConstraintError> {
        let mut constraint = Self { matcher, tokens, forced: None, mask: None, ended: false };
        // A grammar of the empty text is done before the first token; this call notices it.
        constraint.matcher.consume_tokens(&[]).map_err(failed)?;
        constraint.mask()?;
        Ok(constraint)
    }

    /// Whether the text is complete and nothing but an end token can follow.
    pub fn is_done(&self) -> bool {
        self.ended || (self.matcher.is_stopped() && self.matcher.stop_reason().is_ok())
    }

    /// Computes the mask of the next token, unless it is computed already. This takes up to milliseconds and
    /// needs no logits, so it is called during the forward pass. [`Constraint::mask`] reports an error.
    pub fn prepare(&mut self) {
        if self.mask.is_none() {
            self.mask = Some(self.compute_mask());
        }
    }

    /// The tokens that may come next. End tokens are among them where the text may end.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`].
    pub fn mask(&mut self) -> Result<&TokenMask, ConstraintError> {
        let computed = match self.mask.take() {
            Some(computed) => computed,
            None => self.compute_mask(),
        };
        self.mask.insert(computed).as_ref().map_err(Clone::clone)
    }

    /// The tokens that have to follow and so need no sampling, in order; often none. They are not yet
    /// accepted: the caller may take only the first of them.
    pub fn forced_tokens(&mut self) -> Vec<TokenId> {
        self.forced().iter().copied().collect()
    }

    /// Accepts the next token of the text.
    ///
    /// # Errors
    /// [`ConstraintError::NotAllowed`] leaves the constraint unchanged; after [`ConstraintError::Failed`] it
    /// cannot be used any more.
    pub fn accept(&mut self, token: TokenId) -> Result<Progress, ConstraintError> {
        if !self.allows(token)? {
            return Err(ConstraintError::NotAllowed { token });
        }
        self.advance(token)?;
        Ok(if self.is_done() { Progress::Done } else { Progress::Continue })
    }

    /// Number of tokens of a draft that could be accepted one after the other. Accepts none of them.
    ///
    /// # Errors
    /// [`ConstraintError::Failed`].
    pub fn n_acceptable(&mut self, draft: &[TokenId]) -> Result<usize, ConstraintError> {
        let (forced, mask, ended) = (self.forced.clone(), self.mask.clone(), self.ended);
        let (mut n_acceptable, mut n_consumed) = (0, 0);
        for token in draft {
            if !self.allows(*token)? {
                break;
            }
            self.advance(*token)?;
            n_acceptable += 1;
            n_consumed += usize::from(!self.is_end(*token));
        }
        self.matcher.rollback(n_consumed).map_err(failed)?;
        // The matcher caches its last mask by its state, which may differ after a rollback.
        self.matcher.invalidate_bias_cache();
        (self.forced, self.mask, self.ended) = (forced, mask, ended);
        Ok(n_acceptable)
    }

    fn compute_mask(&mut self) -> Result<TokenMask, ConstraintError> {
        if self.is_done() {
            return Ok(TokenMask::ends(self.tokens.tok_trie()));
        }
        if let Some(token) = self.forced().front().copied() {
            return Ok(TokenMask::only(token, self.tokens.tok_trie()));
        }
        self.matcher.compute_mask().map(TokenMask::new).map_err(failed)
    }

    fn forced(&mut self) -> &VecDeque<TokenId> {
        let forced = match self.forced.take() {
            Some(forced) => forced,
            None if self.is_done() => VecDeque::new(),
            None => self.matcher.compute_ff_tokens().into_iter().map(TokenId).collect(),
        };
        self.forced.insert(forced)
    }

    fn is_end(&self, token: TokenId) -> bool {
        self.tokens.tok_trie().eos_tokens().contains(&token.0)
    }

    fn allows(&mut self, token: TokenId) -> Result<bool, ConstraintError> {
        if self.is_end(token) {
            return if self.is_done() { Ok(true) } else { self.matcher.is_accepting().map_err(failed) };
        }
        if self.is_done() || token.0 as usize >= self.tokens.tok_trie().vocab_size() {
            return Ok(false);
        }
        match self.forced().front() {
            Some(forced) => Ok(*forced == token),
            None => self.matcher.validate_tokens(&[token.0]).map(|n| n == 1).map_err(failed),
        }
    }

    /// Advances by a token that is allowed.
    fn advance(&mut self, token: TokenId) -> Result<(), ConstraintError> {
        self.mask = None;
        let mut left = self.forced.take().unwrap_or_default();
        if self.is_end(token) {
            self.ended = true;
            return Ok(());
        }
        left.pop_front();
        self.forced = Some(left).filter(|left| !left.is_empty());
        self.matcher.consume_token(token.0).map_err(failed)
    }
}

/// Computes the masks of many sequences at once, on all threads of the kernels.
pub fn prepare_all(mut constraints: Vec<&mut Constraint>) {
    pool::global().run_chunks(&mut constraints, 1, &|_, constraint| constraint[0].prepare());
}

fn failed(error: impl std::fmt::Display) -> ConstraintError {
    let error = error.to_string();
    // The lines after the first one are for the grammar engine's authors.
    let reason = match error.lines().next().unwrap_or_default() {
        first if first == StopReason::NoExtensionBias.to_string() => "no token of the vocabulary fits",
        first => first,
    };
    ConstraintError::Failed { reason: reason.to_owned() }
}
