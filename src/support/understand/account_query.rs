//! Questions about the customer's own account: points, tier, the balance of gift cards.

use tier0_text::{mentions, words};

use crate::support::texts::English;

/// How customers speak of what is their own.
const OWN: [&str; 7] = ["my", "i have", "have i", "do i have", "i got", "am i", "is left"];
/// How they ask for its amount, rather than for a rule about it.
const AMOUNT: [&str; 9] = [
    "how many",
    "point balance",
    "balance",
    "how much",
    "which tier",
    "what tier",
    "tier am i",
    "loyalty status",
    "member status",
];

/// What makes it a question about a rule after all.
const RULE: [&str; 4] = ["have to", "need", "expire", "worth"];

/// What a message asks to be told of the customer's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::support) enum AccountQuery {
    /// Points and tier of the loyalty program.
    Loyalty,
    /// What is left on gift cards.
    GiftCards,
}

impl AccountQuery {
    /// What `text` asks for; `None` where it asks for a rule, or for something else.
    pub(in crate::support) fn read(text: &English) -> Option<Self> {
        let said = words(text.as_str());
        if !mentions(&said, &OWN) || !mentions(&said, &AMOUNT) || mentions(&said, &RULE) {
            return None;
        }
        match (mentions(&said, &["gift card"]), mentions(&said, &["point", "tier", "loyalty", "member"])) {
            (true, false) => Some(Self::GiftCards),
            (false, true) => Some(Self::Loyalty),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("How many points do I have?", Some(AccountQuery::Loyalty))]
    #[case("How many loyalty points do I have?", Some(AccountQuery::Loyalty))]
    #[case("How many points do I have to collect for free shipping?", None)]
    #[case("which tier am I in", Some(AccountQuery::Loyalty))]
    #[case("What is the balance of my gift card?", Some(AccountQuery::GiftCards))]
    #[case("How much is left on my gift card?", Some(AccountQuery::GiftCards))]
    #[case("When do my points expire?", None)]
    #[case("How many points are worth a dollar?", None)]
    #[case("Can I pay with my gift card?", None)]
    fn an_amount_is_asked_for_or_a_rule(#[case] text: &str, #[case] asked: Option<AccountQuery>) {
        assert_eq!(AccountQuery::read(&English::new(text)), asked);
    }
}
