//! Confirmation tokens: a proposal, signed, so that only what this server proposed can be confirmed.
//!
//! A token is `PAYLOAD.SIGNATURE`, both in the base64 of URLs without padding. The payload is JSON,
//! the signature the HMAC-SHA256 of the payload's base64 text. It is signed, not secret: every holder
//! of a token can read what it proposes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tier0_store::{ActionId, CustomerId};

use super::key::ActionKey;

/// Version of the payload's form.
const VERSION: u8 = 1;

/// The payload of a token. Names are short because customers' links contain them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Signed {
    #[serde(rename = "v")]
    version: u8,
    /// Random: two proposals of the same thing are two actions.
    pub(super) id: ActionId,
    #[serde(rename = "c")]
    pub(super) customer: CustomerId,
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "a")]
    pub(super) arguments: Map<String, Value>,
    /// The second from which on it is void.
    #[serde(rename = "e", with = "chrono::serde::ts_seconds")]
    pub(super) expires_at: DateTime<Utc>,
}

impl Signed {
    pub(super) fn new(
        id: ActionId,
        customer: CustomerId,
        name: String,
        arguments: Map<String, Value>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self { version: VERSION, id, customer, name, arguments, expires_at }
    }

    /// The signed token with this payload.
    pub(super) fn to_token(&self, key: &ActionKey) -> Result<String, serde_json::Error> {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?);
        let signature = URL_SAFE_NO_PAD.encode(key.mac().sign(payload.as_bytes()));
        Ok(format!("{payload}.{signature}"))
    }

    /// The payload of a token; `None` unless this key has signed it. The payload is not parsed before the
    /// signature is checked.
    pub(super) fn from_token(token: &str, key: &ActionKey) -> Option<Self> {
        let (payload, signature) = token.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !key.mac().verifies(payload.as_bytes(), &signature) {
            return None;
        }
        let signed: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (signed.version == VERSION).then_some(signed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn key(byte: u8) -> ActionKey {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [byte; 32]).unwrap();
        ActionKey::open_or_create(file.path()).unwrap()
    }

    fn signed(name: &str, argument: &str) -> Signed {
        Signed::new(
            ActionId::new("a-1").unwrap(),
            CustomerId::new("c-ada").unwrap(),
            name.to_owned(),
            json!({"order_id": argument, "item_ids": ["1", "2"], "address": {"line2": null}})
                .as_object()
                .unwrap()
                .clone(),
            DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        )
    }

    fn example() -> (ActionKey, String) {
        let key = key(7);
        let token = signed("cancel_order", "#A1").to_token(&key).unwrap();
        (key, token)
    }

    proptest! {
        #[test]
        fn what_is_signed_comes_out_again_and_fits_a_path(name in "\\PC{1,20}", argument in "\\PC{0,40}") {
            let (key, signed) = (key(1), signed(&name, &argument));
            let token = signed.to_token(&key).unwrap();
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            prop_assert_eq!(Signed::from_token(&token, &key), Some(signed));
        }

        #[test]
        fn a_token_with_another_character_anywhere_is_refused(at in any::<prop::sample::Index>(), other in "[A-Za-z0-9_.-]") {
            let (key, token) = example();
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &other);
            prop_assume!(changed != token);
            prop_assert_eq!(Signed::from_token(&changed, &key), None);
        }

        #[test]
        fn a_token_with_a_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..7) {
            let (key, token) = example();
            let mut bytes = token.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Signed::from_token(&String::from_utf8(bytes).unwrap(), &key), None);
        }

        #[test]
        fn a_part_of_a_token_is_refused(n_bytes in any::<prop::sample::Index>()) {
            let (key, token) = example();
            prop_assert_eq!(Signed::from_token(&token[..n_bytes.index(token.len())], &key), None);
        }

        #[test]
        fn what_is_no_token_is_refused(text in "\\PC{0,60}") {
            prop_assert_eq!(Signed::from_token(&text, &key(7)), None);
        }
    }

    #[rstest]
    #[case::padded(|token: &str| format!("{token}="))]
    #[case::longer(|token: &str| format!("{token}A"))]
    #[case::doubled(|token: &str| format!("{token}.{token}"))]
    #[case::unsigned(|token: &str| format!("{}.", token.split_once('.').unwrap().0))]
    fn a_token_with_something_added_or_taken_is_refused(#[case] change: fn(&str) -> String) {
        let (key, token) = example();
        assert_eq!(Signed::from_token(&change(&token), &key), None);
    }

    #[test]
    fn the_signature_of_another_proposal_or_key_does_not_fit() {
        let (ours, token) = example();
        assert_eq!(Signed::from_token(&token, &key(8)), None);
        let other = signed("cancel_order", "#B1").to_token(&ours).unwrap();
        let (payload, _) = token.split_once('.').unwrap();
        let (_, signature) = other.split_once('.').unwrap();
        assert_eq!(Signed::from_token(&format!("{payload}.{signature}"), &ours), None);
    }

    #[test]
    fn a_token_of_another_version_is_refused_though_it_is_signed() {
        let key = key(7);
        let newer = Signed { version: VERSION + 1, ..signed("cancel_order", "#A1") };
        assert_eq!(Signed::from_token(&newer.to_token(&key).unwrap(), &key), None);
    }
}
