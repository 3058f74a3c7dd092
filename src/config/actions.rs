//! `[actions]`: how confirmed actions are carried out.

use std::fmt;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// A shared secret that is shorter can be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// `[actions]`: how confirmed actions are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Actions {
    /// Address that confirmed actions are sent to; empty carries them out in the built-in store.
    #[garde(custom(is_web_address))]
    pub webhook_url: String,
    /// What requests to that address are signed with.
    #[garde(custom(signs_for(&self.webhook_url)))]
    pub webhook_secret: Secret,
    /// Minutes in which a proposed action can be confirmed.
    #[garde(range(min = 1, max = 10_080))]
    pub token_minutes: u64,
    /// Seconds that the address has for an answer.
    #[garde(range(min = 1, max = 300))]
    pub timeout_s: u64,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            webhook_url: String::new(),
            webhook_secret: Secret::default(),
            token_minutes: 60,
            timeout_s: 10,
        }
    }
}

/// A secret that is shared with somebody. Its `Debug` form hides it, so that it reaches no log.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, to sign with.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

fn is_web_address(address: &str, (): &()) -> garde::Result {
    let url = reqwest::Url::parse(address).ok();
    let is_web = url.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
    if address.is_empty() || is_web {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "{address:?} is no web address; write one such as \"https://shop.example.com/tier0\""
    )))
}

/// Without an address there is nothing to sign.
fn signs_for(url: &str) -> impl FnOnce(&Secret, &()) -> garde::Result {
    let is_needed = !url.is_empty();
    move |secret, ()| {
        if !is_needed || secret.reveal().len() >= MIN_SECRET_BYTES {
            return Ok(());
        }
        Err(garde::Error::new(format!(
            "requests to actions.webhook_url are signed: set a secret of at least {MIN_SECRET_BYTES} characters"
        )))
    }
}
