//! Bearer-token authentication.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::config::ApiKey;

/// Digests of the accepted tokens. Without tokens, every request is accepted.
///
/// Digests have the same length, so comparing them does not reveal a token's length; and all their bytes
/// are compared, so the time does not reveal how much of a guess was right.
pub(super) struct Keys(Vec<[u8; 32]>);

impl Keys {
    pub(super) fn new(keys: &[ApiKey]) -> Self {
        Self(keys.iter().map(|key| digest(key.reveal())).collect())
    }

    fn admit(&self, token: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(token) = token else { return false };
        let token = digest(token);
        // No early exit: every key is compared.
        self.0.iter().fold(false, |found, key| found | equal_in_constant_time(key, &token))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn equal_in_constant_time(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Middleware: passes an authenticated request on, or answers 401.
///
/// # Errors
/// 401 when keys are configured and the request carries none of them.
pub(super) async fn require_key(
    State(keys): State<Arc<Keys>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if keys.admit(bearer_token(request.headers())) {
        return Ok(next.run(request).await);
    }
    let message = "the API key is missing or wrong; send \"Authorization: Bearer KEY\"";
    Err(ApiError::refused(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key"))
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_is_let_in() {
        let keys = Keys::new(&[ApiKey::new("first-key"), ApiKey::new("second-key")]);
        assert!(keys.admit(Some("first-key")));
        assert!(keys.admit(Some("second-key")));
        for wrong in ["", "first-ke", "first-key ", "First-key", "first-keysecond-key"] {
            assert!(!keys.admit(Some(wrong)), "{wrong:?}");
        }
        assert!(!keys.admit(None));
    }

    #[test]
    fn without_keys_everyone_is_let_in() {
        assert!(Keys::new(&[]).admit(None));
    }

    #[test]
    fn digests_that_differ_in_one_bit_are_not_equal() {
        let a = digest("key");
        for byte in 0..a.len() {
            let mut b = a;
            b[byte] ^= 1;
            assert!(!equal_in_constant_time(&a, &b));
        }
        assert!(equal_in_constant_time(&a, &a));
    }
}
